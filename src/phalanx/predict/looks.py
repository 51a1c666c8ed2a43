"""Looking at places of a picture with an estimator of crops: every place once for each kind of hand, all of them in one batch.

looks -> crops, flipped where a left hand is looked for -> estimator -> closer looks where it sees the hand elsewhere in the square
    -> at places where it stays unsure, turned looks -> the surest view of each place
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np

from phalanx.fit.evidence import Evidence
from phalanx.geometry.crops import SquareBox, box_around_points, square_crop, upright_angle
from phalanx.predict.inputs import MIN_BOX
from phalanx.predict.sides import sureness

CROP_FACTOR = 1.3  # side of the closer crop over the extent of the joints
CLOSER_PASSES = 1  # crops after the first
SAME_BOX = 0.15  # a closer crop that moves and grows by less than this share of its side,
SAME_ANGLE = 0.2  # and turns by less than this, in radians, is not worth another look
UNSURE = 0.042  # expected error of a joint in crops (geometric mean) from which it is worth looking again,
TURNS = (math.pi / 2, -math.pi / 2)  # from first crops turned by these, in radians
MOST_CROPS = 64  # looked at in one batch: more only need more memory


class _Size(Protocol):
    size: int


class CropEstimator(Protocol):
    """What looks at square crops of right hands, `config.size` pixels wide (`predict.runtime`; networks: `predict.networks`)."""

    @property
    def config(self) -> _Size: ...

    def evidence(self, batch: np.ndarray) -> Evidence[np.ndarray]:
        """`joints_2d`, `sigma_2d` and `orientation`, and what else it knows, of crops (B, 3, S, S) float32 in [0, 1]."""


@dataclass(frozen=True)
class Look:
    """One look at one place.

    Attributes:
        place: its number; the looks at one place are at one hand.
        square: what is looked at, pixels.
        flip: a left hand is looked for.
        log_probability: of that kind of hand, before looking.
    """

    place: int
    square: SquareBox
    flip: bool
    log_probability: float = 0.0


@dataclass(frozen=True, eq=False)
class View:
    """What an estimator says of one look: evidence of a batch of one."""

    look: Look
    evidence: Evidence[np.ndarray]

    @property
    def sigma(self) -> np.ndarray:
        """Expected errors of the joints (21,), crop units."""
        return _there(self.evidence.sigma_2d)[0].astype(np.float64)

    @property
    def expected_error(self) -> float:
        """How far off the estimator expects a joint to be in 2D: geometric mean, crop units."""
        return float(np.exp(np.log(self.sigma).mean()))

    @property
    def sureness(self) -> float:
        """The larger, the surer; comparable among views of one place."""
        right = self.evidence.right
        return sureness(self.look.log_probability, self.expected_error, None if right is None else float(right[0]))

    @property
    def joints(self) -> np.ndarray:
        """2D joints (21, 2) in pixels of the picture."""
        joints = _there(self.evidence.joints_2d)[0].astype(np.float64)  # 0..1 across the crop
        if self.look.flip:
            joints = joints * [-1, 1] + [1, 0]
        to_picture = self.look.square.crop_to_image(1)  # whose one pixel spans -1/2 to 1/2
        return (joints - 0.5) @ to_picture[:2, :2].T + to_picture[:2, 2]


See = Callable[[Sequence[Look]], list[View]]
"""A view of each look."""


def surest_views(see: See, looks: Sequence[Look], width: int, height: int) -> list[View]:
    """The surest view of each place, in the order of places: closer where needed, and turned where unsure.

    Args:
        see: gives the views of looks at a picture.
        looks: at least one at each place.
        width, height: of the picture.
    """
    views = see_closer(see, looks, width, height)
    best = surest_of_each(views)
    unsure = {view.look.place for view in best if view.expected_error > UNSURE}
    if unsure:
        open_looks = [look for look in looks if look.place in unsure]
        turned = [_turned(look, turn) for turn in TURNS for look in open_looks]
        best = surest_of_each(views + see_closer(see, turned, width, height))
    return best


def see_closer(see: See, looks: Sequence[Look], width: int, height: int) -> list[View]:
    """Views of looks, looked at again where the joints ask for another square."""
    views = see(looks)
    for _ in range(CLOSER_PASSES):
        squares = [box_around_joints(view.joints, width, height) for view in views]
        moved = [index for index, view in enumerate(views) if not _nearly_same(view.look.square, squares[index])]
        if not moved:
            break
        closer = see([replace(views[index].look, square=squares[index]) for index in moved])
        for index, view in zip(moved, closer, strict=True):
            views[index] = view
    return views


def surest_of_each(views: Sequence[View]) -> list[View]:
    """The surest view of each place, in the order of places."""
    best: dict[int, View] = {}
    for view in views:
        known = best.get(view.look.place)
        if known is None or view.sureness > known.sureness:
            best[view.look.place] = view
    return [best[place] for place in sorted(best)]


def see_all(estimator: CropEstimator, image: np.ndarray, looks: Sequence[Look]) -> list[View]:
    """The views of all looks at an image (H, W, 3), uint8 or float32 in [0, 1]: one call of the estimator for each `MOST_CROPS`."""
    views: list[View] = []
    for start in range(0, len(looks), MOST_CROPS):
        views += _see_batch(estimator, image, looks[start : start + MOST_CROPS])
    return views


def _see_batch(estimator: CropEstimator, image: np.ndarray, looks: Sequence[Look]) -> list[View]:
    size = estimator.config.size
    unit = np.float32(255 if image.dtype == np.uint8 else 1)
    batch = np.empty((len(looks), 3, size, size), np.float32)
    for row, look in zip(batch, looks, strict=True):
        crop = square_crop(image, look.square, size)[0]  # (S, S, 3)
        np.divide((crop[:, ::-1] if look.flip else crop).transpose(2, 0, 1), unit, out=row)
    evidence = estimator.evidence(batch)
    return [View(look, evidence.map(lambda values: values[row : row + 1])) for row, look in enumerate(looks)]  # noqa: B023


def joined(views: Sequence[View]) -> Evidence[np.ndarray]:
    """The evidence of all views as one batch."""
    columns = {field.name: [getattr(view.evidence, field.name) for view in views] for field in fields(Evidence)}
    return Evidence(**{name: None if values[0] is None else np.concatenate(values) for name, values in columns.items()})


def box_around_joints(joints: np.ndarray, width: int, height: int) -> SquareBox:
    """The square to look at next, around joints (21, 2) in pixels, in which the hand points up.

    Joints beyond the picture count as on its edge.
    """
    inside = np.clip(joints, 0, [width - 1, height - 1])
    box = box_around_points(inside, CROP_FACTOR, upright_angle(joints))
    return replace(box, side=max(box.side, 2 * MIN_BOX))  # so that `as_box` takes it back


def _turned(look: Look, turn: float) -> Look:
    return replace(look, square=replace(look.square, angle=look.square.angle + turn))


def _nearly_same(a: SquareBox, b: SquareBox) -> bool:
    shift = max(abs(a.centre_x - b.centre_x), abs(a.centre_y - b.centre_y))
    turn = math.remainder(a.angle - b.angle, math.tau)
    return shift < SAME_BOX * b.side and abs(a.side / b.side - 1) < SAME_BOX and abs(turn) < SAME_ANGLE


def _there(values: np.ndarray | None) -> np.ndarray:
    """What the evidence of a `CropEstimator` must hold. Raises ValueError where it does not."""
    if values is None:
        raise ValueError("evidence: a predictor of pictures needs joints_2d with sigma_2d")
    return values
