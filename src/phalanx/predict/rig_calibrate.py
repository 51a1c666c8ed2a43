"""Where cameras stand, from the hands that they show: whether a calibration holds (`check_rig`), and a new one (`calibrate_rig`).

A hand that moves before two cameras gives 21 correspondences in every frame. The essential matrix of all of them, found robustly
(Nister 2004, in OpenCV), places the second camera up to the length of the baseline, which the hand's likeliest size gives. A bundle
adjustment then refines cameras and joints together, under the one thing that is known of a hand in motion: its bones keep their lengths.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.camera_files import Calibration
from phalanx.data.rig_files import CameraRig, RigCamera
from phalanx.fit.views import triangulate
from phalanx.geometry.placed import PlacedCamera, epipolar_errors
from phalanx.hand.plain import plain_hand
from phalanx.hand.prediction import Side
from phalanx.hand.skeleton import BONES
from phalanx.predict.predictor import Predictor
from phalanx.predict.rig import RigFrame, RigPredictor
from phalanx.predict.rig_files import follow_videos
from phalanx.predict.rig_inputs import check_kinds, picture_moments, pictures_of
from phalanx.predict.rig_match import Candidate
from phalanx.predict.sides import side_of
from phalanx.predict.straight import StraightPicture

FEWEST = 12
"""Moments in which two cameras must show the hand, to place one by the other."""

MOST = 150
"""Moments that the bundle adjustment takes, evenly spread over those there are."""

THRESHOLDS = 0.5, 1.0, 2.0, 4.0
"""Pixels from an epipolar line within which a correspondence counts for the first estimate; the one that fits most joints best is taken."""

STEPS = 40
"""Steps of the bundle adjustment at most."""

KEPT = 0.5
"""Share of correspondences that must count, for cameras to be placed by them."""

BONE_SIGMA = 0.03
"""How constant the length of a bone is among an estimator's joints, as a share."""

LENGTH_SIGMA = 0.15
"""How far a person's bones are from the model's, as a share."""

HOLDS = 6.0
"""Median epipolar error up to which a calibration holds, pixels of a picture 720 high: about the estimator's own error."""


@dataclass(frozen=True)
class PairError:
    """How well two cameras agree: median distance of joints from their epipolar lines in pixels, and of how many moments."""

    first: str
    second: str
    error: float
    moments: int


@dataclass(frozen=True, eq=False)
class RigCheck:
    """What hands say of a calibration.

    Attributes:
        pairs: of cameras that show the hand at the same moments.
        scale: the factor on the rig's lengths with which hands would have their likeliest size; None where no two views agree.
        height: of the first camera's pictures, pixels, by which errors are judged.
    """

    pairs: tuple[PairError, ...]
    scale: float | None
    height: int

    @property
    def holds(self) -> bool:
        """Whether every pair agrees to within what the estimator's own error explains."""
        return bool(self.pairs) and all(pair.error <= HOLDS * self.height / 720 for pair in self.pairs)


class UnplacedPredictor(RigPredictor):
    """Takes the surest hand of each view for the same one, because nobody knows yet where the cameras stand."""

    def settled(
        self,
        pictures: Sequence[StraightPicture | None],
        candidates: Sequence[Sequence[Candidate]],
        time: float | None = None,
        side: Side | None = None,
    ) -> RigFrame:
        """The frame of the surest hands, all of them of one side."""
        chosen = []
        if side is None and self.side == "auto":
            odds = sum(each[0].sure * (-1 if each[0].view.look.flip else 1) for each in candidates if each)
            side = "left" if odds < 0 else "right"
        elif side is None:
            side = "left" if self.side == "left" else "right"
        for each in candidates:
            fitting = [c for c in each if c.sure >= self.min_score and side_of(c.view.look.flip, False) == side]
            chosen.append(fitting[0] if fitting else None)
        return RigFrame(tuple(pictures), tuple(chosen), side, time)


def unplaced(calibrations: Sequence[Calibration], names: Sequence[str]) -> CameraRig:
    """A rig whose cameras' places mean nothing."""
    cameras = []
    for number, (calibration, name) in enumerate(zip(calibrations, names, strict=True)):
        placed = np.eye(4)
        placed[0, 3] = float(number)
        cameras.append(RigCamera(calibration, placed, name))
    return CameraRig(tuple(cameras), False, "rig")


