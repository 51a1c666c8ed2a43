"""Predicting depth frames in files: JSON, overlays and meshes out."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_json
from phalanx.data.depth_cameras import depth_frames, read_frame, unit_of
from phalanx.data.images import OVERLAY, real_path
from phalanx.hand.export import save_mesh
from phalanx.hand.prediction import Side
from phalanx.predict.depth import DepthPredictor
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
    """Predict 16-bit depth frames (PNG), and folders of them, and write what is found into the folder `out`.

    For a frame `name.png`: `name.json` (schema `phalanx.picture/1`, with `spheres` and `fit_error_mm`), `name_overlay.png` and `name.glb`.
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
    unit_of(camera, unit)  # complaints that go for all frames come before the work
    if box is not None:
        as_array(box, (4,), "box")
    folder = writable_folder(out)
    summary = Summary()
    found: dict[str, Path] = {}
    for given in named:
        inside = depth_frames(given) if given.is_dir() else [given]
        if not inside:
            complain(f"{given}: holds no PNG frames")
            summary.skipped.append({"input": str(given), "problem": "holds no PNG frames"})
        for path in inside:
            found.setdefault(real_path(path), path)
    for path, stem in zip(found.values(), output_stems(list(found.values()), folder), strict=True):
        try:
            summary.done.append(_predict_depth(predictor, path, folder / stem, camera, unit, side, box, say))
        except InputError as error:
            problem = str(error) if str(path) in str(error) else f"{path}: {error}"
            summary.skipped.append({"input": str(path), "problem": problem})
            complain(problem)
    return summary


def _predict_depth(
    predictor: DepthPredictor,
    path: Path,
    target: Path,
    camera: str,
    unit: float | None,
    side: Side | Literal["auto"],
    box: Sequence[float] | None,
    say: Callable[[str], None],
) -> dict[str, Any]:
    from phalanx.view.overlay import draw_overlay
    from phalanx.view.samples import depth_picture

    outputs = [beside(target, ending) for ending in (".json", f"{OVERLAY}.png", ".glb")]
    depth, K = read_frame(path, camera, unit)
    hand = predictor(depth, K, side, box)
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
