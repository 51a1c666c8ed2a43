"""Pictures with depth beside them: joints are seen in colour, distance and size are measured in depth.

    hands of a picture (`Predictor`) -> what is seen of each surface -> readings there -> one factor -> HandPrediction

A hand that is moved away from the camera and made larger by the same factor looks the same in colour. So colour leaves one number open,
and depth settles it: the factor between the measured distance and the predicted one, over what is seen of the hand's surface. Joints in the
picture and angles stay as they are.

Readings that are none of the hand (what lies behind, where joints are seen a little off, or before it) give other factors. The one
believed is that with the most readings within `AGREE` of it, and then the median of these.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.data.camera_files import Calibration, as_calibration
from phalanx.data.depth_cameras import (
    UnitMissing,
    camera_matrix,
    check_camera,
    depth_frames,
    read_frame,
    read_intrinsics,
)
from phalanx.fit.chain import hand_length, numpy_chain_of
from phalanx.geometry.camera import Camera
from phalanx.hand.plain import PlainHand
from phalanx.hand.prediction import HandPrediction
from phalanx.predict.assemble import FOREARM
from phalanx.predict.inputs import HAND_LENGTHS
from phalanx.predict.straight import bent_pixels

AGREE = 0.025
"""Metres of depth: readings that agree on where the hand is lie within this of its surface. Poses are wrong by a finger's thickness."""

LEAST_READ = 0.15
"""Share of what is seen of a hand that must have readings."""

LEAST_AGREED = 0.5
"""Share of the readings that must agree."""

_CELLS = 40
"""Cells along the hand's longer side in which the nearest part of its surface is looked for."""

_BEHIND = 0.1
"""Hand lengths behind the nearest part of the surface in a cell, from which on a part is hidden."""

_NO_CAMERA = "1,1,0,0"
"""For reading frames whose camera does not matter."""

_KINDS = frozenset({"color", "colour", "rgb", "depth", "image", "aligned"})
"""Words in names that tell colour from depth, as in 0001_color.png and 0001_depth.png."""


@dataclass(frozen=True)
class PairedFolder:
    """Depth frames that are registered to pictures of the same names.

    Attributes:
        folder: where they are.
        by_name: paths by name, without suffix and without words such as `color` and `depth`.
        camera: as `data.depth_cameras.read_frame` takes it, of pictures and frames alike; none: not given.
        unit: metres that a value of 1 stands for; none: the camera's, or 1 of floating-point numbers.
        K: (3, 3) of `intrinsics.json` in the folder, if there is one.
    """

    folder: Path
    by_name: dict[str, list[Path]]
    camera: str | None = None
    unit: float | None = None
    K: np.ndarray | None = None

    def frame_of(self, picture: Path) -> Path:
        """The depth frame of a picture. Raises InputError if none has its name, or several that are equally near it in their folders."""
        found = self.by_name.get(_name(picture), [])
        if not found:
            raise InputError(f"{picture}: no depth frame in {self.folder} has its name")
        alike = [_alike(picture, path) for path in found]
        if alike.count(max(alike)) > 1:
            first, second = [path for path, same in zip(found, alike, strict=True) if same == max(alike)][:2]
            raise InputError(f"{picture}: two depth frames have its name, {first} and {second}")
        return found[alike.index(max(alike))]

    def read(self, picture: Path, width: int, height: int) -> np.ndarray:
        """Depth (H, W) in metres of a picture of that size; raises InputError if it cannot be read or has another size."""
        path = self.frame_of(picture)
        try:
            depth = read_frame(path, self.camera or _NO_CAMERA, self.unit)[0]
        except UnitMissing as error:
            raise InputError(
                f"{path}: holds whole numbers, and their unit is not given: --unit, --camera, or an intrinsics.json in {self.folder}"
            ) from error
        if depth.shape != (height, width):
            raise InputError(
                f"{path}: has {depth.shape[1]}x{depth.shape[0]} pixels and {picture.name} {width}x{height}; depth must be registered "
                "to the picture"
            )
        return depth

    def camera_of(self, width: int, height: int) -> Calibration | None:
        """The camera of pictures and frames of that size, if it is known."""
        if self.camera is not None:
            return as_calibration(camera_matrix(self.camera, width, height))
        return None if self.K is None else as_calibration(self.K)

    def unused(self, pictures: Iterable[Path]) -> list[Path]:
        """Frames that no picture has the name of."""
        names = {_name(picture) for picture in pictures}
        return [path for name, paths in self.by_name.items() if name not in names for path in paths]


