"""Predicting what a rig's cameras took: videos, folders or pictures, one for each camera, in; one hand in the rig's world out."""

from __future__ import annotations

import copy
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_json, write_whole
from phalanx.data.images import OVERLAY
from phalanx.data.rig_files import CameraRig, read_rig
from phalanx.data.video import frames_per_second
from phalanx.geometry.placed import epipolar_errors
from phalanx.hand.export import save_mesh
from phalanx.hand.prediction import SIDES, Side
from phalanx.predict.inputs import MIN_SCORE
from phalanx.predict.outputs import Summary, beside, heading, output_stems, write_png
from phalanx.predict.predictor import Predictor
from phalanx.predict.rig import RigFrame, RigHand, RigPredictor
from phalanx.predict.rig_inputs import (
    check_kinds,
    moments_stated,
    picture_moments,
    pictures_of,
    video_moments,
)
from phalanx.predict.rig_tracker import RigTracker

SCHEMA = "phalanx.rig_hands/1"
ENDING = "_rig"
"""What names of results end in: the first camera's, and this."""

SUSPICIOUS = 0.05
"""Share of its size by which the fused hand is off in the median from which cameras may be swapped."""
TRIED = 24
"""Moments by which that is judged."""

SHORTEST = 3
"""Moments that a hand must be seen in to be written in motion."""

TALL = 480
"""Pixels of a view's height in an overlay of several."""


def predict_rig(
    rig: CameraRig | str | os.PathLike[str],
    paths: Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    side: Side | Literal["auto"] = "auto",
    hand_length: float | None = None,
    min_score: float = MIN_SCORE,
    unit: float | str | None = None,
    predictor: Predictor | None = None,
    say: Callable[[str], None] = print,
    complain: Callable[[str], object] = print,
    progress: Callable[[int, int], None] | None = None,
    same_person: bool = False,
) -> Summary:
    """Predict one hand at each moment that a rig's cameras took, and write it into the folder `out`.

    For videos whose first is `name.mp4`: `name_rig.json`, `name_rig.csv` (angles and joints in the world), `name_rig_overlay.mp4` (all
    views), and where a hand was seen `name_rig.glb` and `name_rig.bvh`, the hand in motion. All frames get one shape. For pictures, of
    each moment `name_rig.json`, `name_rig_overlay.png` and `name_rig.glb`. Every file appears whole or not at all.

    Args:
        rig: or its file, as `data.rig_files.read_rig` takes it with `unit`.
        paths: a video, a folder or a picture for each camera, in the rig's order.
        out: folder for the results, made if need be.
        side, hand_length, min_score, predictor: as `RigPredictor` takes them.
        say: called with lines for people.
        complain: called with one sentence for what is passed over.
        progress: called with the number of moments that are done, and how many there are.
        same_person: pictures of all moments get one shape, as the frames of videos do.

    Raises:
        InputError: before any work the rig, the paths or an option is at fault; or after it, two cameras are swapped or disagree about
            nearly everything.
    """
    views = [Path(path) for path in paths]
    rig = rig if isinstance(rig, CameraRig) else read_rig(rig, unit)
    videos = check_kinds(views, len(rig), rig.name)
    out = writable_folder(out)
    rig_predictor = RigPredictor(rig, predictor, side, hand_length, min_score)
    rig_predictor.predictor.load_detector()
    summary = Summary()
    if videos:
        summary.done.append(_predict_videos(rig_predictor, views, out, say, progress))
    else:
        _predict_pictures(rig_predictor, views, out, summary, say, complain, progress, same_person)
    return summary


