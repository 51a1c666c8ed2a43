"""`Tracker`: the frames of a video in, the hands in each of them out, every hand with a number that stays with it.

    frame -> estimator, at the place of each hand, moved on by its speed -> where one is new, lost or doubtful, and every so often:
        detector, and which claim is which hand -> two on one hand: one of them is lost -> one shape a hand -> filter -> hands

The detector runs on few frames: the estimator follows its own last answer, which takes one look at a small square.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.data.camera_files import Calibration, as_calibration
from phalanx.geometry.crops import SquareBox
from phalanx.hand.prediction import HandPrediction, Side
from phalanx.predict.detection import Detection
from phalanx.predict.filters import FilterConfig, HandFilter, state_of, with_states
from phalanx.predict.inputs import MAX_HANDS, MIN_SCORE, as_photo, check_limits, check_options
from phalanx.predict.looks import box_around_joints
from phalanx.predict.merge import FAINT, SAME_HAND, belief, is_hand
from phalanx.predict.predictor import Predictor
from phalanx.predict.sides import is_flipped, of_side

EVERY = 10
"""Frames from one look of the detector to the next where nothing is amiss: so soon a new hand is found."""
HURRY = 3
"""The same while a hand is lost or doubtful."""
PATIENCE = 1.0
"""Seconds after which a hand that is lost is forgotten; one that comes back later gets a new number."""
GRACE = 0.25
"""Seconds for which a doubtful hand is reported though the detector does not see it."""

DOUBTFUL = 0.3
"""Score of the estimator below which a hand is doubtful."""
BELIEVED = 0.5
"""Score from which a hand says which camera an unknown one is."""
KEPT = 0.36
"""Share of the sureness that a new hand needs with which the detector still confirms one that is known."""
SPARE = 2
"""Claims beyond as many as hands are wanted that the estimator looks at."""
UNCONFIRMED = 3
"""Looks of the detector in turn that do not confirm a hand, after which even one that the estimator is sure of is lost."""

NEAR, FASTER = 0.75, 4.0
"""How far a claim may be from the hand that it is, in sizes of the hand: so much, and so much more for each second that it was lost."""
ALIKE = 0.15
"""Mean distance of the joints, over their size, below which even a left and a right hand are one."""

LOOKS_FOR_SIDE = 5
"""Looks at either side until a hand's is decided, unless the evidence is clear before."""
CLEAR_SIDE = 4.0
"""Log-odds that are clear."""
VOTE = 2.5
"""Log-odds that the estimator's looks add to the detector's, where all of them speak for one side and are sure."""

MEMORY = 300.0
"""Frames, weighted by score, of which a hand's shape is the mean; with more of them, old ones are forgotten slowly."""
BREAK = 0.2
"""Seconds without a hand after which its filter starts anew, and for which it is taken to go on as it moved."""
FRAME = 1 / 30
"""Seconds from frame to frame where no times are given."""


@dataclass
class _SideVotes:
    """Which side a hand is, as the detector and the estimator have said so far. Each is asked often and errs alike, so means count."""

    detector: float = 0.0  # sum of log-odds of a right hand of the person
    detections: int = 0
    estimator: float = 0.0  # sum of scores, negative for left hands
    looks: int = 0

    def hear_detector(self, right: float) -> None:
        right = min(max(right, 0.01), 0.99)
        self.detector += math.log(right / (1 - right))
        self.detections += 1

    def hear_estimator(self, hand: HandPrediction) -> None:
        self.estimator += hand.score if hand.side == "right" else -hand.score
        self.looks += 1

    @property
    def odds(self) -> float:
        """Log-odds of a right hand."""
        return self.detector / max(self.detections, 1) + VOTE * self.estimator / max(self.looks, 1)

    def likely(self) -> Side:
        return "right" if self.odds >= 0 else "left"

    def decision(self) -> Side | None:
        if self.looks < LOOKS_FOR_SIDE and abs(self.odds) < CLEAR_SIDE:
            return None
        return self.likely()


