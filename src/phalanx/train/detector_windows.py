"""What the detector learns from: windows of pictures, and the hands in them.

A square window is drawn anew each time: a part of a frame about a hand or anywhere, or the whole frame and more, at any scale, mirrored
half of the time; what the window cuts off is no longer seen. Crops of one hand, and photographs, are shown alone or as a grid of several,
each with a window of its own, which makes small hands of large ones. Hands of photographs are also cut out and put before pictures
without hands.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from phalanx.core.errors import InputError
from phalanx.data.frames import Frames
from phalanx.data.images import PICTURE_SUFFIXES, read_photo
from phalanx.data.sample import Sample
from phalanx.geometry.crops import SquareBox, square_crop
from phalanx.methods.detector import STRIDE, Scenes
from phalanx.predict.detection import overlap
from phalanx.predict.looks import CROP_FACTOR
from phalanx.predict.predictor import Predictor
from phalanx.train.augment import augment
from phalanx.train.cutouts import cut_out

LEAST = 8.0
"""Pixels of the longer side of a hand's box, below which it is unclear."""

LEAST_SHARE = 0.2
"""Of a hand, below which it is unclear."""

_GONE = 0.02  # share below which it is not there
_GRIDS, _GRID_CHANCES = (1, 2, 3), (0.6, 0.25, 0.15)  # crops along a side of a picture
_SURE = 0.5  # score of the estimator from which a photograph's own label is kept
_FLESH = 0.05  # about joints, in sides of their box
_PALM = (0, 5, 17)  # wrist, and knuckles of index and little finger


def kept_of_frames(frames: Frames) -> dict[str, np.ndarray]:
    """What training keeps of frames: pictures and masks as bytes, hands by their joints and boxes."""
    hands = (frames.masks > 0).float()[:, None]
    return {
        "image": (frames.image * 255).round().to(torch.uint8).numpy(),
        "mask": (functional.avg_pool2d(hands, STRIDE)[:, 0] * 255).round().to(torch.uint8).numpy(),
        "there": frames.present.numpy(),
        "right": (frames.side == 0).numpy(),
        "boxes": _edges(frames.boxes).numpy(),
        "share": frames.share.numpy(),
        "joints_2d": frames.joints_2d.numpy(),
        "palms": palms(frames.joints, frames.side == 0).numpy(),
    }


def kept_of_crops(sample: Sample) -> dict[str, np.ndarray]:
    """The same of pictures of one right hand each; their masks hold forearms, too, and are not kept."""
    assert sample.image is not None and sample.joints is not None and sample.joints_2d is not None
    size = sample.image.shape[-1]
    return {
        "image": (sample.image * 255).round().to(torch.uint8).numpy(),
        "there": np.ones((len(sample), 1), bool),
        "right": np.ones((len(sample), 1), bool),
        "boxes": _about(sample.joints_2d.numpy(), size, size)[:, None],
        "share": np.ones((len(sample), 1), np.float32),
        "joints_2d": sample.joints_2d[:, None].numpy(),
        "palms": palms(sample.joints, torch.tensor(True))[:, None].numpy(),
    }


def palms(joints: Tensor, right: Tensor) -> Tensor:
    """Where palms face, unit vectors (..., 3), of joints (..., 21, 3); `right` (...) says of which side they are."""
    wrist, index, little = (joints[..., joint, :] for joint in _PALM)
    normal = torch.linalg.cross(index - wrist, little - wrist)
    return functional.normalize(torch.where(right[..., None], normal, -normal), dim=-1)


def labelled_photographs(folder: Path, predictor: Predictor | None = None) -> dict[str, np.ndarray]:
    """Photographs of one hand each at the size of the smallest, 96 pixels at least, with the estimator's own labels where it is sure.

    Raises:
        InputError: there are none.
    """
    predictor = predictor or Predictor()
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in PICTURE_SUFFIXES)
    rows: list[dict[str, np.ndarray]] = []
    for path in paths:
        image = read_photo(path)[0]
        whole = (0, 0, image.shape[1], image.shape[0])
        for hand in predictor(image, box=whole):
            if hand.score < _SURE:
                continue
            rows.append(_of_photograph(image, hand.joints_2d, hand.side == "right", hand.joints))
    if not rows:
        raise InputError(f"{folder}: holds no photographs of hands of which the estimator is sure")
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


