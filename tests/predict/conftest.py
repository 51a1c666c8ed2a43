"""A hand whose whole truth is known, in a picture whose colours say where in the picture each pixel is.

From any crop of such a picture, however it was cut, scaled, turned or flipped, `Oracle` reads the crop's place and answers with
the exact evidence. So whatever `Predictor` makes of boxes, cameras and sides must come back to the truth.
"""

import math
from dataclasses import dataclass, fields, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from phalanx.fit.crop import without_turn
from phalanx.fit.evidence import DEPTH_ROOT, Evidence
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.hand.anatomy import ANGLE_NAMES, angles_to_rotations
from phalanx.hand.model import HandModel, HandPose
from phalanx.methods.compact import centre_ray
from phalanx.methods.sphere_fitting import SphereFittingConfig, SphereFittingEstimator, save_weights
from phalanx.predict.detection import Detection
from phalanx.predict.looks import box_around_joints
from phalanx.predict.predictor import Predictor

WIDTH, HEIGHT = 320, 240


@pytest.fixture(scope="package")
def sphere_weights(tmp_path_factory):
    """A file of a small network of spheres that has learnt nothing."""
    path = tmp_path_factory.mktemp("weights") / "spheres.safetensors"
    torch.manual_seed(0)
    save_weights(SphereFittingEstimator(SphereFittingConfig(size=64, width=16)), path, HandModel.open_hand())
    return path


