"""Predicting a video: which hand it shows, then frame by frame, each looked at where the hand was in the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from phalanx.core.files import write_json
from phalanx.data.camera_files import Calibration
from phalanx.data.images import OVERLAY
from phalanx.data.video import frames_per_second, read_frames, timed_frames, write_video
from phalanx.hand.animation import save_animation
from phalanx.hand.bvh import save_bvh
from phalanx.hand.prediction import SIDES, HandPrediction, Side
from phalanx.hand.recording import HandRecording, save_angles
from phalanx.predict.inputs import scaling
from phalanx.predict.outputs import UNSURE, VIDEO_SCHEMA, beside, heading
from phalanx.predict.predictor import Predictor

FRAMES_FOR_SIDE = 9
"""Frames with a hand that decide which one a video shows."""

PATIENCE, LONGEST_STRIDE = 30, 16
"""Looks without a hand after which every second frame is passed over, then three of four, and so on; frames from one look to the next at
most: half a second or so."""

TRACKED = 0.3
"""Score above which the next frame of a video is looked at where the hand was."""


def predict_video(
    predictor: Predictor, path: Path, target: Path, options: dict[str, Any], say: Callable[[str], None]
) -> dict[str, Any]:
    """Predict a video and write its JSON and its overlay beside `target`; `options` as the predictor takes them.

    Where frames show a hand, its recording (`recording_of`) is written, too: a table of angles, and the hand in motion as GLB and BVH.
    Returns what `Summary.done` lists. Raises InputError as `data.video.read_frames` and the predictor do.
    """
    from phalanx.view.overlay import draw_overlay

    outputs = [beside(target, ending) for ending in (".json", f"{OVERLAY}.mp4")]
    rate = frames_per_second(path)
    frames: list[dict[str, Any]] = []
    sure: list[tuple[int, float, HandPrediction]] = []
    scores: list[float] = []
    box, scaled = options["box"], ""
    side_source: Literal["given", "guessed"] = "guessed" if options["side"] == "auto" else "given"
    if side_source == "guessed":
        options = {**options, "side": side_of_video(lambda image: predictor(image, **options), read_frames(path))}
    with write_video(outputs[1], rate) as append:
        for number, (time, image) in enumerate(timed_frames(path)):
            found = predictor(image, **{**options, "box": box})
            hands = [replace(hand, side_source=side_source) for hand in found]
            box = next((hand.box for hand in hands if hand.score > TRACKED), options["box"])
            sure += [(number, time, hand) for hand in hands[:1] if hand.score >= UNSURE]
            options = with_same_camera(options, hands)
            scores += [hand.score for hand in hands]
            scaled = scaling(options["K"], image.shape[1], image.shape[0])
            listed = [hand.to_json(mesh=False) for hand in hands]
            frames.append({"frame": number, "time": round(time, 6), "hands": listed})
            append(draw_overlay(image, hands))
    write_json(outputs[0], {**heading(VIDEO_SCHEMA, path), "frames_per_second": rate, "frames": frames})
    if sure:
        recording, model = recording_of(sure), deepcopy(predictor.model).cpu()
        for ending in (".csv", ".glb", ".bvh"):
            outputs.append(beside(target, ending))
        save_angles(outputs[2], recording)
        save_animation(outputs[3], recording, model)
        save_bvh(outputs[4], recording, model)
    mean = f", mean score {np.mean(scores):.2f}" if scores else ""
    say(f"{path}: {len(frames)} frames, {options['side']} hand{mean}{scaled} -> {outputs[1]}")
    return {"input": str(path), "outputs": [str(p) for p in outputs], "frames": len(frames)}


def recording_of(frames: Sequence[tuple[int, float, HandPrediction]]) -> HandRecording:
    """The recording of a hand: numbers of frames, their times in seconds, and what was predicted there.

    It is the real hand's, also of mirrored pictures, and has the model's size, at the distance where it looks as large as the
    predicted one.
    """
    numbers, times, hands = zip(*frames, strict=True)
    joints = [hand.joints / hand.scale * [-1 if hand.mirrored else 1, 1, 1] for hand in hands]
    rotations, orientation, shape = (
        np.array([getattr(hand, name) for hand in hands]) for name in ("rotations", "orientation", "shape")
    )
    filled = np.zeros((len(hands), 21), bool)
    return HandRecording(
        hands[0].side, np.array(numbers), np.array(times), np.array(joints), rotations, orientation, shape, filled
    )


def side_of_video(predict: Callable[[np.ndarray], list[HandPrediction]], frames: Iterator[np.ndarray]) -> Side:
    """The side that frames with a hand speak for, weighted by score: one video shows one hand, which must not change sides.

    Frames are looked at until `FRAMES_FOR_SIDE` have shown a hand, after a while and until one does ever fewer. If none ever does, all
    that were looked at have a say.
    """
    sure, unsure = dict.fromkeys(SIDES, 0.0), dict.fromkeys(SIDES, 0.0)
    seen = looked = 0
    stride, following = 1, 0
    for number, image in enumerate(frames):
        if number < following:
            continue
        hands = predict(image)
        looked += 1
        shown = [hand for hand in hands if hand.score >= UNSURE]
        for hand in hands:
            unsure[hand.side] += hand.score
        for hand in shown:
            sure[hand.side] += hand.score
        seen += bool(shown)
        if seen == FRAMES_FOR_SIDE:
            break
        if shown:
            stride = 1
        elif looked % PATIENCE == 0:
            stride = min(2 * stride, LONGEST_STRIDE)
        following = number + stride
    votes = sure if seen else unsure
    return max(SIDES, key=lambda side: votes[side])


def with_same_camera(options: dict[str, Any], hands: list[HandPrediction]) -> dict[str, Any]:
    """Options for the next frame: a camera that was assumed stays, for a video has one; it becomes longer where a hand demands it."""
    for hand in hands:
        if hand.camera_source == "assumed" and hand.score >= UNSURE:
            return {**options, "K": Calibration(hand.K, (hand.width, hand.height), source="assumed")}
    return options