def _predict_videos(
    predictor: RigPredictor,
    paths: list[Path],
    out: Path,
    say: Callable[[str], None],
    progress: Callable[[int, int], None] | None,
) -> dict[str, Any]:
    from phalanx.data.video import write_video
    from phalanx.hand.recording import write_hands

    target = beside(out / output_stems([paths[0]], out)[0], ENDING)
    notes: list[str] = []
    frames = follow_videos(predictor, paths, notes.append, progress)
    check_agreement(predictor, frames)
    hands = predictor.fuse(frames, one_shape=True)
    rate = frames_per_second(paths[0])
    files = {ending: beside(target, ending) for ending in (".json", ".csv", f"{OVERLAY}.mp4")}
    head = {**heading(SCHEMA, paths[0]), **_about(predictor, paths), "frames_per_second": rate}
    listed = [
        {"frame": number, "time": round(frame.time or 0.0, 6), "hand": None if hand is None else hand.to_json()}
        for number, (frame, hand) in enumerate(zip(frames, hands, strict=True))
    ]
    with write_whole(files[".json"]) as part:
        text = json.dumps({**head, "frames": listed, **({"note": "; ".join(notes)} if notes else {})}, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")
    with write_hands(files[".csv"]) as add_row, write_video(files[f"{OVERLAY}.mp4"], rate) as add_picture:
        for number, ((_, images), hand) in enumerate(zip(video_moments(paths, lambda note: None), hands, strict=True)):
            if hand is not None:
                add_row(number, replace(hand, id=0))
            add_picture(draw_views(images, hand, [camera.name for camera in predictor.rig.cameras]))
    written = [*files.values(), *_write_motion(predictor, target, hands)]
    for line in describe_all(predictor, hands):
        say(f"{paths[0]}: {line} -> {files[f'{OVERLAY}.mp4']}")
    for note in notes:
        say(note)
    done = {"input": str(paths[0]), "outputs": [str(file) for file in written], "frames": len(frames)}
    return {**done, "note": "; ".join(notes)} if notes else done


def follow_videos(
    predictor: RigPredictor,
    paths: Sequence[Path],
    notice: Callable[[str], object],
    progress: Callable[[int, int], None] | None = None,
) -> list[RigFrame]:
    """What the videos show of one hand, moment by moment, without pixels."""
    tracker, frames = RigTracker(predictor), []
    stated = moments_stated(paths[0])
    for time, images in video_moments(paths, notice):
        frames.append(tracker(images, time).bare())
        if progress is not None and stated is not None:
            progress(min(len(frames), stated), stated)
    return frames


def _predict_pictures(
    predictor: RigPredictor,
    paths: list[Path],
    out: Path,
    summary: Summary,
    say: Callable[[str], None],
    complain: Callable[[str], object],
    progress: Callable[[int, int], None] | None,
    same_person: bool,
) -> None:
    from phalanx.view.overlay import draw_turned

    def skip(given: Path, problem: str) -> None:
        summary.skipped.append({"input": str(given), "problem": problem})
        complain(problem)

    moments = picture_moments(paths, complain)
    frames: list[RigFrame] = []
    kept = []
    for number, moment in enumerate(moments):
        first = next(path for path in moment.paths if path is not None)
        images = pictures_of(moment, lambda error: skip(first, str(error)))  # noqa: B023
        if any(image is not None for image in images):
            try:
                frames.append(predictor.look(images).bare())
                kept.append((moment, first))
            except InputError as error:
                skip(first, str(error) if str(first) in str(error) else f"{first}: {error}")
        if progress is not None:
            progress(number + 1, len(moments))
    check_agreement(predictor, frames)
    hands = predictor.fuse(frames, one_shape=same_person)
    stems = output_stems([first for _, first in kept], out)
    names = [camera.name for camera in predictor.rig.cameras]
    for (moment, first), stem, hand in zip(kept, stems, hands, strict=True):
        target = beside(out / stem, ENDING)
        outputs = [beside(target, ending) for ending in (".json", f"{OVERLAY}.png", ".glb")]
        listed = [str(path) if path is not None else None for path in moment.paths]
        head = {**heading(SCHEMA, first), **_about(predictor, listed)}
        write_json(outputs[0], {**head, "frames": [{"frame": 0, "hand": None if hand is None else hand.to_json()}]})
        drawn = draw_views(pictures_of(moment, lambda error: None), hand, names)
        if hand is not None:
            turned = draw_turned(hand, drawn.shape[0], drawn.shape[0])
            drawn = np.concatenate((drawn, turned), axis=1)
        write_png(outputs[1], drawn)
        if hand is not None and hand.vertices is not None and hand.faces is not None:
            save_mesh(outputs[2], [(hand.vertices, hand.faces)], [f"{hand.side}_1"])
        else:
            outputs.pop().unlink(missing_ok=True)
        say(f"{first}: {describe(hand)} -> {outputs[1]}")
        summary.done.append({"input": str(first), "outputs": [str(path) for path in outputs], "frames": 1})
    if predictor.scale_by_hand and any(hand is not None for hand in hands):
        say(f"{predictor.rig.name}: {_scale_line(predictor)}")


def _about(predictor: RigPredictor, paths: Sequence[Any]) -> dict[str, Any]:
    return {"inputs": [None if path is None else str(path) for path in paths], "rig": predictor.rig.to_json()}


def describe(hand: RigHand | None) -> str:
    """One line about a moment, for people."""
    if hand is None:
        return "no hand"
    wrist = ", ".join(f"{value:.3f}" for value in hand.joints[0])
    line = f"{hand.side} hand, score {hand.score:.2f}, wrist at {wrist} m, joints to within {1e3 * hand.uncertainty.mean():.0f} mm"
    views = []
    for view in hand.views:
        error = "" if view.error is None else f" ({view.error:.1f} px)"
        views.append(f"{view.name} {view.state}{error}")
    alone = sum(view.state in ("used", "unsure") for view in hand.views) < 2
    return f"{line}; {', '.join(views)}" + ("; one view alone counts, so its distance is a guess" if alone else "")


def describe_all(predictor: RigPredictor, hands: Sequence[RigHand | None]) -> list[str]:
    """Lines about a recording: how often a hand was seen, what each camera did, and the scale if it was found."""
    seen = [hand for hand in hands if hand is not None]
    if not seen:
        return [f"{len(hands)} moments, no hand"]
    sides = max(SIDES, key=lambda side: sum(hand.side == side for hand in seen))
    sure = [1e3 * float(hand.uncertainty.mean()) for hand in seen]
    lines = [
        f"{len(hands)} moments, {sides} hand in {len(seen)}, joints to within {np.median(sure):.0f} mm in the median"
    ]
    for number, camera in enumerate(predictor.rig.cameras):
        views = [hand.views[number] for hand in seen]
        errors = [view.error for view in views if view.error is not None and view.state in ("used", "unsure")]
        states = {
            state: sum(view.state == state for view in views)
            for state in ("unsure", "disagrees", "no hand", "no picture")
        }
        odd = ", ".join(f"{state} in {count}" for state, count in states.items() if count)
        error = f"reprojection error {np.median(errors):.1f} px in the median" if errors else "never used"
        lines.append(f"camera {camera.name}: {error}" + (f"; {odd}" if odd else ""))
    if predictor.scale_by_hand:
        lines.append(_scale_line(predictor))
    return lines


def _scale_line(predictor: RigPredictor) -> str:
    size = "the hand's likeliest size" if predictor.hand_length is None else "the hand's length"
    return f"the rig's unit is {1e3 * predictor.factor:.4g} mm, by {size}"


def check_agreement(predictor: RigPredictor, frames: Sequence[RigFrame]) -> None:
    """Raise InputError where two cameras are swapped, or two disagree in most moments: then nothing would be right."""
    both = [frame for frame in frames if sum(each is not None for each in frame.seen) >= 2]
    if not both:
        return
    some = both[:: max(1, len(both) // TRIED)]
    error = misfit(predictor, some)
    if error < SUSPICIOUS:
        return
    names = [camera.name for camera in predictor.rig.cameras]
    for a, b in combinations(range(len(names)), 2):
        other = [_swapped(frame, a, b) for frame in some]
        if misfit(predictor, other) < min(0.5 * error, SUSPICIOUS):
            raise InputError(
                f"{predictor.rig.name}: the views of cameras {names[a]} and {names[b]} agree if they are swapped; give them in the "
                f"rig's order, which is {', '.join(names)}"
            )
    if len(names) == 2 and not math.isfinite(error):
        pixels = epipolar(predictor, some)
        raise InputError(
            f"{predictor.rig.name}: cameras {names[0]} and {names[1]} disagree about the hand in most of {len(both)} moments, by "
            f"{pixels:.0f} px from each other's lines of sight; did one move, or are the views not of one moment? see phalanx rig check"
        )


def misfit(predictor: RigPredictor, frames: Sequence[RigFrame]) -> float:
    """Median over frames of how far the fused hand is from what views that count see, as a share of its size; infinite if most disagree."""
    trial = copy.copy(predictor)  # which may find another scale
    shares = []
    for hand in trial.fuse(frames, surface=False):
        used = [] if hand is None else [view for view in hand.views if view.state in ("used", "unsure")]
        own = [
            view.error / max(float(np.ptp(view.joints_2d, axis=0).max()), 1.0)
            for view in used
            if view.error is not None and view.joints_2d is not None
        ]
        shares.append(float(np.mean(own)) if len(own) >= 2 else math.inf)
    return float(np.median(shares))


def _swapped(frame: RigFrame, a: int, b: int) -> RigFrame:
    """The frame as if cameras `a` and `b` had taken each other's pictures."""
    order = list(range(len(frame.seen)))
    order[a], order[b] = b, a
    pictures = [frame.pictures[view] for view in order]
    for view in (a, b):
        own, other = frame.pictures[view], pictures[view]
        if own is not None and other is not None:
            pictures[view] = replace(other, camera=own.camera, given=own.given, lens=own.lens)
    return replace(frame, pictures=tuple(pictures), seen=tuple(frame.seen[view] for view in order))


def epipolar(predictor: RigPredictor, frames: Sequence[RigFrame]) -> float:
    """Median distance in pixels of what the first two views see from each other's lines of sight."""
    errors = []
    for frame in frames:
        first, second = predictor.placed(frame.pictures)[:2]
        one, two = frame.seen[:2]
        if first is not None and second is not None and one is not None and two is not None:
            errors.append(epipolar_errors(one.joints, two.joints, first, second))
    return float(np.median(errors)) if errors else math.nan


def draw_views(images: Sequence[np.ndarray | None], hand: RigHand | None, names: Sequence[str]) -> np.ndarray:
    """All views of a moment in one picture (H, W, 3) uint8, `TALL` pixels each, with the hand before each camera and what became of it."""
    from phalanx.view.overlay import draw_hands, draw_tag

    shown = []
    tallest = next(image.shape for image in images if image is not None)
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        view = None if hand is None else hand.views[number]
        if image is None:
            drawn = np.full((TALL, round(tallest[1] * TALL / tallest[0]), 3), 40, np.uint8)
        else:
            drawn = draw_hands(image, [view.hand] if view is not None and view.hand is not None else [])
            drawn = _tall(drawn)
        text = (
            name if view is None else f"{name}: {view.state}" + ("" if view.error is None else f", {view.error:.1f} px")
        )
        shown.append(draw_tag(drawn, text))
    columns = min(len(shown), 4)
    width = max(each.shape[1] for each in shown)
    blank = np.full((TALL, width, 3), 40, np.uint8)
    padded = [np.pad(each, ((0, 0), (0, width - each.shape[1]), (0, 0))) for each in shown]
    padded += [blank] * (-len(padded) % columns)
    rows = [np.concatenate(padded[start : start + columns], axis=1) for start in range(0, len(padded), columns)]
    return np.concatenate(rows)


def _tall(image: np.ndarray) -> np.ndarray:
    import cv2

    width = max(round(image.shape[1] * TALL / image.shape[0]), 1)
    resized: np.ndarray = cv2.resize(image, (width, TALL), interpolation=cv2.INTER_AREA)
    return resized


def _write_motion(predictor: RigPredictor, target: Path, hands: Sequence[RigHand | None]) -> list[Path]:
    """The hand in motion as GLB and BVH, if it was seen long enough; else what an earlier job left of them is removed."""
    from phalanx.hand.formats.animation import save_animation
    from phalanx.hand.formats.bvh import save_bvh
    from phalanx.hand.recording import HandRecording

    files = [beside(target, ".glb"), beside(target, ".bvh")]
    seen = [hand for hand in hands if hand is not None]
    side = max(SIDES, key=lambda side: sum(hand.side == side for hand in seen))
    rows = [row for row, hand in enumerate(hands) if hand is not None and hand.side == side]
    if len(rows) < SHORTEST:
        for file in files:
            file.unlink(missing_ok=True)
        return []
    chosen = [hand for hand in seen if hand.side == side]
    joints, rotations, orientation, shape = (
        np.array([getattr(hand, name) for hand in chosen]) for name in ("joints", "rotations", "orientation", "shape")
    )
    times = np.array([float(row) if hand.time is None else hand.time for row, hand in zip(rows, chosen, strict=True)])
    filled = np.zeros((len(rows), 21), bool)
    recording = HandRecording(side, np.array(rows), times, joints, rotations, orientation, shape, filled)
    hand = predictor.predictor.hand
    save_animation(files[0], [recording], hand, [f"{side}_hand"])
    save_bvh(files[1], recording, hand)
    return files
