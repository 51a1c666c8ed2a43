"""Predicting files: pictures, folders and videos in; JSON, overlays and meshes out."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_json
from phalanx.data.camera_files import as_calibration
from phalanx.data.depth_images import looks_like_depth, looks_packed
from phalanx.data.images import OVERLAY, find_inputs, is_video, read_photo, real_path
from phalanx.hand.export import save_mesh
from phalanx.hand.prediction import Side, hand_names
from phalanx.predict.assemble import BEHIND
from phalanx.predict.inputs import MAX_HANDS, MIN_SCORE, camera_in_file, check_limits, check_options, scaling
from phalanx.predict.outputs import PICTURE_SCHEMA, Summary, beside, describe_all, heading, output_stems, write_png
from phalanx.predict.predictor import Predictor
from phalanx.predict.videos import predict_video


def predict_files(
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    box: Sequence[float] | Literal["whole"] | None = None,
    K: Any = None,
    side: Side | Literal["auto"] = "auto",
    mirrored: bool = False,
    hand_length: float | None = None,
    max_hands: int = MAX_HANDS,
    min_score: float = MIN_SCORE,
    predictor: Predictor | None = None,
    say: Callable[[str], None] = print,
    complain: Callable[[str], object] = print,
    offline: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Predict pictures, folders of them and videos, and write what is found into the folder `out`.

    For a picture `name.jpg`: `name.json` (schema `phalanx.picture/1`), `name_overlay.png` and `name.glb`; for a video `name.json`
    (`phalanx.video/1`), `name_overlay.mp4`, `name.csv` (angles and joints), and where it shows hands `name.glb` and `name_hand0.bvh`,
    `name_hand1.bvh` and so on (`predict.videos`). Where a file of such a name is there and not of an earlier job on the same input,
    and for inputs of the same name, it is `name_2`, `name_3` and so on. Every file appears whole or not at all. A picture's GLB has a
    node for each hand, named as `hand.prediction.hand_names` does; a picture without hands has none. An input at fault is complained
    about and passed over; the others are done.

    Args:
        paths: files and folders.
        out: folder for the results, made if need be.
        box, K, side, mirrored, hand_length, max_hands, min_score: as `Predictor` takes them, for every input.
        predictor: None makes the default one.
        say: called with one line for each hand found, each picture without one, and each video.
        complain: called with one sentence for each input that is passed over.
        offline: smooth videos as a whole, without lag, instead of filtering them frame by frame.
        progress: called with the number of frames of a video that are done, and how many there are.

    Raises:
        InputError: before any work: the options are at fault, there are no paths, the weights are damaged, or `out`
            cannot be written.
    """
    paths = list(paths)
    if not paths:
        raise InputError("paths: name a picture, a folder or a video")
    K = None if K is None else as_calibration(K)
    check_options(box, K, side, hand_length)
    check_limits(max_hands, min_score)
    out = writable_folder(out)
    options = {"box": box, "K": K, "side": side, "mirrored": mirrored, "hand_length": hand_length}
    options |= {"max_hands": max_hands, "min_score": min_score}
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
    if predictor is not None and box is None:
        predictor.load_detector()
    for path, stem in zip(inputs.values(), output_stems(list(inputs.values()), out), strict=True):
        assert predictor is not None
        try:
            if is_video(path):
                done = predict_video(predictor, path, out / stem, options, say, offline, progress)
            else:
                done = _predict_picture(predictor, path, out / stem, options, say)
            summary.done.append(done)
        except InputError as error:
            skip(path, error if str(path) in str(error) else InputError(f"{path}: {error}"))
    return summary


def _predict_picture(
    predictor: Predictor, path: Path, target: Path, options: dict[str, Any], say: Callable[[str], None]
) -> dict[str, Any]:
    from phalanx.view.overlay import draw_overlay

    outputs = [beside(target, ending) for ending in (".json", f"{OVERLAY}.png", ".glb")]
    packed = looks_packed(path)
    if packed or looks_like_depth(path):
        camera = "--camera nyu, whose frames are packed so" if packed else "the --camera that took it"
        raise InputError(f"{path}: is a depth frame and no photo: predict it with --depth and {camera}")
    image, focal = read_photo(path)
    height, width = image.shape[:2]
    K = options["K"] or camera_in_file(focal, width, height)
    hands = predictor(image, **{**options, "K": K})
    surfaces = [(hand.vertices, hand.faces) for hand in hands if hand.vertices is not None and hand.faces is not None]
    listed = [hand.to_json(mesh=False) for hand in hands]
    overlay = draw_overlay(image, hands)
    head = {**heading(PICTURE_SCHEMA, path), "width": width, "height": height}
    write_json(outputs[0], {**head, "hands": listed})
    write_png(outputs[1], overlay)
    if surfaces:
        save_mesh(outputs[2], surfaces, hand_names(hands))
    else:
        outputs.pop().unlink(missing_ok=True)  # of an earlier job on the same picture
    for line in describe_all(hands) or [_nothing(options)]:
        say(f"{path}: {line}{scaling(K, width, height)} -> {outputs[1]}")
    if len(hands) == options["max_hands"] > 1:
        say(f"{path}: these are the {len(hands)} surest hands, and there may be more; see --max-hands")
    return {"input": str(path), "outputs": [str(p) for p in outputs], "hands": listed}


def _nothing(options: dict[str, Any]) -> str:
    """The line about a picture without hands; where something was looked at, with the likeliest reason."""
    if options["box"] is not None:
        return f"no hand: {BEHIND}"
    return "no hand" if options["K"] is None else "no hand, or none that fits before the given camera"
