"""A user's pictures of hands with weak labels, cut out for the default estimator: 2D joints, paired depth, 3D joints, or nothing.

Every hand is cut out by its labelled joints, upright, and mirrored if it is a left one. What it lacks for a term of the loss is counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phalanx.adapt.weak_crops import DEPTH_TILE, TILE, TILE_FACTOR, nearest_crop, nominal_crop
from phalanx.adapt.weak_files import (
    Key,
    Tally,
    WeakFiles,
    depth_files,
    key_of,
    labelled_hands,
    pictures_in,
    unlabelled_with_depth,
)
from phalanx.core.errors import InputError
from phalanx.data.depth_cameras import UnitMissing, camera_matrix, check_camera, read_frame, read_intrinsics
from phalanx.data.hand_depth import SCALE_BONE, readings_of_hands
from phalanx.data.images import check_local, read_image
from phalanx.data.joint_labels import LabelledHand
from phalanx.data.joint_names import check_order
from phalanx.data.sample import Sample
from phalanx.fit.evidence import DEPTH_ROOT
from phalanx.geometry.crops import box_around_points, square_crop, upright_angle
from phalanx.hand.model import HandModel
from phalanx.hand.prediction import Side
from phalanx.hand.skeleton import MIDDLE_CHAIN
from phalanx.methods.compact import CompactEstimator
from phalanx.predict.inputs import check_hand_length, check_side

FEWEST_OF_A_HAND = 100
"""Readings of a tile that a hand must have for its depth to count."""

_FEWEST = 6  # labelled joints that a hand is cut out by
_UNSURE = 0.8  # share of the other side's error above which the side that was guessed is not clear
_LENGTHS = (0.02, 0.30)  # metres that a hand's middle chain may span in a picture
_NEAR = 0.15  # metres between the depth at the root and that at the other joints
_FEWEST_READINGS = 3  # of the nine about the root
_ANY_CAMERA = "1,1,0,0"  # where nobody asks for one
_FOCAL = (0.25, 12.0)  # sides of a picture: focal lengths of cameras, of pictures that are cut out, too
_SHORT, _SEVERAL = 0.4, 5  # share of a hand's length below which the longest of several hands cannot be
_LONGEST = 90  # percentile of apparent lengths that is a stretched hand's


@dataclass(frozen=True, eq=False)
class WeakHands:
    """N hands, each in an upright tile that looks like a right hand's. In tile units 0 to 1 is the tile's side.

    Attributes:
        tiles: (N, TILE, TILE, 3) uint8 RGB.
        joints: (N, 21, 2) tile units; NaN where there is no label.
        relative: (N, 21) depth behind `DEPTH_ROOT`, tile units, from 3D labels; NaN where there are none.
        depth: (N, DEPTH_TILE, DEPTH_TILE) metres, of the hand alone; 0 = no reading, and everywhere where `root_depth` is 0.
        root_depth: (N,) metres of the surface at `DEPTH_ROOT`; 0: not known.
        width: (N,) metres that a tile spans at that depth; 0: not known.
        names: of the pictures.
    """

    tiles: np.ndarray
    joints: np.ndarray
    relative: np.ndarray
    depth: np.ndarray
    root_depth: np.ndarray
    width: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, rows: Sequence[int]) -> WeakHands:
        chosen = np.asarray(rows, dtype=int)
        arrays = ("tiles", "joints", "relative", "depth", "root_depth", "width")
        parts = {name: getattr(self, name)[chosen] for name in arrays}
        return WeakHands(**parts, names=[self.names[row] for row in chosen])

    @property
    def with_depth(self) -> np.ndarray:
        """(N,) whether the depth of a hand can be compared."""
        return self.root_depth > 0


@dataclass(frozen=True, eq=False)
class WeakPictures:
    """The hands of a folder, and how many of its pictures and labels came to what."""

    hands: WeakHands
    counts: dict[str, int]
    """Of pictures and hands, by what there is of them."""
    left_out: dict[str, int]
    """Hands whose depth is not compared, by reason."""
    skipped: list[dict[str, str]]
    """`input` and `problem` of what was passed over."""
    sources: dict[str, str]
    """Where focal length and scale come from; empty where there is no depth."""


@dataclass
class _Cut:
    """One hand as it is cut out; lengths in tile units are multiples of `side` pixels."""

    name: str
    tile: np.ndarray
    joints: np.ndarray
    relative: np.ndarray
    depth: np.ndarray | None  # (DEPTH_TILE, DEPTH_TILE) metres, everything that was read
    depth_name: str
    side: float  # pixels of the picture
    focal: float  # the same; 0 where the camera is not known
    picture: int  # the same, the picture's longer side
    which: Side | None


def read_weak_pictures(
    files: WeakFiles,
    estimator: CompactEstimator,
    complain: Callable[[str], object] = print,
    progress: Callable[[], object] = lambda: None,
) -> WeakPictures:
    """The labelled hands of a folder.

    Args:
        files: where they are and how they are read.
        estimator: tells sides apart where nobody says them; in evaluation mode, on any device.
        complain: is given a sentence for everything that is passed over.
        progress: is called after every picture.

    Raises:
        InputError: an option is at fault, there are no pictures or no label files, or no labelled hand can be used.
    """
    check_local(files.folder)
    folder = Path(files.folder)
    check_order(files.order)
    check_side(files.side)
    check_hand_length(files.hand_length)
    if files.camera is not None or files.unit is not None:
        check_camera(files.camera or _ANY_CAMERA, files.unit)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    pictures = pictures_in(folder)
    if not pictures:
        raise InputError(f"{folder}: holds no pictures")
    tally = Tally(complain)
    tally.counts["pictures"] = len(pictures)
    labelled = labelled_hands(files, folder, pictures, tally)
    intrinsics = read_intrinsics(folder) if files.camera is None else None
    depths = depth_files(folder)
    cuts: list[_Cut] = []
    for path in sorted(labelled):
        cuts += _cuts_of(path, labelled[path], folder, depths, files, intrinsics, tally)
        progress()
    only_depth = unlabelled_with_depth(pictures, labelled, depths, folder)
    tally.counts["pictures with depth and no joints"] = only_depth
    tally.counts["pictures with nothing"] = len(pictures) - len(labelled) - only_depth
    for key in sorted(depths.keys() - {key_of(path.relative_to(folder)) for path in pictures}):
        tally.skip(depths[key], f"{depths[key]}: belongs to no picture of its name")
    if not cuts:
        raise InputError(f"{folder}: none of its {len(pictures)} pictures has 2D joints that can be used")
    return _joined(cuts, files, estimator, tally)


def nominal_crops(hands: WeakHands, size: int) -> Sample:
    """Hands as prediction looks at them at last: pictures (N, 3, size, size) and joints, those not labelled far outside."""
    box, share = nominal_crop()
    images = np.stack([square_crop(tile, box, size)[0] for tile in hands.tiles])
    joints = torch.from_numpy((hands.joints - 0.5) / share + 0.5).float()
    return Sample(image=torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255, joints_2d=as_pixels(joints, size))


def as_pixels(joints: Tensor, size: int) -> Tensor:
    """Joints (B, 21, 2) in shares of a crop as its pixels; those that are NaN lie far outside, where no loss counts them."""
    return torch.nan_to_num(joints, nan=-1.0) * size - 0.5


def root_depths(depth: Tensor, joints_2d: Tensor) -> Tensor:
    """Depth (B,) in metres of the surface at `DEPTH_ROOT`: the median of the nine readings about it; 0 where it is not known.

    That is where fewer than three are there, or where they are far from the readings at the other joints: something else was read.

    Args:
        depth: (B, H, W) metres, 0 = no reading; about 50 pixels to a hand.
        joints_2d: (B, 21, 2) its pixels; NaN where not known.
    """
    near = torch.stack([torch.tensor([x, y]) for y in (-1, 0, 1) for x in (-1, 0, 1)]).to(depth)
    about = _readings(depth, joints_2d[:, DEPTH_ROOT, None] + near)  # (B, 9)
    root = about.nanmedian(1).values
    others = _readings(depth, joints_2d).nanmedian(1).values
    sure = (about.isfinite().sum(1) >= _FEWEST_READINGS) & ((root - others).abs() < _NEAR)
    return torch.where(sure, root, 0.0)


def bone_share() -> float:
    """Length of `SCALE_BONE` over that of the hand, of the open hand."""
    rest, length = _open_hand()
    return float(np.linalg.norm(rest[SCALE_BONE[0]] - rest[SCALE_BONE[1]])) / length


def likeliest_length() -> float:
    """Metres from the wrist to the tip of the stretched middle finger, of the open hand."""
    return _open_hand()[1]


@cache
def _open_hand() -> tuple[np.ndarray, float]:
    rest = HandModel.open_hand().rest_joints.double().numpy()
    return rest, float(np.linalg.norm(np.diff(rest[MIDDLE_CHAIN], axis=0), axis=-1).sum())


def _readings(depth: Tensor, pixels: Tensor) -> Tensor:
    """Values (B, P) of maps (B, H, W) at pixels (B, P, 2); NaN beyond the map, where a pixel is NaN, or nothing was read."""
    height, width = depth.shape[1:]
    places = torch.nan_to_num(pixels, nan=-9.0).round().long()
    x, y = places.unbind(-1)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    rows = torch.arange(len(depth), device=depth.device)[:, None]
    values = depth[rows, y.clamp(0, height - 1), x.clamp(0, width - 1)]
    return torch.where(inside & (values > 0), values, torch.nan)


def _cuts_of(
    path: Path,
    hands: Sequence[LabelledHand],
    folder: Path,
    depths: Mapping[Key, Path],
    files: WeakFiles,
    intrinsics: tuple[Path, np.ndarray, float] | None,
    tally: Tally,
) -> list[_Cut]:
    try:
        image = read_image(path)
    except InputError as error:
        tally.skip(path, str(error))
        return []
    height, width = image.shape[:2]
    depth_path = depths.get(key_of(path.relative_to(folder)))
    depth: np.ndarray | None = None
    K = None if intrinsics is None else intrinsics[1]
    if files.camera is not None:
        K = camera_matrix(files.camera, width, height)
    if depth_path is not None:
        try:
            depth = _read_depth(depth_path, files, intrinsics)
            if depth.shape != (height, width):
                raise InputError(
                    f"{depth_path}: has {depth.shape[1]}x{depth.shape[0]} pixels, and its picture {path.name} {width}x{height}; "
                    "depth must be registered to it"
                )
        except UnitMissing:
            problem = f"{depth_path}: holds whole numbers, and their unit is not given: --unit, --camera, or an intrinsics.json"
            tally.skip(depth_path, problem, aloud="the unit of depth is not given" not in tally.left_out)
            tally.left_out["the unit of depth is not given"] += len(hands)
        except InputError as error:
            tally.skip(depth_path, str(error))
            tally.left_out["the depth cannot be used"] += len(hands)
            depth = None
    cuts = []
    for hand in hands:
        if hand.size is not None and hand.size != (width, height):
            theirs = f"{hand.size[0]}x{hand.size[1]}"
            tally.skip(path, f"{hand.where}: is for a picture of {theirs} pixels, and {path.name} has {width}x{height}")
            continue
        known = np.isfinite(hand.points).all(-1)
        if known.sum() < _FEWEST:
            tally.skip(
                path, f"{hand.where}: has {known.sum()} labelled joints, too few to cut the hand out by ({_FEWEST})"
            )
            continue
        try:
            cuts.append(_cut(path, hand, known, image, depth, K, depth_path, folder))
        except InputError:
            tally.skip(path, f"{hand.where}: its joints lie outside the picture of {width}x{height} pixels")
    return cuts


def _read_depth(path: Path, files: WeakFiles, intrinsics: tuple[Path, np.ndarray, float] | None) -> np.ndarray:
    """Metres (H, W). Raises UnitMissing for whole numbers without a unit."""
    if files.camera is not None:
        return read_frame(path, files.camera, files.unit)[0]
    unit = intrinsics[2] if files.unit is None and intrinsics is not None else files.unit
    return read_frame(path, _ANY_CAMERA, unit)[0]


def _cut(
    path: Path,
    hand: LabelledHand,
    known: np.ndarray,
    image: np.ndarray,
    depth: np.ndarray | None,
    K: np.ndarray | None,
    depth_path: Path | None,
    folder: Path,
) -> _Cut:
    upright = known[[0, 5, 9, 13, 17]].all()
    angle = upright_angle(hand.points) if upright else 0.0
    box = box_around_points(hand.points[known], TILE_FACTOR, angle)
    to_tile = box.image_to_crop(1)  # whose one pixel spans -1/2 to 1/2
    joints = hand.points @ to_tile[:2, :2].T + to_tile[:2, 2] + 0.5
    tile = square_crop(image, box, TILE)[0]
    cut_depth = None
    if depth is not None:
        cut_depth = nearest_crop(depth, box, DEPTH_TILE)
    relative = np.full(21, np.nan) if hand.joints is None else _relative(hand.joints, joints, K, box.side)
    name = path.relative_to(folder).as_posix()
    focal = 0.0 if K is None else float(K[0, 0] + K[1, 1]) / 2
    picture = max(image.shape[:2])
    return _Cut(name, tile, joints, relative, cut_depth, str(depth_path), box.side, focal, picture, hand.side)


def _relative(joints: np.ndarray, placed: np.ndarray, K: np.ndarray | None, side: float) -> np.ndarray:
    """Depths (21,) behind the root in tile units, of joints (21, 3) in metres and their places (21, 2) in the tile.

    Where the camera is known and the joints are before it, as in perspective; else by the scale under which joints and places agree.
    """
    behind = joints[:, 2] - joints[DEPTH_ROOT, 2]
    if K is not None and np.nanmin(joints[:, 2]) > 0.05:
        return behind * (K[0, 0] + K[1, 1]) / 2 / (joints[DEPTH_ROOT, 2] * side)
    flat, seen = joints[:, :2] - joints[DEPTH_ROOT, :2], placed - placed[DEPTH_ROOT]
    both = np.isfinite(flat).all(-1) & np.isfinite(seen).all(-1)
    scale = math.sqrt(float(np.square(seen[both]).sum()) / max(float(np.square(flat[both]).sum()), 1e-12))
    return behind * scale if both.any() else np.full(21, np.nan)


def _focal(files: WeakFiles, cuts: Sequence[_Cut]) -> tuple[float, dict[str, str]]:
    """Focal length in pixels of pictures whose camera is not known, 0 where none is asked for; and where it and the scale come from."""
    deep = [cut for cut in cuts if cut.depth is not None]
    if not deep:
        return 0.0, {}
    length = "prior" if files.hand_length is None else "given"
    if all(cut.focal > 0 for cut in deep):
        return 0.0, {"focal": "camera", "hand_length": length}
    # One camera for all: of a stretched hand before it, the apparent length is the true one.
    metres = likeliest_length() if files.hand_length is None else files.hand_length
    spans = [_chain(cut.joints) * cut.side * float(_root_of(cut)) / metres for cut in deep]
    usable = [span for span in spans if math.isfinite(span) and span > 0]
    focal = float(np.percentile(usable, _LONGEST)) if usable else 0.0
    return focal, {"focal": f"hand length ({length})", "hand_length": length}


def _leave_out_depth_of_another_unit(cuts: Sequence[_Cut], focal: float, files: WeakFiles, tally: Tally) -> None:
    """Take depth from all hands if together they say that its unit is wrong: under a camera too small, or of no camera."""
    deep = [cut for cut in cuts if cut.depth is not None]
    if not deep:
        return
    roots = [float(_root_of(cut)) for cut in deep]
    if focal > 0:
        sides = float(np.median([cut.picture for cut in deep]))
        wrong = not _FOCAL[0] < focal / sides < _FOCAL[1]
        fault = f"by it the camera would have a focal length of {focal:.0f} pixels, and pictures have {sides:.0f}"
    else:
        metres = likeliest_length() if files.hand_length is None else files.hand_length
        lengths = [_chain(cut.joints) * root * cut.side / cut.focal for cut, root in zip(deep, roots, strict=True)]
        known = [length for length in lengths if math.isfinite(length) and length > 0]
        longest = float(np.percentile(known, _LONGEST)) if known else 0.0
        wrong = len(known) >= _SEVERAL and longest < _SHORT * metres
        fault = f"by it and the camera the hands are hardly longer than {longest:.2g} m"
    if wrong:
        more = f" and those of {len(deep) - 1} more hands" if len(deep) > 1 else ""
        tally.skip(
            deep[0].depth_name,
            f"{deep[0].depth_name}{more}: {fault}; is the unit of depth right, and the focal length?",
        )
        tally.left_out["the depth cannot be used"] += len(deep)
        for cut in deep:
            cut.depth = None


def _root_of(cut: _Cut) -> Tensor:
    assert cut.depth is not None
    return root_depths(torch.from_numpy(cut.depth)[None], _tile_pixels(cut.joints))[0]


def _tile_pixels(joints: np.ndarray) -> Tensor:
    return torch.from_numpy(joints * DEPTH_TILE - 0.5).float()[None]


def _chain(joints: np.ndarray) -> float:
    """Length of the middle finger's chain from the wrist in a picture; NaN where it is not all labelled."""
    return float(np.linalg.norm(np.diff(joints[MIDDLE_CHAIN], axis=0), axis=-1).sum())


