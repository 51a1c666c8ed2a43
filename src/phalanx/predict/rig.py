"""`RigPredictor`: pictures of several calibrated cameras in, one hand in the rig's world out.

    each picture -> detector and estimator, as `Predictor` has them -> which hands are one (`rig_match`) -> its side, by all views
        -> joints triangulated, views that disagree left out -> the hand model fitted to all views at once (`fit.views`) -> RigHand

Left hands are mirrored, and the world with them. Where one view alone shows the hand, it stands where its likeliest size lets expect.
All of this is NumPy, OpenCV and ONNX Runtime.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.isolated import isolated
from phalanx.data.rig_files import CameraRig, read_rig
from phalanx.fit.chain import hand_length, numpy_chain_of
from phalanx.fit.evidence import Evidence
from phalanx.fit.views import TOLERANCE, TriangulatedJoints, ViewEvidence, ViewsFit, fit_views, triangulate
from phalanx.geometry.camera import Camera
from phalanx.geometry.placed import MIRROR, PlacedCamera
from phalanx.hand.angles import ANGLE_NAMES, rotations_to_angles
from phalanx.hand.plain import plain_hand
from phalanx.hand.pose import HandPose
from phalanx.hand.prediction import HandPrediction, Side
from phalanx.hand.skeleton import BONES
from phalanx.predict.assemble import assemble_hands
from phalanx.predict.detection import find_hands
from phalanx.predict.inputs import MIN_SCORE, check_hand_length, check_limits, check_side
from phalanx.predict.looks import Look, box_around_joints
from phalanx.predict.merge import FAINT, is_hand
from phalanx.predict.posing import SHAPE_LENGTHS, box_from_edge, crop_camera, score
from phalanx.predict.predictor import Predictor
from phalanx.predict.rig_match import SLACK, Candidate, one_hand
from phalanx.predict.sides import side_of
from phalanx.predict.straight import StraightPicture

CANDIDATES = 3
"""Hands of each view that may be the one that is looked for."""

AGREES = 0.5
"""Share of a view's joints that must agree with the others', else the view disagrees."""

UNSURE = 0.06
"""Expected error of a view's joints, as a share of the hand's size there, from which the view counts as unsure: the hand hides."""

FAINTER = 0.36
"""Share of `min_score` with which a view's hand still counts, if another view is sure of one and they agree."""

SPREAD = 2.0
"""How much larger joints' errors are than those of independent measurements of the estimator's expected errors would be: it errs alike in
all views (`benchmarks/rig.py synthesis`)."""

ViewState = Literal["used", "unsure", "disagrees", "no hand", "no picture"]
"""What became of a view: it counts; it counts, but for little, because the hand is hardly seen there; it shows the hand elsewhere than the
other views; it shows none; or there is no picture of that moment."""


@dataclass(frozen=True, eq=False)
class RigView:
    """What one camera says of the hand.

    Attributes:
        name: of the camera.
        state: what became of it.
        joints_2d: (21, 2) where the estimator saw the joints, pixels of the picture as it was given; or None.
        sigma: (21,) its expected errors, pixels; or None.
        errors: (21,) pixels between these and the fitted hand's joints; or None.
        hand: the fitted hand before this camera, with where it is seen there; or None where it would reach behind it.
    """

    name: str
    state: ViewState
    joints_2d: np.ndarray | None = None
    sigma: np.ndarray | None = None
    errors: np.ndarray | None = None
    hand: HandPrediction | None = None

    @property
    def error(self) -> float | None:
        """Median of `errors`, pixels."""
        return None if self.errors is None else float(np.median(self.errors))


