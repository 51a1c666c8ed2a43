"""Predicting a video: its hands tracked from frame to frame, and what is written of them.

Frames go through a `Tracker` and onto the disk one by one, so that long videos need no more memory than short ones; only what the
animations are made of is kept, two kilobytes a hand and frame. Where the video is smoothed as a whole it is read twice.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from phalanx.core.files import write_whole
from phalanx.data.images import OVERLAY
from phalanx.data.video import frames_per_second, frames_stated, timed_frames, write_video
from phalanx.hand.prediction import SIDES, HandPrediction, Side
from phalanx.predict.filters import HandState, smooth_track, with_states
from phalanx.predict.inputs import scaling
from phalanx.predict.outputs import UNSURE, VIDEO_SCHEMA, beside, heading
from phalanx.predict.predictor import Predictor
from phalanx.predict.tracker import Tracker

if TYPE_CHECKING:
    from phalanx.hand.recording import HandRecording

SHORTEST = 3
"""Frames that a hand must be seen in to be written as an animation."""

Frame = tuple[int, float, np.ndarray, list[HandPrediction]]
"""The number of a frame, its time in seconds, the frame, and the hands in it."""


def predict_video(
    predictor: Predictor,
    path: Path,
    target: Path,
    options: dict[str, Any],
    say: Callable[[str], None],
    offline: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Track the hands of a video and write beside `target` what was found.

    The files are NAME.json (`phalanx.video/1`), NAME.csv (a row a hand and frame), NAME_overlay.mp4, and where hands were seen long
    enough NAME.glb (all of them in motion) and NAME_hand0.bvh, NAME_hand1.bvh, ... by their ids. Where the video cannot be read to its
    end, what could be read is kept, and said.

    Args:
        options: as `Tracker` takes them.
        say: called with lines for people.
        offline: smooth the whole video without lag, instead of filtering it as it comes (`predict.filters`).
        progress: called with the number of frames that are done and of those that the file states, if it does.

    Returns what `Summary.done` lists. Raises InputError as `data.video.read_frames` and the predictor do.
    """
    from phalanx.hand.recording import write_hands
    from phalanx.view.overlay import draw_hands, with_gesture

    files = {ending: beside(target, ending) for ending in (".json", ".csv", f"{OVERLAY}.mp4", ".glb")}
    rate, stated = frames_per_second(path), frames_stated(path)
    notes: list[str] = []
    tremor, filtered = Tremor(), Tremor()
    taken: dict[int, Take] = {}
    count, size = 0, (0, 0)
    read = _smoothed_frames if offline else _tracked_frames
    with contextlib.ExitStack() as stack:
        add_frame = stack.enter_context(_write_frames(files[".json"], path, rate, notes))
        add_row = stack.enter_context(write_hands(files[".csv"]))
        add_picture = stack.enter_context(_in_time(files[f"{OVERLAY}.mp4"], rate))
        for number, time, image, hands in read(predictor, path, options, notes, tremor):
            count, size = number + 1, (image.shape[1], image.shape[0])
            filtered.add(number, hands)
            add_frame(number, time, hands)
            for hand in hands:
                add_row(number, hand)
                taken.setdefault(hand.id or 0, Take()).add(number, hand)
            add_picture(
                time, draw_hands(image, hands, [with_gesture(hand, f"{hand.side} {hand.id}") for hand in hands])
            )
            if progress is not None and stated is not None:
                progress(min(number + 1, stated), stated)
    hands_seen = {id: take for id, take in sorted(taken.items()) if take.is_sure}
    written = [files[".json"], files[f"{OVERLAY}.mp4"], files[".csv"]]
    if hands_seen:
        written += _write_motion(predictor, target, files[".glb"], hands_seen)
    for old in {files[".glb"], *_motions(target)} - set(written):  # of an earlier job on the same video
        old.unlink(missing_ok=True)
    listed = ", ".join(
        f"{take.side} hand {id} in {len(take)}" + ("" if take.is_sure else " (unsure: not among those in motion)")
        for id, take in sorted(taken.items())
        if len(take) >= SHORTEST
    )
    say(f"{path}: {count} frames, {listed or 'no hand'}{scaling(options['K'], *size)} -> {files[f'{OVERLAY}.mp4']}")
    if filtered.mean is not None and tremor.mean is not None:
        how = "smoothed" if offline else "filtered"
        say(
            f"{path}: joints, relative to the wrist, accelerate by {filtered.mean:.1f} mm/frame^2 on average {how}, "
            f"{tremor.mean:.1f} as predicted"
        )
    for note in notes:
        say(note)
    done = {"input": str(path), "outputs": [str(file) for file in written], "frames": count}
    return {**done, "note": "; ".join(notes)} if notes else done


