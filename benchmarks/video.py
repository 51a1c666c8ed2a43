"""Phalanx and MediaPipe Hands tracking the hand of one video, frame by frame in turns, with one table.

    python benchmarks/video.py FILE [--mediapipe-python PATH] [--frames N] [--box whole] [--json FILE]
    python benchmarks/video.py --synthetic N

Nothing is told to either: no camera, no side. Of each: frames without a hand; how many numbers the hand had; the mean acceleration of the
joints relative to the wrist, in mm a frame squared, which is how much they tremble where a hand moves slowly (Phalanx as the estimator
gives it, through the One-Euro filter, and smoothed as a whole); and median milliseconds a frame, of the clock and of the processor, with
and without drawing. Each measures its own time, without the pipe between the processes.

Of N synthetic clips, whose joints are known: mean error relative to the wrist after one scale a frame, in mm, in the picture, in pixels,
and the lag in frames (`metrics.video.lag`) in the picture. Filters were set on other clips of the kind.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from child import Child, ChildError
from rich.console import Console
from rich.table import Table

from phalanx.core.errors import InputError
from phalanx.data.video import timed_frames
from phalanx.hand.prediction import HandPrediction
from phalanx.metrics.video import accelerations, lag
from phalanx.predict.filters import smoothed
from phalanx.predict.predictor import Predictor
from phalanx.predict.tracker import Tracker
from phalanx.synth import SynthConfig, stream
from phalanx.view.overlay import draw_hands

WORKER = Path(__file__).with_name("mediapipe_worker.py")
WAYS = ("as predicted", "filtered", "smoothed")
SYNTHETIC_SEED = 5150


def shake(joints: list[np.ndarray | None]) -> float:
    """Mean acceleration, mm a frame squared, of joints (21, 3) in metres, None where there are none; relative to the wrist, which is left
    out."""
    found = [np.full((21, 3), np.nan) if each is None else each - each[:1] for each in joints]
    seen = np.array([each is not None for each in joints])
    filled = np.nan_to_num(np.stack(found))
    return float(1e3 * np.nanmean(accelerations(filled, 1, np.repeat(seen[:, None], 21, 1))[:, 1:]))


def first(hands: list[HandPrediction]) -> HandPrediction | None:
    return hands[0] if hands else None


def track(arguments: argparse.Namespace) -> dict[str, Any]:
    """Both on one video."""
    child = None
    if arguments.mediapipe_python:
        try:
            child = Child([arguments.mediapipe_python, str(WORKER), "video"])
        except ChildError as error:
            raise InputError(f"--mediapipe-python: {error}") from error
    predictor = Predictor(arguments.weights)
    tracker = Tracker(predictor, box=arguments.box, max_hands=1)
    times: dict[str, list[float]] = defaultdict(list)
    found: dict[str, list[HandPrediction | None]] = {way: [] for way in WAYS}
    theirs: list[np.ndarray | None] = []
    ids: list[int] = []
    for number, (seconds, image) in enumerate(timed_frames(arguments.file)):
        if number == arguments.frames:
            break
        start = time.perf_counter(), time.process_time()
        hands = tracker(image, seconds)
        tracked = time.perf_counter(), time.process_time()
        draw_hands(image, hands, [f"{hand.side} {hand.id}" for hand in hands])
        drawn = time.perf_counter(), time.process_time()
        for name, end in (("tracked", tracked), ("with overlay", drawn)):
            times[name].append(1e3 * (end[0] - start[0]))
            times[f"{name}, processor"].append(1e3 * (end[1] - start[1]))
        found["as predicted"].append(first(tracker.unfiltered))
        found["filtered"].append(first(hands))
        ids += [hand.id for hand in hands if hand.id is not None]
        if child is not None:
            size = {"height": image.shape[0], "width": image.shape[1]}
            answer = child.ask(size, np.ascontiguousarray(image).tobytes())
            theirs.append(None if answer["joints"] is None else np.array(answer["joints"]))
            times["MediaPipe"].append(answer["ms"])
            times["MediaPipe, processor"].append(answer["cpu_ms"])
    raw = [hand for hand in found["as predicted"] if hand is not None]
    calm = {hand.time: hand for hand in smoothed(predictor.hand, [replace(h, vertices=None, faces=None) for h in raw])}
    found["smoothed"] = [None if hand is None else calm[hand.time] for hand in found["as predicted"]]
    result: dict[str, Any] = {
        "frames": len(found["filtered"]),
        "lost": sum(hand is None for hand in found["filtered"]),
        "ids": len(set(ids)),
        "sides": sorted({hand.side for hand in found["filtered"] if hand is not None}),
        "acceleration_mm": {
            way: shake([None if hand is None else hand.joints for hand in hands]) for way, hands in found.items()
        },
        "ms": {name: float(np.median(values)) for name, values in times.items()},
    }
    if child is not None:
        result["mediapipe"] = {"lost": sum(joints is None for joints in theirs), "version": child.greeting["version"]}
        result["acceleration_mm"]["MediaPipe"] = shake(theirs)
        child.close()
    return result


def errors(hands: list[HandPrediction | None], true: np.ndarray, pixels: np.ndarray) -> dict[str, float]:
    """Of one clip, in the frames with a hand: `true` (T, 21, 3) metres, `pixels` (T, 21, 2)."""
    seen = [k for k, hand in enumerate(hands) if hand is not None]
    joints = np.stack([hand.joints for hand in hands if hand is not None])
    places = np.stack([hand.joints_2d for hand in hands if hand is not None])
    a, b = joints - joints[:, :1], (true - true[:, :1])[seen]
    a = a * (np.linalg.norm(b, axis=(1, 2)) / np.linalg.norm(a, axis=(1, 2)))[:, None, None]
    return {
        "root-relative, mm": float(1e3 * np.linalg.norm(a - b, axis=-1).mean()),
        "2D, px": float(np.linalg.norm(places - pixels[seen], axis=-1).mean()),
        "lag, frames": lag(places, pixels[seen]) if len(seen) == len(hands) else float("nan"),
        "acceleration, mm": shake([None if hand is None else hand.joints for hand in hands]),
    }


def clips(arguments: argparse.Namespace) -> dict[str, Any]:
    """Phalanx alone, on synthetic clips; the hand's side and camera are given, and a box around where it is in the first frame."""
    predictor = Predictor(arguments.weights)
    config = SynthConfig(size=256, scene="motion", frames=60, chunk=60, dense=False)
    rows: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for chunk, _ in zip(stream(config, SYNTHETIC_SEED), range(arguments.synthetic), strict=False):
        assert chunk.image is not None and chunk.joints is not None
        assert chunk.joints_2d is not None and chunk.K is not None
        pictures = (chunk.image * 255).round().byte().permute(0, 2, 3, 1).numpy()
        true, pixels = chunk.joints.double().numpy(), chunk.joints_2d.double().numpy()
        tracker = Tracker(predictor, box="whole", K=chunk.K[0].double().numpy(), side="right")
        found: dict[str, list[HandPrediction | None]] = {way: [] for way in WAYS}
        for picture in pictures:
            found["filtered"].append(first(tracker(picture)))
            found["as predicted"].append(first(tracker.unfiltered))
        raw = [hand for hand in found["as predicted"] if hand is not None]
        if len(raw) < 20:
            continue
        calm = {hand.time: hand for hand in smoothed(predictor.hand, raw)}
        found["smoothed"] = [None if hand is None else calm[hand.time] for hand in found["as predicted"]]
        for way, hands in found.items():
            rows[way].append(errors(hands, true, pixels))
    names = list(rows["filtered"][0])
    return {way: {name: float(np.nanmean([row[name] for row in each])) for name in names} for way, each in rows.items()}


