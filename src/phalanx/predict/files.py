"""Predicting files: pictures, folders and videos in; JSON, overlays and meshes out."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_json, write_whole
from phalanx.data.depth_cameras import depth_frames, read_frame, unit_of
from phalanx.data.images import OVERLAY, find_inputs, is_video, read_image, real_path
from phalanx.data.video import frames_per_second, read_frames, write_video
from phalanx.hand.export import save_mesh
from phalanx.hand.prediction import SIDES, HandPrediction, Side
from phalanx.predict.depth import DepthPredictor
from phalanx.predict.inputs import check_options
from phalanx.predict.predictor import Predictor

PICTURE_SCHEMA = "phalanx.picture/1"
VIDEO_SCHEMA = "phalanx.video/1"
SUMMARY_SCHEMA = "phalanx.summary/1"
FRAMES_FOR_SIDE = 9  # frames that decide which hand a video shows
UNSURE = 0.5  # score below which the line for people says so
TRACKED = 0.3  # score above which the next frame of a video is looked at where the hand was


Say = Callable[[str], None]


@dataclass
class Summary:
    """What a job did.

    Attributes:
        done: for each input that was predicted: `input`, `outputs` (paths) and `hands` (pictures: `phalanx.hand/2`
            without mesh) or `frames` (videos: how many).
        skipped: for each that was not: `input` and `problem`, one sentence.
    """

    done: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[dict[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As what `json.dump` takes, by the schema of `docs/prediction_schema.md`."""
        return {"schema": SUMMARY_SCHEMA, "done": self.done, "skipped": self.skipped}


def predict_files(
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    box: Sequence[float] | None = None,
    K: Any = None,
    side: Side | Literal["auto"] = "auto",
    mirrored: bool = False,
    hand_length: float | None = None,
    predictor: Predictor | None = None,
    say: Callable[[str], None] = print,
    complain: Callable[[str], object] = print,
) -> Summary:
    """Predict pictures, folders of them and videos, and write what is found into the folder `out`.

    For a picture `name.jpg`: `name.json` (schema `phalanx.picture/1`), `name_overlay.png` and `name.glb`; for a video
    `name.json` (`phalanx.video/1`) and `name_overlay.mp4`. Inputs of the same name get `name_2`, `name_3` and so on.
    Every file appears whole or not at all. An input at fault is complained about and passed over; the others are done.

    Args:
        paths: files and folders.
        out: folder for the results, made if need be.
        box, K, side, mirrored, hand_length: as `Predictor` takes them, for every input.
        predictor: None makes the default one.
        say: called with one line for each hand found, or for each video.
        complain: called with one sentence for each input that is passed over.

    Raises:
        InputError: before any work: the options are at fault, there are no paths, the weights are damaged, or `out`
            cannot be written.
    """
    paths = list(paths)
    if not paths:
        raise InputError("paths: name a picture, a folder or a video")
    check_options(box, K, side, hand_length)
    out = writable_folder(out)
    options = {"box": box, "K": K, "side": side, "mirrored": mirrored, "hand_length": hand_length}
    summary = Summary()

    def skip(path: Any, error: InputError) -> None:
        summary.skipped.append({"input": str(path), "problem": str(error)})
        complain(str(error))

    inputs: dict[str, Path] = {}
    for given in paths:
        try:
            for path in find_inputs([given]):
                inputs.setdefault(real_path(path), path)
        except InputError as error:
            skip(given, error)
    if inputs and predictor is None:
        predictor = Predictor()
    for path, stem in zip(inputs.values(), output_stems(list(inputs.values())), strict=True):
        assert predictor is not None
        job = _predict_video if is_video(path) else _predict_picture
        try:
            summary.done.append(job(predictor, path, out / stem, options, set(inputs), say))
        except InputError as error:
            skip(path, error if str(path) in str(error) else InputError(f"{path}: {error}"))
    return summary


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
    for path, stem in zip(found.values(), output_stems(list(found.values())), strict=True):
        try:
            summary.done.append(
                _predict_depth(predictor, path, folder / stem, camera, unit, side, box, set(found), say)
            )
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
    inputs: set[str],
    say: Say,
) -> dict[str, Any]:
    from phalanx.view.overlay import draw_overlay
    from phalanx.view.samples import depth_picture

    outputs = [_beside(target, ending, inputs) for ending in (".json", f"{OVERLAY}.png", ".glb")]
    depth, K = read_frame(path, camera, unit)
    hand = predictor(depth, K, side, box)
    height, width = depth.shape
    listed = hand.to_json(mesh=False)
    head = {"schema": PICTURE_SCHEMA, "input": str(path), "width": width, "height": height}
    write_json(outputs[0], {**head, "hands": [listed]})
    near = np.where(np.abs(depth - hand.joints[9, 2]) < 0.25, depth, 0)
    _write_png(outputs[1], draw_overlay(depth_picture(near), [hand]))
    assert hand.vertices is not None and hand.faces is not None and hand.fit_error_mm is not None
    save_mesh(outputs[2], [(hand.vertices, hand.faces)])
    say(f"{path}: {describe(hand)}, spheres {hand.fit_error_mm:.1f} mm off -> {outputs[1]}")
    return {"input": str(path), "outputs": [str(p) for p in outputs], "hands": [listed]}