@dataclass(frozen=True, eq=False)
class RigHand:
    """One hand in the world of a rig. Arrays are NumPy.

    `rotations`, `orientation` and `shape` are those of the hand model, a right hand; for a left hand of its mirror image, as for
    `HandPrediction`, the world being mirrored at x = 0.

    Attributes:
        side: which of the person's hands it is.
        score: 0 to 1, how sharp the evidence is, of the surest view.
        joints: (21, 3) metres, world.
        uncertainty: (21,) metres, expected error of each joint in any direction.
        vertices, faces: surface in the world; or None.
        rotations: (16, 3, 3); orientation (3, 3) of the palm, hand frame to world; shape (10,).
        angles_degrees: by name.
        scale_source: where the size comes from: the "rig"; the "prior", because one view alone counts or the rig has no unit; or "given".
        views: what each camera says, in the rig's order.
        side_source: "given" or "guessed".
        triangulated: (21, 3) joints by triangulation alone, without the hand model; NaN where fewer than two views agree.
        id, time: as for `HandPrediction`.
    """

    side: Side
    score: float
    joints: np.ndarray
    uncertainty: np.ndarray
    rotations: np.ndarray
    orientation: np.ndarray
    shape: np.ndarray
    angles_degrees: dict[str, float]
    scale_source: Literal["rig", "prior", "given"]
    views: tuple[RigView, ...]
    side_source: Literal["given", "guessed"] = "guessed"
    triangulated: np.ndarray | None = None
    vertices: np.ndarray | None = None
    faces: np.ndarray | None = None
    id: int | None = None
    time: float | None = None

    @property
    def disagreeing(self) -> list[str]:
        """Names of the cameras that show the hand elsewhere than the others do."""
        return [view.name for view in self.views if view.state == "disagrees"]

    def to_json(self) -> dict[str, Any]:
        """As what `json.dump` takes, without the surface; `docs/rigs.md` has the keys."""
        result: dict[str, Any] = {"schema": "phalanx.rig_hand/1", "side": self.side, "side_source": self.side_source}
        result |= {"score": round(self.score, 6), "scale_source": self.scale_source}
        for name, decimals in (("joints", 6), ("uncertainty", 6), ("rotations", 6), ("orientation", 6), ("shape", 6)):
            result[name] = (getattr(self, name).round(decimals) + 0.0).tolist()
        if self.triangulated is not None:
            known = np.isfinite(self.triangulated).all(1).tolist()
            rows = (self.triangulated.round(6) + 0.0).tolist()
            result["triangulated"] = [row if there else None for row, there in zip(rows, known, strict=True)]
        result["angles_degrees"] = {name: round(angle, 3) + 0.0 for name, angle in self.angles_degrees.items()}
        views = []
        for view in self.views:
            entry: dict[str, Any] = {"camera": view.name, "state": view.state}
            if view.hand is not None:
                entry["joints_2d"] = (view.hand.joints_2d.round(3) + 0.0).tolist()
            if view.joints_2d is not None and view.sigma is not None:
                entry["seen_2d"] = (view.joints_2d.round(3) + 0.0).tolist()
                entry["uncertainty_px"] = (view.sigma.round(3) + 0.0).tolist()
            if view.error is not None and math.isfinite(view.error):
                entry["reprojection_error_px"] = round(view.error, 3)
            views.append(entry)
        result["views"] = views
        return result


@dataclass(frozen=True, eq=False)
class RigFrame:
    """What was seen in the pictures of one moment, before it is fused.

    Attributes:
        pictures: of each view, without its lens; None where there is none. `bare()` drops their pixels.
        seen: the hand in each view, or None.
        side: of the hand.
        time: seconds, where known.
    """

    pictures: tuple[StraightPicture | None, ...]
    seen: tuple[Candidate | None, ...]
    side: Side = "right"
    time: float | None = None

    def bare(self) -> RigFrame:
        """Without pixels: what a whole recording is kept as."""
        nothing = np.zeros((0, 0, 3), np.uint8)
        return replace(
            self, pictures=tuple(None if each is None else replace(each, image=nothing) for each in self.pictures)
        )


@dataclass
class _Fused:
    """F frames of one side."""

    frames: list[int]
    cameras: list[PlacedCamera]
    triangulated: TriangulatedJoints
    counts: np.ndarray  # (F, V, 21) what of each view was used
    disagrees: np.ndarray  # (F, V)
    fit: ViewsFit
    alone: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))  # (F,) one view alone counts


