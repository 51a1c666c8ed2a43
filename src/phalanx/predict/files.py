"""Predicting files: pictures, folders and videos in; JSON, overlays and meshes out."""

import contextlib
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Literal

from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_json
from phalanx.data.camera_files import as_calibration
from phalanx.data.depth_images import looks_like_depth, looks_packed
from phalanx.data.images import OVERLAY, find_inputs, is_video, read_photo, real_path
from phalanx.hand.export import save_mesh
from phalanx.hand.plain import plain_hand
from phalanx.hand.prediction import HandPrediction, Side, hand_names
from phalanx.predict.assemble import BEHIND
from phalanx.predict.inputs import MAX_HANDS, MIN_SCORE, camera_in_file, check_limits, check_options, scaling
from phalanx.predict.outputs import PICTURE_SCHEMA, Summary, beside, describe_all, heading, output_stems, write_png
from phalanx.predict.paired_depth import PairedFolder, length_of, place_hands
from phalanx.predict.predictor import Predictor
from phalanx.predict.same_person import of_person, shape_of_person
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
    depth: PairedFolder | None = None,
    same_person: bool = False,
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
        depth: registered to the pictures, of the same names: hands are then placed and sized by it (`predict.paired_depth`).
        same_person: all hands of pictures are one person's and get one shape (`predict.same_person`); they are looked at twice. Videos
            get that shape, too; if there are no pictures, each of its hands has one anyway.

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
    if depth is not None:
        frames = {real_path(path) for paths in depth.by_name.values() for path in paths}
        inputs = {real: path for real, path in inputs.items() if real not in frames}
    if inputs and predictor is None:
        predictor = Predictor()
    if predictor is not None and box is None:
        predictor.load_detector()
    if same_person and predictor is not None:
        predictor = _of_person(predictor, [path for path in inputs.values() if not is_video(path)], options)
    for path, stem in zip(inputs.values(), output_stems(list(inputs.values()), out), strict=True):
        assert predictor is not None
        try:
            if is_video(path) and depth is not None:
                raise InputError(f"{path}: is a video, and --depth-frames goes with pictures")
            if is_video(path):
                done = predict_video(predictor, path, out / stem, options, say, offline, progress)
            else:
                done = _predict_picture(predictor, path, out / stem, options, say, depth)
            summary.done.append(done)
        except InputError as error:
            skip(path, error if str(path) in str(error) else InputError(f"{path}: {error}"))
    return summary


def _of_person(predictor: Predictor, pictures: list[Path], options: dict[str, Any]) -> Predictor:
    """The predictor for the one person whom the pictures show; those that cannot be predicted are named later."""
    hands: list[HandPrediction] = []
    for path in pictures:
        with contextlib.suppress(InputError):
            hands += predictor(path, **options)
    shape = shape_of_person(hands)
    return predictor if shape is None else of_person(predictor, shape)


def _predict_picture(
    predictor: Predictor,
    path: Path,
    target: Path,
    options: dict[str, Any],
    say: Callable[[str], None],
    depth: PairedFolder | None,
) -> dict[str, Any]:
    from phalanx.view.overlay import draw_overlay

    outputs = [beside(target, ending) for ending in (".json", f"{OVERLAY}.png", ".glb")]
    packed = looks_packed(path)
    if packed or looks_like_depth(path):
        camera = "--camera nyu, whose frames are packed so" if packed else "the --camera that took it"
        raise InputError(f"{path}: is a depth frame and no photo: predict it with --depth and {camera}")
    image, focal = read_photo(path)
    height, width = image.shape[:2]
    readings = None if depth is None else depth.read(path, width, height)
    K = (
        options["K"]
        or (None if depth is None else depth.camera_of(width, height))
        or camera_in_file(focal, width, height)
    )
    hands = predictor(image, **{**options, "K": K})
    problems: list[str] = []
    if readings is not None:
        hands, problems = place_hands(plain_hand(predictor.hand), hands, readings)
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
    for line, hand in zip_longest(describe_all(hands) or [_nothing(options)], hands):
        say(f"{path}: {line}{_measured(predictor, hand)}{scaling(K, width, height)} -> {outputs[1]}")
    for problem in problems:
        say(f"{path}: the size of one hand is an average: {problem}")
    if len(hands) == options["max_hands"] > 1:
        say(f"{path}: these are the {len(hands)} surest hands, and there may be more; see --max-hands")
    return {"input": str(path), "outputs": [str(p) for p in outputs], "hands": listed}


def _measured(predictor: Predictor, hand: HandPrediction | None) -> str:
    """For the line about a hand: how long it is, where depth says so."""
    if hand is None or hand.scale_source != "depth":
        return ""
    return f", {100 * length_of(plain_hand(predictor.hand), hand):.1f} cm long by depth"


def _nothing(options: dict[str, Any]) -> str:
    """The line about a picture without hands; where something was looked at, with the likeliest reason."""
    if options["box"] is not None:
        return f"no hand: {BEHIND}"
    return "no hand" if options["K"] is None else "no hand, or none that fits before the given camera"
