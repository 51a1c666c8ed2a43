"""One hand from several cameras: real pairs of cameras, synthesis with rigs, and what it costs. `docs/rigs.md` has the figures.

    python benchmarks/rig.py two_cameras FOLDER [--keep FILE.pkl]      two videos of a calibrated pair (TemugeB/handpose3d)
    python benchmarks/rig.py stereo_pair FOLDER                        a rectified pair with labels (STB, Zhang et al. 2016)
    python benchmarks/rig.py synthesis [--hands 64] [--rig ring3]      hands of the engine's rigs, whose joints are known
    python benchmarks/rig.py picture FILE.jpg [--rig ring4]            the picture of docs/rigs.md
    python benchmarks/rig.py time FOLDER [--moments 40]                CPU time of two views over that of one, by turns

`two_cameras`: reprojection is the median distance of the fused hand's joints from the estimator's own 2D joints in each view, pixels
of 720. Constancy of bones is the mean over bones of standard deviation over mean of their lengths in all frames. For a shared shape it
is 0 by construction, so that of fused hands whose shapes are free, and of triangulated joints alone, stand beside it. Epipolar errors
are those of the chessboard's calibration that comes with the videos, and of one made from the hands of the same videos; what is seen of one
hand by two cameras does not depend on where they stand.

`stereo_pair`: mean distance of the set's 21 points, its palm centre being halfway between our wrist and ring MCP; it has no wrist.
Frame 0 is the one that there are pictures of. `--keep` stores what was seen, which takes most of the time, for a second run.
"""

from __future__ import annotations

import argparse
import pickle
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.data.camera_files import Calibration
from phalanx.data.images import read_image
from phalanx.data.rig_files import CameraRig, RigCamera
from phalanx.fit.joints import fit_evidence
from phalanx.geometry.distortion import Lens
from phalanx.hand.plain import PlainHand
from phalanx.hand.skeleton import BONES, ORDERS
from phalanx.predict.looks import joined
from phalanx.predict.posing import crop_camera
from phalanx.predict.predictor import Predictor
from phalanx.predict.rig import RigFrame, RigHand, RigPredictor
from phalanx.predict.rig_calibrate import UnplacedPredictor, calibrate_rig, check_rig, unplaced
from phalanx.predict.rig_files import follow_videos
from phalanx.predict.rig_inputs import video_moments
from phalanx.predict.rig_tracker import RigTracker
from phalanx.predict.tracker import Tracker

VIDEOS = "cam0_test.mp4", "cam1_test.mp4"
CLEAR = 6.0  # pixels by which no view of the picture is off in the median


def chessboard_rig(folder: Path) -> CameraRig:
    """The calibration that comes with the two videos; its unit is not stated."""
    cameras = []
    for number in (0, 1):
        K, bend = (
            numbers(folder / f"c{number}.dat", "intrinsic", 3),
            numbers(folder / f"c{number}.dat", "distortion", 1),
        )
        place = folder / f"rot_trans_c{number}.dat"
        u, _, v = np.linalg.svd(numbers(place, "R", 3).reshape(3, 3))
        placed = np.eye(4)
        placed[:3, :3], placed[:3, 3] = u @ v, numbers(place, "T", 3)
        calibration = Calibration(K.reshape(3, 3), (720, 720), Lens("radial-tangential", bend))
        cameras.append(RigCamera(calibration, placed, f"cam{number}"))
    return CameraRig(tuple(cameras), False, "chessboard")


def numbers(path: Path, name: str, lines: int) -> np.ndarray:
    """The numbers in so many lines behind the first one that begins with `name`."""
    text = path.read_text(encoding="utf-8").splitlines()
    start = next(k for k, line in enumerate(text) if line.strip().startswith(name)) + 1
    return np.array(" ".join(text[start : start + lines]).split(), float)


def constancy(joints: np.ndarray) -> tuple[float, float]:
    """Of joints (F, 21, 3), NaN where there are none: mean over bones of standard deviation over mean length, percent; the largest."""
    a, b = np.array(BONES).T
    lengths = np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)
    share = 100 * np.nanstd(lengths, axis=0) / np.nanmean(lengths, axis=0)
    return float(share.mean()), float(share.max())


def robust_constancy(joints: np.ndarray) -> float:
    """The same by quartiles: mean over bones of 0.74 of the range between them over the median, percent."""
    a, b = np.array(BONES).T
    lengths = np.linalg.norm(joints[:, a] - joints[:, b], axis=-1)
    low, middle, high = np.nanpercentile(lengths, [25, 50, 75], axis=0)
    return float(np.mean(100 * 0.7413 * (high - low) / middle))


