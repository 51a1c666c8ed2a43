"""Reading MediaPipe's hand landmarks from JSON: results of its legacy solution, of its Tasks and of its JavaScript, and bare arrays.

A file is one result or a list of results, a frame each. World landmarks are metres, x right, y down, z away from the camera; image
landmarks are 0 to 1 across the picture, and z, relative to the wrist, counts as x does. The sides that MediaPipe names serve only to
keep two hands apart: they are those of mirrored pictures or not, which the file does not say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import read_json
from phalanx.core.json_values import Json

POINTS = 21
_WORLD = (
    "multi_hand_world_landmarks",
    "hand_world_landmarks",
    "multiHandWorldLandmarks",
    "worldLandmarks",
    "handWorldLandmarks",
)
_IMAGE = ("multi_hand_landmarks", "hand_landmarks", "multiHandLandmarks", "landmarks", "handLandmarks")
_SIDES = ("multi_handedness", "handedness", "handednesses", "multiHandedness")
_NAMES = ("label", "category_name", "categoryName", "displayName")
_FRAMES = ("frames", "results", "data")
_ARRAYS = ("joints", "keypoints", "xyz")
_TIMES = {"timestamp_ms": 1e-3, "timestampMs": 1e-3, "timestamp": 1.0, "time": 1.0}


def read_landmarks(path: Path) -> tuple[np.ndarray, np.ndarray | None, bool]:
    """What a JSON file has of one hand or two.

    Returns:
        (N, 21 or 42, 3) landmarks, NaN where a hand is not seen, or another array that the file holds as lists of numbers; (N,)
        times in seconds, or None; and whether they are places in a picture.

    Raises:
        InputError: the file is missing, damaged, or holds no landmarks; one sentence that names it.
    """
    data: Json = read_json(path)
    if isinstance(data, Mapping) and not _has(data, (*_WORLD, *_IMAGE)):
        data = next((data[key] for key in (*_FRAMES, *_ARRAYS) if key in data), None)
    frames = [data] if isinstance(data, Mapping) else data
    if not _is_list(frames) or not frames:
        raise InputError(f"{path}: is no result of MediaPipe's hands, nor a list of such results")
    results: list[Mapping[str, Json]] = []
    for number, frame in enumerate(frames):
        if isinstance(frame, Mapping):
            results.append(frame)
        elif results or any(isinstance(other, Mapping) for other in frames):
            raise InputError(f"{path}: frame {number} is no result of MediaPipe's hands")
    if not results:
        return _array(frames, path), None, False
    keys = _WORLD if any(_hands(frame, _WORLD) for frame in results) else _IMAGE
    found = [[_points(hand, path, number) for hand in _hands(frame, keys)] for number, frame in enumerate(results)]
    count = min(2, max(map(len, found)))
    if count == 0:
        raise InputError(f"{path}: no hand was found in any of its {len(results)} frames")
    points = np.full((len(results), count, POINTS, 3), np.nan)
    for number, (frame, hands) in enumerate(zip(results, found, strict=True)):
        for slot, hand in zip(_slots(_sides(frame), min(len(hands), count), count), hands, strict=False):
            points[number, slot] = hand
    return points.reshape(len(results), -1, 3), _times(results), keys is _IMAGE


def _array(values: Sequence[Json], path: Path) -> np.ndarray:
    try:
        return np.array(values, np.float64)  # null becomes NaN
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: is no result of MediaPipe's hands, nor an array of numbers") from error


def _has(frame: Mapping[str, Json], keys: Sequence[str]) -> bool:
    return any(key in frame for key in keys)


def _is_list(value: Json) -> TypeGuard[Sequence[Json]]:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _hands(frame: Mapping[str, Json], keys: Sequence[str]) -> Sequence[Json]:
    """The hands of a frame; where its landmarks are those of a single hand, that one."""
    value: Json = next((frame[key] for key in keys if frame.get(key)), None)
    if isinstance(value, Mapping):
        return [value]
    if not _is_list(value) or not value:
        return []
    return [value] if _is_point(value[0]) else value


def _is_point(value: Json) -> bool:
    if isinstance(value, Mapping):
        return "x" in value
    return _is_list(value) and len(value) > 0 and isinstance(value[0], int | float)


def _points(hand: Json, path: Path, frame: int) -> np.ndarray:
    """(21, 3) of one hand, legacy (`{"landmark": [...]}`) or Tasks (`[...]`)."""
    points = hand.get("landmark", hand.get("landmarks")) if isinstance(hand, Mapping) else hand
    try:
        rows = [_coordinates(point) for point in points] if _is_list(points) else None
        values = np.array(rows, np.float64)
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: frame {frame} has a hand whose landmarks are not numbers x, y, z") from error
    if values.shape != (POINTS, 3):
        raise InputError(f"{path}: frame {frame} has a hand of {len(rows or [])} landmarks and not of {POINTS}")
    return values


def _coordinates(point: Json) -> Sequence[Json]:
    if isinstance(point, Mapping):
        return [point[axis] for axis in "xyz"]
    if not _is_list(point):
        raise TypeError
    return point[:3]


def _slots(named: Sequence[str], hands: int, count: int) -> list[int]:
    """Where each hand of a frame belongs: by the names of its sides where these tell the hands apart, else in the file's order."""
    sides = list(named[:hands])
    if count == 2 and len(sides) == hands == len(set(sides)) and set(sides) <= {"left", "right"}:
        return [("left", "right").index(name) for name in sides]
    return list(range(hands))


def _sides(frame: Mapping[str, Json]) -> list[str]:
    listed: Json = next((frame[key] for key in _SIDES if frame.get(key)), None)
    names = []
    for entry in listed if _is_list(listed) else []:
        best = entry.get("classification", entry) if isinstance(entry, Mapping) else entry
        best = best[0] if _is_list(best) and best else best
        name = next((best[key] for key in _NAMES if best.get(key)), "") if isinstance(best, Mapping) else best
        names.append(str(name).lower())
    return names


def _times(frames: Sequence[Mapping[str, Json]]) -> np.ndarray | None:
    """Seconds of all frames; None if one has none, or if they do not increase."""
    for key, unit in _TIMES.items():
        values = [frame.get(key) for frame in frames]
        if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
            times = unit * np.array(values, np.float64)
            return times if np.isfinite(times).all() and (np.diff(times) > 0).all() else None
    return None
