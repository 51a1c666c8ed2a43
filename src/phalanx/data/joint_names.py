"""What labels mean: names of joints as annotation tools and data sets have them, and which order points without names are in.

Points of a hand are told apart by name ("thumb_tip", "INDEX_FINGER_MCP", "forefinger1", "pinky finger 4"), or by their place in one of the
orders of `hand.skeleton.ORDERS`. An order that is not the stated one shows in the lengths of bones (`likeliest_order`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from phalanx.core.errors import InputError
from phalanx.hand.model import HandModel
from phalanx.hand.prediction import Side
from phalanx.hand.skeleton import BONES, FINGER_NAMES, FINGERS, JOINT_NAMES, ORDERS, WITHOUT_WRIST

_FINGER_WORDS = {
    **{name: number for number, name in enumerate(FINGER_NAMES)},
    **dict.fromkeys(("fore", "pointer"), 1),
    **dict.fromkeys(("pinky", "pinkie", "small"), 4),
}
_SIDE_WORDS: dict[str, Side] = {"left": "left", "l": "left", "right": "right", "r": "right"}
_IDLE_WORDS = frozenset({"hand", "finger", "joint", "kp", "keypoint"})
_PALM_WORDS = frozenset({"palm", "center", "centre"})
_WORD = re.compile(r"[a-z]+|\d+")
_WHOLE = 18  # joints that a hand must have for its bones to count
_FEW = 5  # hands of fewer than these are foreshortened in ways that do not average out
_CLEARLY = 0.75  # share of the assumed order's misfit, below which another order is likelier
SURELY = 0.6
"""The same where hands are few, or where somebody says which order it is."""


def joint_of(name: str) -> tuple[int, Side | None]:
    """Number of a joint, and the side that its name states, or None; -1 for the palm's centre, which is no joint here.

    Fingers' joints have their names (`JOINT_NAMES`) or numbers 1 to 4 from base to tip. Raises InputError for other names.
    """
    words = [word for word in _WORD.findall(name.lower().replace("finger", " ")) if word not in _IDLE_WORDS]
    sides = {_SIDE_WORDS[word] for word in words if word in _SIDE_WORDS}
    rest = [word for word in words if word not in _SIDE_WORDS]
    side = sides.pop() if len(sides) == 1 else None
    if rest == ["wrist"]:
        return 0, side
    if rest and set(rest) <= _PALM_WORDS:
        return -1, side
    if len(rest) == 2 and rest[0] in _FINGER_WORDS:
        finger = _FINGER_WORDS[rest[0]]
        own = {JOINT_NAMES[joint].split("_")[1]: joint for joint in FINGERS[finger]}
        own |= {str(number): joint for number, joint in enumerate(FINGERS[finger], 1)}
        if rest[1] in own:
            return own[rest[1]], side
    raise InputError(
        f"{name[:40]!r} is no joint's name, such as wrist, thumb_cmc, index_mcp, ring_tip, or index1 to index4 from base to tip"
    )


def side_in(text: object) -> Side | None:
    """The side that a text names, such as "Left hand"; None where it names none, or both."""
    words = re.findall(r"[a-z]+", text.lower().replace("hand", " ")) if isinstance(text, str) else []
    sides = {_SIDE_WORDS[word] for word in words if word in _SIDE_WORDS}
    return sides.pop() if len(sides) == 1 else None


def check_order(order: str | None) -> None:
    """Raise InputError unless `order` is None or the name of a joint order."""
    if order is not None and order not in ORDERS:
        raise InputError(f"order: {order!r} is none of {', '.join(ORDERS)}")


def reordered(values: np.ndarray, order: str) -> np.ndarray:
    """Joints (..., 21, D) of a named order in ours; the wrist is NaN in orders that have the palm's centre in its place."""
    ours = np.asarray(values, dtype=np.float64)[..., list(ORDERS[order]), :].copy()
    if order in WITHOUT_WRIST:
        ours[..., 0, :] = np.nan
    return ours


def likeliest_order(points: np.ndarray, stated: str = "phalanx", clearly: float = _CLEARLY) -> str:
    """The order that hands in pictures (N, 21, 2) are in, NaN where a joint is not known; `stated` unless another is clearly likelier.

    That is one whose misfit is less than the share `clearly` of the stated one's; of a few hands, less than `SURELY`. In the right order
    the median lengths of bones have nearly the ratios of a hand's, in others they do not. A single hand says least.
    """
    whole = points[np.isfinite(points).all(-1).sum(-1) >= _WHOLE]
    if not len(whole):
        return stated
    misfits = {order: _misfit(reordered(whole, order)) for order in ORDERS}
    best = min(misfits, key=lambda order: misfits[order])
    clearly = clearly if len(whole) >= _FEW else min(clearly, SURELY)
    return best if misfits[best] < clearly * misfits[stated] else stated


def _misfit(points: np.ndarray) -> float:
    """How far the median lengths of bones in pictures (N, 21, 2) are from the open hand's in ratio: mean absolute logarithm."""
    rest = HandModel.open_hand().rest_joints.double().numpy()
    bones = np.array(BONES)
    seen = np.linalg.norm(points[:, bones[:, 1]] - points[:, bones[:, 0]], axis=-1)
    known = np.isfinite(seen).any(0)
    true = np.linalg.norm(rest[bones[:, 1]] - rest[bones[:, 0]], axis=-1)[known]
    ratios = np.log(np.maximum(np.nanmedian(seen[:, known], axis=0), 1e-6) / true)
    return float(np.abs(ratios - np.median(ratios)).mean())


def numbered_places(names: Sequence[str]) -> list[int] | None:
    """Places from 0 of points named by numbers, 0 to 20 or 1 to 21; None if one of the names is no such number."""
    if not names or not all(name.isdecimal() for name in names):
        return None
    numbers = [int(name) for name in names]
    first = 0 if 0 in numbers else 1
    return [number - first for number in numbers] if max(numbers) - first < 21 else None
