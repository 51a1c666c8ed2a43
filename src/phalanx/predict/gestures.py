"""Names for the poses of hands: a classifier that was trained on a user's own pictures (`train.gestures`), on ONNX Runtime.

    classifier = load_gestures("signs.onnx")
    hands = classifier.named(hands)              # of a `Predictor`; or phalanx.Predictor(gestures="signs.onnx")
    hands[0].gesture, hands[0].gesture_probability

What it knows of a hand are the 20 angles of its fingers, after Dibra et al., CVPRW 2018, for whom a gesture is the same "regardless of
the exact hand position and rotation in the image" (section 3.2). The forearm's three angles are left out: they are no part of a sign, and
are badly seen. Where gestures differ in nothing but where the hand points (thumb up, thumb down), the classifier may know the palm's
orientation before the camera as well. All of it is of the hand model, a right hand: left hands count as their mirror images.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from phalanx.core.errors import InputError
from phalanx.hand.angles import ANGLE_NAMES
from phalanx.hand.plain import PlainHand
from phalanx.hand.prediction import NO_GESTURE, HandPrediction
from phalanx.predict.runtime import Session, open_session

METHOD = "gestures"
"""What files of classifiers say they are of."""

FINGER_ANGLES = tuple(name for name in ANGLE_NAMES if not name.startswith("wrist"))
"""Those of the 23 angles that are known of each hand."""


def gesture_features(hand: HandPrediction, palm: bool = False) -> np.ndarray:
    """What is known of a hand: (20,) angles of its fingers in degrees; with the `palm`, (29,), its orientation matrix behind them."""
    angles = np.array([hand.angles_degrees[name] for name in FINGER_ANGLES])
    return np.concatenate([angles, np.asarray(hand.orientation).ravel()]) if palm else angles


def feature_parts(palm: bool = False) -> list[list[int]]:
    """Numbers of the features of each finger, thumb first, and of the palm."""
    fingers = list(dict.fromkeys(name.split("_")[0] for name in FINGER_ANGLES))
    parts = [[k for k, name in enumerate(FINGER_ANGLES) if name.startswith(f"{finger}_")] for finger in fingers]
    return [*parts, list(range(len(FINGER_ANGLES), len(FINGER_ANGLES) + 9))] if palm else parts


@dataclass(frozen=True)
class GestureClassifier:
    """Names hands.

    Attributes:
        session: what computes.
        gestures: names, in the order of the probabilities; `NO_GESTURE` comes behind them.
        palm: whether it knows the palm's orientation.
        threshold: probability from which a gesture is named.
    """

    session: Session
    gestures: tuple[str, ...]
    palm: bool
    threshold: float

    def probabilities(self, hands: Sequence[HandPrediction]) -> np.ndarray:
        """(B, C + 1) of each gesture, and of none of them, for each hand."""
        if not hands:
            return np.zeros((0, len(self.gestures) + 1))
        features = np.stack([gesture_features(hand, self.palm) for hand in hands])
        return self.session(features.astype(np.float32))[0].astype(np.float64)

    def named(self, hands: Sequence[HandPrediction]) -> list[HandPrediction]:
        """The hands, each with `gesture` and `gesture_probability`: the likeliest, or `NO_GESTURE` where that is not likely enough."""
        result = []
        for hand, row in zip(hands, self.probabilities(hands), strict=True):
            likeliest = int(row[:-1].argmax())
            sure = float(min(row[likeliest], 1.0))
            name = self.gestures[likeliest] if sure >= self.threshold else NO_GESTURE
            result.append(replace(hand, gesture=name, gesture_probability=sure))
        return result


def load_gestures(path: str | os.PathLike[str]) -> GestureClassifier:
    """The classifier in a file that `phalanx gestures train` wrote.

    Raises:
        InputError: the file is missing or damaged, or a model of something else.
    """
    session = open_session(Path(path), METHOD, PlainHand.open_hand().checksum(), threads=1)
    config = session.about["config"]
    try:
        gestures, palm, threshold = (
            tuple(map(str, config["gestures"])),
            bool(config["palm"]),
            float(config["threshold"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: the model's configuration is not one of {METHOD}") from error
    return GestureClassifier(session, gestures, palm, threshold)