def single_views(frames: Sequence[RigFrame], view: int, model: PlainHand, size: int) -> np.ndarray:
    """Joints (F, 21, 3) that one view's evidence alone gives, before its camera; metres by the hand's likeliest size."""
    there = [(frame.seen[view], frame.pictures[view]) for frame in frames if frame.seen[view] is not None]
    views = [each.view for each, _ in there if each is not None]
    cameras = [picture.camera for _, picture in there if picture is not None]
    K = np.stack([crop_camera(camera, each, size) for camera, each in zip(cameras, views, strict=True)])
    pose = fit_evidence(model, joined(views), K.astype(np.float32), size)
    return model.joints(pose).astype(np.float64)


def two_cameras(folder: Path, keep: Path | None) -> None:
    paths = [folder / name for name in VIDEOS]
    rig, base = chessboard_rig(folder), Predictor()
    calibrations = [camera.calibration for camera in rig.cameras]
    blind = UnplacedPredictor(unplaced(calibrations, ["cam0", "cam1"]), base)
    placed = RigPredictor(rig, base)
    if keep is not None and keep.exists():
        seen = pickle.loads(keep.read_bytes())
    else:
        seen = follow_videos(placed, paths, print)
        if keep is not None:
            keep.write_bytes(pickle.dumps(seen))
    hands = placed.fuse(seen, surface=False)
    shared = placed.fuse(seen, one_shape=True, surface=False)
    print(
        f"{len(seen)} moments; a hand in {sum(hand is not None for hand in hands)}; unit {1e3 * placed.factor:.2f} mm"
    )
    for name, fused in (("shape free", hands), ("one shape", shared)):
        report(name, [hand for hand in fused if hand is not None])
    both = [hand for hand in hands if hand is not None and hand.triangulated is not None]
    triangulated = np.stack([hand.triangulated for hand in both if hand.triangulated is not None])
    print(
        f"triangulated alone: bones constant to {constancy(triangulated)[0]:.1f} %, by quartiles {robust_constancy(triangulated):.1f} %"
    )
    for view in (0, 1):
        alone = single_views(seen, view, PlainHand.open_hand(), base.estimator.config.size)
        in_rig = np.median([hand.views[view].hand.joints[0, 2] for hand in both if hand.views[view].hand is not None])  # type: ignore[union-attr]
        print(
            f"cam{view} alone: bones constant to {constancy(alone)[0]:.1f} %, by quartiles {robust_constancy(alone):.1f} %; wrist "
            f"{np.median(alone[:, 0, 2]):.3f} m away in the median, in the rig {in_rig:.3f} m"
        )
    for name, cameras in (("chessboard", rig), ("hands", None)):
        made = cameras or calibrate_rig(blind, seen)
        blind.rig = made
        pair = check_rig(blind, seen).pairs[0]
        print(f"{name}: epipolar error {pair.error:.2f} px in the median of {pair.moments} moments")
        if cameras is None:
            a, b = between(rig), between(made)
            turn = np.degrees(np.arccos(np.clip((np.trace(a[:3, :3] @ b[:3, :3].T) - 1) / 2, -1, 1)))
            unit = [matrix[:3, 3] / np.linalg.norm(matrix[:3, 3]) for matrix in (a, b)]
            print(
                f"hands against chessboard: {turn:.2f} degrees in rotation, {np.degrees(np.arccos(unit[0] @ unit[1])):.2f} in direction; "
                f"baseline {np.linalg.norm(b[:3, 3]):.3f} m, {np.linalg.norm(a[:3, 3]) * placed.factor:.3f} m"
            )
        blind.rig = unplaced(calibrations, ["cam0", "cam1"])


def between(rig: CameraRig) -> np.ndarray:
    """From the first camera to the second, (4, 4)."""
    matrix: np.ndarray = rig.cameras[1].world_to_camera @ np.linalg.inv(rig.cameras[0].world_to_camera)
    return matrix


def report(name: str, hands: Sequence[RigHand]) -> None:
    joints = np.stack([hand.joints for hand in hands])
    two = [hand for hand in hands if sum(view.state in ("used", "unsure") for view in hand.views) >= 2]
    fused = np.stack([hand.joints for hand in two])
    views = range(len(hands[0].views))
    errors = [np.concatenate([h.views[v].errors for h in hands if h.views[v].errors is not None]) for v in views]
    print(
        f"{name}: reprojection {', '.join(f'{np.median(each):.2f}' for each in errors)} px in the median, "
        f"{', '.join(f'{np.percentile(each, 90):.1f}' for each in errors)} px in nine of ten; bones constant to "
        f"{constancy(joints)[0]:.1f} % (where two views count, {len(two)} frames: {constancy(fused)[0]:.1f} %, by quartiles "
        f"{robust_constancy(fused):.1f} %); uncertainty {1e3 * np.median([hand.uncertainty.mean() for hand in hands]):.1f} mm"
    )


