"""What jobs on files write: names that nothing else has, pictures, summaries, and lines for people."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.files import write_whole
from phalanx.data.images import OVERLAY, real_path
from phalanx.hand.prediction import NO_GESTURE, HandPrediction, hand_names

PICTURE_SCHEMA = "phalanx.picture/1"
VIDEO_SCHEMA = "phalanx.video/1"
SUMMARY_SCHEMA = "phalanx.summary/1"

UNSURE = 0.5
"""Score below which what was found may be no hand: the line for people says so, and it has no say in which hand a video shows."""

ENDINGS = (".json", f"{OVERLAY}.png", f"{OVERLAY}.mp4", ".glb", ".csv", ".bvh")
"""What the names of results end in, behind the name that they share."""

_HEAD = re.compile(
    r'\s*\{\s*"schema":\s*"phalanx\.(?:picture|video)/\d+",\s*"input":\s*("(?:[^"\\]|\\.)*")(?:,\s*"file":\s*("(?:[^"\\]|\\.)*"))?'
)


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


def heading(schema: str, path: Path) -> dict[str, Any]:
    """How a file of results begins, by which a later job knows whose results these are."""
    return {"schema": schema, "input": str(path), "file": real_path(path)}


def output_stems(paths: Sequence[Path], folder: Path) -> list[str]:
    """A different name for the results of each input: its own without the suffix where that is free, else with _2, _3, ... behind.

    In `folder` a name is free if no file of a result's name is there, or if the results there are of the same input. Names that differ
    in case alone count as the same, because on some systems they are.
    """
    wanted = [path.stem for path in paths]
    own = {stem.casefold() for stem in wanted}
    taken: set[str] = set()
    result = []
    for path, stem in zip(paths, wanted, strict=True):
        name, number = stem, 1
        while name.casefold() in taken or (number > 1 and name.casefold() in own) or not _is_free(folder / name, path):
            number += 1
            name = f"{stem}_{number}"
        taken.add(name.casefold())
        result.append(name)
    return result


def _is_free(target: Path, path: Path) -> bool:
    """Whether results of `path` may be written as `target` and an ending each."""
    if not any(beside(target, ending).exists() for ending in ENDINGS):
        return True
    try:
        with beside(target, ".json").open(encoding="utf-8") as file:
            head = _HEAD.match(file.read(1 << 16))
    except (OSError, ValueError):
        return False
    if head is None:
        return False
    given, absolute = head.groups()
    return real_path(path) == (real_path(Path(json.loads(given))) if absolute is None else json.loads(absolute))


def beside(target: Path, ending: str) -> Path:
    """The path of a result: `target` with an ending, whatever dots are in its name."""
    return target.with_name(target.name + ending)


def describe(hand: HandPrediction, number: int | None = None) -> str:
    """One line about a hand, for people; `number` of a hand among several of its side."""
    bends = [
        f"{finger} {sum(hand.angles_degrees[f'{finger}_{joint}_flexion'] for joint in joints):.0f}"
        for finger, joints in (("thumb", ("mcp", "ip")), *((f, ("mcp", "pip", "dip")) for f in _LONG_FINGERS))
    ]
    which = f"{hand.side} hand" if number is None else f"{hand.side} hand {number}"
    detected = "" if hand.detection is None else f", detected with {hand.detection:.2f}"
    hint = "" if hand.detection is not None else ": is there one hand, large enough? see --box"
    doubt = f" (unsure{hint})" if hand.score < UNSURE else ""
    distance = f"{'about ' if hand.camera_source == 'assumed' else ''}{hand.joints[0, 2]:.2f} m away"
    bent = f"joints bent in sum (degrees) {', '.join(bends)}"
    return f"{which}{_gesture(hand)}{detected}, score {hand.score:.2f}{doubt}, {distance}, {bent}"


def _gesture(hand: HandPrediction) -> str:
    """What its gesture is called, if that was asked for."""
    if hand.gesture is None or hand.gesture_probability is None:
        return ""
    what = "" if hand.gesture != NO_GESTURE else "the likeliest has "
    return f", gesture {hand.gesture} ({what}{100 * hand.gesture_probability:.0f} %)"


def describe_all(hands: Sequence[HandPrediction]) -> list[str]:
    """A line about each hand of a picture; several are numbered as `hand.prediction.hand_names` does."""
    numbers = [int(name.split("_")[1]) if len(hands) > 1 else None for name in hand_names(hands)]
    return [describe(hand, number) for hand, number in zip(hands, numbers, strict=True)]


_LONG_FINGERS = ("index", "middle", "ring", "little")


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a picture (H, W, 3) uint8 RGB, whole or not at all."""
    import cv2

    with write_whole(path) as part:
        ok, content = cv2.imencode(".png", np.ascontiguousarray(picture[..., ::-1]))
        if not ok:
            raise RuntimeError(f"{path}: PNG encoding failed")
        part.write_bytes(content.tobytes())
