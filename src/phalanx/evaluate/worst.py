"""One sheet of the photos with the largest error, to see why."""

from pathlib import Path

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import write_whole
from phalanx.data.public.photos3d import Photos3D
from phalanx.evaluate.groups import curled_fingers, views
from phalanx.evaluate.predictions import JointPredictions
from phalanx.hand.skeleton import BONES
from phalanx.metrics.joints import end_point_errors, procrustes_errors, root_scaled_errors

_COLUMNS, _ZOOM, _CAPTION = 5, 1.5, 22  # tiles a row, enlargement of photos, caption's height in pixels
_TRUTH = (255, 255, 255)
_FINGERS = [(255, 150, 0), (255, 230, 0), (60, 230, 60), (60, 160, 255), (230, 80, 255)]  # RGB, thumb to little


def worst_photos(photos: Photos3D, predictions: JointPredictions, count: int) -> np.ndarray:
    """Indices of the photos with the largest mean 2D error, missed ones first: `(min(count, N),)`."""
    error = np.full(len(photos), np.inf)
    found = predictions.found
    error[found] = end_point_errors(predictions.joints_2d[found], photos.joints_2d[found]).mean(axis=1)
    return np.argsort(-error, kind="stable")[:count]


def draw_worst(photos: Photos3D, predictions: JointPredictions, count: int, path: str | Path) -> None:
    """Write a sheet of the worst photos: truth in white, prediction in a colour a finger, errors in the caption.

    Raises InputError for a count below 1 and for a file that cannot be written.
    """
    if count < 1:
        raise InputError(f"worst_count: at least 1 expected, got {count}")
    tiles = [_tile(photos, predictions, int(index)) for index in worst_photos(photos, predictions, count)]
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[start : start + _COLUMNS]) for start in range(0, len(tiles), _COLUMNS)]
    legend = np.zeros((_CAPTION, rows[0].shape[1], 3), np.uint8)
    text = "white: truth; colours: prediction. Caption: photo, view, curled fingers: 2D error, root-relative / aligned error"
    rows.append(cv2.putText(legend, text, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (200, 200, 200), 1, cv2.LINE_AA))
    encoded = cv2.imencode(".png", cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))[1]
    with write_whole(path) as temporary:
        temporary.write_bytes(encoded.tobytes())


def _tile(photos: Photos3D, predictions: JointPredictions, index: int) -> np.ndarray:
    image = photos.image(index)
    size = (round(image.shape[1] * _ZOOM), round(image.shape[0] * _ZOOM))
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    _draw(image, photos.joints_2d[index], [_TRUTH] * 5)
    joints = photos.joints[[index]]
    about = f"{Path(photos.image_paths[index]).stem} {views(joints, photos.side)[0]} {curled_fingers(joints)[0]}c"
    if predictions.found[index]:
        _draw(image, predictions.joints_2d[index], _FINGERS)
        pixels = end_point_errors(predictions.joints_2d[[index]], photos.joints_2d[[index]]).mean()
        scaled = root_scaled_errors(predictions.joints[[index]], joints).mean() * 1e3
        aligned = procrustes_errors(predictions.joints[[index]], joints).mean() * 1e3
        about += f": {pixels:.0f} px, {scaled:.0f} / {aligned:.0f} mm"
    else:
        about += ": missed"
    tile = np.vstack([np.zeros((_CAPTION, *image.shape[1:]), np.uint8), image])
    return cv2.putText(tile, about, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)


def _draw(image: np.ndarray, joints_2d: np.ndarray, colours: list[tuple[int, int, int]]) -> None:
    # Positions far outside come from wrong predictions; OpenCV wants them to fit in an int
    points = np.clip(((joints_2d + 0.5) * _ZOOM - 0.5).round(), -10_000, 10_000).astype(int).tolist()
    for parent, joint in BONES:
        cv2.line(image, points[parent], points[joint], colours[(joint - 1) // 4], 2, cv2.LINE_AA)
    for joint, point in enumerate(points):
        cv2.circle(image, point, 3, colours[max(joint - 1, 0) // 4], -1, cv2.LINE_AA)
