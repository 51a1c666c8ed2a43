"""Rendered hands put before photographs, where a real hand is and posed like it (Chen, dissertation, 2020, Sec. 2.3.2, Fig. 2.2).

    photograph -> joints by an estimator (v) -> the rendered hand u* whose joints are most alike (Eq. 2.4) -> laid on v by a similarity
    photograph -> the real hand cut out by GrabCut, and painted over -> what lies behind

Ours: the real hand is painted over (Telea 2004, as OpenCV has it), for what sticks out from behind would be a second hand; of the
likest matches the one is taken whose forearm ends least within the picture; labels are turned with the hand, and stay exact.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import torch
from torch import Tensor

from phalanx.core.seeding import generator
from phalanx.fit.pose_retrieval import PoseIndex, placement
from phalanx.train.cutouts import cut_out

MATCHES = 8
"""Of the likest rendered hands, among which the one is taken whose forearm ends least within the picture."""

_RIM = 2  # pixels of a rendered picture's rim where a forearm leaves it
_PAINTED = 2.0  # reach of the painting over, pixels
_GROWN = 5  # side of the square by which the real hand is grown before it is painted over, pixels


def compose(
    real: Tensor, joints_2d: Tensor, rendered: Mapping[str, Tensor], index: PoseIndex, seed: int
) -> dict[str, Tensor]:
    """A composition for each photograph.

    Args:
        real: photographs (N, 3, S, S) uint8, a right hand in each.
        joints_2d: (N, 21, 2) where an estimator sees its joints, pixels.
        rendered: `image` (M, 3, R, R) and `mask` (M, R, R) uint8, `joints` (M, 21, 3) in metres before the camera `K` (M, 3, 3), and
            `joints_2d` (M, 21, 2) in pixels, of right hands.
        index: of the rendered hands' `joints_2d`.
        seed: of the plain grounds.
    Returns:
        image: (N, 3, S, S) uint8, rendered hands before the photographs.
        clear: the same hands before a plain ground each.
        joints, joints_2d, K: labels of these.
        number: (N,) which rendered hand it is. score: (N,) how much it is like the real one (Eq. 2.4).
    """
    size = real.shape[-1]
    rows: list[dict[str, np.ndarray]] = []
    for photograph, places in zip(real.numpy().transpose(0, 2, 3, 1), joints_2d.double().numpy(), strict=True):
        found = index.nearest(places, MATCHES)
        placed = [placement(rendered["joints_2d"][n].double().numpy(), places)[:2] for n in found.numbers]
        cuts = [_cut(rendered["mask"][n].numpy(), to, size) for n, to in zip(found.numbers, placed, strict=True)]
        best = int(np.argmin(cuts))  # the first of equals, and so the likest
        number, to = int(found.numbers[best]), placed[best]
        hand, cover = _laid(rendered["image"][number], rendered["mask"][number], to, size)
        ground = generator(seed, len(rows)).uniform(40, 215, 3)
        behind = without_hand(photograph, places)
        rows.append(
            {
                "image": _over(hand, cover, behind.astype(np.float32)),
                "clear": _over(hand, cover, np.broadcast_to(ground, behind.shape).astype(np.float32)),
                "number": np.array(number),
                "score": np.array(found.scores[best], np.float32),
                **_labels(rendered, number, to),
            }
        )
    return {name: torch.from_numpy(np.stack([row[name] for row in rows])) for name in rows[0]}


def without_hand(photograph: np.ndarray, joints_2d: np.ndarray) -> np.ndarray:
    """A photograph (S, S, 3) uint8 whose hand, with joints (21, 2) in pixels, is painted over by what is about it."""
    hand = (cut_out(photograph, joints_2d) > 64).astype(np.uint8)
    hand = cv2.dilate(hand, np.ones((_GROWN, _GROWN), np.uint8))
    if hand.all():
        return np.broadcast_to(photograph.mean(axis=(0, 1)).astype(np.uint8), photograph.shape).copy()
    painted: np.ndarray = cv2.inpaint(np.ascontiguousarray(photograph), hand, _PAINTED, cv2.INPAINT_TELEA)
    return painted


def _cut(mask: np.ndarray, to: np.ndarray, size: int) -> int:
    """How many pixels of a rendered hand (R, R), at its picture's rim, lie within a picture of `size` when it is laid there by (2, 3)."""
    rim = mask > 127
    rim[_RIM:-_RIM, _RIM:-_RIM] = False
    y, x = np.nonzero(rim)
    places = np.stack((x, y, np.ones_like(x))).T @ to.T
    return int((np.abs(places - (size - 1) / 2) < size / 2 - 1).all(axis=1).sum())


def _laid(image: Tensor, mask: Tensor, to: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A rendered hand, (S, S, 3) times its cover (S, S, 1) in [0, 1], laid by (2, 3): at twice the size, then averaged."""
    cover = mask.numpy().astype(np.float32) / 255
    layers = np.dstack((image.numpy().transpose(1, 2, 0) * cover[..., None], cover))
    twice = np.array([[2.0, 0, 0.5], [0, 2, 0.5], [0, 0, 1]]) @ np.vstack((to, [0, 0, 1]))  # pixel centres are integers
    large = cv2.warpAffine(layers, twice[:2], (2 * size, 2 * size), flags=cv2.INTER_LINEAR)
    small = cv2.resize(large, (size, size), interpolation=cv2.INTER_AREA)
    return small[..., :3], small[..., 3:]


def _over(hand: np.ndarray, cover: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """(3, S, S) uint8: a hand times its cover, before what is behind it."""
    mixed: np.ndarray = (hand + (1 - cover) * behind).round().clip(0, 255).astype(np.uint8).transpose(2, 0, 1)
    return mixed


def _labels(rendered: Mapping[str, Tensor], number: int, to: np.ndarray) -> dict[str, np.ndarray]:
    """Joints and camera of a rendered hand that a similarity (2, 3) lays in another picture.

    The turned picture is that of the hand turned about the optical axis, seen by another camera: with `K` = [[F, c], [0, 1]] and the map
    p -> A p + t, A F = F' Q, where Q is a turn and F' upper triangular. Exact, though a camera whose pixels are not square gets a little
    skew.
    """
    joints, places, K = (rendered[name][number].double().numpy() for name in ("joints", "joints_2d", "K"))
    both = to[:, :2] @ K[:2, :2]
    down = both[1] / np.linalg.norm(both[1])
    turn, camera = np.eye(3), np.eye(3)
    turn[:2, :2] = [[down[1], -down[0]], down]
    camera[:2, :2] = both @ turn[:2, :2].T
    camera[:2, 2] = to @ np.append(K[:2, 2], 1.0)
    values = {"joints": joints @ turn.T, "joints_2d": places @ to[:, :2].T + to[:, 2], "K": camera}
    return {name: value.astype(np.float32) for name, value in values.items()}