def look_at_all(
    predictor: RigPredictor,
    paths: Sequence[Path],
    notice: Callable[[str], object],
    progress: Callable[[int, int], None] | None = None,
) -> list[RigFrame]:
    """What videos or folders show of one hand, moment by moment, without pixels."""
    if check_kinds(paths, len(predictor.rig), predictor.rig.name):
        return follow_videos(predictor, paths, notice, progress)
    frames = []
    moments = picture_moments(paths, notice)
    for number, moment in enumerate(moments):
        images = pictures_of(moment, lambda error: notice(str(error)))
        frames.append(predictor.look(images).bare())
        if progress is not None:
            progress(number + 1, len(moments))
    return frames


def check_rig(predictor: RigPredictor, frames: Sequence[RigFrame]) -> RigCheck:
    """Whether a rig's calibration holds, by the hands in frames (of an `UnplacedPredictor`, so that nothing was left out by it).

    Raises:
        InputError: no two cameras show the hand at the same moment.
    """
    cameras = straight_cameras(predictor, frames)
    pairs = []
    for a, b in combinations(range(len(cameras)), 2):
        both = [frame for frame in frames if frame.seen[a] is not None and frame.seen[b] is not None]
        if both:
            errors = epipolar_errors(_points(both, a), _points(both, b), cameras[a], cameras[b])
            pairs.append(PairError(cameras[a].name, cameras[b].name, float(np.median(errors)), len(both)))
    if not pairs:
        raise InputError(f"{predictor.rig.name}: no two cameras show a hand at the same moment; nothing can be checked")
    height = next(p.given.height for f in frames for p in f.pictures if p is not None)
    return RigCheck(tuple(pairs), predictor.scale_of_hands(frames), height)


def straight_cameras(predictor: RigPredictor, frames: Sequence[RigFrame]) -> list[PlacedCamera]:
    """The rig's cameras, placed, without their lenses. Raises InputError where one never has a picture."""
    pictures: list[StraightPicture] = []
    for view, camera in enumerate(predictor.rig.cameras):
        found = next((frame.pictures[view] for frame in frames if frame.pictures[view] is not None), None)
        if found is None:
            raise InputError(f"{predictor.rig.name}: camera {camera.name} has no picture")
        pictures.append(found)
    return [camera for camera in predictor.placed(pictures) if camera is not None]


def calibrate_rig(predictor: RigPredictor, frames: Sequence[RigFrame]) -> CameraRig:
    """Where the cameras of an `UnplacedPredictor` stand, in metres if the hand has its likeliest size, the first camera being the world.

    Raises:
        InputError: two cameras show the hand together too seldom, or their views fit no places.
    """
    cameras = straight_cameras(predictor, frames)
    placed = [replace(cameras[0], world_to_camera=np.eye(4))]
    for view in range(1, len(cameras)):
        placed.append(_placed_by(predictor, frames, cameras, placed, view))
    placed = bundle_adjusted(predictor, frames, placed)
    rig = CameraRig(
        tuple(
            RigCamera(old.calibration, camera.world_to_camera, old.name)
            for old, camera in zip(predictor.rig.cameras, placed, strict=True)
        ),
        False,
        predictor.rig.name,
    )
    measured = RigPredictor(rig, predictor.predictor, predictor.side, predictor.hand_length, predictor.min_score)
    if measured.measure(frames) is None:
        raise InputError(f"{rig.name}: the cameras' views of the hand agree nowhere; are they of the same moments?")
    return measured.rig


def _placed_by(
    predictor: RigPredictor,
    frames: Sequence[RigFrame],
    cameras: Sequence[PlacedCamera],
    placed: Sequence[PlacedCamera],
    view: int,
) -> PlacedCamera:
    """Camera `view` by the one, of those that have their places, with which it shows the hand most often."""
    import cv2

    together = [
        [frame for frame in frames if frame.seen[other] is not None and frame.seen[view] is not None]
        for other in range(len(placed))
    ]
    other = int(np.argmax([len(each) for each in together]))
    both = together[other]
    names = f"cameras {cameras[other].name} and {cameras[view].name}"
    if len(both) < FEWEST:
        raise InputError(
            f"{predictor.rig.name}: {names} show the hand together at {len(both)} moments, and {FEWEST} are needed; move it where both "
            "see it"
        )
    one, two = _points(both, other), _points(both, view)  # (F, 21, 2)
    sure = (_sigma(both, other) < _limit(one)) & (_sigma(both, view) < _limit(two))
    a, b = cameras[other].plane(one)[sure], cameras[view].plane(two)[sure]
    if len(a) < 5 * FEWEST:
        raise InputError(f"{predictor.rig.name}: {names} hardly see the hand together; is it large enough in both?")
    focal = float(np.mean([camera.camera.K[0, 0] for camera in (cameras[other], cameras[view])]))
    cv2.setRNGSeed(0)
    found = [
        cv2.findEssentialMat(a, b, np.eye(3), method=cv2.RANSAC, prob=0.9999, threshold=threshold / focal)[0]
        for threshold in THRESHOLDS
    ]
    essentials = [each for each in found if each is not None and each.shape == (3, 3)]
    errors = [focal * _sampson(each, a, b) for each in essentials]
    best = int(np.argmin([np.median(each) for each in errors])) if errors else -1
    share = float((errors[best] < THRESHOLDS[-1]).mean()) if errors else 0.0
    if share < KEPT:
        raise InputError(
            f"{predictor.rig.name}: the views of {names} fit no places of cameras ({100 * share:.0f} % of the joints agree); are K and "
            "the moments right?"
        )
    mask = (errors[best] < THRESHOLDS[-1]).astype(np.uint8)[:, None]
    _, turn, shift, _ = cv2.recoverPose(essentials[best], a, b, np.eye(3), mask=mask)
    relative = np.eye(4)
    relative[:3, :3], relative[:3, 3] = turn, shift[:, 0]
    pair = [replace(cameras[other], world_to_camera=np.eye(4)), replace(cameras[view], world_to_camera=relative)]
    points = np.stack([one, two], axis=1)
    joints = triangulate(points, np.ones(points.shape[:-1]), pair).joints
    relative[:3, 3] *= _hand_scale(predictor, joints)
    return replace(cameras[view], world_to_camera=relative @ placed[other].world_to_camera)


