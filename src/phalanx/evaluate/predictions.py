"""Saved predictions: what a protocol's first step writes and its second step reads."""

import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.files import write_whole


@dataclass(frozen=True)
class JointPredictions:
    """Joints predicted for N pictures by one estimator.

    Attributes:
        joints_2d: (N, 21, 2) pixels; NaN where the hand was missed.
        joints: (N, 21, 3) metres, any frame parallel to the camera's; NaN where the hand was missed.
        ms: (N,) milliseconds that each picture took.
        vertices: (N, V, 3) float32 metres, the surface in the frame of the joints; NaN where the hand was missed. None where
            there are none, or nobody scores them.
        masks: (N, H, W) bool, where the hand is seen; all False where it was missed. Or None.
    """

    joints_2d: np.ndarray
    joints: np.ndarray
    ms: np.ndarray
    vertices: np.ndarray | None = None
    masks: np.ndarray | None = None

    @property
    def found(self) -> np.ndarray:
        """(N,) bool: pictures in which a hand was found."""
        return np.isfinite(self.joints_2d).all(axis=(1, 2)) & np.isfinite(self.joints).all(axis=(1, 2))


def save_predictions(path: str | Path, image_paths: Sequence[str], runs: Mapping[str, JointPredictions]) -> None:
    """Write several runs over the same pictures into one NPZ, whole or not at all.

    Arrays: `image_path (N,)` and for each run `<run>/joints_2d`, `<run>/joints`, `<run>/ms`, and where it has them
    `<run>/vertices` and `<run>/masks`. Raises InputError if the file cannot be written.
    """
    arrays = {"image_path": np.array(image_paths)}
    for name, run in runs.items():
        arrays |= {f"{name}/joints_2d": run.joints_2d, f"{name}/joints": run.joints, f"{name}/ms": run.ms}
        if run.vertices is not None:
            arrays[f"{name}/vertices"] = run.vertices.astype(np.float32)
        if run.masks is not None:
            arrays[f"{name}/masks"] = run.masks
    with write_whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stub takes all keys for flags


def load_predictions(path: str | Path, image_paths: Sequence[str]) -> dict[str, JointPredictions]:
    """Read what `save_predictions` wrote for these pictures; runs in the order in which they were saved.

    Raises InputError naming the file and the fault: missing, damaged, for other pictures, an array missing or of
    another shape.
    """
    path = Path(path)
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            arrays = {name: file[name] for name in file.files}
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError, TypeError) as error:
        raise InputError(f"{path}: is damaged or not an NPZ of predictions ({type(error).__name__})") from error
    if "image_path" not in arrays or arrays["image_path"].tolist() != list(image_paths):
        raise InputError(f"{path}: predictions are of other pictures than the {len(image_paths)} to be scored")
    names = list(dict.fromkeys(name.partition("/")[0] for name in arrays if "/" in name))
    if not names:
        raise InputError(f"{path}: holds no predictions")
    return {name: _run(arrays, name, len(image_paths), path) for name in names}


def _run(arrays: Mapping[str, np.ndarray], name: str, count: int, path: Path) -> JointPredictions:
    fields: dict[str, Any] = {}
    for field, shape in (("joints_2d", (count, 21, 2)), ("joints", (count, 21, 3)), ("ms", (count,))):
        array = arrays.get(f"{name}/{field}")
        if array is None or array.shape != shape or array.dtype.kind != "f":
            found = "missing" if array is None else f"{array.dtype} {array.shape}"
            raise InputError(f"{path}: {name}/{field}: floats of shape {shape} expected, is {found}")
        fields[field] = array.astype(np.float64)
    as_array(fields["ms"], (count,), f"{path}: {name}/ms")
    fields["vertices"] = _optional(arrays, f"{name}/vertices", "floats", (count, "any", 3), path)
    fields["masks"] = _optional(arrays, f"{name}/masks", "booleans", (count, "any", "any"), path)
    return JointPredictions(**fields)


def _optional(
    arrays: Mapping[str, np.ndarray], key: str, of: str, shape: tuple[int | str, ...], path: Path
) -> np.ndarray | None:
    """The array of that name, in the form in which it was saved, or None. Raises InputError for another type or shape."""
    array = arrays.get(key)
    if array is None:
        return None
    same = array.ndim == len(shape) and all(
        wanted in ("any", found) for wanted, found in zip(shape, array.shape, strict=True)
    )
    if array.dtype.kind != of[0] or not same:
        text = ", ".join(map(str, shape))
        raise InputError(f"{path}: {key}: {of} of shape ({text}) expected, is {array.dtype} {array.shape}")
    return array


def predictor_or_default(predictor: Callable[..., Any] | None) -> Callable[..., Any]:
    """`predictor`, or `phalanx.predict.Predictor()` where there is none, whose weights are loaded only then."""
    if predictor is not None:
        return predictor
    from phalanx.predict.predictor import Predictor

    return Predictor()
