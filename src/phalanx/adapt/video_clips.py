"""A user's clips cut out for the default estimator: hands followed from frame to frame, with 2D keypoints and where flow leads them.

    clip -> frames -> cut where flow loses the picture -> keypoints of a file, or hands that the tracker follows
        -> upright tiles, left hands mirrored -> flow between neighbouring frames in the tile's square, both ways, read at the joints

Where there are no keypoints the estimator's own surest ones serve (`own_joints`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from phalanx.adapt.video_files import Clip, HandTrack, VideoFiles, find_clips, keypoints_of
from phalanx.adapt.weak_crops import TILE, TILE_FACTOR, nominal_crop
from phalanx.core.errors import InputError
from phalanx.data.flow import CUT, carried, flow_between, lost_share, trusted
from phalanx.data.joint_names import check_order
from phalanx.data.video import frames_stated
from phalanx.geometry.crops import SquareBox, box_around_points, square_crop, upright_angle
from phalanx.hand.prediction import HandPrediction, Side
from phalanx.methods.compact import CompactEstimator
from phalanx.predict.inputs import check_side, picture_camera
from phalanx.predict.predictor import Predictor
from phalanx.predict.tracker import DOUBTFUL, Tracker

SHORTEST = 3
"""Frames that a piece of a clip has at least: below, nothing can be said of how it moves."""

RUN = 32
"""Frames in a row that are taken of clips that are too long to be taken whole."""

_FEWEST = 6  # joints that a hand is cut out by
_SMALL = 96  # pixels of the longer side of frames in which cuts are looked for
_FLOW = 128  # pixels of a tile in which flow is found
_SURE = 0.02  # of a tile's side: expected errors of joints up to which the estimator is sure of them,
_AGREED = 0.03  # and distance up to which flow from the neighbours agrees
_PASSES = 3  # frames on either side whose joints are carried into a label
_GAP = 2.5  # usual times between frames from which on two frames are no neighbours
_UNSURE = 0.8  # share of the other side's error above which a side that was guessed is not clear
_GUESSED = 24  # frames, at most, by which the side of a track is guessed


@dataclass(frozen=True, eq=False)
class ClipHands:
    """N hands in upright tiles that look like a right hand's; rows of one track follow one another. Tile units are 0 to 1 across a tile.

    Attributes:
        tiles: (N, TILE, TILE, 3) uint8 RGB.
        joints: (N, 21, 2) tile units; NaN where there is no label.
        to_picture: (N, 3, 3) from tile units to pixels of the picture, mirrored where the hand is a left one.
        side: (N,) pixels of the tile in the picture.
        K: (N, 3, 3) camera of that picture.
        onward, back: (N, 21, 2) pixels of the picture by which flow moves the joints to the next frame of the track, and to the one
            before; NaN where it cannot be trusted or there is none.
        times: (N,) seconds.
        tracks: (N,) number of the track.
        own: (N,) bool, whether labels are the estimator's own.
        names: of the clips.
    """

    tiles: np.ndarray
    joints: np.ndarray
    to_picture: np.ndarray
    side: np.ndarray
    K: np.ndarray
    onward: np.ndarray
    back: np.ndarray
    times: np.ndarray
    tracks: np.ndarray
    own: np.ndarray
    names: list[str]

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, rows: Sequence[int]) -> ClipHands:
        chosen = np.asarray(rows, dtype=int)
        arrays = {name: getattr(self, name)[chosen] for name in ARRAYS}
        return ClipHands(**arrays, names=[self.names[row] for row in chosen])

    def runs(self, frames: int) -> list[list[int]]:
        """Rows of all stretches of so many neighbouring frames of a track."""
        found: list[list[int]] = []
        for rows in self.pieces():
            found += [rows[start : start + frames] for start in range(len(rows) - frames + 1)]
        return found

    def pieces(self) -> list[list[int]]:
        """Rows of each stretch of neighbouring frames: tracks, divided where frames are missing."""
        pieces: list[list[int]] = []
        for track in dict.fromkeys(self.tracks.tolist()):
            rows = np.flatnonzero(self.tracks == track)
            steps = np.diff(self.times[rows])
            usual = float(np.median(steps)) if len(steps) else 0.0
            parts = np.split(rows, np.flatnonzero(steps > _GAP * usual) + 1)
            pieces += [part.tolist() for part in parts]
        return pieces


ARRAYS = ("tiles", "joints", "to_picture", "side", "K", "onward", "back", "times", "tracks", "own")
"""Names of the arrays of `ClipHands`."""


@dataclass(frozen=True, eq=False)
class VideoClips:
    """The hands of a folder of clips, and what became of it."""

    hands: ClipHands
    counts: dict[str, int]
    """Of clips, frames and hands."""
    skipped: list[dict[str, str]]
    """`input` and `problem` of what was passed over."""
    camera: str
    """Where the camera comes from."""


@dataclass
class _Row:
    """A hand in a frame, as it is gathered."""

    joints: np.ndarray  # (21, 2) pixels, NaN where not known
    time: float
    box: SquareBox
    tile: np.ndarray
    onward: np.ndarray
    back: np.ndarray


@dataclass
class _Piece:
    """A hand followed through a stretch of a clip."""

    clip: str
    K: np.ndarray
    width: int
    rows: list[_Row]
    sides: list[Side]
    side: Side | None
    own: bool


def read_clips(
    files: VideoFiles,
    estimator: CompactEstimator,
    predictor: Callable[[], Predictor],
    most: int,
    complain: Callable[[str], object] = print,
    progress: Callable[[], object] = lambda: None,
) -> VideoClips:
    """The hands of a folder of clips.

    Args:
        files: where they are and how they are read.
        estimator: whose surest joints are labels where there are none; it tells sides apart, too. In evaluation mode, on any device.
        predictor: makes what follows hands where there are no keypoints.
        most: frames of hands that are taken: of more, stretches of `RUN` frames that are spread over all clips.
        complain: is given a sentence for everything that is passed over.
        progress: is called after every frame.

    Raises:
        InputError: an option is at fault, there are no clips, or none has a hand in `SHORTEST` frames in a row.
    """
    check_order(files.order)
    check_side(files.side)
    skipped: list[dict[str, str]] = []
    seen: set[str] = set()

    def skip(input: object, problem: str) -> None:
        if problem not in seen:
            seen.add(problem)
            skipped.append({"input": str(input), "problem": problem})
            complain(problem)

    clips = find_clips(files, skip)
    share = _share(clips, most)
    pieces: list[_Piece] = []
    counts = {"clips": len(clips), "clips with keypoints": 0, "frames": 0, "cuts": 0}
    finder: Predictor | None = None
    source = "assumed" if files.camera is None else "given"
    for clip in clips:
        try:
            tracks = keypoints_of(clip, clips, files)
            if not tracks and finder is None:
                finder = predictor()
            found, frames, cut = _gather(clip, tracks, files, finder, share, skip, progress)
        except InputError as error:
            skip(clip.path, str(error))
            continue
        counts["frames"] += frames
        counts["cuts"] += len(cut)
        counts["clips with keypoints"] += bool(tracks)
        if frames < SHORTEST:
            number = "one frame" if frames == 1 else f"{frames} frames"
            skip(clip.path, f"{clip.path}: a clip of {number}, and one has {SHORTEST} frames or more")
        elif not found:
            skip(clip.path, f"{clip.path}: no hand is seen in {SHORTEST} frames in a row")
        elif cut:
            places = ", ".join(str(number) for number in cut[:5]) + (", ..." if len(cut) > 5 else "")
            complain(f"{clip.path}: is cut before frame {places}, and is divided there")
        pieces += found
    if not pieces:
        raise InputError(f"{files.folder}: none of its {len(clips)} clips shows a hand in {SHORTEST} frames in a row")
    hands, unsure = _joined(pieces, estimator, files)
    counts["hands"] = len(hands)
    counts["tracks"] = len(pieces)
    counts["tracks of an unsure side"] = unsure
    counts["joints with a label"] = int(np.isfinite(hands.joints).all(-1).sum())
    return VideoClips(hands, counts, skipped, source)


def _share(clips: Sequence[Clip], most: int) -> float:
    """Of the frames, as far as files state how many there are, that may be taken."""
    total = 0
    for clip in clips:
        try:
            total += len(clip.pictures) or frames_stated(clip.path) or 0
        except InputError:  # reading will tell
            continue
    return min(1.0, most / max(total, 1))


def _gather(
    clip: Clip,
    tracks: Sequence[HandTrack],
    files: VideoFiles,
    finder: Predictor | None,
    share: float,
    skip: Callable[[object, str], object],
    progress: Callable[[], object],
) -> tuple[list[_Piece], int, list[int]]:
    """Hands of a clip by stretches, the number of its frames, and of those before which it is cut."""
    done: list[_Piece] = []
    open_: dict[Any, _Piece] = {}
    before: np.ndarray | None = None
    cuts: list[int] = []
    tracker: Tracker | None = None
    K = np.eye(3)
    number, width, height = -1, 0, 0
    for number, (time, frame) in enumerate(clip.frames(lambda sentence: skip(clip.path, sentence))):
        height, width = frame.shape[:2]
        progress()
        if number == 0:
            K = np.asarray(picture_camera(files.camera, width, height).camera.K, np.float64)
        if before is not None and _is_cut(before, frame):
            cuts.append(number)
            done += open_.values()
            open_, tracker, before = {}, None, None
        if share < 1 and int((number // RUN + 1) * share) == int(
            (number // RUN) * share
        ):  # not one of the stretches taken
            done += open_.values()
            open_, tracker, before = {}, None, None
            continue
        if tracks:
            seen = [(place, track.side, _pixels(track, number, width, height)) for place, track in enumerate(tracks)]
            hands: list[tuple[Any, Side | None, np.ndarray]] = [
                (place, side, points) for place, side, points in seen if points is not None
            ]
        else:
            tracker = tracker or Tracker(finder, K=files.camera, side=files.side, filtered=False)
            hands = [(hand.id, hand.side, hand.joints_2d) for hand in _sure(tracker(frame, time))]
        there: dict[Any, _Piece] = {}
        for key, side, points in hands:
            piece = open_.pop(key, None) or _Piece(clip.name, K, width, [], [], side if tracks else None, not tracks)
            row = _row(points, time, frame)
            if row is None:
                continue
            if piece.rows and before is not None:
                _join(piece.rows[-1], row, before, frame)
            piece.rows.append(row)
            if side is not None:
                piece.sides.append(side)
            there[key] = piece
        done += open_.values()  # hands that are gone
        open_, before = there, frame
    done += open_.values()
    for track in tracks:
        track.check(clip, number + 1, width, height)
    return [piece for piece in done if len(piece.rows) >= SHORTEST], number + 1, cuts


def _sure(hands: Sequence[HandPrediction]) -> list[HandPrediction]:
    return [hand for hand in hands if hand.score >= DOUBTFUL]


def _pixels(track: HandTrack, number: int, width: int, height: int) -> np.ndarray | None:
    points = track.points.get(number)
    if points is not None and track.fractions:
        return points * [width, height] - 0.5
    return points


def _is_cut(before: np.ndarray, frame: np.ndarray) -> bool:
    """Whether a clip is cut between two frames, as `data.flow.cuts` has it, in small pictures."""
    scale = min(1.0, _SMALL / max(frame.shape[:2]))
    size = tuple(max(8, round(side * scale)) for side in frame.shape[1::-1])
    first, second = (cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in (before, frame))
    return lost_share(first, second, flow_between(first, second), flow_between(second, first)) > CUT


def _row(points: np.ndarray, time: float, frame: np.ndarray) -> _Row | None:
    known = np.isfinite(points).all(-1)
    if known.sum() < _FEWEST:
        return None
    angle = upright_angle(points) if known[[0, 5, 9, 13, 17]].all() else 0.0
    box = box_around_points(points[known], TILE_FACTOR, angle)
    if box.side < 8 or not box.overlaps(frame.shape[1], frame.shape[0]):
        return None
    nowhere = np.full((21, 2), np.nan)
    return _Row(points, time, box, square_crop(frame, box, TILE)[0], nowhere, nowhere.copy())


def _join(first: _Row, second: _Row, before: np.ndarray, frame: np.ndarray) -> None:
    """Find how flow moves the joints of a hand from one frame to the next and back, in the first's square."""
    one, two = (square_crop(picture, first.box, _FLOW)[0] for picture in (before, frame))
    forward, backward = flow_between(one, two), flow_between(two, one)
    to_crop, scale = first.box.image_to_crop(_FLOW), first.box.crop_to_image(_FLOW)[:2, :2]
    for row, flow, other, attribute in ((first, forward, backward, "onward"), (second, backward, forward, "back")):
        at = row.joints @ to_crop[:2, :2].T + to_crop[:2, 2]
        known = np.isfinite(at).all(-1) & (at > 0).all(-1) & (at < _FLOW - 1).all(-1)
        at = np.where(known[:, None], at, 0.0)
        sure = trusted(flow, other)[at[:, 1].round().astype(int), at[:, 0].round().astype(int)]
        moved = (carried(at, flow) - at) @ scale.T
        setattr(row, attribute, np.where((known & sure)[:, None], moved, np.nan))


