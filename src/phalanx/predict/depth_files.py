"""Predicting depth frames in files: JSON, overlays and meshes out."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_json
from phalanx.data.depth_cameras import UnitMissing, check_camera, depth_frames, lacking_units, read_frame
from phalanx.data.images import OVERLAY, check_local, real_path
from phalanx.hand.export import save_mesh
from phalanx.hand.prediction import HandPrediction, Side
from phalanx.predict.depth import DepthPredictor, SearchedFrame
from phalanx.predict.depth_search import spread
from phalanx.predict.depth_votes import VOTERS, KeptFrames, side_of
from phalanx.predict.outputs import PICTURE_SCHEMA, Summary, beside, describe, heading, output_stems, write_png


def predict_depth_files(
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    predictor: DepthPredictor,
    camera: str,
    unit: float | None = None,
    side: Side | Literal["auto"] = "auto",
    box: Sequence[float] | None = None,
    say: Callable[[str], None] = print,
    complain: Callable[[str], object] = print,
) -> Summary:
    """Predict depth frames (`data.depth_images`), and folders of them, and write what is found into the folder `out`.

    The frames of a folder show one side: where it is not given, they vote. For a frame `name.png`: `name.json` (schema
    `phalanx.picture/1`, with `spheres` and `fit_error_mm`), `name_overlay.png` and `name.glb`.
    A frame at fault is complained about and passed over; the others are done.

    Args:
        paths, out, say, complain: as `predict_files` takes them.
        predictor: with weights of `methods.sphere_fitting`.
        camera, unit: as `data.depth_cameras.read_frame` takes them.
        side, box: as `DepthPredictor` takes them, for every frame.

    Raises:
        InputError: before any work: there are no paths, camera, unit or box are at fault, or `out` cannot be written.
    """
    given_paths = list(paths)
    if not given_paths:
        raise InputError("paths: name a depth frame, or a folder of them")
    check_camera(camera, unit)  # complaints that go for all frames come before the work
    if box is not None:
        as_array(box, (4,), "box")
    folder = writable_folder(out)
    summary = Summary()

    def skip(path: str | os.PathLike[str], error: InputError, aloud: bool = True) -> None:
        problem = str(error) if os.fspath(path) in str(error) else f"{path}: {error}"
        summary.skipped.append({"input": os.fspath(path), "problem": problem})
        if aloud:
            complain(problem)

    found: dict[str, Path] = {}
    for given in given_paths:
        try:
            for path in _frames_of(given):
                found.setdefault(real_path(path), path)
        except InputError as error:
            skip(given, error)
    files = list(found.values())
    frames = KeptFrames[Path, SearchedFrame](lambda path: predictor.search(*read_frame(path, camera, unit), side, box))
    sides: dict[Path, Side] = {}
    lacking: list[Path] = []
    reason = ""
    for path, stem in zip(files, output_stems(files, folder), strict=True):
        try:
            if side == "auto" and path.parent not in sides:
                sides[path.parent] = _vote([other for other in files if other.parent == path.parent], frames)
            frame = frames.take(path)
            place = frame.candidates.best(sides[path.parent] if side == "auto" else side)
            hand = predictor.predict_searched(frame, place, guessed=side == "auto")
            summary.done.append(_write(hand, frame.depth, path, folder / stem, say))
        except UnitMissing as error:
            lacking.append(path)
            reason = str(error)
            skip(path, error, aloud=False)
        except InputError as error:
            skip(path, error)
    if lacking:
        complain(f"{lacking_units(lacking)}: {reason}")
    return summary


def _frames_of(given: str | os.PathLike[str]) -> list[Path]:
    """A frame, or those of a folder. Raises InputError for a URL, and for a folder without frames."""
    check_local(given)
    path = Path(given)
    inside = depth_frames(path) if path.is_dir() else [path]
    if not inside:
        raise InputError(f"{path}: holds no depth frames")
    return inside


def _vote(together: Sequence[Path], frames: KeptFrames[Path, SearchedFrame]) -> Side:
    """The side that frames of a folder show, for which some of them speak."""
    voters = [frames.look(path) for path in spread(together, VOTERS)]
    return side_of(frame.candidates.best() for frame in voters if frame is not None)


def _write(
    hand: HandPrediction, depth: np.ndarray, path: Path, target: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Write what was predicted of a frame beside `target`; returns what `Summary.done` lists."""
    from phalanx.view.overlay import draw_overlay
    from phalanx.view.samples import depth_picture

    outputs = [beside(target, ending) for ending in (".json", f"{OVERLAY}.png", ".glb")]
    height, width = depth.shape
    listed = hand.to_json(mesh=False)
    head = {**heading(PICTURE_SCHEMA, path), "width": width, "height": height}
    write_json(outputs[0], {**head, "hands": [listed]})
    near = np.where(np.abs(depth - hand.joints[9, 2]) < 0.25, depth, 0)
    write_png(outputs[1], draw_overlay(depth_picture(near), [hand]))
    assert hand.vertices is not None and hand.faces is not None and hand.fit_error_mm is not None
    save_mesh(outputs[2], [(hand.vertices, hand.faces)])
    say(f"{path}: {describe(hand)}, spheres {hand.fit_error_mm:.1f} mm off -> {outputs[1]}")
    return {"input": str(path), "outputs": [str(p) for p in outputs], "hands": [listed]}
