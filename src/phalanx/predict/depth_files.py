"""Predicting depth frames in files: JSON, overlays and meshes out."""

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_json
from phalanx.data.depth_cameras import check_camera, depth_frames, read_frame
from phalanx.data.images import OVERLAY, real_path
from phalanx.hand.export import save_mesh
from phalanx.hand.prediction import HandPrediction, Side
from phalanx.predict.depth import DepthPredictor
from phalanx.predict.depth_search import VOTERS, side_of, spread
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
    named = [Path(path) for path in paths]
    if not named:
        raise InputError("paths: name a depth frame, or a folder of them")
    check_camera(camera, unit)  # complaints that go for all frames come before the work
    if box is not None:
        as_array(box, (4,), "box")
    folder = writable_folder(out)
    summary = Summary()
    found: dict[str, Path] = {}
    for given in named:
        inside = depth_frames(given) if given.is_dir() else [given]
        if not inside:
            complain(f"{given}: holds no depth frames")
            summary.skipped.append({"input": str(given), "problem": "holds no depth frames"})
        for path in inside:
            found.setdefault(real_path(path), path)
    files = list(found.values())
    sides = _sides(predictor, files, camera, unit, box) if side == "auto" else dict.fromkeys(files, side)
    for path, stem in zip(files, output_stems(files, folder), strict=True):
        try:
            depth, K = read_frame(path, camera, unit)
            place = predictor.find(depth, K, sides[path], box)
            hand = predictor.predict_at(place, depth, K, box, guessed=side == "auto")
            summary.done.append(_write(hand, depth, path, folder / stem, say))
        except InputError as error:
            problem = str(error) if str(path) in str(error) else f"{path}: {error}"
            summary.skipped.append({"input": str(path), "problem": problem})
            complain(problem)
    return summary


def _sides(
    predictor: DepthPredictor, files: Sequence[Path], camera: str, unit: float | None, box: Sequence[float] | None
) -> dict[Path, Side]:
    """The side that each frame shows: that of its folder, for which some of the frames there vote."""
    sides: dict[Path, Side] = {}
    for folder in {path.parent for path in files}:
        together = [path for path in files if path.parent == folder]
        places = []
        for path in spread(together, VOTERS):
            with suppress(InputError):  # complained about when it is predicted
                places.append(predictor.find(*read_frame(path, camera, unit), box=box))
        sides |= dict.fromkeys(together, side_of(places))
    return sides


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
