"""A user's pairs of colour and depth without labels, cut out for the default estimator as it sees them itself.

    picture -> Predictor -> hands -> tiles by their joints, upright, left hands mirrored
    depth frame of that name ------> readings on each hand, by the same joints; its size (`predict.paired_depth`)

What the predictor sees is no label: its 2D joints only say where the hand is, and those that it is sure of must stay.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from phalanx.adapt.weak_crops import DEPTH_TILE, TILE, TILE_FACTOR, nearest_crop
from phalanx.adapt.weak_files import pictures_in
from phalanx.adapt.weak_pictures import FEWEST_OF_A_HAND, bone_share, likeliest_length, root_depths
from phalanx.core.errors import InputError
from phalanx.data.depth_cameras import read_intrinsics
from phalanx.data.hand_depth import readings_of_hands
from phalanx.data.images import check_local, read_image
from phalanx.fit.evidence import DEPTH_ROOT
from phalanx.geometry.crops import box_around_points, square_crop, upright_angle
from phalanx.hand.plain import PlainHand
from phalanx.hand.prediction import HandPrediction
from phalanx.predict.paired_depth import PairedFolder, length_of, open_paired_folder, place_hand

DEPTH_FOLDER = "depth"
"""Where in the user's folder the depth frames are."""

_SURE = 0.02  # of a tile's side: expected errors of joints up to which the estimator is sure of them


@dataclass
class RgbdFiles:
    """Where pairs are, and how they are read."""

    folder: Any
    """Pictures in it and below; depth frames of their names in its folder `depth`, registered to them."""
    camera: str | None = None
    """`fx,fy,cx,cy` or a name, of pictures and frames alike; none: `intrinsics.json`, or unknown."""
    unit: float | None = None
    """Metres that a depth of 1 stands for."""
    side: Literal["left", "right", "auto"] = "auto"
    """Which hand is wanted."""
    box: Any = None
    """Where the hand is, as `Predictor` takes it; none: everywhere."""


@dataclass(frozen=True, eq=False)
class RgbdHands:
    """N hands in upright tiles that look like a right hand's; tile units are 0 to 1 across a tile.

    Attributes:
        tiles: (N, TILE, TILE, 3) uint8 RGB.
        joints: (N, 21, 2) tile units, as the estimator saw them before; NaN where it was not sure.
        depth: (N, DEPTH_TILE, DEPTH_TILE) metres, of the hand alone; 0 = no reading.
        spread: (N,) metres across a tile per metre of distance.
        names: of the pictures.
    """

    tiles: np.ndarray
    joints: np.ndarray
    depth: np.ndarray
    spread: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, rows: Sequence[int]) -> RgbdHands:
        chosen = np.asarray(rows, dtype=int)
        parts = {name: getattr(self, name)[chosen] for name in ("tiles", "joints", "depth", "spread")}
        return RgbdHands(**parts, names=[self.names[row] for row in chosen])


@dataclass(frozen=True, eq=False)
class RgbdPairs:
    """The hands of a folder, and what its pairs came to."""

    hands: RgbdHands
    hand_length: float
    """Metres from the wrist to the tip of the stretched middle finger: the median of the pairs, or, without a camera, the likeliest."""
    calibrated: bool
    """Whether the camera is known."""
    counts: dict[str, int]
    skipped: list[dict[str, str]]
    """`input` and `problem` of what was passed over."""


@dataclass
class _Cut:
    name: str
    tile: np.ndarray
    joints: np.ndarray  # tile units
    sure: np.ndarray  # (21,)
    depth: np.ndarray  # everything that was read
    root: float  # metres, measured
    side: float  # pixels of the picture that a tile spans
    focal: float  # pixels
    length: float  # metres
    flip: bool


