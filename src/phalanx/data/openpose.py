"""Reading OpenPose's JSON: one file a frame, each with the people in it and the 21 points of either hand of theirs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_json
from phalanx.hand.prediction import SIDES, Side


def openpose_files(folder: Path) -> list[Path]:
    """The files of frames in a folder, by their names."""
    return sorted(path for path in folder.glob("*_keypoints.json") if not path.name.startswith("."))


def read_openpose(paths: Sequence[Path]) -> dict[Side, dict[str, np.ndarray]]:
    """The hands of the surest person of each frame, by side and then by the frame's name (the file's without `_keypoints.json`).

    A hand is (21, 3): x and y in pixels, (0, 0) the centre of the first one, and confidence; hands without any confidence are left out.
    Which person that is may change from frame to frame: the file does not tell people apart.

    Raises:
        InputError: a file is missing, damaged, or not OpenPose's; one sentence that names it.
    """
    found: dict[Side, dict[str, np.ndarray]] = {side: {} for side in SIDES}
    for path in paths:
        data = read_json(path)
        people = data.get("people") if isinstance(data, Mapping) else None
        if not isinstance(people, list):
            raise InputError(f"{path}: is no result of OpenPose: it lists no people")
        for side in SIDES:
            hands = [_hand(person, f"hand_{side}_keypoints_2d", path) for person in people]
            sure = [hand for hand in hands if hand is not None and hand[:, 2].sum() > 0]
            if sure:
                found[side][path.stem.removesuffix("_keypoints")] = max(sure, key=lambda hand: float(hand[:, 2].sum()))
    return found


def frame_number(name: str) -> int | None:
    """The number that the name of a frame's file ends in, or None."""
    digits = re.search(r"(\d+)$", name)
    return None if digits is None else int(digits[1])


def _hand(person: object, key: str, path: Path) -> np.ndarray | None:
    values = person.get(key) if isinstance(person, Mapping) else None
    if not values:
        return None
    try:
        return np.array(values, np.float64).reshape(21, 3)
    except (TypeError, ValueError) as error:
        raise InputError(f"{path}: {key} must be 63 numbers, x, y and confidence of 21 points") from error