def stereo_pair(folder: Path) -> None:
    from scipy.io import loadmat

    K = np.array([[822.79041, 0, 318.47345], [0, 822.79041, 250.31296], [0, 0, 1]])
    placed = np.eye(4)
    placed[0, 3] = -0.120054
    cameras = (RigCamera(Calibration(K), np.eye(4), "left"), RigCamera(Calibration(K), placed, "right"))
    base = Predictor()
    predictor = RigPredictor(CameraRig(cameras, True, "STB"), base)
    images = [read_image(folder / f"BB_{side}_0.png") for side in ("left", "right")]
    labels = loadmat(folder / "B1Counting_BB.mat")["handPara"][..., 0].T / 1e3  # (21, 3), the palm's centre first
    hand = predictor(images)
    if hand is None:
        print("no hand")
        return
    print(f"both views: {hand.side} hand, " + set_errors(hand.joints, labels))
    assert hand.triangulated is not None
    print("triangulated alone: " + set_errors(hand.triangulated, labels))
    for view in hand.views:
        print(f"  {view.name}: {view.state}, {view.error:.1f} px, expected {np.mean(view.sigma):.1f} px")
    for number, (image, side) in enumerate(zip(images, ("left", "right"), strict=True)):
        found = base(image, K=K, side=hand.side)
        if found:
            joints = found[0].joints - placed[:3, 3] * number
            print(f"{side} view alone: " + set_errors(joints, labels))


def set_errors(joints: np.ndarray, labels: np.ndarray) -> str:
    """How far joints (21, 3) are from STB's points (21, 3), in words."""
    own = np.empty_like(labels)
    own[list(ORDERS["stb"])] = joints  # the wrist comes where the set has the palm's centre
    own[0] = (joints[0] + joints[13]) / 2
    off = 1e3 * np.linalg.norm(own - labels, axis=1)
    relative = 1e3 * np.linalg.norm((own - own[0]) - (labels - labels[0]), axis=1)
    return (
        f"{np.nanmean(off):.1f} mm over {np.isfinite(off).sum()} points (palm centre {off[0]:.1f}, largest {np.nanmax(off):.1f}); "
        f"relative to the palm's centre {np.nanmean(relative[1:]):.1f} mm"
    )


def synthesis(hands: int, name: str) -> None:
    """Errors, single view beside, and how well the expected errors fit."""
    from phalanx.synth import SynthConfig, make_chunk
    from phalanx.synth.scene.rigs import load_rig

    views = len(load_rig(name))
    base = Predictor()
    errors, triangulated, alone, expected, missed, states = [], [], [], [], 0, {}
    index = 0
    while len(errors) + missed < hands:
        sample = make_chunk(SynthConfig(rig=name, chunk=8 * views, size=320), 777, index)
        index += 1
        assert sample.image is not None and sample.K is not None and sample.joints is not None
        assert sample.world_to_camera is not None
        images = (255 * sample.image.permute(0, 2, 3, 1).numpy()).round().astype(np.uint8)
        K, placed, joints = (values.double().numpy() for values in (sample.K, sample.world_to_camera, sample.joints))
        for start in range(0, len(images), views):
            rows = range(start, start + views)
            rig = CameraRig(
                tuple(RigCamera(Calibration(K[row], (320, 320)), placed[row], str(row)) for row in rows), True, name
            )
            hand = RigPredictor(rig, base, "right")([images[row] for row in rows])
            truth = (joints[start] - placed[start, :3, 3]) @ placed[start, :3, :3]
            if hand is None:
                missed += 1
                continue
            counted = sum(view.state in ("used", "unsure") for view in hand.views)
            states[counted] = states.get(counted, 0) + 1
            if counted >= 2:
                errors.append(1e3 * np.linalg.norm(hand.joints - truth, axis=1))
                expected.append(1e3 * hand.uncertainty)
                assert hand.triangulated is not None
                triangulated.append(1e3 * np.linalg.norm(hand.triangulated - truth, axis=1))
            else:
                missed += 1
            for row in rows:
                found = base(images[row], K=K[row], side="right")
                if found:
                    off = found[0].joints - joints[row]
                    alone.append([np.linalg.norm(off, axis=1).mean(), np.linalg.norm(off - off[:1], axis=1).mean()])
    fused = np.stack(errors)
    each = 1e3 * np.array(alone)
    there = 100 * np.isfinite(triangulated).mean()
    print(
        f"{name}: {len(fused)} hands that two views or more show, {missed} others; views that count: {dict(sorted(states.items()))}"
    )
    print(f"fused {fused.mean():.1f} mm, median of hands {np.median(fused.mean(1)):.1f}")
    print(f"triangulated {np.nanmean(triangulated):.1f} mm, of {there:.0f} % of their joints")
    print(
        f"one view {each[:, 0].mean():.1f} mm, median {np.median(each[:, 0]):.1f}; relative to the wrist {each[:, 1].mean():.1f}"
    )
    print(f"expected {np.mean(expected):.1f} mm a direction, found {np.sqrt(np.square(fused).mean() / 3):.1f}")


