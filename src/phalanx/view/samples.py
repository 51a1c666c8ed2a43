"""Pictures of samples with their labels on top, for sheets to look at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import writable_file, write_whole
from phalanx.data.images import image_bytes
from phalanx.data.sample import Sample
from phalanx.geometry.crops import SquareBox, box_around_picture, box_around_points, square_crop
from phalanx.hand.skeleton import BONES

_FINGER_COLOURS = (
    (230, 40, 40),
    (250, 170, 20),
    (60, 200, 60),
    (40, 120, 250),
    (210, 60, 230),
)  # RGB, thumb to little finger
BOX_COLOURS = ((40, 220, 60), (250, 150, 20))  # RGB
_AROUND = 1.6  # side of a tile over that of the square around the joints


def draw_joints(tile: np.ndarray, joints_2d: np.ndarray, scale: int = 2, valid: np.ndarray | None = None) -> np.ndarray:
    """The skeleton drawn over an RGB tile `(S, S, 3)` uint8, `scale` times enlarged; `joints_2d (21, 2)` in the tile's pixels.

    Joints that are not `valid (21,)`, and bones that end in one, are left out.
    """
    size = tile.shape[0] * scale
    known = np.ones(21, dtype=bool) if valid is None else np.asarray(valid, dtype=bool)
    canvas = np.ascontiguousarray(cv2.resize(tile, (size, size), interpolation=cv2.INTER_CUBIC))
    points = np.round((np.nan_to_num(joints_2d) + 0.5) * scale - 0.5).clip(-9999, 9999).astype(int).tolist()
    for a, b in BONES:
        if known[a] and known[b]:
            cv2.line(canvas, points[a], points[b], _FINGER_COLOURS[(b - 1) // 4], max(1, scale), cv2.LINE_AA)
    for j in range(1, 21):
        if known[j]:
            cv2.circle(canvas, points[j], scale + 1, _FINGER_COLOURS[(j - 1) // 4], -1, cv2.LINE_AA)
    return canvas


def draw_boxes(
    tile: np.ndarray, boxes: np.ndarray, scale: float = 2.0, colours: Sequence[tuple[int, int, int]] = BOX_COLOURS
) -> np.ndarray:
    """Boxes `(N, 4)` drawn over an RGB tile, `scale` times enlarged, each in its colour; usually this hand's green, the other's orange."""
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas = np.ascontiguousarray(cv2.resize(tile, None, fx=scale, fy=scale, interpolation=smooth))
    for (x, y, width, height), colour in zip(boxes.tolist(), colours, strict=True):
        if width > 0:
            corners = np.array([[x, y], [x + width, y + height]])
            first, last = (corners * scale).round().astype(int).tolist()
            cv2.rectangle(canvas, first, last, colour, max(1, int(scale)))
    return canvas


def depth_picture(depth: np.ndarray, shown: np.ndarray | None = None) -> np.ndarray:
    """Depth `(S, S)` in metres as an RGB picture uint8: near is red, far is blue, no reading is black.

    Colours span the depths where `shown (S, S)` is true, everything where it is None.
    """
    read = depth[(depth > 0) if shown is None else (depth > 0) & shown]
    near, far = (float(np.quantile(read, q)) for q in (0.02, 0.98)) if len(read) else (0.0, 1.0)
    grey = np.clip(255 * (far - depth) / max(far - near, 0.02), 0, 255).astype(np.uint8)
    coloured = cv2.applyColorMap(grey, cv2.COLORMAP_TURBO)[..., ::-1]
    return np.where((depth > 0)[..., None], coloured, 0).astype(np.uint8)


def draw_sample(sample: Sample, side: int = 224) -> np.ndarray:
    """The first hand of a sample, cut out around its joints and with them on top: `(side, side, 3)` uint8 RGB.

    Colour where there is any, else depth (as sensed, or the hand's), else mask, else nothing; without joints the whole picture.
    """
    picture = _picture(sample)
    height, width = picture.shape[:2]
    box, joints, known = box_around_picture(width, height), None, None
    if sample.joints_2d is not None:
        joints = sample.joints_2d[0].double().numpy()
        known = np.ones(21, dtype=bool) if sample.valid is None else sample.valid[0].numpy() > 0
        if known.any():
            box = box_around_points(joints[known], _AROUND)
            box = SquareBox(box.centre_x, box.centre_y, max(box.side, 16.0))
    corners = box.corners()
    if (corners.max(0) < 0).any() or corners[:, 0].min() >= width or corners[:, 1].min() >= height:
        box = box_around_picture(width, height)  # labels beside the picture: that is what there is to see
    tile, crop_to_image = square_crop(picture, box, side // 2, "constant")
    if joints is None:
        return cv2.resize(tile, (side, side), interpolation=cv2.INTER_CUBIC)
    placed = np.c_[joints, np.ones(21)] @ np.linalg.inv(crop_to_image).T  # (21, 3)
    return draw_joints(tile, placed[:, :2], 2, known)


def sheet(tiles: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Tiles of one size, row by row, on white: RGB uint8."""
    blank = np.full_like(tiles[0], 255)
    rows = -(-len(tiles) // columns)
    filled = [*tiles, *[blank] * (rows * columns - len(tiles))]
    return np.vstack([np.hstack(filled[row * columns : (row + 1) * columns]) for row in range(rows)])


def writable_sheet(path: str | Path) -> Path:
    """`path` as a Path. Raises InputError if its name is not a picture's or if it cannot be written."""
    path = Path(path)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InputError(f"{path}: the name of a sheet must end in .png or .jpg")
    writable_file(path)
    return path


def write_sheet(path: str | Path, picture: np.ndarray) -> None:
    """Write an RGB picture `(H, W, 3)` uint8, whole or not at all. Raises InputError as `writable_sheet`."""
    path = writable_sheet(path)
    ok, data = cv2.imencode(path.suffix.lower(), picture[..., ::-1])
    if not ok:
        raise InputError(f"{path}: could not be encoded")
    with write_whole(path) as temporary:
        temporary.write_bytes(data.tobytes())


def _picture(sample: Sample) -> np.ndarray:
    """`(H, W, 3)` uint8."""
    if sample.image is not None:
        return image_bytes(sample.image[0])
    for depth in (sample.sensed_depth, sample.depth):
        if depth is not None:
            return depth_picture(depth[0].numpy())
    if sample.mask is not None:
        return np.repeat((sample.mask[0] * 255).round().byte().numpy()[..., None], 3, axis=-1)
    return np.zeros((224, 224, 3), dtype=np.uint8)