def _joined(pieces: Sequence[_Piece], estimator: CompactEstimator, files: VideoFiles) -> tuple[ClipHands, int]:
    """All hands, left ones mirrored, labels of those without found by the estimator; and the number of tracks of an unsure side."""
    made, unsure = [], 0
    for number, piece in enumerate(pieces):
        hands = _hands_of(piece, number)
        left = _said_left(piece, files)
        if left is None:
            errors = [_sight_error(each, estimator) for each in (hands, mirrored(hands, piece.width))]
            left = errors[1] < errors[0]
            unsure += min(errors) > _UNSURE * max(errors)
        if piece.own and piece.sides:  # frames in which the tracker took it for the other hand say nothing
            kept = [row for row, side in enumerate(piece.sides) if (side == "left") == left]
            hands = _without_moves_over_gaps(hands[kept], np.diff(kept) > 1)
        made.append(mirrored(hands, piece.width) if left else hands)
    joined = concatenate_hands(made)
    if joined.own.any():
        rows = np.flatnonzero(joined.own)
        joints = joined.joints.copy()
        joints[rows] = own_joints(joined[rows.tolist()], estimator)
        joined = replace(joined, joints=joints)
    return joined, unsure


def _without_moves_over_gaps(hands: ClipHands, gaps: np.ndarray) -> ClipHands:
    """The same without flow to rows that are no neighbours; `gaps` (N - 1,) where that is."""
    onward, back = hands.onward.copy(), hands.back.copy()
    onward[:-1][gaps], back[1:][gaps] = np.nan, np.nan
    return replace(hands, onward=onward, back=back)