_PHOTOGRAPH = 128  # pixels, side of photographs as they are kept


def _of_photograph(image: np.ndarray, joints_2d: np.ndarray, right: bool, joints: np.ndarray) -> dict[str, np.ndarray]:
    height, width = image.shape[:2]
    box = SquareBox((width - 1) / 2, (height - 1) / 2, max(height, width))
    square, to_image = square_crop(image, box, _PHOTOGRAPH)
    own = (joints_2d - to_image[:2, 2]) / to_image[0, 0]
    return {
        "image": square.transpose(2, 0, 1),
        "cover": cut_out(square, own),
        "there": np.array([True]),
        "right": np.array([right]),
        "boxes": _about(own, _PHOTOGRAPH, _PHOTOGRAPH)[None],
        "share": np.ones(1, np.float32),
        "joints_2d": own[None].astype(np.float32),
        "palms": palms(torch.from_numpy(joints[None].astype(np.float32)), torch.tensor([right])).numpy(),
    }


def _about(joints: np.ndarray, width: int, height: int, low_edge: int = 0) -> np.ndarray:
    """Edges (..., 4) of boxes about joints (..., 21, 2) and the flesh on them, within the picture."""
    low, high = joints.min(-2) + 0.5, joints.max(-2) + 0.5
    margin = _FLESH * (high - low).max(-1, keepdims=True)
    edges = np.concatenate([low - margin, high + margin], -1)
    return np.clip(edges, low_edge, [width, height, width, height]).astype(np.float32)


_HANDLESS = (320, 240)  # width and height of pictures without hands as they are kept


