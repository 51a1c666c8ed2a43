"""What fitting to weakly labelled pictures came to: errors before and after, pictures of both, and sentences about them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from phalanx.adapt.weak_method import weak_batch
from phalanx.adapt.weak_pictures import WeakHands, WeakPictures, errors_2d, nominal_crops
from phalanx.data.sample import Sample
from phalanx.methods.compact import CompactEstimator
from phalanx.train.compact import figures as synthetic_figures
from phalanx.view.samples import draw_joints, sheet

_LESS = 0.97  # share of the error before, from which down it is lowered
_FEW = 50  # hands


def spread(hands: WeakHands, most: int) -> WeakHands:
    """At most so many of the hands, spread over all."""
    return hands[np.unique(np.linspace(0, len(hands) - 1, min(most, len(hands))).round().astype(int)).tolist()]


@torch.no_grad()
def measure(estimator: CompactEstimator, learnt: WeakHands, judged: WeakHands, synthetic: Sample) -> dict[str, float]:
    """Errors on hands learnt from and held back, and on synthetic ones."""
    estimator = estimator.eval()
    figures = {
        "learnt_2d_px_of_256": float(errors_2d(learnt, estimator).mean()),
        "judged_2d_px_of_256": float(errors_2d(judged, estimator).mean()),
    }
    figures |= {f"synthetic_{name}": value for name, value in synthetic_figures(estimator, synthetic).items()}
    labelled = judged[np.isfinite(judged.relative).any(1).nonzero()[0].tolist()]
    if len(labelled):
        figures["judged_depth_px_of_256"] = 256 * _depth_error(estimator, labelled)
    return figures


def _depth_error(estimator: CompactEstimator, hands: WeakHands) -> float:
    """Mean error in crop units of relative depths where they are labelled."""
    device = next(estimator.parameters()).device
    errors = []
    for start in range(0, len(hands), 32):
        part = weak_batch(hands[list(range(start, min(start + 32, len(hands))))], estimator.config.size)
        assert part.sample.image is not None
        difference = (estimator(part.sample.image.to(device)).depth.cpu() - part.depth.depths).abs()
        errors.append(difference.nanmean(1))
    return float(torch.cat(errors).mean())


def picture(hands: WeakHands, before: CompactEstimator, after: CompactEstimator) -> np.ndarray:
    """Hands with their labels, and below each its joints before and after."""
    size = before.config.size
    crops = nominal_crops(hands, size)
    assert crops.image is not None and crops.joints_2d is not None
    shown = [(image.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8) for image in crops.image]
    known = np.isfinite(hands.joints).all(-1)
    tiles = [
        draw_joints(tile, pose, 2, valid)
        for tile, pose, valid in zip(shown, crops.joints_2d.numpy(), known, strict=True)
    ]
    for network in (before, after):
        with torch.no_grad():
            found = network.eval()(crops.image.to(next(network.parameters()).device)).joints_2d.cpu()
        tiles += [draw_joints(tile, pose, 2) for tile, pose in zip(shown, (found * size - 0.5).numpy(), strict=True)]
    return sheet(tiles, len(hands))


def verdict(
    before: Mapping[str, float], after: Mapping[str, float], hands: int, held_back: int
) -> tuple[bool, list[str]]:
    """Whether the 2D error was lowered on hands that were not learnt from, and sentences about it and what it cost."""
    one, two = before["judged_2d_px_of_256"], after["judged_2d_px_of_256"]
    lowered = two < _LESS * one
    whose = (
        f"{held_back} hands that were not learnt from"
        if held_back
        else "the hands learnt from, too few to hold any back"
    )
    lines = [
        f"{'lowered' if lowered else 'not lowered'}: on {whose}, labelled joints are {one:.1f} 256ths of a crop off before and {two:.1f} "
        "after"
    ]
    if not lowered:
        fitted = after["learnt_2d_px_of_256"] < _LESS * before["learnt_2d_px_of_256"]
        reason = (
            "those held back show something else"
            if fitted and held_back
            else "give more --minutes, or look at adapted.png"
        )
        lines.append(f"why: {reason}")
    old, new = before["synthetic_2d_px_of_256"], after["synthetic_2d_px_of_256"]
    if new > 1.1 * old:
        lines.append(
            f"on synthetic hands joints are {old:.1f} 256ths off before and {new:.1f} after: the network fits these pictures at the "
            "cost of others"
        )
    if hands < _FEW:
        lines.append(f"{hands} hands are few")
    return lowered, lines


def said(pictures: WeakPictures) -> list[str]:
    """Lines about what was read."""
    counts = pictures.counts
    lines = [
        f"{counts['pictures']} pictures, {counts['pictures with joints']} of them with joints, {counts['pictures with nothing']} with "
        f"nothing; {counts['hands']} hands, {counts['left hands']} of them left ones; {len(pictures.skipped)} inputs passed over"
    ]
    if counts["pictures with depth and no joints"]:
        lines.append(
            f"{counts['pictures with depth and no joints']} pictures have depth and no joints, without which nothing is learnt from it"
        )
    if counts.get("hands whose side was guessed"):
        lines.append(
            f"the side of {counts['hands whose side was guessed']} hands was guessed, of {counts['hands of an unsure side']} unsurely; "
            "give --side if that is known"
        )
    if counts["hands with depth"] or pictures.left_out:
        reasons = "; ".join(f"{reason} ({count})" for reason, count in pictures.left_out.items())
        others = f"; not of others: {reasons}" if reasons else ""
        source = f", focal length by {pictures.sources['focal']}" if pictures.sources else ""
        lines.append(f"depth is compared of {counts['hands with depth']} hands{source}{others}")
    if counts["hands with 3D joints"]:
        lines.append(f"3D joints are learnt of {counts['hands with 3D joints']} hands")
    return lines


def terms(pictures: WeakPictures, deep: bool, depth_weight: float, synthetic: int, hands: int) -> dict[str, str]:
    """What was learnt from, term by term, or why not."""
    counts = pictures.counts
    no_depth = "left out: no hand has depth that can be compared" if depth_weight > 0 else "left out: its weight is 0"
    no_joints = "left out: no hand has any"
    return {
        "2D joints": f"{counts['hands']} hands",
        "depth regularizer": f"{counts['hands with depth']} hands" if deep else no_depth,
        "3D joints": f"{counts['hands with 3D joints']} hands" if counts["hands with 3D joints"] else no_joints,
        "synthesis": f"{synthetic} hands a step beside {hands}" if synthetic else "left out: 0 hands a step",
    }


def drawn_term(learnt: WeakHands, asked: bool, frames: int | None) -> str:
    """Whether depth was drawn; `frames` that it was judged against, None if it was not."""
    lacking = int((~learnt.with_depth).sum())
    if frames is not None:
        return f"{lacking} hands without depth, judged against {frames} depth frames of other hands"
    if not asked:
        return "left out: there is no unpaired depth"
    return "left out: every hand has its own" if lacking == 0 else "left out: its weight is 0"