def _joined(
    cuts: Sequence[_Cut],
    files: WeakFiles,
    estimator: CompactEstimator,
    tally: Tally,
) -> WeakPictures:
    """All hands with what can be learnt from their depth, flipped where they are left ones."""
    focal, sources = _focal(files, cuts)
    _leave_out_depth_of_another_unit(cuts, focal, files, tally)
    roots, widths, maps = zip(*(_depth_of(cut, cut.focal or focal, files, tally) for cut in cuts), strict=True)
    hands = WeakHands(
        np.stack([cut.tile for cut in cuts]),
        np.stack([cut.joints for cut in cuts]),
        np.stack([cut.relative for cut in cuts]),
        np.stack(maps),
        np.array(roots),
        np.array(widths),
        [cut.name for cut in cuts],
    )
    left = np.array([cut.which == "left" if cut.which else files.side == "left" for cut in cuts])
    open_ = [row for row, cut in enumerate(cuts) if cut.which is None and files.side == "auto"]
    if open_:
        left[open_], unsure = _guess_sides(hands[open_], estimator)
        tally.counts["hands whose side was guessed"], tally.counts["hands of an unsure side"] = len(open_), unsure
    hands = _flipped(hands, left)
    tally.counts["hands"], tally.counts["left hands"] = len(cuts), int(left.sum())
    tally.counts["pictures with joints"] = len({cut.name for cut in cuts})
    tally.counts["hands with depth"] = int(hands.with_depth.sum())
    tally.counts["hands with 3D joints"] = int(np.isfinite(hands.relative).any(1).sum())
    return WeakPictures(hands, dict(tally.counts), dict(tally.left_out), tally.skipped, sources)