def handless_pictures(folder: Path) -> dict[str, np.ndarray]:
    """Pictures without hands, as `kept_of_frames` has frames.

    Raises:
        InputError: there are none.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES)
    if not paths:
        raise InputError(f"{folder}: holds no pictures")
    count = len(paths)
    shown = [cv2.resize(read_photo(path)[0], _HANDLESS, interpolation=cv2.INTER_AREA) for path in paths]
    return {
        "image": np.stack(shown).transpose(0, 3, 1, 2),
        "mask": np.zeros((count, _HANDLESS[1] // STRIDE, _HANDLESS[0] // STRIDE), np.uint8),
        "there": np.zeros((count, 1), bool),
        "right": np.zeros((count, 1), bool),
        "boxes": np.zeros((count, 1, 4), np.float32),
        "share": np.zeros((count, 1), np.float32),
        "joints_2d": np.zeros((count, 1, 21, 2), np.float32),
        "palms": np.zeros((count, 1, 3), np.float32),
    }


@dataclass
class _View:
    """A window of a picture and the N hands in it, pixels from its edge."""

    image: np.ndarray  # (s, s, 3)
    mask: np.ndarray  # (s / 4, s / 4)
    present: np.ndarray
    unclear: np.ndarray
    right: np.ndarray
    boxes: np.ndarray
    squares: np.ndarray
    turns: np.ndarray
    palms: np.ndarray


def finish_frames(kept: dict[str, Tensor], size: int, random: torch.Generator) -> Scenes:
    """Windows of frames so kept at `size` x `size`, augmented."""
    draw = _numpy(random)
    rows = _arrays(kept)
    views = []
    for i in range(len(rows["image"])):
        row = {name: values[i] for name, values in rows.items()}
        views.append(_view(row, _frame_window(row, size, draw), size, bool(draw.random() < 0.5)))
    return _scenes(views, random)


def finish_crops(kept: dict[str, Tensor], size: int, random: torch.Generator) -> Scenes:
    """Pictures of one hand, or grids of several, at `size` x `size`, augmented."""
    draw = _numpy(random)
    rows = _arrays(kept)
    count = len(rows["image"])
    views = []
    for i in range(count):
        along = int(draw.choice(_GRIDS, p=_GRID_CHANCES))
        side = size // along // 16 * 16
        parts = []
        for k in range(along**2):
            row = {name: values[i if k == 0 else int(draw.integers(count))] for name, values in rows.items()}
            parts.append(_view(row, _crop_window(row, draw), side, bool(draw.random() < 0.5)))
        views.append(_grid(parts, along, side, size))
    return _scenes(views, random)


def finish_photographs(
    rooms: Callable[[], dict[str, np.ndarray]], kept: dict[str, Tensor], size: int, random: torch.Generator
) -> Scenes:
    """As `finish_crops`; but most hands are cut out and put before pictures without hands, one to `_MOST_PUT` together."""
    draw = _numpy(random)
    rows, behind = _arrays(kept), rooms()
    count = len(rows["image"])
    views = []
    for i in range(count):
        if draw.random() < _PLAIN:
            alone = {name: values[i] for name, values in rows.items()}
            part = _view(alone, _crop_window(alone, draw), size, bool(draw.random() < 0.5))
            views.append(_grid([part], 1, size, size))
            continue
        room = {name: values[int(draw.integers(len(behind["image"])))] for name, values in behind.items()}
        picture = _view(room, _frame_window(room, size, draw), size, bool(draw.random() < 0.5)).image.copy()
        parts: list[_View] = []
        for k in range(int(draw.integers(1, _MOST_PUT + 1))):
            row = {name: values[i if k == 0 else int(draw.integers(count))] for name, values in rows.items()}
            put = _put(picture, row, [part.boxes[0] for part in parts], size, draw)
            parts += [] if put is None else [put]
        views.append(_filled_up(picture, parts, size))
    return _scenes(views, random)


_PLAIN = 0.25  # share of photographs that are shown as they are
_MOST_PUT = 3
_TURN = 0.5  # radians, standard deviation of turns of hands that are put before others
_ANY_TURN = 0.25  # share of them that are turned anyhow


def _put(
    picture: np.ndarray, row: dict[str, np.ndarray], taken: list[np.ndarray], size: int, draw: np.random.Generator
) -> _View | None:
    """Put the hand of a photograph into a picture (S, S, 3), in place; None, and nothing done, where another one is."""
    joints = row["joints_2d"][0].astype(np.float64)
    extent = float(np.ptp(joints, axis=0).max())
    scale = float(np.exp(draw.uniform(np.log(11.0), np.log(0.9 * size)))) / extent
    angle = draw.uniform(-np.pi, np.pi) if draw.random() < _ANY_TURN else draw.normal(0, _TURN)
    flip = bool(draw.random() < 0.5)
    goal = draw.uniform(0.02, 0.98, 2) * size
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    linear = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([-1.0 if flip else 1.0, 1.0])
    offset = goal - linear @ (0.5 * (joints.min(0) + joints.max(0)))
    moved = joints @ linear.T + offset
    box = _about(moved, size, size)
    if any(overlap(_corner(box), _corner(other)) > 0.05 for other in taken):
        return None
    shrink = max(int(1 / scale), 1)  # so that nothing aliases
    sides = [max(extent // shrink, 1) for extent in row["image"].shape[:0:-1]]
    small, cover = (
        cv2.resize(np.ascontiguousarray(values), sides, interpolation=cv2.INTER_AREA)
        for values in (row["image"].transpose(1, 2, 0), row["cover"])
    )
    ratio = row["image"].shape[2] / sides[0]
    there = np.concatenate([linear * ratio, (offset + linear @ np.full(2, 0.5 * (ratio - 1)))[:, None]], 1)
    hand = cv2.warpAffine(small, there, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    share = cv2.warpAffine(cover, there, (size, size), flags=cv2.INTER_LINEAR)[..., None] / np.float32(255)
    around = picture.mean(dtype=np.float64) / max(hand.mean(dtype=np.float64), 1.0)
    gain = np.clip(around**0.35 * np.exp(draw.normal(0, 0.35)) * np.exp(draw.normal(0, 0.08, 3)), 0.15, 2.5)
    lit = np.clip(hand * gain.astype(np.float32), 0, 255)
    picture[:] = (share * lit + (1 - share) * picture).round().astype(np.uint8)
    whole = _about(moved, 10**6, 10**6, -(10**6))
    seen = np.prod(box[2:] - box[:2]) / max(float(np.prod(whole[2:] - whole[:2])), 1e-6)
    squares, turns = _squares(moved[None], size)
    facing = row["palms"].copy()
    facing[:, 0] *= -1 if flip else 1
    facing[:, :2] = facing[:, :2] @ (np.array([[cosine, -sine], [sine, cosine]]) / scale).T
    present = np.array([seen > LEAST_SHARE and (box[2:] - box[:2]).max() >= LEAST])
    unclear = ~present & (seen > _GONE)
    right = row["right"].astype(np.float32)
    blank = np.full((size // STRIDE, size // STRIDE), -255, np.int16)
    right = 1 - right if flip else right
    return _View(picture, blank, present, unclear, right, box[None], squares, turns, facing.astype(np.float32))


def _corner(box: np.ndarray) -> tuple[float, float, float, float]:
    """x, y, width, height of edges."""
    return (float(box[0]), float(box[1]), float(box[2] - box[0]), float(box[3] - box[1]))


def _filled_up(picture: np.ndarray, parts: list[_View], size: int) -> _View:
    """One view of all hands that were put into a picture."""
    if parts:
        whole = _grid([replace(part, image=picture) for part in parts[:1]], 1, size, size)
        for n, part in enumerate(parts[1:], 1):
            for name in ("present", "unclear", "right", "boxes", "squares", "turns", "palms"):
                getattr(whole, name)[n] = getattr(part, name)[0]
        return whole
    most = _GRIDS[-1] ** 2
    blank = np.zeros((most, 4), np.float32)
    none = np.zeros(most, bool)
    mask = np.zeros((size // STRIDE, size // STRIDE), np.int16)
    return _View(picture, mask, none, none, blank[:, 0], blank, blank[:, :3], blank[:, :2], blank[:, :3])


def _frame_window(row: dict[str, np.ndarray], size: int, draw: np.random.Generator) -> SquareBox:
    """A window of a frame: about one of its hands, or the whole of it and more."""
    height, width = row["image"].shape[1:]
    there = np.nonzero(row["there"])[0]
    longer = max(height, width)
    if len(there) and draw.random() < 0.5:
        box = row["boxes"][int(draw.choice(there))]
        extent = float(max(box[2:] - box[:2]))
        side = extent * size / float(np.exp(draw.uniform(np.log(10.0), np.log(0.95 * size))))
        side = float(np.clip(side, 0.3 * longer, 1.4 * longer))
        middle = 0.5 * (box[:2] + box[2:]) + draw.uniform(-0.5, 0.5, 2) * max(side - extent, 0.3 * extent)
    else:
        side = longer * float(np.exp(draw.uniform(np.log(0.45), np.log(1.3))))
        room = np.maximum(np.abs(np.array([width, height]) - side), 0.15 * side)
        middle = 0.5 * np.array([width, height]) + draw.uniform(-0.5, 0.5, 2) * room
    middle = np.clip(middle, 0, [width, height])
    return SquareBox(float(middle[0]) - 0.5, float(middle[1]) - 0.5, side)


def _crop_window(row: dict[str, np.ndarray], draw: np.random.Generator) -> SquareBox:
    """A window about the hand of a crop, tighter or wider than the crop."""
    height, width = row["image"].shape[1:]
    side = max(height, width) * float(np.exp(draw.uniform(np.log(0.75), np.log(1.5))))
    middle = 0.5 * np.array([width, height]) + draw.normal(0, 0.1, 2) * side
    return SquareBox(float(middle[0]) - 0.5, float(middle[1]) - 0.5, side)


def _view(row: dict[str, np.ndarray], window: SquareBox, size: int, flip: bool) -> _View:
    """What a window shows, at `size` x `size`; mirrored if `flip`."""
    image, _ = square_crop(np.ascontiguousarray(row["image"].transpose(1, 2, 0)), window, size, "constant")
    mask = np.full((size // STRIDE, size // STRIDE), -255, np.int16)  # nobody knows, of photographs
    if "mask" in row:
        x, y = (window.centre_x + 0.5) / STRIDE - 0.5, (window.centre_y + 0.5) / STRIDE - 0.5
        coarse = SquareBox(x, y, window.side / STRIDE)
        mask = square_crop(row["mask"], coarse, size // STRIDE, "constant")[0].astype(np.int16)
    scale = size / window.side
    corner = np.array([window.centre_x + 0.5, window.centre_y + 0.5]) - 0.5 * window.side
    whole = (row["boxes"].reshape(-1, 2, 2) - corner) * scale  # (N, 2 corners, 2)
    joints = (row["joints_2d"] + 0.5 - corner) * scale  # (N, 21, 2)
    right, facing = row["right"].astype(np.float32), row["palms"].copy()
    if flip:
        image, mask = image[:, ::-1], mask[:, ::-1]
        whole = np.stack(
            [
                np.stack([size - whole[:, 1, 0], whole[:, 0, 1]], -1),
                np.stack([size - whole[:, 0, 0], whole[:, 1, 1]], -1),
            ],
            1,
        )
        joints = np.stack([size - joints[..., 0], joints[..., 1]], -1)
        right, facing = 1 - right, facing * np.array([-1, 1, 1], np.float32)
    cut = np.clip(whole, 0, size)
    share = row["share"] * np.prod(cut[:, 1] - cut[:, 0], -1) / np.maximum(np.prod(whole[:, 1] - whole[:, 0], -1), 1e-6)
    extent = (cut[:, 1] - cut[:, 0]).max(-1)
    there = row["there"] & (share > _GONE)
    present = there & (share > LEAST_SHARE) & (extent >= LEAST)
    squares, turns = _squares(joints, size)
    boxes = cut.reshape(-1, 4).astype(np.float32)
    return _View(image, mask, present, there & ~present, right, boxes, squares, turns, facing)


def _squares(joints: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Squares (N, 3) about joints (N, 21, 2) in which hands point up, and cosine and sine (N, 2) of their angles.

    As `predict.predictor.box_around_joints` has them, for many hands: joints beyond the picture count as on its edge.
    """
    up = joints[:, [5, 9, 13, 17]].mean(1) - joints[:, 0]
    angle = np.arctan2(up[:, 0], -up[:, 1])
    cosine, sine = np.cos(angle), np.sin(angle)
    axes = np.stack([np.stack([cosine, sine], -1), np.stack([-sine, cosine], -1)], 1)  # (N, 2, 2) the square's x and y
    along = np.einsum("njc,nac->nja", np.clip(joints, 0, size), axes)
    low, high = along.min(1), along.max(1)
    middle = np.einsum("na,nac->nc", 0.5 * (low + high), axes)
    side = CROP_FACTOR * np.maximum((high - low).max(-1), 1.0)
    return np.concatenate([middle, side[:, None]], 1).astype(np.float32), np.stack([cosine, sine], -1).astype(
        np.float32
    )


