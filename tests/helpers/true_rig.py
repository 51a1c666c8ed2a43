"""Cameras round a hand whose joints are known: pictures that say which frame they are of, and a predictor that reads it off them."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from phalanx.data.camera_files import Calibration, as_calibration
from phalanx.data.rig_files import CameraRig, RigCamera
from phalanx.fit.chain import local_rotations, numpy_chain_of
from phalanx.fit.evidence import DEPTH_ROOT, Evidence
from phalanx.fit.state import State, pose_hands
from phalanx.geometry.camera import Camera
from phalanx.geometry.placed import MIRROR, PlacedCamera
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.hand.model import HandModel
from phalanx.hand.plain import PlainHand
from phalanx.predict.inputs import picture_camera
from phalanx.predict.looks import Look, View, box_around_joints
from phalanx.predict.rig import RigPredictor
from phalanx.predict.rig_calibrate import UnplacedPredictor
from phalanx.predict.rig_match import Candidate
from phalanx.predict.straight import straighten
from phalanx.synth.scene.rigs import looking_at

HEIGHT, FOCAL, SIZE = 240, 330.0, 128
FRAMES = 50


@dataclass
class TrueRig:
    """`count` cameras on an arc; a hand of `side` that moves from frame to frame.

    `blind` are (frame, view) that show no hand, `hidden` those whose estimator is unsure, `wrong` those that show another hand at another
    place. Joints are off by `noise` pixels.
    """

    count: int = 3
    side: str = "right"
    noise: float = 0.0
    blind: set[tuple[int, int]] = field(default_factory=set)
    hidden: set[tuple[int, int]] = field(default_factory=set)
    wrong: set[tuple[int, int]] = field(default_factory=set)
    unit: float = 1.0
    metric: bool = True

    def __post_init__(self) -> None:
        rng = np.random.default_rng(5)
        chain = numpy_chain_of(PlainHand.open_hand(), np.float64)
        low, high = chain.limits.T
        share = 0.5 + 0.25 * np.sin(np.linspace(0, 9, FRAMES)[:, None] + rng.uniform(0, 6, 20))
        turn = np.stack([ray_to_rotmat(np.array([[np.sin(t), 0.3, 1.2]]))[0] for t in np.linspace(0, 5, FRAMES)])
        place = 0.05 * np.stack([np.sin(np.linspace(0, 6, FRAMES) + phase) for phase in (0.0, 1.0, 2.0)], axis=-1)
        shape = np.tile(0.5 * rng.normal(size=10), (FRAMES, 1))
        upright = np.diag([1.0, -1.0, -1.0])
        self.state = State(turn @ upright, place + [0, 0.05, 0], np.concatenate((low + (high - low) * share, shape), 1))
        self.rotations = local_rotations(chain, self.state.angles)
        self.mirror = np.array([-1.0 if self.side == "left" else 1.0, 1.0, 1.0])
        self.model_joints = pose_hands(chain, self.state).joints
        self.joints = self.model_joints * self.mirror  # (FRAMES, 21, 3) world, metres

    def width(self, view: int) -> int:
        return 320 + 16 * view

    def camera(self, view: int) -> PlacedCamera:
        turn = 1.8 * (view / max(self.count - 1, 1) - 0.5)
        place = 0.55 * np.array([np.sin(turn), -0.35 + 0.2 * (view % 2), -np.cos(turn)])
        K = np.array([[FOCAL, 0, self.width(view) / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
        placed = looking_at(place, np.zeros(3), np.array([0.0, -1.0, 0.0]))
        return PlacedCamera(Camera(K, self.width(view), HEIGHT), placed, None, f"cam{view}")

    @property
    def rig(self) -> CameraRig:
        cameras = []
        for view in range(self.count):
            camera = self.camera(view)
            placed = camera.world_to_camera.copy()
            placed[:3, 3] *= self.unit
            calibration = Calibration(camera.camera.K, (self.width(view), HEIGHT))
            cameras.append(RigCamera(calibration, placed, camera.name))
        return CameraRig(tuple(cameras), self.metric)

    def image(self, frame: int, view: int) -> np.ndarray:
        """Grey that survives codecs; its width says which view it is."""
        return np.full((HEIGHT, self.width(view), 3), 5 * frame + 5, np.uint8)

    def number(self, image: np.ndarray) -> tuple[int, int]:
        """Frame and view of a picture; codecs darken it a little."""
        return min(max(round((float(image.mean()) - 3.7) / 5), 0), FRAMES - 1), (image.shape[1] - 320) // 16

    def images(self, frame: int) -> list[Any]:
        return [self.image(frame, view) for view in range(self.count)]

    def seen(self, frame: int, view: int) -> np.ndarray:
        """(21, 2) pixels, where the estimator sees the joints."""
        rng = np.random.default_rng([frame, view])
        pixels = self.camera(view).project(self.joints[frame]) + self.noise * rng.normal(size=(21, 2))
        return pixels + [0, 60] if (frame, view) in self.wrong else pixels

    def look(self, image: np.ndarray, look: Look) -> View:
        """What a perfect estimator says of a square."""
        frame, view = self.number(image)
        pixels = self.seen(frame, view)
        crop = np.c_[pixels, np.ones(21)] @ look.square.image_to_crop(1)[:2].T + 0.5
        camera = self.camera(view)
        placed = MIRROR @ camera.world_to_camera @ MIRROR if look.flip else camera.world_to_camera
        K = camera.camera.crop(look.square, SIZE)
        K = K.mirror() if look.flip else K
        if look.flip:
            crop = crop * [-1, 1] + [1, 0]
        before = self.model_joints[frame] @ placed[:3, :3].T + placed[:3, 3]
        turn = np.arctan2(K.K[1, 0] - K.K[0, 1], K.K[0, 0] + K.K[1, 1])
        about = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        ray = about @ np.append(K.rays(np.full((1, 2), SIZE / 2 - 0.5))[0, :2], 1.0)
        orientation = ray_to_rotmat(ray[None])[0].T @ about @ placed[:3, :3] @ self.state.orientation[frame]
        focal = float(np.sqrt(np.abs(np.linalg.det(K.K[:2, :2])))) / SIZE
        root = before[DEPTH_ROOT, 2]
        sigma = np.full((1, 21), 0.15 if (frame, view) in self.hidden else 0.01)
        straight = np.eye(3)[None, None]
        evidence = Evidence(
            joints_2d=crop[None],
            sigma_2d=sigma,
            depth=focal * (before[None, :, 2] - root) / root,
            sigma_depth=2 * sigma,
            rotations=np.concatenate((straight, self.rotations[frame : frame + 1]), axis=1),
            orientation=orientation[None],
            shape=self.state.shape[frame : frame + 1],
        )
        return View(look, evidence.map(lambda values: values.astype(np.float32)))

    def predictor(self, kind: type[RigPredictor] = RigPredictor, rig: CameraRig | None = None, **options: Any) -> Any:
        """A `RigPredictor`, or an `UnplacedPredictor`, that sees these hands."""
        true = self

        def open_picture(image: Any, K: Any) -> Any:
            camera = picture_camera(as_calibration(K), image.shape[1], image.shape[0])
            return straighten(image, camera), camera, (image.shape[1], image.shape[0])

        base = SimpleNamespace(
            hand=PlainHand.open_hand(),
            model=HandModel.open_hand(),
            estimator=SimpleNamespace(config=SimpleNamespace(size=SIZE)),
            open_picture=open_picture,
            load_detector=lambda: None,
            see=lambda image: lambda looks: [true.look(image, look) for look in looks],
        )

        class Seeing(kind):  # type: ignore[misc, valid-type]
            def candidates(self, picture: Any) -> list[Candidate]:
                image = picture.image
                frame, view = true.number(image)
                if (frame, view) in true.blind:
                    return []
                square = box_around_joints(true.seen(frame, view), image.shape[1], image.shape[0])
                return [Candidate(true.look(image, Look(0, square, true.side == "left")), 0.95)]

        return Seeing(self.rig if rig is None else rig, base, **options)

    def unplaced(self, rig: CameraRig, **options: Any) -> Any:
        return self.predictor(UnplacedPredictor, rig, **options)