def _sampson(essential: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(N,) distances of points (N, 2) on the planes z = 1 of two cameras from their epipolar lines, to first order."""
    one, two = (np.concatenate((p, np.ones_like(p[:, :1])), axis=1) for p in (a, b))
    lines, back = one @ essential.T, two @ essential
    across = np.square(lines[:, :2]).sum(1) + np.square(back[:, :2]).sum(1)
    distance: np.ndarray = np.abs((lines * two).sum(1)) / np.sqrt(np.maximum(across, 1e-24))
    return distance


def _hand_scale(predictor: RigPredictor, joints: np.ndarray) -> float:
    """The factor on joints (F, 21, 3), NaN where there are none, that gives bones the model's lengths in the median; 1 where all is NaN."""
    model = _model_bones(predictor)
    a, b = np.array(BONES).T
    ratio = model / np.maximum(np.linalg.norm(joints[:, a] - joints[:, b], axis=-1), 1e-9)
    ratio = ratio[np.isfinite(ratio)]
    return float(np.median(ratio)) if len(ratio) else 1.0


def _model_bones(predictor: RigPredictor) -> np.ndarray:
    rest = plain_hand(predictor.predictor.hand).rest_joints.astype(np.float64)
    a, b = np.array(BONES).T
    lengths: np.ndarray = np.linalg.norm(rest[a] - rest[b], axis=-1)
    return lengths


def bundle_adjusted(
    predictor: RigPredictor, frames: Sequence[RigFrame], placed: Sequence[PlacedCamera]
) -> list[PlacedCamera]:
    """Cameras moved, all but the first, so that they agree best about joints whose bones keep their lengths.

    Unknowns are the cameras, all joints, and the lengths of the bones. Errors in pictures count by the estimator's own sigma, large ones
    linearly.
    """
    seen = [frame for frame in frames if sum(each is not None for each in frame.seen) >= 2]
    seen = seen[:: max(1, -(-len(seen) // MOST))]
    points = np.full((len(seen), len(placed), 21, 2), np.nan)
    sigma = np.full((len(seen), len(placed), 21), np.inf)
    for row, frame in enumerate(seen):
        for view, each in enumerate(frame.seen):
            if each is not None:
                points[row, view], sigma[row, view] = each.joints, np.maximum(each.sigma, 1.0)
    start = triangulate(points, np.where(np.isfinite(sigma), sigma, 1.0) ** -2.0, placed).joints
    good = np.isfinite(start).all((1, 2))
    points, sigma, start = points[good], sigma[good], start[good]
    if len(start) < 3:
        return list(placed)
    problem = _Bundle(points, sigma, np.log(_model_bones(predictor)), placed)
    return problem.cameras(_descended(problem, problem.packed(start)))


def _descended(problem: _Bundle, values: np.ndarray) -> np.ndarray:
    """Levenberg-Marquardt, errors reweighted (pseudo-Huber)."""

    def cost(off: np.ndarray) -> float:
        return float((np.sqrt(1 + off * off) - 1).sum())

    off = problem.residuals(values)
    best, damping = cost(off), 1e-3
    for _ in range(STEPS):
        slope = problem.derivatives(values).tocsc()
        weight = 1 / np.sqrt(1 + off * off)
        weighted = slope.T.multiply(weight)
        matrix, gradient = (weighted @ slope).tocsr(), weighted @ off
        shared = matrix[: problem.shared, : problem.shared].toarray()
        across = matrix[problem.shared :, : problem.shared].toarray().reshape(problem.count, 63, -1)
        own = matrix[problem.shared :, problem.shared :].tobsr((63, 63)).data  # frames meet in what they share alone
        gain = 0.0
        for _ in range(6):
            step = _step(shared, across, own, gradient, damping)
            tried = values - step
            found = problem.residuals(tried)
            if cost(found) < best:
                gain, best = best - cost(found), cost(found)
                values, off, damping = tried, found, 0.2 * damping
                break
            damping *= 10
        if gain < 1e-6 * best:
            break
    return values


def _step(shared: np.ndarray, across: np.ndarray, own: np.ndarray, gradient: np.ndarray, damping: float) -> np.ndarray:
    """The solution of damped normal equations whose frames are tied by few shared unknowns alone (Schur complement).

    Args:
        shared: (S, S); across: (F, 63, S); own: (F, 63, 63).
        gradient: (S + 63 F,).
    """
    count = len(shared)
    stiff = damping * np.eye(63) * np.einsum("fii->fi", own)[:, None] + 1e-12 * np.eye(63)
    right = gradient[count:].reshape(len(own), 63, 1)
    solved = np.linalg.solve(own + stiff, np.concatenate((across, right), axis=2))  # (F, 63, S + 1)
    left = shared + np.diag(damping * np.diag(shared) + 1e-12)
    reduced = np.einsum("fis,fit->st", across, solved)
    first = np.linalg.solve(left - reduced[:, :-1], gradient[:count] - reduced[:, -1])
    rest = solved[..., -1] - solved[..., :-1] @ first
    return np.concatenate((first, rest.reshape(-1)))


class _Bundle:
    """Residuals of a bundle adjustment and their derivatives, sparse.

    Unknowns: of each camera but the first a rotation vector and a translation (6), logarithms of bone lengths (20), joints (F * 21 * 3).
    """

    def __init__(
        self, points: np.ndarray, sigma: np.ndarray, bones: np.ndarray, placed: Sequence[PlacedCamera]
    ) -> None:
        self.placed, self.bones = list(placed), bones
        self.count = len(points)
        self.plane = [camera.plane(points[:, view]) for view, camera in enumerate(placed)]
        self.weight = []
        for view, camera in enumerate(placed):
            seen = np.isfinite(points[:, view]).all(-1)
            scale = camera.camera.K[0, 0] / np.where(seen, sigma[:, view], 1.0)
            self.weight.append(np.where(seen, scale, 0.0))
            self.plane[view] = np.where(seen[..., None], self.plane[view], 0.0)
        self.moving = 6 * (len(placed) - 1)
        self.shared = self.moving + 20
        """Unknowns that all frames share: cameras and bones."""
        self.a, self.b = np.array(BONES).T

    def packed(self, joints: np.ndarray) -> np.ndarray:
        """All unknowns (N,) of a start."""
        import cv2

        poses = [
            np.concatenate((cv2.Rodrigues(camera.world_to_camera[:3, :3])[0][:, 0], camera.world_to_camera[:3, 3]))
            for camera in self.placed[1:]
        ]
        lengths = np.log(np.median(np.linalg.norm(joints[:, self.a] - joints[:, self.b], axis=-1), axis=0))
        return np.concatenate((*poses, lengths, joints.reshape(-1)))

    def cameras(self, values: np.ndarray) -> list[PlacedCamera]:
        """The cameras among the unknowns."""
        import cv2

        result = [self.placed[0]]
        for number, camera in enumerate(self.placed[1:]):
            pose = values[6 * number : 6 * number + 6]
            matrix = np.eye(4)
            matrix[:3, :3], matrix[:3, 3] = cv2.Rodrigues(pose[:3])[0], pose[3:]
            result.append(replace(camera, world_to_camera=matrix))
        return result

    def _parts(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lengths = values[self.moving : self.moving + 20]
        return lengths, values[self.moving + 20 :].reshape(self.count, 21, 3)

    def _seen(self, view: int, camera: PlacedCamera, joints: np.ndarray) -> np.ndarray:
        before = camera.to_camera(joints)
        depth = np.maximum(before[..., 2:], 1e-3)
        off: np.ndarray = (before[..., :2] / depth - self.plane[view]) * self.weight[view][..., None]
        return off.reshape(-1)

    def residuals(self, values: np.ndarray) -> np.ndarray:
        """(M,) in units of sigma: pictures, bones in frames, bones against the model's."""
        lengths, joints = self._parts(values)
        parts = [self._seen(view, camera, joints) for view, camera in enumerate(self.cameras(values))]
        own = np.linalg.norm(joints[:, self.a] - joints[:, self.b], axis=-1)
        parts.append(((np.log(np.maximum(own, 1e-6)) - lengths) / BONE_SIGMA).reshape(-1))
        parts.append((lengths - self.bones) / LENGTH_SIGMA)
        return np.concatenate(parts)

    def derivatives(self, values: np.ndarray) -> Any:
        """The Jacobian (M, N), sparse: joints and lengths analytically, cameras by differences."""
        from scipy.sparse import coo_matrix

        _, joints = self._parts(values)
        cameras = self.cameras(values)
        rows: list[np.ndarray] = []
        columns: list[np.ndarray] = []
        entries: list[np.ndarray] = []

        def add(row: np.ndarray, column: np.ndarray, entry: np.ndarray) -> None:
            shape = np.broadcast_shapes(row.shape, column.shape, entry.shape)
            for target, part in ((rows, row), (columns, column), (entries, entry)):
                target.append(np.broadcast_to(part, shape).reshape(-1))

        each = 42 * self.count
        joint = self.moving + 20 + np.arange(self.count * 63).reshape(self.count, 21, 3)
        for view, camera in enumerate(cameras):
            before = camera.to_camera(joints)
            depth = np.maximum(before[..., 2], 1e-3)[..., None, None]
            turn = camera.world_to_camera[:3, :3]
            xy = before[..., :2, None] / depth
            by = (turn[:2] - xy * turn[2]) / depth * self.weight[view][..., None, None]  # (F, 21, 2, 3)
            row = view * each + np.arange(each).reshape(self.count, 21, 2)
            add(row[..., None], joint[:, :, None], by)
            if view:
                for k in range(6):
                    moved = values.copy()
                    moved[6 * (view - 1) + k] += 1e-6
                    change = self._seen(view, self.cameras(moved)[view], joints) - self._seen(view, camera, joints)
                    add(row.reshape(-1), np.array(6 * (view - 1) + k), change / 1e-6)
        start = each * len(cameras)
        apart = joints[:, self.a] - joints[:, self.b]
        by = apart / np.maximum(np.square(apart).sum(-1, keepdims=True), 1e-12) / BONE_SIGMA  # (F, 20, 3)
        bone = start + np.arange(20 * self.count).reshape(self.count, 20)
        add(bone[..., None], joint[:, self.a], by)
        add(bone[..., None], joint[:, self.b], -by)
        add(bone, self.moving + np.arange(20), np.array(-1 / BONE_SIGMA))
        last = start + 20 * self.count
        add(last + np.arange(20), self.moving + np.arange(20), np.array(1 / LENGTH_SIGMA))
        shape = (last + 20, len(values))
        return coo_matrix((np.concatenate(entries), (np.concatenate(rows), np.concatenate(columns))), shape)


def _points(frames: Sequence[RigFrame], view: int) -> np.ndarray:
    return np.stack([each.joints for each in (frame.seen[view] for frame in frames) if each is not None])


def _sigma(frames: Sequence[RigFrame], view: int) -> np.ndarray:
    return np.stack([each.sigma for each in (frame.seen[view] for frame in frames) if each is not None])


def _limit(points: np.ndarray) -> np.ndarray:
    """(F, 1) a twentieth of the hand's size in pictures (F, 21, 2): joints that are less sure do not count for a first estimate."""
    size: np.ndarray = 0.05 * np.ptp(points, axis=1).max(1, keepdims=True)
    return size


def default_names(paths: Sequence[Path]) -> list[str]:
    """Names of cameras by what they took: the files' stems, or numbers where these agree."""
    stems = [path.stem if path.suffix else path.name for path in paths]
    return stems if len(set(stems)) == len(stems) else [f"camera{number}" for number in range(len(stems))]


def frames_for_calibration(
    calibrations: Sequence[Calibration],
    paths: Sequence[Path],
    predictor: Predictor | None = None,
    side: Any = "auto",
    hand_length: float | None = None,
    notice: Callable[[str], object] = print,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[UnplacedPredictor, list[RigFrame]]:
    """What cameras that stand anywhere show of one hand: a predictor and its frames, for `calibrate_rig`."""
    rig = unplaced(calibrations, default_names(paths))
    unplaced_predictor = UnplacedPredictor(rig, predictor, side, hand_length)
    return unplaced_predictor, look_at_all(unplaced_predictor, paths, notice, progress)