def open_paired_folder(
    folder: str | os.PathLike[str], camera: str | None = None, unit: float | None = None
) -> PairedFolder:
    """The depth frames in a folder and below it.

    Args:
        folder: of frames as `data.depth_images` reads them; an `intrinsics.json` in it may give camera and unit.
        camera: a name in `DEPTH_CAMERAS` or `fx,fy,cx,cy`, of pictures and frames alike; overrides `intrinsics.json`.
        unit: metres that a value of 1 stands for.

    Raises:
        InputError: there is no such folder or no frame in it, or camera or unit are at fault.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root}: is no folder of depth frames")
    if camera is not None or unit is not None:
        check_camera(camera or _NO_CAMERA, unit)
    by_name: dict[str, list[Path]] = defaultdict(list)
    for path in depth_frames(root):
        by_name[_name(path)].append(path)
    if not by_name:
        raise InputError(f"{root}: holds no depth frames")
    known = read_intrinsics(root) if camera is None else None
    if known is not None:
        return PairedFolder(root, dict(by_name), None, known[2] if unit is None else unit, known[1])
    return PairedFolder(root, dict(by_name), camera, unit)


def place_hands(
    model: PlainHand, hands: Sequence[HandPrediction], depth: np.ndarray
) -> tuple[list[HandPrediction], list[str]]:
    """The hands of one picture at their measured distances.

    Args:
        model: the hand that was posed.
        hands: with surfaces.
        depth: (H, W) metres, 0 = no reading; registered to the picture.

    Returns:
        The hands; those that depth does not settle stay as they were. And a phrase about each of these that says why.

    Raises:
        InputError: depth settles none of them; the message is the first phrase.
    """
    placed, problems = [], []
    for hand in hands:
        try:
            placed.append(place_hand(model, hand, depth))
        except InputError as error:
            placed.append(hand)
            problems.append(str(error))
    if hands and len(problems) == len(hands):
        raise InputError(problems[0])
    return placed, problems


def place_hand(model: PlainHand, hand: HandPrediction, depth: np.ndarray) -> HandPrediction:
    """A hand at its measured distance and in its measured size, with `scale_source` "depth".

    Args:
        model: the hand that was posed.
        hand: with its surface, and the camera by which it lies on the picture.
        depth: (H, W) metres, 0 = no reading; registered to the picture.

    Raises:
        InputError: too much of the hand has no reading; readings do not agree on one distance, as when they are of another moment; or
            the hand would have a length that no hand has.
    """
    depth = as_array(depth, (hand.height, hand.width), "depth")
    if hand.vertices is None or hand.faces is None:
        raise InputError("hand: has no surface, and depth is measured there")
    length = length_of(model, hand)
    pixels, distances = _seen(model, hand, length)
    read = depth[pixels[:, 1], pixels[:, 0]]
    there = read > 0
    share = float(there.mean()) if len(read) else 0.0
    if share < LEAST_READ:
        raise InputError(
            f"depth has holes over the {hand.side} hand: {100 * share:.0f} % of what is seen of it has a reading"
        )
    factor, agreed = _agreed(read[there] / distances[there], AGREE / read[there])
    if agreed < LEAST_AGREED:
        raise InputError(
            f"depth and colour disagree on where the {hand.side} hand is: {100 * agreed:.0f} % of the readings lie on one; "
            + (
                "without a camera (--K) depth can hardly be compared"
                if hand.camera_source == "assumed"
                else "were both taken at the same moment, and is depth registered?"
            )
        )
    low, high = HAND_LENGTHS
    if not low <= factor * length <= high:
        raise InputError(
            f"depth would make the {hand.side} hand {factor * length:.2f} m long: it is of another moment, or camera or unit are wrong"
        )
    return replace(
        hand,
        joints=hand.joints * factor,
        vertices=hand.vertices * factor,
        scale=hand.scale * factor,
        scale_source="depth",
    )


def length_of(model: PlainHand, hand: HandPrediction) -> float:
    """Metres from the wrist to the tip of the stretched middle finger of a predicted hand."""
    lengths, _ = hand_length(numpy_chain_of(model), hand.shape[None])
    return float(lengths[0]) * hand.scale


def _seen(model: PlainHand, hand: HandPrediction, length: float) -> tuple[np.ndarray, np.ndarray]:
    """Where in the picture the middles of triangles are seen, (N, 2) pixels, and their depths (N,); without the forearm.

    A triangle is seen if it faces the camera and nothing of the hand lies before it in its cell of the picture.
    """
    assert hand.vertices is not None and hand.faces is not None
    faces = hand.faces[(model.parts[hand.faces] != FOREARM).all(1)]
    corners = hand.vertices[faces]
    middles = corners.mean(1)
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    middles = middles[((normals * middles).sum(-1) < 0) & (middles[:, 2] > 0)]
    camera = Camera(hand.K, hand.width, hand.height)
    pixels = bent_pixels(camera, hand.lens, middles)
    whole = np.round(pixels).astype(np.int64)
    inside = ((whole >= 0) & (whole < [hand.width, hand.height])).all(1)
    pixels, whole, distances = pixels[inside], whole[inside], middles[inside, 2]
    if not len(pixels):
        return whole, distances
    side = max(float(np.ptp(pixels, axis=0).max()), 1.0) / _CELLS
    cells = np.floor((pixels - pixels.min(0)) / side).astype(np.int64)
    number = cells[:, 1] * (_CELLS + 1) + cells[:, 0]
    nearest = np.full((_CELLS + 1) ** 2, np.inf)
    np.minimum.at(nearest, number, distances)
    seen = distances < nearest[number] + _BEHIND * length
    return whole[seen], distances[seen]


def _agreed(factors: np.ndarray, tolerance: np.ndarray) -> tuple[float, float]:
    """The median of the most factors (N,) that lie within their tolerances of one of them, and the share of these."""
    order = np.argsort(factors)
    factors = factors[order]
    width = factors * tolerance[order]
    counts = np.searchsorted(factors, factors + width, "right") - np.searchsorted(factors, factors - width, "left")
    best = int(counts.argmax())
    among = factors[np.abs(factors - factors[best]) <= width[best]]
    return float(np.median(among)), len(among) / len(factors)


def _name(path: Path) -> str:
    """Name of a file without suffix and without words that tell colour from depth."""
    words = path.stem.replace("-", "_").split("_")
    kept = [word for word in words if word.lower() not in _KINDS]
    return "_".join(kept or words)


def _alike(picture: Path, frame: Path) -> tuple[int, Any]:
    """How well a frame goes with a picture of its name: how many of their last folders are the same, but for those of a kind."""
    ours, theirs = (
        [part for part in reversed(path.parts[:-1]) if part.lower() not in _KINDS] for path in (picture, frame)
    )
    same = 0
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            break
        same += 1
    return same, picture.stem == frame.stem