def show(title: str, columns: dict[str, dict[str, float]]) -> None:
    """A table: rows by name, columns of figures by name."""
    table = Table(title=title)
    table.add_column("")
    names = list(dict.fromkeys(name for column in columns.values() for name in column))
    for name in columns:
        table.add_column(name, justify="right")
    for name in names:
        table.add_row(name, *(f"{column[name]:.2f}" if name in column else "" for column in columns.values()))
    Console(width=140).print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", help="a video of one hand")
    parser.add_argument("--mediapipe-python", metavar="PATH", help="Python of an environment with MediaPipe")
    parser.add_argument("--frames", type=int, metavar="N", help="only the first N")
    parser.add_argument("--box", choices=("whole",), help="Phalanx starts from the whole picture, without its detector")
    parser.add_argument("--weights", metavar="FILE", help="of the estimator (default: those in the package)")
    parser.add_argument("--synthetic", type=int, metavar="N", help="N synthetic clips instead of a video")
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON")
    arguments = parser.parse_args()
    if (arguments.file is None) == (arguments.synthetic is None):
        parser.error("give a video or --synthetic N")
    try:
        if arguments.synthetic is not None:
            result = clips(arguments)
            show(f"{arguments.synthetic} synthetic clips", result)
        else:
            result = track(arguments)
            theirs = result.get("mediapipe", {})
            show("mean acceleration, mm a frame squared", {"": result["acceleration_mm"]})
            show("median ms a frame", {"": result["ms"]})
            print(
                f"{result['frames']} frames: Phalanx lost {result['lost']}, ids {result['ids']}, sides {result['sides']}"
            )
            print(f"MediaPipe lost {theirs['lost']}" if theirs else "without MediaPipe")
        if arguments.json:
            Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    except InputError as error:
        print(f"video: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
