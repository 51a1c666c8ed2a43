"""Predictions of joints: asking a predictor for them, saving them, and reading them again."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.files import write_whole
from phalanx.core.npz import read_npz

RUN = "phalanx"
"""Name of our own run in a file of predictions."""

DEFAULT = "phalanx, weights of the package"
"""`made_by` of runs of the default estimator, and of no others."""


@dataclass(frozen=True)
class JointPredictions:
    """Joints predicted for N pictures by one estimator.

    A missed hand is NaN in all numbers of all arrays; `check_hands` refuses a hand that is neither missed nor whole.

    Attributes:
        joints_2d: (N, 21, 2) pixels; NaN where the hand was missed.
        joints: (N, 21, 3) metres, any frame parallel to the camera's; NaN where the hand was missed.
        ms: (N,) milliseconds that each picture took.
        vertices: (N, V, 3) float32 metres, the surface in the frame of the joints; NaN where the hand was missed. None if the
            estimator makes no surfaces or the protocol does not score them.
        masks: (N, H, W) bool, where the hand is seen; all False where it was missed. Or None.
        made_by: `DEFAULT` for runs of the default estimator with the package's weights; empty for all others.
    """

    joints_2d: np.ndarray
    joints: np.ndarray
    ms: np.ndarray
    vertices: np.ndarray | None = None
    masks: np.ndarray | None = None
    made_by: str = ""

    @property
    def found(self) -> np.ndarray:
        """(N,) bool: pictures in which a hand was found."""
        return np.isfinite(self.joints_2d).all(axis=(1, 2)) & np.isfinite(self.joints).all(axis=(1, 2))


@dataclass(frozen=True)
class FoundJoints:
    """The answer for one picture: joints in pixels (21, 2) and in metres (21, 3), both None if no hand was found; milliseconds."""

    joints_2d: np.ndarray | None
    joints: np.ndarray | None
    ms: float


def ask(predictor: Callable[..., Any], image: np.ndarray, **options: Any) -> tuple[Any | None, FoundJoints]:
    """The best hand that a predictor finds in a picture, or None, and its joints with the time that the call took.

    Args:
        predictor: `predictor(image, **options)` returns a list of hands with `joints_2d` and `joints`, the best first.
        image: (H, W, 3) uint8 RGB.
        options: box, camera and side, as the protocol gives them.
    """
    started = time.perf_counter()
    hands = predictor(image, **options)
    ms = (time.perf_counter() - started) * 1e3
    if not hands:
        return None, FoundJoints(None, None, ms)
    return hands[0], FoundJoints(np.asarray(hands[0].joints_2d), np.asarray(hands[0].joints), ms)


def joint_run(
    answers: Sequence[FoundJoints],
    names: Sequence[str],
    where: str = "predictor",
    made_by: str = "",
    vertices: np.ndarray | None = None,
    masks: np.ndarray | None = None,
) -> JointPredictions:
    """The answers for N pictures as one run; the other arguments are those of `JointPredictions` and `check_hands`.

    Raises InputError as `check_hands`.
    """
    pixels = [np.full((21, 2), np.nan) if answer.joints_2d is None else answer.joints_2d for answer in answers]
    metres = [np.full((21, 3), np.nan) if answer.joints is None else answer.joints for answer in answers]
    ms = np.array([answer.ms for answer in answers])
    run = JointPredictions(np.array(pixels, float), np.array(metres, float), ms, vertices, masks, made_by)
    check_hands(run, names, where)
    return run


def check_hands(run: JointPredictions, names: Sequence[str], where: str) -> None:
    """Check that each hand is either missed (NaN in all its numbers) or whole (all its numbers are finite).

    Raises InputError that names the first hand which is neither; the sentence starts with `where`.
    """
    parts = {"joints": run.joints, "joints_2d": run.joints_2d}
    if run.vertices is not None:
        parts["vertices"] = run.vertices
    for field, values in parts.items():
        finite = np.isfinite(values).all((1, 2))
        missed = np.isnan(values).all((1, 2))
        if (broken := ~finite & ~missed).any():
            name = names[int(np.argmax(broken))]
            raise InputError(
                f"{where}: hand {name}: {field} has numbers that are not finite (a missed hand is NaN in all of them)"
            )
    one_sided = np.isnan(run.joints).all((1, 2)) != np.isnan(run.joints_2d).all((1, 2))
    if one_sided.any():
        index = int(np.argmax(one_sided))
        lacking, there = ("joints_2d", "joints") if np.isfinite(run.joints[index]).all() else ("joints", "joints_2d")
        raise InputError(
            f"{where}: hand {names[index]}: {lacking} are NaN but {there} are not (a missed hand is NaN in both)"
        )


def save_predictions(path: str | Path, image_paths: Sequence[str], runs: Mapping[str, JointPredictions]) -> None:
    """Write several runs over the same pictures into one NPZ, whole or not at all.

    Arrays: `image_path (N,)` and for each run `<run>/joints_2d`, `<run>/joints`, `<run>/ms`, and where it has them
    `<run>/vertices`, `<run>/masks` and `<run>/made_by`. Raises InputError if the file cannot be written.
    """
    arrays = {"image_path": np.array(image_paths)}
    for name, run in runs.items():
        arrays |= {f"{name}/joints_2d": run.joints_2d, f"{name}/joints": run.joints, f"{name}/ms": run.ms}
        if run.vertices is not None:
            arrays[f"{name}/vertices"] = run.vertices.astype(np.float32)
        if run.masks is not None:
            arrays[f"{name}/masks"] = run.masks
        if run.made_by:
            arrays[f"{name}/made_by"] = np.array(run.made_by)
    write_runs(path, arrays)


def write_runs(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays into one NPZ, whole or not at all. Raises InputError if the file cannot be written."""
    with write_whole(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # its stub takes all keys for flags


def load_predictions(path: str | Path, image_paths: Sequence[str]) -> dict[str, JointPredictions]:
    """Read what `save_predictions` wrote for these pictures; the runs keep the order in which they were saved.

    Raises InputError that names the file and the fault: missing, damaged, for other pictures, an array missing or of
    another shape, a hand that is neither missed nor whole.
    """
    path = Path(path)
    arrays, names = read_runs(path, image_paths)
    runs = {name: _run(arrays, name, len(image_paths), path) for name in names}
    for name, run in runs.items():
        check_hands(run, image_paths, f"{path}: {name}")
    return runs


def read_runs(path: Path, image_paths: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """All arrays of an NPZ of predictions for these pictures, and the names of the runs in it.

    Raises InputError naming the file: missing, damaged, for other pictures, without a run.
    """
    arrays = read_npz(path)
    if "image_path" not in arrays or arrays["image_path"].tolist() != list(image_paths):
        raise InputError(f"{path}: predictions are of other pictures than the {len(image_paths)} to be scored")
    names = list(dict.fromkeys(name.partition("/")[0] for name in arrays if "/" in name))
    if not names:
        raise InputError(f"{path}: holds no predictions")
    return arrays, names


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
    fields["made_by"] = made_by(arrays, name)
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


def made_by(arrays: Mapping[str, np.ndarray], name: str) -> str:
    """`made_by` of a saved run; empty if the file does not have it."""
    return str(arrays[f"{name}/made_by"]) if f"{name}/made_by" in arrays else ""


class DefaultPredictor:
    """`phalanx.predict.Predictor` with the weights of the package: its runs are marked with `DEFAULT`."""

    def __init__(self, device: str = "cpu") -> None:
        from phalanx.predict.predictor import Predictor

        self.predict = Predictor(None, device)

    def __call__(self, *args: Any, **options: Any) -> Any:
        """As `Predictor`."""
        return self.predict(*args, **options)


def maker(predictor: Callable[..., Any]) -> str:
    """`JointPredictions.made_by` of a predictor's runs."""
    return DEFAULT if isinstance(predictor, DefaultPredictor) else ""


def predictor_or_default(predictor: Callable[..., Any] | None) -> Callable[..., Any]:
    """`predictor`, or if it is None a `DefaultPredictor`, which loads its weights here."""
    return DefaultPredictor() if predictor is None else predictor
