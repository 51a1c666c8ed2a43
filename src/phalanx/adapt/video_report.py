"""What fitting to clips came to: how steady joints and mesh are before and after, pictures of both, and sentences about them.

Joints in 3D are those of the network alone, relative to the palm, as large as the likeliest hand (`video_method.Lift`): no filter, no fit.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from phalanx.adapt.video_clips import ClipHands, VideoClips, parts
from phalanx.adapt.video_method import FRAMES, Lift, clip_batch, meeting
from phalanx.adapt.weak_crops import nominal_crop
from phalanx.data.sample import Sample
from phalanx.hand.model import HandModel
from phalanx.hand.skeleton import BONES
from phalanx.methods.compact import CompactEstimator
from phalanx.metrics.video import accelerations, jitter
from phalanx.train.compact import figures as synthetic_figures
from phalanx.view.samples import draw_joints, sheet

_LESS = 0.97  # share of a figure before, from which down it is lowered
_WORSE = 1.03  # share of an error before, up to which it has not become worse
_FEW = 100  # frames


@torch.no_grad()
def seen(estimator: CompactEstimator, hands: ClipHands) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What an estimator makes of hands in nominal crops: joints (N, 21, 2) in crop units, joints (N, 21, 3) and vertices (N, V, 3) in
    decimetres relative to the palm."""
    estimator = estimator.eval()
    device, size = next(estimator.parameters()).device, estimator.config.size
    lift = Lift(HandModel.open_hand(), device)
    places, poses, meshes = [], [], []
    for rows in parts(len(hands)):
        batch = clip_batch(hands, [[row] for row in rows], size)
        found, K = estimator(batch.images[:, 0].to(device)), batch.K[:, 0].to(device)
        places.append(found.joints_2d.cpu())
        poses.append(lift.pose(found, K, size).cpu())
        meshes.append(lift.mesh(found, K, size)[0].cpu())
    return tuple(torch.cat(each).double().numpy() for each in (places, poses, meshes))  # type: ignore[return-value]


def measure(
    estimator: CompactEstimator, learnt: ClipHands, judged: ClipHands, synthetic: Sample | None = None
) -> dict[str, float]:
    """Figures of hands held back, `judged_...`, of the labels of those learnt from, and of synthetic ones.

    `2d_px_of_256` is how far labelled joints are, in 256ths of the crop that prediction looks at, the estimator's own labels only where no
    hand has others; `jitter_m_per_s3` and
    `acceleration_mm_per_frame2` are as `metrics.video` has them; `bone_spread_percent` is the standard deviation of bones' lengths within
    tracks, of their means; `apart_mm` and `mesh_apart_mm` are how far what frames say lies from what their four neighbours say together.
    """
    figures = {"learnt_2d_px_of_256": _error_2d(seen(estimator, learnt)[0], learnt)}
    places, poses, meshes = seen(estimator, judged)
    figures["judged_2d_px_of_256"] = _error_2d(places, judged)
    figures |= {f"judged_{name}": value for name, value in steadiness(poses, meshes, judged).items()}
    if synthetic is not None:
        figures |= {f"synthetic_{name}": value for name, value in synthetic_figures(estimator, synthetic).items()}
    return figures


def _error_2d(places: np.ndarray, hands: ClipHands) -> float:
    labels = clip_labels(hands)
    apart = np.linalg.norm(places - labels, axis=-1)
    given = ~hands.own.astype(bool)
    known = np.isfinite(apart) & (given | ~given.any())[:, None]
    return 256 * float(apart[known].mean()) if known.any() else float("nan")


def clip_labels(hands: ClipHands) -> np.ndarray:
    """Labelled joints (N, 21, 2) in units of nominal crops; NaN where there is none."""
    labels: np.ndarray = (hands.joints - 0.5) / nominal_crop()[1] + 0.5
    return labels


def steadiness(poses: np.ndarray, meshes: np.ndarray, hands: ClipHands) -> dict[str, float]:
    """The figures of `measure` that need no label, of joints (N, 21, 3) and vertices (N, V, 3) in decimetres; NaN where there are too few
    neighbouring frames."""
    values: tuple[list[np.ndarray], ...] = ([], [], [], [], [])
    jerks, speeds, spreads, apart, mesh_apart = values
    ends = np.array(BONES)
    for rows in hands.pieces():
        if len(rows) < FRAMES:
            continue
        joints, times = poses[rows], hands.times[rows]
        rate = 1 / float(np.median(np.diff(times)))
        jerks.append(jitter(joints / 10, rate).mean(1))
        speeds.append(100 * accelerations(joints, 1).mean(1))
        lengths = np.linalg.norm(joints[:, ends[:, 0]] - joints[:, ends[:, 1]], axis=-1)
        spreads.append(100 * lengths.std(0) / lengths.mean(0))
        for points, into in ((joints, apart), (meshes[rows], mesh_apart)):
            met = meeting(torch.from_numpy(points)[None], torch.from_numpy(times)[None])
            into.append(100 * (met[3] - met[2]).norm(dim=-1).mean(-1)[0].numpy())
    names = ("jitter_m_per_s3", "acceleration_mm_per_frame2", "bone_spread_percent", "apart_mm", "mesh_apart_mm")
    return {
        name: float(np.concatenate(each).mean()) if each else float("nan")
        for name, each in zip(names, values, strict=True)
    }