class RigPredictor:
    """One hand from several calibrated cameras: `RigPredictor("rig.json")([left, right])` gives a `RigHand`, or None.

    Args:
        rig: a `CameraRig`, or its file (`data.rig_files.read_rig`).
        predictor: what looks at pictures; None makes the default one.
        side: of the hand that is wanted; "auto" takes either, by what all views say.
        hand_length: metres from the wrist to the tip of the stretched middle finger, where known.
        min_score: how surely a hand must be there in a view.
        unit: of the rig's lengths, as `read_rig` takes it.

    Where the rig's unit is "hand", its scale is the one at which hands have their likeliest size, or `hand_length`: `measure` finds it from
    frames, and where that was not called the first hand that two views show does.

    Raises:
        InputError: the rig's file or an option is at fault.
    """

    def __init__(
        self,
        rig: CameraRig | str | os.PathLike[str],
        predictor: Predictor | None = None,
        side: Side | Literal["auto"] = "auto",
        hand_length: float | None = None,
        min_score: float = MIN_SCORE,
        unit: float | str | None = None,
    ) -> None:
        check_side(side)
        check_hand_length(hand_length)
        check_limits(1, min_score)
        self.rig = rig if isinstance(rig, CameraRig) else read_rig(rig, unit)
        self.scale_by_hand = not self.rig.metric
        self.predictor = Predictor() if predictor is None else predictor
        self.side, self.hand_length, self.min_score = side, hand_length, min_score
        self.factor = 1.0
        """Metres of one unit of the rig's, once `measure` has found that."""
        self._sizes: dict[int, tuple[int, int]] = {}

    @isolated
    def __call__(self, images: Sequence[Any], time: float | None = None) -> RigHand | None:
        """The hand that the cameras show at one moment.

        Args:
            images: of each camera, in the rig's order, as `Predictor` takes them; None where a camera has none.
            time: seconds, for the result.

        Raises:
            InputError: another number of pictures than cameras, or a picture is at fault.
        """
        return self.fuse([self.look(images, time)])[0]

    @isolated
    def look(self, images: Sequence[Any], time: float | None = None) -> RigFrame:
        """Find the hand in each picture, without fusing; arguments as for a call."""
        pictures = self.open_pictures(images)
        candidates = [[] if picture is None else self.candidates(picture) for picture in pictures]
        return self.settled(pictures, candidates, time)

    def open_pictures(self, images: Sequence[Any]) -> list[StraightPicture | None]:
        """The pictures without their lenses. Raises InputError as a call."""
        if len(images) != len(self.rig):
            raise InputError(f"images: the rig {self.rig.name} has {len(self.rig)} cameras, not {len(images)}")
        pictures: list[StraightPicture | None] = []
        for view, (image, camera) in enumerate(zip(images, self.rig.cameras, strict=True)):
            if image is None:
                pictures.append(None)
                continue
            picture, _, size = self.predictor.open_picture(image, camera.calibration)
            known = self._sizes.setdefault(view, size)
            if known != size:
                raise InputError(
                    f"camera {camera.name}: a picture of {size[0]}x{size[1]} pixels comes after ones of {known[0]}x{known[1]}"
                )
            pictures.append(picture)
        return pictures

    def candidates(self, picture: StraightPicture) -> list[Candidate]:
        """The surest hands in a picture, of either side."""
        predictor = self.predictor
        claims = find_hands(predictor.load_detector(), picture.image, CANDIDATES + 2, min(self.min_score, FAINT))
        found = predictor.detected(picture.image, claims, self.side, False)
        return [Candidate(view, sure) for view, sure in found if sure >= FAINTER * self.min_score][:CANDIDATES]

    def settled(
        self,
        pictures: Sequence[StraightPicture | None],
        candidates: Sequence[Sequence[Candidate]],
        time: float | None = None,
        side: Side | None = None,
    ) -> RigFrame:
        """The frame of the hand that most views agree about, all of them taking it for one side: the given one, or what most say."""
        cameras = self.placed(pictures)
        seen = one_hand(candidates, cameras)
        if not any(each is not None and each.sure >= self.min_score for each in seen):
            seen = [None] * len(seen)
        there = [each for each in seen if each is not None]
        if side is None:
            odds = sum(each.sure * (-1 if each.view.look.flip else 1) for each in there)
            side = self.side if self.side != "auto" else side_of(odds < 0, False)
        for view, (picture, each) in enumerate(zip(pictures, seen, strict=True)):
            if each is not None and picture is not None and side_of(each.view.look.flip, False) != side:
                look = Look(0, each.view.look.square, side == "left")
                (other,) = self.predictor.see(picture.image)([look])
                seen[view] = Candidate(other, each.sure)
        self._look_where_others_see_it(pictures, seen, cameras, side)
        return RigFrame(tuple(pictures), tuple(seen), side, time)

    def _look_where_others_see_it(
        self,
        pictures: Sequence[StraightPicture | None],
        seen: list[Candidate | None],
        cameras: Sequence[PlacedCamera | None],
        side: Side,
    ) -> None:
        """Where two views show the hand, it is looked for at its place in those that missed it."""
        missing = [view for view, picture in enumerate(pictures) if picture is not None and seen[view] is None]
        known = [
            (each, camera)
            for each, camera in zip(seen, cameras, strict=True)
            if each is not None and camera is not None
        ]
        if not missing or len(known) < 2:
            return
        points = np.stack([each.joints for each, _ in known])
        weights = np.stack([each.sigma**-2.0 for each, _ in known])
        joints = triangulate(points, weights, [camera for _, camera in known]).joints
        if np.isfinite(joints).all(-1).mean() < AGREES:
            return
        middle = np.nanmean(joints, axis=0)
        joints = np.where(np.isfinite(joints), joints, middle)
        for view in missing:
            picture, camera = pictures[view], cameras[view]
            assert picture is not None and camera is not None
            if camera.to_camera(joints)[:, 2].min() <= 0:
                continue
            there = camera.project(joints)
            height, width = picture.image.shape[:2]
            square = box_around_joints(there, width, height)
            if not camera.camera.contains(there).mean() >= AGREES or not square.overlaps(width, height):
                continue
            (found,) = self.predictor.see(picture.image)([Look(0, square, side == "left")])
            size = max(float(np.ptp(there, axis=0).max()), 1.0)
            off = float(np.median(np.linalg.norm(found.joints - there, axis=1)))
            if is_hand(found.joints, score(found.sigma), square) and off < SLACK * TOLERANCE * size:
                seen[view] = Candidate(found, score(found.sigma))

    def placed(self, pictures: Sequence[StraightPicture | None]) -> list[PlacedCamera | None]:
        """The cameras of straight pictures, where they stand."""
        return [
            None if picture is None else PlacedCamera(picture.camera, camera.world_to_camera, None, camera.name)
            for picture, camera in zip(pictures, self.rig.cameras, strict=True)
        ]

    def measure(self, frames: Sequence[RigFrame]) -> float | None:
        """Find the scale of a rig without a unit from the hands in frames, and keep it: metres of one unit; None: no two views agree.

        Hands are taken to have their likeliest size, or the `hand_length` that was given.
        """
        factor = self.scale_of_hands(frames)
        if self.rig.metric or factor is None:
            return factor
        self.rig, self.factor = self.rig.scaled(factor), factor
        return factor

    def scale_of_hands(self, frames: Sequence[RigFrame]) -> float | None:
        """The factor on the rig's lengths with which the hands in frames, in the median, have their likeliest size; None: none agree."""
        chain = numpy_chain_of(self.predictor.hand, np.float64)
        likely = float(hand_length(chain, np.zeros((1, 10)))[0][0])
        rest = plain_hand(self.predictor.hand).rest_joints.astype(np.float64)
        a, b = np.array(BONES).T
        model = np.linalg.norm(rest[a] - rest[b], axis=-1)
        ratios = []
        for side in ("left", "right"):
            chosen = [frame for frame in frames if frame.side == side]
            if not chosen:
                continue
            found = self._triangulated(chosen)[2].joints
            bones = np.linalg.norm(found[:, a] - found[:, b], axis=-1)  # (F, 20), NaN where not triangulated
            there = np.isfinite(bones)
            good = there.sum(1) >= len(BONES) // 2
            total = np.where(there, bones, 0.0).sum(1)[good]
            ratios += ((there * model).sum(1)[good] / np.maximum(total, 1e-12)).tolist()
        if not ratios:
            return None
        return float(np.median(ratios)) * (1.0 if self.hand_length is None else self.hand_length / likely)

    @isolated
    def fuse(self, frames: Sequence[RigFrame], one_shape: bool = False, surface: bool = True) -> list[RigHand | None]:
        """The hand of each frame in the world, all of them in one fit; None where no view shows one.

        Args:
            frames: as `look` gives them.
            one_shape: they show one person's hand: all get the mean of the shapes that each finds by itself, weighted by certainty.
            surface: hands get their surface.
        """
        if not self.rig.metric and self.measure(frames) is None:
            any_seen = any(each is not None for frame in frames for each in frame.seen)
            if not any_seen:
                return [None] * len(frames)
        result: list[RigHand | None] = [None] * len(frames)
        for side in ("left", "right"):
            rows = [
                k
                for k, frame in enumerate(frames)
                if frame.side == side and any(each is not None for each in frame.seen)
            ]
            if rows:
                hands = self._fuse_side([frames[k] for k in rows], side == "left", one_shape, surface)
                for row, hand in zip(rows, hands, strict=True):
                    result[row] = hand
        return result

    def _triangulated(self, frames: Sequence[RigFrame]) -> tuple[list[PlacedCamera], np.ndarray, TriangulatedJoints]:
        """Cameras of the views, which views show the hand (F, V), and its joints in the world."""
        count = len(self.rig)
        cameras: list[PlacedCamera] = []
        for view in range(count):
            picture = next((frame.pictures[view] for frame in frames if frame.pictures[view] is not None), None)
            placed = self.rig.cameras[view]
            # A camera that never has a picture counts nowhere, so any will do.
            camera = Camera(np.eye(3), 1, 1) if picture is None else picture.camera
            cameras.append(PlacedCamera(camera, placed.world_to_camera, None, placed.name))
        points = np.full((len(frames), count, 21, 2), np.nan)
        weights = np.zeros((len(frames), count, 21))
        for row, frame in enumerate(frames):
            for view, each in enumerate(frame.seen):
                if each is not None:
                    points[row, view], weights[row, view] = each.joints, each.sigma**-2.0
        seen = np.asarray(weights.any(axis=2))
        return cameras, seen, triangulate(points, weights, cameras)

    def _fuse_side(
        self, frames: Sequence[RigFrame], flip: bool, one_shape: bool, surface: bool
    ) -> list[RigHand | None]:
        cameras, seen, found = self._triangulated(frames)
        share = found.agrees.mean(2)  # (F, V)
        certain = np.array([[0.0 if e is None else e.sure / float(np.mean(e.sigma)) for e in f.seen] for f in frames])
        good = seen & (share >= AGREES)
        alone = good.sum(1) < 2  # no two views agree
        best = np.where(seen, certain, -1.0).argmax(1)
        only = np.zeros_like(seen)
        only[np.arange(len(frames)), best] = True
        counts = np.where(alone[:, None, None], only[:, :, None], found.agrees & good[..., None])
        disagrees = seen & ~good & (seen.sum(1) > 1)[:, None] & ~(alone[:, None] & only)
        start = np.where(alone[:, None, None], np.nan, found.joints)
        views = [self._evidence(frames, view, cameras[view], flip, counts[:, view]) for view in range(len(cameras))]
        mirror = np.array([-1.0 if flip else 1.0, 1.0, 1.0])
        length = None if self.hand_length is None else float(np.clip(self.hand_length, *SHAPE_LENGTHS))
        fit = fit_views(self.predictor.hand, views, start * mirror, hand_length=length)
        if one_shape:
            trust = np.where(alone, 1e-3, 1.0) / np.square(fit.sigma.mean(1))
            shape = np.average(fit.pose.shape, axis=0, weights=trust)
            fit = fit_views(self.predictor.hand, views, start * mirror, shape, hand_length=length)
        return self._hands(frames, flip, cameras, found, counts, disagrees, alone, fit, surface)

    def _evidence(
        self, frames: Sequence[RigFrame], view: int, camera: PlacedCamera, flip: bool, counts: np.ndarray
    ) -> ViewEvidence:
        size = self.predictor.estimator.config.size
        model = next(each for frame in frames for each in frame.seen if each is not None).view.evidence
        columns: dict[str, Any] = {}
        for name in (each.name for each in fields(Evidence) if each.name != "right"):
            blank = getattr(model, name)
            if blank is not None:
                rows = [blank if f.seen[view] is None else getattr(_view(f, view), name) for f in frames]
                columns[name] = np.concatenate(rows)
        plain = np.array([[size, 0, 0], [0, size, 0], [0, 0, 1.0]])
        K = [plain if f.seen[view] is None else crop_camera(camera.camera, _there(f, view), size) for f in frames]
        placed = MIRROR @ camera.world_to_camera @ MIRROR if flip else camera.world_to_camera
        return ViewEvidence(Evidence(**columns), np.stack(K).astype(np.float64), size, placed, counts)

    def _hands(
        self,
        frames: Sequence[RigFrame],
        flip: bool,
        cameras: Sequence[PlacedCamera],
        found: TriangulatedJoints,
        counts: np.ndarray,
        disagrees: np.ndarray,
        alone: np.ndarray,
        fit: ViewsFit,
        surface: bool,
    ) -> list[RigHand | None]:
        model = plain_hand(self.predictor.hand)
        mirror = np.array([-1.0 if flip else 1.0, 1.0, 1.0])
        posed: HandPose[np.ndarray] = fit.pose.map(lambda values: values.astype(model.template.dtype))
        angles = np.degrees(rotations_to_angles(fit.pose.rotations))
        joints = fit.joints * mirror
        side = side_of(flip, False)
        source: Literal["given", "guessed"] = "guessed" if self.side == "auto" else "given"
        hands: list[RigHand | None] = []
        for row, frame in enumerate(frames):
            if not np.isfinite(joints[row]).all():
                hands.append(None)
                continue
            views = []
            for view, each in enumerate(frame.seen):
                views.append(
                    self._view(
                        frame,
                        view,
                        each,
                        cameras[view],
                        posed[row : row + 1],
                        joints[row],
                        flip,
                        disagrees[row, view],
                        surface,
                    )
                )
            scale: Literal["rig", "prior", "given"] = "prior" if alone[row] or self.scale_by_hand else "rig"
            skin: dict[str, Any] = {}
            if surface:
                vertices = model(posed[row : row + 1]).vertices[0] * mirror
                skin = {"vertices": vertices.astype(np.float64), "faces": model.faces[:, ::-1] if flip else model.faces}
            hands.append(
                RigHand(
                    side=side,
                    score=max(score(each.view.sigma) for each in frame.seen if each is not None),
                    joints=joints[row],
                    uncertainty=SPREAD * fit.sigma[row],
                    rotations=fit.pose.rotations[row],
                    orientation=fit.pose.orientation[row],
                    shape=fit.pose.shape[row],
                    angles_degrees=dict(zip(ANGLE_NAMES, angles[row].tolist(), strict=True)),
                    scale_source="given" if self.hand_length is not None and scale == "prior" else scale,
                    views=tuple(views),
                    side_source=source,
                    triangulated=found.joints[row],
                    time=frame.time,
                    **skin,
                )
            )
        return hands

    def _view(
        self,
        frame: RigFrame,
        view: int,
        each: Candidate | None,
        camera: PlacedCamera,
        pose: HandPose[np.ndarray],
        joints: np.ndarray,
        flip: bool,
        disagrees: bool,
        surface: bool,
    ) -> RigView:
        """What one camera says, and the hand before it."""
        picture = frame.pictures[view]
        if picture is None:
            return RigView(camera.name, "no picture")
        given = PlacedCamera(picture.given, camera.world_to_camera, picture.lens, camera.name)
        placed = MIRROR @ camera.world_to_camera @ MIRROR if flip else camera.world_to_camera
        turn, shift = placed[:3, :3].astype(pose.shape.dtype), placed[:3, 3].astype(pose.shape.dtype)
        before = replace(pose, orientation=turn @ pose.orientation, translation=pose.translation @ turn.T + shift)
        seen_2d = sigma = errors = None
        box = [0.0, 0.0, float(given.camera.width), float(given.camera.height)]
        if each is not None:
            seen_2d = given.project(camera.to_world(picture.camera.rays(each.joints)))
            sigma = each.sigma
            errors = np.linalg.norm(camera.project(joints) - each.joints, axis=1)
            box = box_from_edge(picture.box_in_given(each.view.look.square))
        facts = {
            "side": side_of(flip, False),
            "score": 0.0 if each is None else score(each.view.sigma),
            "box": box,
            "uncertainty": np.zeros(21) if sigma is None else sigma,
            "side_source": "guessed" if self.side == "auto" else "given",
            "camera_source": "given",
        }
        (hand,) = assemble_hands(
            self.predictor.hand, before, picture.given, [flip], [None], [facts], picture.lens, bare=not surface
        )
        state: ViewState = "used"
        if each is None:
            state = "no hand"
        elif disagrees:  # one that is hardly a hand is none
            state = "disagrees" if each.sure >= self.min_score else "no hand"
        elif float(np.mean(each.sigma)) > UNSURE * max(float(np.ptp(each.joints, axis=0).max()), 1.0):
            state = "unsure"
        return RigView(camera.name, state, seen_2d, sigma, errors, hand)


def _there(frame: RigFrame, view: int) -> Any:
    each = frame.seen[view]
    assert each is not None
    return each.view


def _view(frame: RigFrame, view: int) -> Evidence[np.ndarray]:
    evidence: Evidence[np.ndarray] = _there(frame, view).evidence
    return evidence