def read_pairs(
    files: RgbdFiles,
    predictor: Callable[..., list[HandPrediction]],
    complain: Callable[[str], object] = print,
    progress: Callable[[], object] = lambda: None,
    model: PlainHand | None = None,
) -> RgbdPairs:
    """The hands of a folder that have readings.

    Args:
        files: where they are.
        predictor: sees hands in colour, as `Predictor`.
        complain: is given a sentence for every pair that is passed over.
        progress: is called after every pair.
        model: the hand that the predictor poses (default: the open hand).

    Raises:
        InputError: there is no such folder, it holds no pictures or no depth, camera or unit are at fault, or no pair can be used.
    """
    check_local(files.folder)
    folder = Path(files.folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    pictures = pictures_in(folder)
    if not pictures:
        raise InputError(f"{folder}: holds no pictures")
    if not (folder / DEPTH_FOLDER).is_dir():
        raise InputError(f"{folder}: has no folder {DEPTH_FOLDER} of depth frames, each with the name of its picture")
    depths = _depths(files, folder)
    hand = model or PlainHand.open_hand()
    counts: Counter[str] = Counter(pictures=len(pictures))
    skipped: list[dict[str, str]] = []
    cuts: list[_Cut] = []
    calibrated = True

    def skip(path: Path, problem: str) -> None:
        skipped.append({"input": str(path), "problem": problem})
        complain(problem)

    for path in pictures:
        try:
            image = read_image(path)
            height, width = image.shape[:2]
            depth = depths.read(path, width, height)
            camera = depths.camera_of(width, height)
            calibrated = calibrated and camera is not None
            found = predictor(image, K=None if camera is None else camera.K, side=files.side, box=files.box)
            if not found:
                raise InputError(f"{path}: no hand was seen in it")
        except InputError as error:
            skip(path, str(error))
            continue
        for each in found:
            try:
                cuts.append(_cut(path, folder, hand, each, image, depth, camera is not None))
            except InputError as error:
                skip(path, f"{path}: {error}")
        progress()
    if not cuts:
        raise InputError(f"{folder}: none of its {len(pictures)} pictures has a hand and depth that can be used")
    if not calibrated:  # one camera for all: that before which likely hands are as far as was measured
        focal = float(np.median([cut.focal for cut in cuts]))
        for cut in cuts:
            cut.focal = focal
    length = float(np.median([cut.length for cut in cuts])) if calibrated else likeliest_length()
    hands = _joined(cuts, length)
    few = (hands.depth > 0).sum((1, 2)) < FEWEST_OF_A_HAND
    counts["hands"], counts["hands with too few readings"] = len(cuts), int(few.sum())
    if few.all():
        raise InputError(f"{folder}: none of the {len(cuts)} hands seen in it has {FEWEST_OF_A_HAND} readings of depth")
    return RgbdPairs(hands[(~few).nonzero()[0].tolist()], length, calibrated, dict(counts), skipped)


def _depths(files: RgbdFiles, folder: Path) -> PairedFolder:
    found = open_paired_folder(folder / DEPTH_FOLDER, files.camera, files.unit)
    if files.camera is not None or found.K is not None:
        return found
    known = read_intrinsics(folder)
    if known is None:
        return found
    return PairedFolder(found.folder, found.by_name, None, known[2] if files.unit is None else files.unit, known[1])


def _cut(
    path: Path,
    folder: Path,
    model: PlainHand,
    hand: HandPrediction,
    image: np.ndarray,
    depth: np.ndarray,
    calibrated: bool,
) -> _Cut:
    """Raises InputError if depth does not say where this hand is."""
    box = box_around_points(hand.joints_2d, TILE_FACTOR, upright_angle(hand.joints_2d))
    to_tile = box.image_to_crop(1)[:2]
    joints = hand.joints_2d @ to_tile[:, :2].T + to_tile[:, 2] + 0.5
    tile = square_crop(image, box, TILE)[0]
    cut_depth = nearest_crop(depth.astype(np.float32), box, DEPTH_TILE)
    places = torch.from_numpy(joints * DEPTH_TILE - 0.5).float()[None]
    root = float(root_depths(torch.from_numpy(cut_depth)[None], places)[0])
    if root <= 0:
        raise InputError(f"no depth of the {hand.side} hand was read at the middle knuckle")
    focal = float(hand.K[0, 0] + hand.K[1, 1]) / 2
    length = likeliest_length()
    if calibrated:
        length = length_of(model, place_hand(model, hand, depth))
    else:
        focal *= root / float(hand.joints[DEPTH_ROOT, 2])
    sure = hand.uncertainty < _SURE * box.side
    name = path.relative_to(folder).as_posix()
    flip = (hand.side == "left") != hand.mirrored  # as which hand it looks
    return _Cut(name, tile, joints, sure, cut_depth, root, box.side, focal, length, flip)


def _joined(cuts: Sequence[_Cut], length: float) -> RgbdHands:
    """Tiles with the readings on their hands, of which all are as long; left ones flipped."""
    every = torch.from_numpy(np.stack([cut.depth for cut in cuts])).float()
    places = torch.from_numpy(np.stack([cut.joints for cut in cuts]) * DEPTH_TILE - 0.5).float()
    focal = torch.tensor([cut.focal / cut.side * DEPTH_TILE for cut in cuts]).float()
    K = torch.eye(3).repeat(len(cuts), 1, 1) * torch.stack([focal, focal, torch.ones_like(focal)], 1)[:, None]
    roots = torch.tensor([cut.root for cut in cuts]).float()
    bones = torch.full((len(cuts),), bone_share() * length)
    depth = readings_of_hands(every, places, roots, bones, K).numpy()
    tiles, joints = np.stack([cut.tile for cut in cuts]), np.stack([cut.joints for cut in cuts])
    joints[~np.stack([cut.sure for cut in cuts])] = np.nan
    flip = np.array([cut.flip for cut in cuts])
    tiles[flip], depth[flip] = tiles[flip][:, :, ::-1], depth[flip][:, :, ::-1]
    joints[flip, :, 0] = 1 - joints[flip, :, 0]
    spread = np.array([cut.side / cut.focal for cut in cuts])
    return RgbdHands(tiles, joints, depth, spread, [cut.name for cut in cuts])