def shown_rows(hands: ClipHands, most: int) -> list[int]:
    """Rows for the picture: every few frames of the longest stretch."""
    rows = max(hands.pieces(), key=len)
    return [
        rows[number] for number in np.unique(np.linspace(0, min(len(rows), 3 * most) - 1, most).round().astype(int))
    ]


def picture(hands: ClipHands, before: CompactEstimator, after: CompactEstimator) -> np.ndarray:
    """Frames of a clip with their labels; below, joints before and as seen from the side; and the same after."""
    size = before.config.size
    images = clip_batch(hands, [[row] for row in range(len(hands))], size).images[:, 0]
    tiles = [(image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8) for image in images]
    labels = clip_labels(hands)
    known = np.isfinite(labels).all(-1)
    rows = [
        draw_joints(tile, pose * size - 0.5, 2, valid) for tile, pose, valid in zip(tiles, labels, known, strict=True)
    ]
    blank = np.full((size, size, 3), 255, dtype=np.uint8)
    for network in (before, after):
        places, poses, _ = seen(network, hands)
        rows += [draw_joints(tile, pose * size - 0.5, 2) for tile, pose in zip(tiles, places, strict=True)]
        side = np.stack([poses[..., 2], poses[..., 1]], axis=-1)  # decimetres: depth to the right
        rows += [draw_joints(blank, (each / 2.6 + 0.5) * size, 2) for each in side]
    return sheet(rows, len(hands))


def verdict(
    before: Mapping[str, float], after: Mapping[str, float], frames: int, held_back: int, own: bool
) -> tuple[bool, list[str]]:
    """Whether frames that were not learnt from go together better without losing the keypoints, and sentences about it and its price.

    Where keypoints are all the estimator's `own`, as it was at first, leaving them is no loss: no other estimator is as near to them.
    """
    whose = (
        f"{held_back} frames that were not learnt from"
        if held_back
        else "the frames learnt from, too few to hold any back"
    )
    apart = before["judged_apart_mm"], after["judged_apart_mm"]
    flat = before["judged_2d_px_of_256"], after["judged_2d_px_of_256"]
    steadier, kept = apart[1] < _LESS * apart[0], own or not flat[1] > _WORSE * flat[0]
    keypoints = "its own first joints" if own else "keypoints"
    lines = [
        f"{'steadier' if steadier else 'not steadier'}: on {whose}, joints lie {apart[0]:.2f} mm from what their neighbours say before and "
        f"{apart[1]:.2f} mm after; bones vary by {before['judged_bone_spread_percent']:.1f} and "
        f"{after['judged_bone_spread_percent']:.1f} %; "
        f"{keypoints} are {flat[0]:.1f} and {flat[1]:.1f} 256ths of a crop off"
    ]
    if not kept:
        lines.append(
            "keypoints of these frames became worse: they show something else, or there were too few to learn from"
        )
    if not steadier:
        lines.append("why: give more --minutes or more clips, or look at adapted.png")
    old, new = (figures.get("synthetic_2d_px_of_256", 0.0) for figures in (before, after))
    if new > 1.1 * old:
        lines.append(
            f"on synthetic hands joints are {old:.1f} 256ths off before and {new:.1f} after: the network forgets"
        )
    if frames < _FEW:
        lines.append(f"{frames} frames are few")
    return steadier and kept, lines


def said(clips: VideoClips) -> list[str]:
    """Lines about what was read."""
    counts, hands = clips.counts, clips.hands
    labels = (
        f"{counts['clips with keypoints']} with keypoints" if counts["clips with keypoints"] else "none with keypoints"
    )
    lines = [
        f"{counts['clips']} clips, {labels}; {counts['frames']} frames, {counts['hands']} hands taken in {counts['tracks']} stretches; "
        f"{counts['cuts']} cuts; {len(clips.skipped)} inputs passed over"
    ]
    if hands.own.any():
        share = np.isfinite(hands.joints[hands.own]).all(-1).mean()
        lines.append(
            f"of {int(hands.own.sum())} hands the estimator's own joints are labels, {100 * share:.0f} % of them sure enough"
        )
    if counts["tracks of an unsure side"]:
        lines.append(
            f"the side of {counts['tracks of an unsure side']} stretches is guessed and unsure; give --side if that is known"
        )
    if clips.camera == "assumed":
        lines.append("a camera of 60 degrees is assumed; give --K if it is known")
    return lines