class Tremor:
    """Mean acceleration of joints relative to the wrist, mm a frame squared, over all hands that are seen three frames in a row."""

    def __init__(self) -> None:
        self._last: dict[int, list[tuple[int, np.ndarray]]] = {}
        self._sum, self._count = 0.0, 0

    @property
    def mean(self) -> float | None:
        """None where there is none."""
        return self._sum / self._count if self._count else None

    def add(self, number: int, hands: Sequence[HandPrediction]) -> None:
        """Take in the hands of frame `number`."""
        kept = {}
        for hand in hands:
            past = [each for each in self._last.get(hand.id or 0, []) if each[0] >= number - 2]
            past.append((number, hand.joints_relative))
            if len(past) == 3:
                change = past[0][1] - 2 * past[1][1] + past[2][1]
                self._sum += 1e3 * float(np.linalg.norm(change[1:], axis=1).mean())
                self._count += 1
            kept[hand.id or 0] = past
        self._last = kept


@dataclass
class Take:
    """What an animation needs of one hand: the numbers of its frames, and the hand in each, without its surface."""

    frames: list[int] = field(default_factory=list)
    hands: list[_Pose] = field(default_factory=list)

    def add(self, number: int, hand: HandPrediction) -> None:
        """Append a frame."""
        self.frames.append(number)
        self.hands.append(_Pose.of(hand))

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def is_sure(self) -> bool:
        """Whether it is long and clear enough to be shown."""
        return len(self) >= SHORTEST and float(np.mean([hand.score for hand in self.hands])) >= UNSURE

    @property
    def side(self) -> Side:
        """That of most frames: in the first ones it may not be decided yet."""
        return max(SIDES, key=lambda side: sum(hand.side == side for hand in self.hands))

    def recording(self) -> HandRecording:
        """The frames of its side."""
        from phalanx.hand.recording import HandRecording

        chosen = [k for k, hand in enumerate(self.hands) if hand.side == self.side]
        hands = [self.hands[k] for k in chosen]
        joints, rotations, orientation, shape = (
            np.array([getattr(hand, name) for hand in hands], np.float64)
            for name in ("joints", "rotations", "orientation", "shape")
        )
        return HandRecording(
            self.side,
            np.array([self.frames[k] for k in chosen]),
            np.array([hand.time for hand in hands]),
            joints,
            rotations,
            orientation,
            shape,
            np.zeros((len(hands), 21), bool),
        )


@dataclass
class _Pose:
    """A hand as `HandRecording` has it: the real one's, also of mirrored pictures, and of the model's size, at the distance where it
    looks as large as the predicted one."""

    side: Side
    score: float
    time: float
    joints: np.ndarray
    rotations: np.ndarray
    orientation: np.ndarray
    shape: np.ndarray

    @staticmethod
    def of(hand: HandPrediction) -> _Pose:
        joints = hand.joints / hand.scale * [-1 if hand.mirrored else 1, 1, 1]
        values = (joints, hand.rotations, hand.orientation, hand.shape)
        return _Pose(hand.side, hand.score, hand.time or 0.0, *(value.astype(np.float32) for value in values))


def _tracked_frames(
    predictor: Predictor, path: Path, options: dict[str, Any], notes: list[str], tremor: Tremor
) -> Iterator[Frame]:
    """The hands of each frame, filtered as they come."""
    tracker = Tracker(predictor, **options)
    for number, (time, image) in enumerate(timed_frames(path, notes.append)):
        hands = tracker(image, time)
        tremor.add(number, tracker.unfiltered)
        yield number, time, image, hands