def picture(file: Path, name: str) -> None:
    """One hand of the engine's rig in all views, and from the side."""
    import cv2

    from phalanx.predict.rig_files import draw_views
    from phalanx.synth import SynthConfig, make_chunk
    from phalanx.synth.scene.rigs import load_rig
    from phalanx.view.overlay import draw_turned

    views, base = len(load_rig(name)), Predictor()
    for index in range(8):
        sample = make_chunk(SynthConfig(rig=name, chunk=8 * views, size=320), 778, index)
        assert sample.image is not None and sample.K is not None and sample.world_to_camera is not None
        images = (255 * sample.image.permute(0, 2, 3, 1).numpy()).round().astype(np.uint8)
        K, placed = sample.K.double().numpy(), sample.world_to_camera.double().numpy()
        for start in range(0, len(images), views):
            rows = range(start, start + views)
            cameras = [RigCamera(Calibration(K[r], (320, 320)), placed[r], f"camera {r - start}") for r in rows]
            shown = [images[row] for row in rows]
            hand = RigPredictor(CameraRig(tuple(cameras), True, name), base, "right")(shown)
            if hand is None or any(view.state != "used" or (view.error or 0) > CLEAR for view in hand.views):
                continue
            drawn = draw_views(shown, hand, [camera.name for camera in cameras])
            side = draw_turned(hand, 480, drawn.shape[0])
            joined_up = np.concatenate((drawn, side), axis=1)
            cv2.imwrite(str(file), joined_up[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
            print(f"{file}: hand {start // views} of chunk {index}")
            return


def cost(folder: Path, moments: int) -> None:
    """CPU seconds of one view and of two, by turns in one run."""
    paths = [folder / name for name in VIDEOS]
    rig, base = chessboard_rig(folder).scaled(0.0434), Predictor()
    single = [Tracker(base, K=rig.cameras[view].calibration, max_hands=1) for view in (0, 1)]
    predictor = RigPredictor(rig, base)
    tracker = RigTracker(predictor)
    spent = {"one": 0.0, "two": 0.0}
    ratios = []
    for number, (seconds, images) in enumerate(video_moments(paths, print)):
        if number >= moments:
            break
        begin = time.process_time()
        single[0](images[0], seconds)
        middle = time.process_time()
        predictor.fuse([tracker(images, seconds)])
        end = time.process_time()
        if number >= 5:  # the first ones load the networks
            spent["one"] += middle - begin
            spent["two"] += end - middle
            ratios.append((end - middle) / (middle - begin))
    count = moments - 5
    print(
        f"CPU time a moment: one view {1e3 * spent['one'] / count:.1f} ms, two views {1e3 * spent['two'] / count:.1f} ms; ratio "
        f"{spent['two'] / spent['one']:.2f}, median of moments {np.median(ratios):.2f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("two_cameras", "stereo_pair", "synthesis", "picture", "time"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--keep", type=Path, help="what was seen in the videos, kept for another run")
    parser.add_argument("--hands", type=int, default=64)
    parser.add_argument("--rig", default="ring3")
    parser.add_argument("--moments", type=int, default=40)
    args: Any = parser.parse_args(arguments)
    if args.what == "synthesis":
        synthesis(args.hands, args.rig)
    elif args.what == "picture":
        picture(args.folder, args.rig)
    elif args.what == "two_cameras":
        two_cameras(args.folder, args.keep)
    elif args.what == "stereo_pair":
        stereo_pair(args.folder)
    else:
        cost(args.folder, args.moments)


if __name__ == "__main__":
    main()