def _grid(parts: list[_View], along: int, side: int, size: int) -> _View:
    """Several views as one picture of `size` x `size`; hands beyond `_GRIDS[-1] ** 2` are filled up with none."""
    image = np.zeros((size, size, 3), parts[0].image.dtype)
    mask = np.zeros((size // STRIDE, size // STRIDE), parts[0].mask.dtype)
    for k, part in enumerate(parts):
        y, x = divmod(k, along)
        image[y * side : (y + 1) * side, x * side : (x + 1) * side] = part.image
        cell = side // STRIDE
        mask[y * cell : (y + 1) * cell, x * cell : (x + 1) * cell] = part.mask
        part.boxes += np.tile(np.array([x * side, y * side], np.float32), 2)
        part.squares[:, :2] += np.array([x * side, y * side], np.float32)

    def joined(name: str) -> np.ndarray:
        values = np.concatenate([getattr(part, name) for part in parts])
        missing = _GRIDS[-1] ** 2 - len(values)
        return np.concatenate([values, np.zeros((missing, *values.shape[1:]), values.dtype)])

    rest = {name: joined(name) for name in ("present", "unclear", "right", "boxes", "squares", "turns", "palms")}
    return _View(image, mask, **rest)


def _scenes(views: list[_View], random: torch.Generator) -> Scenes:
    def stacked(name: str) -> Tensor:
        return torch.from_numpy(np.stack([np.ascontiguousarray(getattr(view, name)) for view in views]))

    image = augment(stacked("image").permute(0, 3, 1, 2).float().div_(255), random)
    rest = {name: stacked(name) for name in ("present", "unclear", "right", "boxes", "squares", "turns", "palms")}
    return Scenes(image=image.contiguous(memory_format=torch.channels_last), mask=stacked("mask").float() / 255, **rest)


def _numpy(random: torch.Generator) -> np.random.Generator:
    return np.random.default_rng(int(torch.randint(2**62, (1,), generator=random)))


def _arrays(kept: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in kept.items()}


def _edges(boxes: Tensor) -> Tensor:
    return torch.cat([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)
