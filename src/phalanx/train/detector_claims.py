"""What a detector claims of frames, held against the hands in them: recall, precision, sides, and what its confidences mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.data.frames import Frames
from phalanx.data.images import image_bytes
from phalanx.methods.detector import Detector
from phalanx.predict.detection import HandDetector, find_hands, overlap
from phalanx.train.detector_windows import LEAST, LEAST_SHARE

_HIT = 0.3  # overlap from which a claim is the hand


@dataclass
class Claims:
    """What a detector claims of frames.

    Attributes:
        score: (C,) of each claim; hit: (C,) whether it is a hand; side: (C,) whether its side is right; asked: (C,) False: it is at a hand
            that is neither to be found nor wrong.
        hands: that are to be found; frames: how many there are.
    """

    score: np.ndarray
    hit: np.ndarray
    side: np.ndarray
    asked: np.ndarray
    hands: int
    frames: int


def claims_of(detector: HandDetector, frames: Frames, least: float = 0.02) -> Claims:
    """What the detector claims, each claim matched to the hand that it overlaps most, the surest first, a hand once."""
    rows: list[tuple[float, bool, bool, bool]] = []
    wanted = clear_hands(frames)
    for i in range(len(frames)):
        boxes = [tuple(box) for box in frames.boxes[i].tolist()]
        taken: set[int] = set()
        for claim in find_hands(detector, image_bytes(frames.image[i]), 64, least):
            best = max(range(len(boxes)), key=lambda n: overlap(claim.box, boxes[n]))
            there = bool(frames.present[i, best]) and overlap(claim.box, boxes[best]) > _HIT
            if there and not bool(wanted[i, best]):
                rows.append((claim.score, False, False, False))
                continue
            hit = there and best not in taken
            taken |= {best} if hit else set()
            rows.append((claim.score, hit, hit and (claim.right > 0.5) == (int(frames.side[i, best]) == 0), True))
    columns = np.array(rows, dtype=float).reshape(-1, 4)
    score, (hit, side, asked) = columns[:, 0], columns[:, 1:].T > 0.5
    return Claims(score, hit, side, asked, int(wanted.sum()), len(frames))


def clear_hands(frames: Frames) -> Tensor:
    """Hands (B, N) that a detector is asked to find: large enough at the size of its first look, and not nearly hidden."""
    longer = max(frames.image.shape[-2:])
    extent = frames.boxes[..., 2:].amax(-1) * (256 / longer)
    return frames.present & (extent >= LEAST) & (frames.share > LEAST_SHARE)


@torch.no_grad()
def figures(network: nn.Module, frames: Frames) -> dict[str, float]:
    """What `figures_of` says of a network's claims."""
    assert isinstance(network, Detector)
    return figures_of(claims_of(network, frames))


def figures_of(claims: Claims) -> dict[str, float]:
    """Recall at half a false hand a frame and at one, average precision, and the share of found hands whose side is right, per cent."""
    score, hit, side = (values[claims.asked] for values in (claims.score, claims.hit, claims.side))
    order = np.argsort(-score, kind="stable")
    hit, side = hit[order], side[order]
    true, false = np.cumsum(hit), np.cumsum(~hit)
    recall, precision = true / max(claims.hands, 1), true / np.maximum(true + false, 1)
    best = np.maximum.accumulate(precision[::-1])[::-1]

    def recall_at(rate: float) -> float:
        allowed = false <= rate * claims.frames
        return 100 * float(recall[allowed].max(initial=0.0))

    return {
        "recall_half_percent": recall_at(0.5),
        "recall_one_percent": recall_at(1.0),
        "precision_percent": 100 * float((best * hit).sum() / max(claims.hands, 1)),
        "side_percent": 100 * float(side[hit].mean()) if hit.any() else 0.0,
    }


def calibration_of(network: Detector, frames: Frames) -> tuple[float, float]:
    """Slope and offset of log-odds after which confidences are shares of hands (Platt 1999): logistic regression by Newton's method."""
    own = network.config.calibration
    claims = claims_of(network, frames)
    p = np.clip(claims.score[claims.asked], 1e-6, 1 - 1e-6)
    logit = (np.log(p / (1 - p)) - own[1]) / own[0]
    x = np.stack([logit, np.ones_like(logit)], 1)
    hit = claims.hit[claims.asked].astype(float)
    line = np.array([1.0, 0.0])
    for _ in range(30):
        said = 1 / (1 + np.exp(-x @ line))
        curvature = x.T @ (x * (said * (1 - said))[:, None]) + 1e-3 * np.eye(2)
        line = line - np.linalg.solve(curvature, x.T @ (said - hit) + 1e-3 * (line - [1.0, 0.0]))
    return (float(line[0]), float(line[1])) if line[0] > 0 else own