def _depth_of(cut: _Cut, focal: float, files: WeakFiles, tally: Tally) -> tuple[float, float, np.ndarray]:
    """Root depth, the tile's width in metres, and the map of the hand alone; zeros where they cannot be had, which is counted."""
    nothing = 0.0, 0.0, np.zeros((DEPTH_TILE, DEPTH_TILE), dtype=np.float32)
    if cut.depth is None:
        return nothing
    if not np.isfinite(cut.joints[DEPTH_ROOT]).all():
        tally.left_out["the middle knuckle, which depths are relative to, is not labelled"] += 1
        return nothing
    root = float(_root_of(cut))
    if root <= 0 or focal <= 0:
        tally.left_out["no depth of the hand was read at the middle knuckle"] += 1
        return nothing
    width = root * cut.side / focal
    length = _chain(cut.joints) * width
    if math.isfinite(length) and not _LENGTHS[0] < length < _LENGTHS[1]:
        tally.skip(
            cut.depth_name,
            f"{cut.depth_name}: the hand in {cut.name} would look {length:.2g} m long at {root:.2g} m; is the unit of depth right, and "
            "the focal length?",
        )
        tally.left_out["the depth cannot be used"] += 1
        return nothing
    joints = _tile_pixels(cut.joints)
    joints = torch.where(joints.isfinite(), joints, joints[:, DEPTH_ROOT, None])
    bone = bone_share() * (likeliest_length() if files.hand_length is None else files.hand_length)
    K = torch.tensor([[focal / cut.side * DEPTH_TILE, 0, 0], [0, focal / cut.side * DEPTH_TILE, 0], [0, 0, 1]])[None]
    depth = torch.from_numpy(cut.depth)[None]
    alone = readings_of_hands(depth, joints, torch.tensor([root]), torch.tensor([bone]), K)[0].numpy()
    if (alone > 0).sum() < FEWEST_OF_A_HAND:
        tally.left_out["the depth has too few readings of the hand"] += 1
        return nothing
    return root, width, alone