def place_picture(width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(H, W, 3) float32: red says x, green says y, from 0.1 to 0.9 across the picture."""
    x, y = np.meshgrid(np.linspace(0.1, 0.9, width), np.linspace(0.1, 0.9, height))
    return np.stack([x, y, np.full_like(x, 0.5)], axis=-1).astype(np.float32)


@dataclass
class Truth:
    """A right hand in the frame of the (mirrored, if `flip`) camera, and what the picture shows of it."""

    pose: HandPose
    K: np.ndarray  # (3, 3)
    flip: bool
    angles: np.ndarray  # (23,) radians

    @property
    def joints(self) -> np.ndarray:
        """(21, 3) metres, camera frame of the picture as it is."""
        joints = HandModel.open_hand().joints(self.pose)[0].double().numpy()
        return joints * ([-1, 1, 1] if self.flip else [1, 1, 1])

    @property
    def joints_2d(self) -> np.ndarray:
        """(21, 2) pixels."""
        points = self.joints @ self.K.T
        return points[:, :2] / points[:, 2:]


def make_truth(
    flip: bool = False, f: float = 300.0, at: tuple[float, float, float] = (0.04, 0.09, 0.5), roll: float = 0.0
) -> Truth:
    """A hand at `at` metres, pointing up and then turned by `roll` radians about the optical axis, clockwise as seen."""
    angles = torch.zeros(1, len(ANGLE_NAMES))
    angles[0, ANGLE_NAMES.index("index_pip_flexion")] = 0.6
    angles[0, ANGLE_NAMES.index("ring_mcp_flexion")] = 0.4
    turn = torch.tensor(0.4)
    c, s = math.cos(turn), math.sin(turn)
    # Fingers up (y distal to -y of the camera), palm towards the camera, and turned a little about the vertical.
    facing = torch.tensor([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])
    about_y = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    shape = torch.linspace(-1, 1, 10)[None]
    c, s = math.cos(roll), math.sin(roll)
    about_z = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    pose = HandPose(angles_to_rotations(angles), shape, (about_z @ about_y @ facing)[None], torch.tensor([at]))
    K = np.array([[f, 0, 150.0], [0, f * 1.02, 125.0], [0, 0, 1]])
    return Truth(pose, K, flip, angles[0].numpy())


class Oracle(nn.Module):
    """Stands in for the network: reads from the crop's colours where it was cut, and answers with the truth.

    Of several hands it sees the one whose joints are nearest to the middle of the crop. The first `misread` looks it is unsure and takes
    the hand for its image upside down.
    """

    def __init__(
        self, *truths: Truth, size: int = 64, width: int = WIDTH, height: int = HEIGHT, misread: int = 0
    ) -> None:
        super().__init__()
        self.misread = misread
        self.truths, self.picture = truths, (width, height)
        self.config = SimpleNamespace(size=size)
        self.seen: list[Tensor] = []  # crops (1, 3, S, S)
        self.calls: list[int] = []  # crops in each call
        self.turns: list[float] = []

    def evidence(self, images: Tensor) -> Evidence:
        assert images.shape[1:] == (3, self.config.size, self.config.size) and images.dtype == torch.float32
        self.calls.append(len(images))
        parts = [self._read(image[None]) for image in images]
        return Evidence(**{f.name: _joined([getattr(part, f.name) for part in parts]) for f in fields(Evidence)})

    def _read(self, images: Tensor) -> Evidence:
        self.seen.append(images)
        size = self.config.size
        middle = slice(size * 3 // 8, size * 5 // 8)
        at = torch.arange(size).double()[middle]
        v, u = (axis.flatten() for axis in torch.meshgrid(at, at, indexing="ij"))
        extent = torch.tensor(self.picture).double()[:, None] - 1
        pixels = (images[0, :2, middle, middle].flatten(1).double() - 0.1) / 0.8 * extent  # (2, N)
        # picture pixel = to_picture @ (crop pixel, 1)
        to_picture = torch.linalg.lstsq(torch.stack((u, v, torch.ones_like(u)), 1), pixels.T).solution.T.numpy()
        step, start = to_picture[:, :2], to_picture[:, 2]
        flipped = np.linalg.det(step) < 0
        middle_of_crop = step.sum(1) * (size - 1) / 2 + start
        truth = min(self.truths, key=lambda truth: np.linalg.norm(truth.joints_2d.mean(0) - middle_of_crop))
        # The crop of a left hand must come flipped, that of a right hand must not: the other way the network is unsure.
        sigma = 0.01 if flipped == truth.flip else 0.3
        joints_2d = (np.linalg.solve(step, (truth.joints_2d - start).T).T + 0.5) / size
        if len(self.seen) <= self.misread:
            sigma, joints_2d = 0.1, joints_2d.mean(0) * [0, 2] + joints_2d * [1, -1]
        scale = np.linalg.norm(step, axis=0)
        K_picture = truth.K
        f_crop = (K_picture[0, 0] / scale[0] + K_picture[1, 1] / scale[1]) / 2
        z = truth.joints[:, 2]
        depth = (z - z[DEPTH_ROOT]) * f_crop / (z[DEPTH_ROOT] * size)
        # What the crop shows, in a frame whose y axis goes down the crop.
        turn = math.atan2(-step[0, 1], step[1, 1]) * (-1 if flipped else 1)
        c, s = math.cos(turn), math.sin(turn)
        about_z = torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        self.turns.append(turn)
        ray = np.linalg.solve(K_picture, [*middle_of_crop, 1.0])
        ray = ray * [-1, 1, 1] if flipped else ray
        ray = about_z @ torch.tensor(ray / np.linalg.norm(ray), dtype=torch.float32)
        return Evidence(
            joints_2d=torch.tensor(joints_2d, dtype=torch.float32)[None],
            sigma_2d=torch.full((1, 21), sigma),
            depth=torch.tensor(depth, dtype=torch.float32)[None],
            sigma_depth=torch.full((1, 21), 0.01),
            rotations=truth.pose.rotations,
            orientation=ray_to_rotmat(ray[None]).mT @ about_z @ truth.pose.orientation,
            shape=truth.pose.shape,
        )


def _joined(values: list[Tensor | None]) -> Tensor | None:
    return None if values[0] is None else torch.cat(values)


def linear_fit(hand, evidence: Evidence, K: np.ndarray, size: int, hand_lengths: np.ndarray | None = None) -> HandPose:
    """Stands in for the fit: takes rotations and shape as they are and solves for the translation, which is linear."""
    evidence, K, model = evidence.map(torch.from_numpy), torch.from_numpy(K), HandModel.open_hand()
    upright, turn = without_turn(K)
    orientation = turn.mT @ ray_to_rotmat(centre_ray(upright, size)) @ evidence.orientation
    count = len(K)
    pose = HandPose(evidence.rotations, evidence.shape, orientation, torch.zeros(count, 3))
    joints = model.joints(pose).double()  # (B, 21, 3)
    pixels = evidence.joints_2d.double() * size - 0.5
    rays = torch.cat((pixels, torch.ones(count, 21, 1)), 2) @ torch.linalg.inv(K.double()).mT  # z = 1
    # (joints + t).xy = rays.xy (joints + t).z
    rows, right = [], []
    for axis in range(2):
        unit = torch.zeros(count, 21, 3, dtype=torch.float64)
        unit[..., axis], unit[..., 2] = 1, -rays[..., axis]
        rows.append(unit)
        right.append(rays[..., axis] * joints[..., 2] - joints[..., axis])
    solution = torch.linalg.lstsq(torch.cat(rows, 1), torch.cat(right, 1)[..., None]).solution[..., 0]
    return HandPose(evidence.rotations, evidence.shape, orientation, solution.float()).map(Tensor.numpy)


def make_predictor(*truths: Truth, **options) -> Predictor:
    """A `Predictor` of the given truths, without weights."""
    return Predictor(Oracle(*truths, **options), fit=linear_fit, detector="none")


def claim(truth: Truth, score: float = 0.9, right: float | None = None, **moved: float) -> Detection:
    """What a good detector says of a hand; `moved` are fields of its square."""
    low, high = truth.joints_2d.min(0), truth.joints_2d.max(0)
    square = replace(box_around_joints(truth.joints_2d, WIDTH, HEIGHT), **moved)
    seen = (*(low + 0.5).tolist(), *(high - low).tolist())
    return Detection(seen, score, float(not truth.flip) if right is None else right, square)


@pytest.fixture
def claims(monkeypatch) -> list[Detection]:
    """What the stand-in for a detector claims, of whatever picture; to be filled."""
    made: list[Detection] = []

    def find_hands(detector, image, max_hands=8, min_score=0.5):
        assert image.ndim == 3 and image.dtype in (np.uint8, np.float32)
        return [found for found in made if found.score >= min_score][:max_hands]

    monkeypatch.setattr("phalanx.predict.predictor.find_hands", find_hands)
    return made


@pytest.fixture
def oracle() -> SimpleNamespace:
    """The parts above, for tests."""
    return SimpleNamespace(
        truth=make_truth,
        picture=place_picture,
        estimator=Oracle,
        fit=linear_fit,
        predictor=make_predictor,
        claim=claim,
        width=WIDTH,
        height=HEIGHT,
    )
