"""A predictor of hands that move as a script says, for trackers and videos: it reads the number of a frame from the frame's grey."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from phalanx.geometry.camera import Camera
from phalanx.geometry.crops import SquareBox
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.prediction import HandPrediction, Side
from phalanx.predict.assemble import assemble
from phalanx.predict.detection import Detection
from phalanx.predict.looks import box_around_joints

WIDTH, HEIGHT, FOCAL = 320, 240, 300.0
MOST = 60
"""Frames that can be told apart."""


def frame(number: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """(H, W, 3) uint8, grey that survives video codecs."""
    return np.full((height, width, 3), 4 * (number % MOST) + 8, np.uint8)


def number_of(image: np.ndarray) -> int:
    return round((float(image.mean()) - 8) / 4)


@dataclass
class ScriptedHand:
    """`at` gives the wrist in metres for the number of a frame, `seen` whether the hand is in view."""

    side: Side
    at: Callable[[int], tuple[float, float, float]]
    seen: Callable[[int], bool] = lambda number: True
    roll: float = 0.0


class ScriptedPredictor:
    """Stands in for `Predictor`. `detected` and `followed` are the numbers of the frames in which each was called.

    Args:
        hands: what there is.
        shake: standard deviation of errors in wrist (metres), and of shape, turn and angles (radians, times ten).
        misjudged: numbers of frames in which the estimator takes a hand whose side is not given for the other one.
        hides: hands that the detector never sees.
    """

    def __init__(
        self, *hands: ScriptedHand, shake: float = 0.0, misjudged: tuple[int, ...] = (), blind: bool = False
    ) -> None:
        self.model = self.hand = HandModel.open_hand()
        self.hands, self.shake, self.misjudged, self.blind = hands, shake, misjudged, blind
        self.noise = np.random.default_rng(0)
        self.detected: list[int] = []
        self.followed: list[int] = []
        self.known: dict[tuple[int, int, bool], HandPrediction] = {}

    def named(self, hands: list[HandPrediction]) -> list[HandPrediction]:
        """It knows no gestures."""
        return list(hands)

    def truth(self, hand: ScriptedHand, number: int, mirrored: bool = False, shake: float = 0.0) -> HandPrediction:
        key = id(hand), number, mirrored
        if shake:
            return self._posed(hand, number, mirrored, shake)
        if key not in self.known:
            self.known[key] = self._posed(hand, number, mirrored, 0.0)
        return self.known[key]

    def _posed(self, hand: ScriptedHand, number: int, mirrored: bool, shake: float) -> HandPrediction:
        def noise(*shape: int) -> np.ndarray:
            return shake * self.noise.normal(size=shape)

        flip = (hand.side == "left") != mirrored
        angles = torch.full((1, 23), 0.2) + torch.from_numpy(10 * noise(1, 23))
        c, s = np.cos(hand.roll), np.sin(hand.roll)
        about_z = torch.tensor([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
        facing = torch.diag(torch.tensor([1.0, -1, -1]))
        place = (np.array(hand.at(number)) + noise(3)) * [-1 if flip else 1, 1, 1]
        pose = HandPose(
            angles_to_rotations(angles).float(),
            torch.from_numpy(50 * noise(1, 10)).float(),
            (about_z.float() @ facing)[None],
            torch.from_numpy(place)[None].float(),
        )
        K = np.array([[FOCAL, 0, (WIDTH - 1) / 2], [0, FOCAL, (HEIGHT - 1) / 2], [0, 0, 1]])
        facts = {"side": hand.side, "score": 0.9, "box": [0, 0, 9, 9], "uncertainty": np.ones(21)}
        return assemble(self.model, pose, Camera(K, WIDTH, HEIGHT), flip, **facts, mirrored=mirrored)

    def detect(self, image: np.ndarray, max_hands: int = 8, min_score: float = 0.5) -> list[Detection]:
        number = number_of(image)
        self.detected.append(number)
        claims = []
        for hand in self.hands:
            if hand.seen(number) and not self.blind:
                joints = self.truth(hand, number).joints_2d
                square = box_around_joints(joints, WIDTH, HEIGHT)
                box = (*joints.min(0).tolist(), *np.ptp(joints, axis=0).tolist())
                claims.append(Detection(box, 0.9, 0.9 if hand.side == "right" else 0.1, square))
        return claims[:max_hands]

    def follow(
        self, image: np.ndarray, squares: list[SquareBox], sides, K=None, mirrored=False, hand_lengths=None
    ) -> list[HandPrediction | None]:
        number = number_of(image)
        self.followed.append(number)
        found: list[HandPrediction | None] = []
        for square, side in zip(squares, sides, strict=True):
            seen = [self.truth(hand, number, shake=self.shake) for hand in self.hands if hand.seen(number)]
            middle = np.array([square.centre_x, square.centre_y])
            away = [np.linalg.norm((h.joints_2d.min(0) + h.joints_2d.max(0)) / 2 - middle) for h in seen]
            if not seen or min(away) > square.side / 2:
                found.append(replace(self.truth(self.hands[0], number), score=0.05) if number % 2 else None)
                continue
            hand = seen[int(np.argmin(away))]
            other: Side = "left" if hand.side == "right" else "right"
            judged = other if number in self.misjudged else hand.side
            found.append(replace(hand, side=judged if side == "auto" else side))
        return found

    def __call__(self, image: np.ndarray, box=None, **options) -> list[HandPrediction]:
        number = number_of(image)
        return [self.truth(hand, number) for hand in self.hands if hand.seen(number)][:1]