def _flipped(hands: WeakHands, left: np.ndarray) -> WeakHands:
    """The same with the hands of these rows mirrored."""
    tiles, joints, depth = hands.tiles.copy(), hands.joints.copy(), hands.depth.copy()
    tiles[left], depth[left] = tiles[left][:, :, ::-1], depth[left][:, :, ::-1]
    joints[left, :, 0] = 1 - joints[left, :, 0]
    return replace(hands, tiles=tiles, joints=joints, depth=depth)


def _guess_sides(hands: WeakHands, estimator: CompactEstimator) -> tuple[np.ndarray, int]:
    """(N,) whether each is a left hand: whether flipped it looks more like its joints; and how many are not clear."""
    every = np.ones(len(hands), dtype=bool)
    errors = [errors_2d(each, estimator) for each in (hands, _flipped(hands, every))]
    left = errors[1] < errors[0]
    return left, int((np.minimum(*errors) > _UNSURE * np.maximum(*errors)).sum())


@torch.no_grad()
def errors_2d(hands: WeakHands, estimator: CompactEstimator) -> np.ndarray:
    """(N,) mean distance of an estimator's joints from the labelled ones, 256ths of the crop that prediction looks at."""
    estimator = estimator.eval()
    device = next(estimator.parameters()).device
    errors = []
    for rows in _parts(len(hands), 32):
        crops = nominal_crops(hands[rows], estimator.config.size)
        assert crops.image is not None and crops.joints_2d is not None
        found = estimator(crops.image.to(device)).joints_2d.cpu()
        known = torch.from_numpy(np.isfinite(hands.joints[rows]).all(-1)).float()
        distance = (found - (crops.joints_2d + 0.5) / estimator.config.size).norm(dim=-1)
        errors.append((distance * known).sum(1) / known.sum(1))
    return 256 * torch.cat(errors).numpy()


def _parts(count: int, size: int) -> Iterable[range]:
    return (range(start, min(start + size, count)) for start in range(0, count, size))