def _smoothed_frames(
    predictor: Predictor, path: Path, options: dict[str, Any], notes: list[str], tremor: Tremor
) -> Iterator[Frame]:
    """The hands of each frame, smoothed over the whole video, which is read once to predict and once to yield its frames."""
    tracker = Tracker(predictor, **options, filtered=False)
    found: dict[int, list[tuple[int, HandPrediction]]] = {}
    for number, (time, image) in enumerate(timed_frames(path, notes.append)):
        hands = tracker(image, time)
        tremor.add(number, hands)
        for hand in hands:
            found.setdefault(hand.id or 0, []).append((number, replace(hand, vertices=None, faces=None)))
    frames: dict[int, list[tuple[HandPrediction, HandState, np.ndarray]]] = {}
    for _, take in sorted(found.items()):
        side = max(SIDES, key=lambda side: sum(hand.side == side for _, hand in take))
        take = [
            (number, hand) for number, hand in take if hand.side == side
        ]  # in its first frames it may not be decided
        states, shape = smooth_track(predictor.hand, [hand for _, hand in take])
        for (number, hand), state in zip(take, states, strict=True):
            frames.setdefault(number, []).append((hand, state, shape))
    for number, (time, image) in enumerate(timed_frames(path, lambda note: None)):
        posed = frames.get(number, [])
        hands, states, shapes = ([each[0] for each in posed], [each[1] for each in posed], [each[2] for each in posed])
        yield number, time, image, predictor.named(with_states(predictor.hand, hands, states, shapes))


@contextlib.contextmanager
def _write_frames(
    path: Path, video: Path, rate: float, notes: list[str]
) -> Iterator[Callable[[int, float, list[HandPrediction]], None]]:
    """Yield a function that appends a frame to the JSON of a video; what `notes` hold at the end is in it, too."""
    with write_whole(path) as part, part.open("w", encoding="utf-8") as file:
        head = json.dumps({**heading(VIDEO_SCHEMA, video), "frames_per_second": rate}, allow_nan=False)
        file.write(head[:-1] + ', "frames": [')
        between = ""

        def append(number: int, time: float, hands: list[HandPrediction]) -> None:
            nonlocal between
            listed = [hand.to_json(mesh=False) for hand in hands]
            text = json.dumps({"frame": number, "time": round(time, 6), "hands": listed}, allow_nan=False)
            file.write(between + text)
            between = ", "

        yield append
        file.write("]" + "".join(f', "note": {json.dumps(note)}' for note in ["; ".join(notes)] if note) + "}\n")


@contextlib.contextmanager
def _in_time(path: Path, rate: float) -> Iterator[Callable[[float, np.ndarray], None]]:
    """Yield a function that appends a picture and its time to a video of a fixed rate, so that both play at the same speed.

    A picture stays until the next one comes; of several in one period of the rate the first is shown.
    """
    with write_video(path, rate) as write:
        shown = 0
        start: float | None = None
        last: np.ndarray | None = None

        def append(time: float, picture: np.ndarray) -> None:
            nonlocal shown, start, last
            start = time if start is None else start
            due = round((time - start) * rate)
            while last is not None and shown < due:
                write(last)
                shown += 1
            if shown == due:
                write(picture)
                shown += 1
            last = picture

        yield append


def _write_motion(predictor: Predictor, target: Path, glb: Path, takes: dict[int, Take]) -> list[Path]:
    """The hands in motion: one GLB, and a BVH each."""
    from phalanx.hand.formats.animation import save_animation
    from phalanx.hand.formats.bvh import save_bvh

    recordings = {id: take.recording() for id, take in takes.items()}
    names = [f"{recording.side}_hand_{id}" for id, recording in recordings.items()]
    save_animation(glb, list(recordings.values()), predictor.hand, names)
    files = [glb]
    for id, recording in recordings.items():
        files.append(beside(target, f"_hand{id}.bvh"))
        save_bvh(files[-1], recording, predictor.hand)
    return files


def _motions(target: Path) -> list[Path]:
    """The BVH files that are there of this target."""
    name = re.compile(re.escape(target.name) + r"_hand\d+\.bvh")
    return [file for file in target.parent.glob("*_hand*.bvh") if name.fullmatch(file.name)]