@dataclass(eq=False)
class _Track:
    """A hand that is followed.

    Attributes:
        joints: (21, 2) pixels, where it was seen last.
        time: seconds, when that was.
        id: its number, once it has been reported.
        velocity: (2,) pixels a second.
        hand: what the estimator says of it in this frame; None: it is lost.
        square: what was looked at for that.
        side: decided, or None.
        shape: (10,) mean of all frames so far, and `frames` how many they are, weighted by score.
        claimed: the detector's confidence when it confirmed the hand last.
        unconfirmed: looks of the detector since then.
        sure: seconds, when the detector or the estimator was sure of the hand last.
    """

    joints: np.ndarray
    time: float
    id: int | None = None
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))
    hand: HandPrediction | None = None
    square: SquareBox | None = None
    side: Side | None = None
    votes: _SideVotes = field(default_factory=_SideVotes)
    shape: np.ndarray = field(default_factory=lambda: np.zeros(10))
    frames: float = 0.0
    claimed: float | None = None
    unconfirmed: int = 0
    sure: float = -math.inf
    filter: HandFilter | None = None
    filtered: tuple[Side, float] | None = None  # side and time of what the filter saw last

    def at(self, time: float) -> np.ndarray:
        """(21, 2) pixels, where the joints should be by now."""
        return self.joints + self.velocity * min(time - self.time, BREAK)

    def now(self, time: float) -> np.ndarray:
        """(21, 2) pixels, where they are, or should be if that is not clear."""
        return self.at(time) if self.hand is None or self.is_doubtful else self.hand.joints_2d

    @property
    def is_doubtful(self) -> bool:
        """Whether there may be no hand, or another one than was looked at."""
        if self.hand is None or self.square is None:
            return True
        return self.hand.score < DOUBTFUL or not is_hand(self.hand.joints_2d, self.hand.score, self.square)

    def jump(self, time: float) -> float:
        """How far the hand is from where it should be, in its sizes."""
        if self.id is None or self.hand is None:
            return math.inf
        return float(np.linalg.norm(_middle(self.hand.joints_2d) - _middle(self.at(time)))) / _size(self.joints)