def output_stems(paths: Sequence[Path]) -> list[str]:
    """A different name for each input: its own without the suffix where that is free, else with _2, _3, ... behind.

    Names that differ in case alone count as the same, because on some systems they are.
    """
    wanted = [path.stem for path in paths]
    own = {stem.casefold() for stem in wanted}
    taken: set[str] = set()
    result = []
    for stem in wanted:
        name, number = stem, 1
        while name.casefold() in taken or (number > 1 and name.casefold() in own):
            number += 1
            name = f"{stem}_{number}"
        taken.add(name.casefold())
        result.append(name)
    return result


def describe(hand: HandPrediction) -> str:
    """One line about a hand, for people."""
    bends = [
        f"{finger} {sum(hand.angles_degrees[f'{finger}_{joint}_flexion'] for joint in joints):.0f}"
        for finger, joints in (("thumb", ("mcp", "ip")), *((f, ("mcp", "pip", "dip")) for f in _LONG_FINGERS))
    ]
    distance = f"{'about ' if hand.camera_source == 'assumed' else ''}{hand.joints[0, 2]:.2f} m away"
    doubt = " (unsure: is there one hand, large enough? see --box)" if hand.score < UNSURE else ""
    return (
        f"{hand.side} hand, score {hand.score:.2f}{doubt}, {distance}, joints bent in sum (degrees) {', '.join(bends)}"
    )


_LONG_FINGERS = ("index", "middle", "ring", "little")


def _predict_picture(
    predictor: Predictor, path: Path, target: Path, options: dict[str, Any], inputs: set[str], say: Say
) -> dict[str, Any]:
    from phalanx.view.overlay import draw_overlay

    outputs = [_beside(target, ending, inputs) for ending in (".json", f"{OVERLAY}.png", ".glb")]
    image = read_image(path)
    hands = predictor(image, **options)
    surfaces = [(h.vertices, h.faces) for h in hands if h.vertices is not None and h.faces is not None]
    height, width = image.shape[:2]
    listed = [hand.to_json(mesh=False) for hand in hands]
    overlay = draw_overlay(image, hands)
    head = {"schema": PICTURE_SCHEMA, "input": str(path), "width": width, "height": height}
    write_json(outputs[0], {**head, "hands": listed})
    _write_png(outputs[1], overlay)
    if surfaces:
        save_mesh(outputs[2], surfaces)
    else:
        outputs.pop()
    for hand in hands:
        say(f"{path}: {describe(hand)} -> {outputs[1]}")
    return {"input": str(path), "outputs": [str(p) for p in outputs], "hands": listed}


def _predict_video(
    predictor: Predictor, path: Path, target: Path, options: dict[str, Any], inputs: set[str], say: Say
) -> dict[str, Any]:
    from phalanx.view.overlay import draw_overlay

    outputs = [_beside(target, ending, inputs) for ending in (".json", f"{OVERLAY}.mp4")]
    rate = frames_per_second(path)
    frames: list[dict[str, Any]] = []
    scores: list[float] = []
    box = options["box"]
    side_source: Literal["given", "guessed"] = "guessed" if options["side"] == "auto" else "given"
    if side_source == "guessed":
        options = {**options, "side": _side_of_video(predictor, path, options)}
    with write_video(outputs[1], rate) as append:
        for number, image in enumerate(read_frames(path)):
            found = predictor(image, **{**options, "box": box})
            hands = [replace(hand, side_source=side_source) for hand in found]
            sure = [hand for hand in hands if hand.score > TRACKED]
            box = sure[0].box if sure else options["box"]
            scores += [hand.score for hand in hands]
            frames.append({"frame": number, "hands": [hand.to_json(mesh=False) for hand in hands]})
            append(draw_overlay(image, hands))
    head = {"schema": VIDEO_SCHEMA, "input": str(path), "frames_per_second": rate}
    write_json(outputs[0], {**head, "frames": frames})
    mean = f", mean score {np.mean(scores):.2f}" if scores else ""
    say(f"{path}: {len(frames)} frames, {options['side']} hand{mean} -> {outputs[1]}")
    return {"input": str(path), "outputs": [str(p) for p in outputs], "frames": len(frames)}


def _side_of_video(predictor: Predictor, path: Path, options: dict[str, Any]) -> Side:
    """The side that most of the first frames speak for: one video shows one hand, which must not change sides."""
    sides = [hand.side for image in islice(read_frames(path), FRAMES_FOR_SIDE) for hand in predictor(image, **options)]
    return max(SIDES, key=sides.count)


def _beside(target: Path, ending: str, inputs: set[str]) -> Path:
    path = target.with_name(target.name + ending)
    if real_path(path) in inputs:
        raise InputError(f"{path}: is an input of this job and would be written over; choose another output folder")
    return path


def _write_png(path: Path, picture: np.ndarray) -> None:
    import cv2

    with write_whole(path) as part:
        ok, content = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
        if not ok:
            raise RuntimeError(f"{path}: PNG encoding failed")
        part.write_bytes(content.tobytes())
