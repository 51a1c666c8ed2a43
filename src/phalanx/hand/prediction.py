"""`HandPrediction`: what users get for one hand in one picture."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np

from phalanx.core.checks import as_array, as_intrinsics
from phalanx.core.errors import InputError
from phalanx.core.files import reason, write_json, write_whole
from phalanx.geometry.distortion import Lens, LensModel
from phalanx.hand.export import save_mesh

SCHEMA = "phalanx.hand/2"
"""Of what `to_json` writes; of the first version, whose `camera_source` was called `camera`, files are read too."""
FIRST_SCHEMA = "phalanx.hand/1"

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = ("left", "right")
CAMERA_SOURCES = ("given", "exif", "assumed")
SCALE_SOURCES = ("depth", "given", "prior")
SIDE_SOURCES = ("given", "guessed")
NO_GESTURE = "none"
"""What a hand's gesture is called that is none of those known, or not surely one."""


@dataclass(frozen=True, eq=False)
class HandPrediction:
    """One hand in one picture. Arrays are NumPy; V and F are the mesh's vertices and faces.

    All positions hold for the picture as it was given: `joints`, seen by `K` through the `lens`, lie on `joints_2d`. Joints
    come in the order of `phalanx.hand.skeleton.JOINT_NAMES`.

    `rotations`, `orientation` and `shape` are those of the hand model, which is a right hand. If the picture shows a
    right hand, `vertices = scale * HandModel(pose)`, with the wrist of the pose at `joints[0] / scale`. If it shows a
    left hand, they pose the right hand that the mirrored picture shows, and x of what the model gives is negated.

    Attributes:
        side: which of the person's hands it is.
        mirrored: the picture is a mirror image, so that it shows the other kind of hand than `side`; negate x of
            `joints` and `vertices` for the real hand.
        score: 0 to 1, how sharp the evidence in the picture is. Not a probability.
        box: (4,) x, y, width, height in pixels of the square that the hand was predicted from, before it was turned about
            its centre to have the hand point up; may reach beyond the picture.
        width, height: of the picture, in pixels.
        joints_2d: (21, 2) pixels; (0, 0) is the centre of the top-left pixel.
        joints: (21, 3) metres, camera frame (x right, y down, z forward).
        uncertainty: (21,) expected error of each joint in the picture, in pixels.
        rotations: (16, 3, 3) local rotations of forearm and finger joints from the rest pose, as `HandPose.rotations`.
        orientation: (3, 3) from the hand frame to the camera frame.
        angles_degrees: the 23 anatomical angles by name (`phalanx.hand.anatomy.ANGLE_NAMES`).
        shape: (10,) shape components of the model in standard deviations.
        scale: factor on the model's size, 1 unless the size was given or measured.
        K: (3, 3) camera matrix of the picture.
        camera_source: where K comes from: "given", "exif" (focal length in the picture's file), or "assumed" (a usual field of view,
            or the widest before which the hand fits; distances are then guesses).
        scale_source: where the metric size comes from: "depth" measured, hand length "given", or the model's "prior".
        side_source: whether `side` was "given" or "guessed" from the picture.
        vertices: (V, 3) metres, camera frame; or None. Before a given camera, the forearm's may lie behind it.
        faces: (F, 3) vertex indices, counter-clockwise seen from outside; or None.
        spheres: (41, 3) metres, camera frame: what a hand in a depth frame was fitted to (`phalanx.hand.spheres`); or None.
        fit_error_mm: mean difference of the spheres' depth and what was read, where both are; or None.
        distortion_model: how the camera's lens distorts, as `geometry.distortion.Lens` has it; or None: it does not.
        distortion: (C,) coefficients of the lens; or None.
        detection: 0 to 1, how surely this is a hand, by detector and estimator together (`predict.merge.belief`; in videos by what the
            detector said when it last looked); or None where nothing was detected, because the place was given.
        id: a whole number that stays with this hand from frame to frame of a video (`phalanx.Tracker`); or None.
        time: seconds of this frame in its video; or None.
        gesture: what the hand's pose is called by a classifier (`predict.gestures`), "none" where it is not sure; or None: nobody asked.
        gesture_probability: 0 to 1, of the likeliest gesture, whether it was sure enough to be named or not; or None.
    """

    side: Side
    score: float
    box: np.ndarray
    width: int
    height: int
    joints_2d: np.ndarray
    joints: np.ndarray
    uncertainty: np.ndarray
    rotations: np.ndarray
    orientation: np.ndarray
    angles_degrees: dict[str, float]
    shape: np.ndarray
    K: np.ndarray
    camera_source: Literal["given", "exif", "assumed"] = "assumed"
    scale_source: Literal["depth", "given", "prior"] = "prior"
    side_source: Literal["given", "guessed"] = "given"
    scale: float = 1.0
    mirrored: bool = False
    vertices: np.ndarray | None = None
    faces: np.ndarray | None = None
    spheres: np.ndarray | None = None
    fit_error_mm: float | None = None
    distortion_model: LensModel | None = None
    distortion: np.ndarray | None = None
    detection: float | None = None
    id: int | None = None
    time: float | None = None
    gesture: str | None = None
    gesture_probability: float | None = None

    def __post_init__(self) -> None:
        _check_choice(self.side, SIDES, "side")
        _check_choice(self.camera_source, CAMERA_SOURCES, "camera_source")
        _check_choice(self.scale_source, SCALE_SOURCES, "scale_source")
        _check_choice(self.side_source, SIDE_SOURCES, "side_source")
        _check_choice(self.mirrored, (True, False), "mirrored")
        object.__setattr__(self, "mirrored", bool(self.mirrored))
        for name in ("score", "scale"):
            object.__setattr__(self, name, float(as_array(getattr(self, name), (), name)))
        if not 0 <= self.score <= 1 or self.scale <= 0:
            raise InputError(f"score, scale: must lie in [0, 1] and above 0, not {self.score:g}, {self.scale:g}")
        if self.fit_error_mm is not None:
            object.__setattr__(self, "fit_error_mm", float(as_array(self.fit_error_mm, (), "fit_error_mm")))
            if self.fit_error_mm < 0:
                raise InputError(f"fit_error_mm: must not be negative, got {self.fit_error_mm:g}")
        if self.detection is not None:
            object.__setattr__(self, "detection", float(as_array(self.detection, (), "detection")))
            if not 0 <= self.detection <= 1:
                raise InputError(f"detection: must lie in [0, 1], not {self.detection:g}")
        if self.id is not None:
            if not isinstance(self.id, int | np.integer) or isinstance(self.id, bool) or self.id < 0:
                raise InputError(f"id: must be a whole number from 0 on, not {self.id!r}")
            object.__setattr__(self, "id", int(self.id))
        if self.time is not None:
            object.__setattr__(self, "time", float(as_array(self.time, (), "time")))
        if (self.gesture is None) != (self.gesture_probability is None):
            raise InputError("gesture and gesture_probability: must both be there or both be None")
        if self.gesture_probability is not None:
            sure = float(as_array(self.gesture_probability, (), "gesture_probability"))
            if not isinstance(self.gesture, str) or not 0 <= sure <= 1:
                raise InputError(
                    f"gesture: must be a name with a probability in [0, 1], not {self.gesture!r}, {sure:g}"
                )
            object.__setattr__(self, "gesture_probability", sure)
        for name in ("width", "height"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise InputError(f"{name}: must be a whole number of pixels, not {value!r}")
            object.__setattr__(self, name, int(value))
        for name, (shape, _) in _ARRAYS.items():
            value = getattr(self, name)
            if value is None and name in _OPTIONAL:
                continue
            object.__setattr__(self, name, as_array(value, shape, name))
        object.__setattr__(self, "K", as_intrinsics(self.K))
        if (self.distortion_model is None) != (self.distortion is None):
            raise InputError("distortion and distortion_model: must both be there or both be None")
        _ = self.lens  # raises if they do not agree
        if (self.vertices is None) != (self.faces is None):
            raise InputError("vertices and faces: must both be there or both be None")
        if self.faces is not None and self.vertices is not None:
            faces = self.faces.astype(np.int64)
            if (faces != self.faces).any() or faces.min(initial=0) < 0 or faces.max(initial=-1) >= len(self.vertices):
                raise InputError(f"faces: must be indices into the {len(self.vertices)} vertices")
            object.__setattr__(self, "faces", faces)
        if not isinstance(self.angles_degrees, Mapping):
            raise InputError(f"angles_degrees: must be angles by name, not a {type(self.angles_degrees).__name__}")
        angles = as_array(list(self.angles_degrees.values()), (None,), "angles_degrees").tolist()
        object.__setattr__(self, "angles_degrees", dict(zip(self.angles_degrees, angles, strict=True)))

    @property
    def lens(self) -> Lens | None:
        """The lens of the camera, if it distorts."""
        if self.distortion_model is None or self.distortion is None:
            return None
        return Lens(self.distortion_model, self.distortion)

    @property
    def joints_relative(self) -> np.ndarray:
        """Joints relative to the wrist: (21, 3) metres, axes of the camera."""
        return self.joints - self.joints[:1]

    def to_json(self, mesh: bool = True) -> dict[str, Any]:
        """The prediction as what `json.dump` takes, by the schema of `docs/prediction_schema.md`; `mesh` or not.

        Lengths are rounded to micrometres, pixels to thousandths, rotations and shape to millionths, angles to
        thousandths of a degree.
        """
        result: dict[str, Any] = {"schema": SCHEMA}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None or (field.name in ("vertices", "faces") and not mesh):
                continue
            if field.name == "angles_degrees":
                value = {name: round(angle, 3) + 0.0 for name, angle in value.items()}
            elif field.name in _ARRAYS:
                decimals = _ARRAYS[field.name][1]
                value = (value.round(decimals) + 0.0 if decimals else value).tolist()  # + 0.0: no -0.0
            elif isinstance(value, float):
                value = round(value, 6) + 0.0
            result[field.name] = value
        return result

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> HandPrediction:
        """The prediction that `to_json` wrote.

        Raises:
            InputError: another schema, a key that is missing or unknown, or a value that cannot be.
        """
        if isinstance(data, Mapping) and data.get("schema") == FIRST_SCHEMA:
            data = {("camera_source" if name == "camera" else name): value for name, value in data.items()}
            data["schema"] = SCHEMA
        if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
            found = data.get("schema") if isinstance(data, Mapping) else type(data).__name__
            raise InputError(f"prediction: schema must be {SCHEMA!r}, not {found!r}")
        known = {field.name for field in fields(HandPrediction)}
        values = {name: value for name, value in data.items() if name != "schema"}
        if unknown := sorted(values.keys() - known):
            raise InputError(f"prediction: unknown key {unknown[0]!r}")
        if missing := sorted(known - values.keys() - _OPTIONAL):
            raise InputError(f"prediction: key {missing[0]!r} is missing")
        return HandPrediction(**values)

    def save_json(self, path: str | os.PathLike[str], mesh: bool = True) -> None:
        """Write `to_json` to a file, whole or not at all."""
        write_json(path, self.to_json(mesh))

    @staticmethod
    def load_json(path: str | os.PathLike[str]) -> HandPrediction:
        """Read a file that `save_json` wrote. Raises InputError, naming the file, for anything else."""
        try:
            return HandPrediction.from_json(read_json(path))
        except InputError as error:
            if str(error).startswith(f"{path}: "):
                raise
            raise InputError(f"{path}: {error}") from error

    def save_npz(self, path: str | os.PathLike[str]) -> None:
        """Write all fields, arrays at full precision, to an NPZ file, whole or not at all.

        The keys are the field names; `angles_degrees` becomes `angle_names` (23,) and `angles_degrees` (23,).
        """
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        values["angle_names"] = np.array(list(self.angles_degrees))
        values["angles_degrees"] = np.array(list(self.angles_degrees.values()))
        values = {name: value for name, value in values.items() if value is not None}
        with write_whole(path) as part, part.open("wb") as file:
            np.savez_compressed(file, schema=SCHEMA, **values)

    @staticmethod
    def load_npz(path: str | os.PathLike[str]) -> HandPrediction:
        """Read a file that `save_npz` wrote. Raises InputError, naming the file, for anything else."""
        try:
            with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                values: dict[str, Any] = {name: arrays[name] for name in arrays.files}
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {reason(error)}") from error
        except Exception as error:  # damaged files make NumPy raise anything, from BadZipFile to TokenError
            raise InputError(f"{path}: is not a whole NPZ file of a prediction") from error
        values = {name: value.item() if value.ndim == 0 else value for name, value in values.items()}
        names, angles = values.pop("angle_names", None), values.get("angles_degrees")
        if names is None or angles is None or np.shape(names) != np.shape(angles) or np.ndim(names) != 1:
            raise InputError(f"{path}: is not a prediction: angle_names and angles_degrees are missing or do not agree")
        values["angles_degrees"] = dict(zip(names.tolist(), angles.tolist(), strict=True))
        try:
            return HandPrediction.from_json(values)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    def save_mesh(self, path: str | os.PathLike[str]) -> None:
        """Write the surface as OBJ, PLY, STL or GLB, by suffix; axes as `phalanx.hand.export.save_mesh` says.

        Raises:
            InputError: there is no surface, another suffix, or the file cannot be written.
        """
        if self.vertices is None or self.faces is None:
            raise InputError(f"{path}: this prediction has no surface to save")
        save_mesh(path, [(self.vertices, self.faces)], hand_names([self]))


# Arrays by field: shape, and decimals in JSON (0: integers).
_ARRAYS: dict[str, tuple[tuple[int | None, ...], int]] = {
    "box": ((4,), 3),
    "joints_2d": ((21, 2), 3),
    "joints": ((21, 3), 6),
    "uncertainty": ((21,), 3),
    "rotations": ((16, 3, 3), 6),
    "orientation": ((3, 3), 6),
    "shape": ((10,), 6),
    "K": ((3, 3), 6),
    "vertices": ((None, 3), 6),
    "faces": ((None, 3), 0),
    "spheres": ((41, 3), 6),
    "distortion": ((None,), 9),
}
_OPTIONAL = {"vertices", "faces", "spheres", "fit_error_mm", "distortion_model", "distortion", "detection"}
_OPTIONAL |= {"id", "time", "gesture", "gesture_probability"}


def hand_names(hands: Sequence[HandPrediction]) -> list[str]:
    """A name for each hand of a picture: right_1, left_1, right_2, ..., counted in the order in which they come."""
    count = dict.fromkeys(SIDES, 0)
    names = []
    for hand in hands:
        count[hand.side] += 1
        names.append(f"{hand.side}_{count[hand.side]}")
    return names


def read_json(path: str | os.PathLike[str]) -> Any:
    """Read a JSON file. Raises InputError, naming the file, if it is missing or no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except ValueError as error:  # also UnicodeDecodeError
        raise InputError(f"{path}: is not a JSON file") from error


def _check_choice(value: Any, choices: Sequence[Any], name: str) -> None:
    if value not in choices:
        raise InputError(f"{name}: must be {' or '.join(map(repr, choices))}, not {value!r}")