class Tracker:
    """Follows hands from frame to frame: `Tracker()(frame, time)` gives the hands in the frame, each with its `id`.

    A hand keeps its number, its side, its shape and so its length. It may be hidden for up to a second. A tracker is for one video, whose
    frames come in order; it holds nothing of past frames but where hands were.

    Args:
        predictor: that detects hands and follows them; None makes the default one.
        box: (x, y, width, height) in pixels of where one hand is in the first frame, or "whole": only that hand is followed, without the
            detector. None finds all hands.
        K, side, mirrored, hand_length, max_hands, min_score: as `Predictor` takes them, for all frames. A camera that has to be assumed
            is one and the same for all.
        filtered: hands come through a One-Euro filter (`predict.filters`), and with one shape each. False gives them as the
            estimator does and without surfaces, for `filters.smoothed`, which knows a whole recording and builds them.
        config: of the filter.

    Attributes:
        unfiltered: the hands of the last frame, in the same order, as the estimator gave them; without surfaces.

    Raises:
        InputError: one of the arguments is at fault.
    """

    def __init__(
        self,
        predictor: Predictor | None = None,
        box: Any = None,
        K: Any = None,
        side: Side | Literal["auto"] = "auto",
        mirrored: bool = False,
        hand_length: float | None = None,
        max_hands: int = MAX_HANDS,
        min_score: float = MIN_SCORE,
        filtered: bool = True,
        config: FilterConfig | None = None,
    ) -> None:
        self.K = None if K is None else as_calibration(K)
        check_options(box, self.K, side, hand_length)
        check_limits(max_hands, min_score)
        self.predictor = Predictor() if predictor is None else predictor
        self.box, self.side, self.mirrored, self.hand_length = box, side, mirrored, hand_length
        self.max_hands = 1 if box is not None else max_hands
        self.min_score, self.filtered, self.config = min_score, filtered, config
        self.unfiltered: list[HandPrediction] = []
        self._tracks: list[_Track] = []
        self._next_id = 0
        self._since_detection = 0
        self._time: float | None = None
        self._shape: tuple[int, ...] | None = None

    def __call__(self, image: Any, time: float | None = None) -> list[HandPrediction]:
        """The hands in the next frame.

        Args:
            image: as a `Predictor` takes it; all frames of one size.
            time: seconds, later than those of the frame before; None: a thirtieth of a second later.

        Returns:
            A hand for each that is seen, in the order of their numbers.

        Raises:
            InputError: the frame is no picture or of another size than those before, or the time is not later.
        """
        pixels, _ = as_photo(image)
        seconds = self._checked_time(time)
        self._check_size(pixels)
        before, self._time = self._time, seconds
        self._follow(pixels, seconds)
        if self._asks_detector(before):
            self._since_detection = 0
            self._detect(pixels, seconds)
        else:
            self._since_detection += 1
        self._let_go(seconds)
        self._settle_sides(pixels)
        self._learn(seconds)
        return self._report(seconds)

    def _checked_time(self, time: float | None) -> float:
        if time is None:
            return 0.0 if self._time is None else self._time + FRAME
        seconds = float(as_array(time, (), "time"))
        if self._time is not None and seconds <= self._time:
            raise InputError(f"time: {seconds:g} s does not come after the frame before, at {self._time:g} s")
        return seconds

    def _check_size(self, pixels: np.ndarray) -> None:
        if self._shape is not None and pixels.shape[:2] != self._shape:
            (height, width), (high, wide) = pixels.shape[:2], self._shape
            raise InputError(f"image: has {width}x{height} pixels, the frames before it {wide}x{high}")
        self._shape = pixels.shape[0], pixels.shape[1]

    def _follow(self, image: np.ndarray, time: float) -> None:
        """Look at each hand where it should be by now."""
        live = [track for track in self._tracks if track.hand is not None]
        squares = [box_around_joints(track.at(time), image.shape[1], image.shape[0]) for track in live]
        found = self._look(image, squares, [track.side or self.side for track in live])
        for track, square, hand in zip(live, squares, found, strict=True):
            track.hand, track.square = hand, square

    def _look(
        self, image: np.ndarray, squares: list[SquareBox], sides: list[Side | Literal["auto"]]
    ) -> list[HandPrediction | None]:
        if not squares:
            return []
        lengths = [self.hand_length] * len(squares)
        found = self.predictor.follow(image, squares, sides, self.K, self.mirrored, lengths)
        self._keep_camera([hand for hand in found if hand is not None])
        return found

    def _keep_camera(self, hands: Sequence[HandPrediction]) -> None:
        """A video has one camera: the one assumed first, or a longer one that a hand demanded."""
        for hand in hands:
            if hand.camera_source == "assumed" and hand.score >= BELIEVED:
                self.K = Calibration(hand.K, (hand.width, hand.height), source="assumed")

    def _asks_detector(self, before: float | None) -> bool:
        """Whether nobody is followed, somebody became doubtful in this frame, or it is time; `before` is the last frame's."""
        if not any(track.hand is not None for track in self._tracks):
            return True
        doubtful = [track for track in self._tracks if track.is_doubtful]
        if self.box is not None:
            return bool(doubtful)
        return any(track.time == before for track in doubtful) or self._since_detection + 1 >= (
            HURRY if doubtful else EVERY
        )

    def _detect(self, image: np.ndarray, time: float) -> None:
        """Find out what the detector sees of the hands that are known, and of new ones."""
        if self.box is not None:
            self._look_into_box(image, time)
            return
        claims = self.predictor.detect(image, self.max_hands + SPARE, min(self.min_score * KEPT, FAINT))
        claims = of_side(claims, self.side, self.mirrored)
        matched = self._matched([claim for claim in claims if claim.score >= self.min_score * KEPT], time)
        again: list[tuple[_Track, Detection]] = []
        for track in self._tracks:
            claim = matched.get(id(track))
            if claim is None:
                track.unconfirmed += 1
                continue
            track.sure, track.unconfirmed = time, 0
            track.claimed = claim.score
            track.votes.hear_detector(1 - claim.right if self.mirrored else claim.right)
            if track.is_doubtful:
                again.append((track, claim))
        used = {id(claim) for claim in matched.values()}
        free = self.max_hands - sum(track.hand is not None or id(track) in matched for track in self._tracks)
        new = [claim for claim in claims if id(claim) not in used] if free > 0 else []
        for claim in new[: free + SPARE]:
            track = _Track(np.zeros((21, 2)), time, claimed=claim.score, sure=time)
            track.votes.hear_detector(1 - claim.right if self.mirrored else claim.right)
            track.side = track.votes.decision() if self.side == "auto" else self.side
            again.append((track, claim))
        sides = [track.side or self.side for track, _ in again]
        found = self._look(image, [claim.square for _, claim in again], sides)
        for (track, claim), hand in zip(again, found, strict=True):
            if hand is not None and is_hand(hand.joints_2d, hand.score, claim.square):
                track.hand, track.square = hand, claim.square
                if not any(track is known for known in self._tracks):
                    if belief(claim.score, hand.score) >= self.min_score and free > 0:
                        free -= 1
                        track.joints = hand.joints_2d
                        self._tracks.append(track)

    def _look_into_box(self, image: np.ndarray, time: float) -> None:
        """Where the box is given: look for the hand there, as in a picture by itself."""
        options: dict[str, Any] = {
            "K": self.K,
            "side": self.side,
            "mirrored": self.mirrored,
            "hand_length": self.hand_length,
        }
        hands = self.predictor(image, box=self.box, **options)
        self._keep_camera(hands)
        if not hands and self._tracks:
            self._tracks[0].hand = None
        for hand in hands[:1]:
            if not self._tracks:
                self._tracks.append(_Track(hand.joints_2d, time))
            track = self._tracks[0]
            if track.hand is None or hand.score > track.hand.score:
                track.hand = hand
                track.square = box_around_joints(hand.joints_2d, hand.width, hand.height)

    def _matched(self, claims: Sequence[Detection], time: float) -> dict[int, Detection]:
        """Which claim is which track, by its `id()`: the nearest first, none twice."""
        pairs = []
        for track in self._tracks:
            joints = track.now(time)
            reach = NEAR + FASTER * (time - track.time if track.hand is None else 0.0)
            for claim in claims:
                right = 1 - claim.right if self.mirrored else claim.right
                if track.hand is None and track.side is not None and (right > 0.5) != (track.side == "right"):
                    if abs(right - 0.5) > 0.4:
                        continue  # clearly another hand that came where this one was lost
                away = np.hypot(*(_middle(joints) - [claim.square.centre_x, claim.square.centre_y])) / _size(joints)
                if away < reach:
                    pairs.append((track.hand is None, float(away), track, claim))
        matched: dict[int, Detection] = {}
        taken: set[int] = set()
        for _, _, track, claim in sorted(pairs, key=lambda pair: pair[:2]):
            if id(track) not in matched and id(claim) not in taken:
                matched[id(track)] = claim
                taken.add(id(claim))
        return matched

    def _let_go(self, time: float) -> None:
        """Hands that are lost in this frame: neither estimator nor detector is sure of them, or another track has the hand."""
        for track in self._tracks:
            if track.hand is None or track.square is None or self.box is not None:
                continue
            hopeless = not is_hand(track.hand.joints_2d, track.hand.score, track.square)
            if not track.is_doubtful:
                track.sure = time
            unseen = time - track.sure > GRACE
            if hopeless or unseen or track.unconfirmed >= UNCONFIRMED:
                track.hand = None
        live = [track for track in self._tracks if track.hand is not None]
        kept: list[_Track] = []
        for track in sorted(live, key=lambda track: track.jump(time)):
            if any(_one_hand(track.hand, other.hand) for other in kept):
                track.hand = None
            else:
                kept.append(track)
        self._tracks = [
            track
            for track in self._tracks
            if track.hand is not None or (track.id is not None and time - track.time <= PATIENCE)
        ]

    def _settle_sides(self, image: np.ndarray) -> None:
        """Hear the estimator on sides that are not decided; where it is alone with its view of this frame, look again for the other side.

        So a hand is not reported as left and as right by turns until its side is decided.
        """
        doubted: list[tuple[_Track, SquareBox]] = []
        for track in self._tracks:
            if self.side != "auto" or track.side is not None or track.hand is None or track.square is None:
                continue
            track.votes.hear_estimator(track.hand)
            track.side = track.votes.decision()
            if track.hand.side != track.votes.likely():
                doubted.append((track, track.square))
        found = self._look(image, [square for _, square in doubted], [track.votes.likely() for track, _ in doubted])
        for (track, square), hand in zip(doubted, found, strict=True):
            if hand is not None and is_hand(hand.joints_2d, hand.score, square):
                track.hand = hand

    def _learn(self, time: float) -> None:
        """What this frame says of each hand's place, speed, side and shape."""
        for track in self._tracks:
            hand = track.hand
            if hand is None:
                continue
            passed = time - track.time
            moved = _middle(hand.joints_2d) - _middle(track.joints)
            if track.id is None or passed > BREAK:
                track.velocity = np.zeros(2)
            elif passed > 0:
                track.velocity = 0.5 * (track.velocity + moved / passed)
            track.joints, track.time = hand.joints_2d, time
            if self.side != "auto":
                track.side = self.side
            if track.side in (None, hand.side):
                track.frames = min(track.frames + max(hand.score, 1e-3), MEMORY)
                track.shape = track.shape + (hand.shape - track.shape) * max(hand.score, 1e-3) / track.frames

    def _report(self, time: float) -> list[HandPrediction]:
        """The hands of this frame, filtered if that is wanted."""
        source: Literal["given", "guessed"] = "guessed" if self.side == "auto" else "given"
        seen = [track for track in self._tracks if track.hand is not None]
        for track in seen:
            if track.id is None:
                track.id, self._next_id = self._next_id, self._next_id + 1
        self.unfiltered = []
        for track in seen:
            assert track.hand is not None
            sure = None if track.claimed is None else belief(track.claimed, track.hand.score)
            facts: dict[str, Any] = {"id": track.id, "time": time, "detection": sure}
            self.unfiltered.append(replace(track.hand, side_source=source, **facts))
        if not self.filtered:
            return list(self.unfiltered)
        states, shapes = [], []
        for track, hand in zip(seen, self.unfiltered, strict=True):
            shapes.append(track.shape if track.frames else hand.shape)
            state = state_of(self.predictor.hand, hand, shapes[-1])
            last = track.filtered
            if track.filter is None or last is None or last[0] != hand.side or time - last[1] > BREAK:
                track.filter = HandFilter(self.config)
            states.append(track.filter(state, time))
            track.filtered = hand.side, time
        return self.predictor.named(with_states(self.predictor.hand, self.unfiltered, states, shapes))


def _middle(joints: np.ndarray) -> np.ndarray:
    """(2,) pixels, of the upright box around joints (21, 2)."""
    middle: np.ndarray = (joints.min(0) + joints.max(0)) / 2
    return middle


def _size(joints: np.ndarray) -> float:
    """Pixels, the longer side of that box."""
    return max(float(np.ptp(joints, axis=0).max()), 1.0)


def _one_hand(a: HandPrediction | None, b: HandPrediction | None) -> bool:
    """Whether two tracks sit on one hand. Hands that hold each other differ: they are of two kinds, or point different ways."""
    if a is None or b is None:
        return False
    away = np.linalg.norm(a.joints_2d - b.joints_2d, axis=1).mean() / ((_size(a.joints_2d) + _size(b.joints_2d)) / 2)
    alike = is_flipped(a.side, a.mirrored) == is_flipped(b.side, b.mirrored)
    return bool(away < (SAME_HAND if alike else ALIKE))