def _said_left(piece: _Piece, files: VideoFiles) -> bool | None:
    if piece.side is not None:
        return piece.side == "left"
    if files.side != "auto":
        return files.side == "left"
    if piece.sides:
        return piece.sides.count("left") > piece.sides.count("right")
    return None


def _hands_of(piece: _Piece, number: int) -> ClipHands:
    rows, count = piece.rows, len(piece.rows)
    from_pixel = np.array([[1.0, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  # tile units to a picture of one pixel
    maps = np.stack([row.box.crop_to_image(1) @ from_pixel for row in rows])
    joints = np.stack([row.joints for row in rows])
    inverse = np.linalg.inv(maps)
    placed = joints @ inverse[:, :2, :2].swapaxes(1, 2) + inverse[:, None, :2, 2]
    return ClipHands(
        np.stack([row.tile for row in rows]),
        placed,
        maps,
        np.array([row.box.side for row in rows]),
        np.repeat(piece.K[None], count, 0),
        np.stack([row.onward for row in rows]),
        np.stack([row.back for row in rows]),
        np.array([row.time for row in rows]),
        np.full(count, number),
        np.full(count, piece.own),
        [piece.clip] * count,
    )


def concatenate_hands(parts: Sequence[ClipHands]) -> ClipHands:
    """One after the other."""
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
    return ClipHands(**arrays, names=[name for part in parts for name in part.names])


def mirrored(hands: ClipHands, width: int) -> ClipHands:
    """The same hands as their mirror images show them, of pictures so many pixels wide."""
    flip = np.array([[-1.0, 0, 1], [0, 1, 0], [0, 0, 1]])  # of tile units
    across = np.array([[-1.0, 0, width - 1], [0, 1, 0], [0, 0, 1]])  # of pixels
    joints, K = hands.joints.copy(), hands.K.copy()
    joints[..., 0] = 1 - joints[..., 0]
    K[:, 0, 2] = width - 1 - K[:, 0, 2]
    return replace(
        hands,
        tiles=np.ascontiguousarray(hands.tiles[:, :, ::-1]),
        joints=joints,
        to_picture=across @ hands.to_picture @ flip,
        K=K,
        onward=hands.onward * [-1, 1],
        back=hands.back * [-1, 1],
    )


def _sight_error(hands: ClipHands, estimator: CompactEstimator) -> float:
    """Mean distance of the labelled joints from those seen, tile units, of some of the frames."""
    few = hands[np.unique(np.linspace(0, len(hands) - 1, min(_GUESSED, len(hands))).round().astype(int)).tolist()]
    joints, _ = seen_joints_of(few, estimator)
    apart = np.linalg.norm(joints - few.joints, axis=-1)
    return float(apart[np.isfinite(apart)].mean())


def nominal_pictures(hands: ClipHands, size: int) -> Tensor:
    """Crops (N, 3, size, size) as prediction looks at hands at last."""
    box, _ = nominal_crop()
    images = np.stack([square_crop(tile, box, size)[0] for tile in hands.tiles])
    return torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def seen_joints_of(hands: ClipHands, estimator: CompactEstimator) -> tuple[np.ndarray, np.ndarray]:
    """Joints (N, 21, 2) that an estimator sees in nominal crops, and the errors (N, 21) that it expects; tile units."""
    share = nominal_crop()[1]
    device, size = next(estimator.parameters()).device, estimator.config.size
    joints, sigmas = [], []
    for rows in parts(len(hands)):
        found = estimator.eval()(nominal_pictures(hands[rows], size).to(device))
        joints.append(((found.joints_2d - 0.5) * share + 0.5).cpu().double().numpy())
        sigmas.append((found.sigma_2d * share).cpu().double().numpy())
    return np.concatenate(joints), np.concatenate(sigmas)


def parts(count: int, size: int = 32) -> Iterator[list[int]]:
    """Numbers of rows, so many at a time."""
    return (list(range(start, min(start + size, count))) for start in range(0, count, size))


def own_joints(hands: ClipHands, estimator: CompactEstimator) -> np.ndarray:
    """Labels (N, 21, 2) that the estimator makes itself, tile units; NaN where it is not sure.

    A joint counts where it expects a small error and where what flow carries there from the neighbours agrees. It lies in the mean of what
    was seen in its frame and what was carried there, from neighbours of neighbours, too (`_PASSES`), which is steadier.
    """
    seen, sigma = seen_joints_of(hands, estimator)
    sure = sigma <= _SURE
    steady = seen
    for number in range(_PASSES):
        sums, counts = steady.copy(), np.ones(sigma.shape)
        for source, target, there in _carried(steady, hands):
            known = np.isfinite(there).all(-1)
            if number == 0:
                apart = np.linalg.norm(np.where(known[:, None], there, seen[target]) - seen[target], axis=-1)
                sure[target] &= apart <= _AGREED
            use = known & (sigma[source] <= _SURE)
            sums[target] += np.where(use[:, None], np.nan_to_num(there), 0)
            counts[target] += use
        steady = sums / counts[..., None]
    return np.where(sure[..., None], steady, np.nan)


def _carried(joints: np.ndarray, hands: ClipHands) -> Iterator[tuple[int, int, np.ndarray]]:
    """For neighbouring rows, both ways: source, target, and where flow carries the source's joints (21, 2) in the target, tile units."""
    pixels = joints @ hands.to_picture[:, :2, :2].swapaxes(1, 2) + hands.to_picture[:, None, :2, 2]
    inverse = np.linalg.inv(hands.to_picture)
    for piece in hands.pieces():
        for first, second in pairwise(piece):
            for source, target, moved in ((first, second, hands.onward[first]), (second, first, hands.back[second])):
                yield source, target, (pixels[source] + moved) @ inverse[target, :2, :2].T + inverse[target, :2, 2]
