"""`RigTracker`: one hand followed through the videos of a rig: a look at its place in each view, the detector every so often."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from phalanx.core.isolated import isolated
from phalanx.fit.views import triangulate
from phalanx.hand.prediction import Side
from phalanx.predict.looks import Look, box_around_joints
from phalanx.predict.merge import SAME_HAND, is_hand
from phalanx.predict.posing import score
from phalanx.predict.rig import AGREES, RigFrame, RigPredictor
from phalanx.predict.rig_match import Candidate
from phalanx.predict.straight import StraightPicture
from phalanx.predict.tracker import BREAK, DOUBTFUL, EVERY, HURRY, LOOKS_FOR_SIDE, UNCONFIRMED


class RigTracker:
    """Follows one hand: `RigTracker(predictor)(images, time)` gives the `RigFrame` of each moment, which `RigPredictor.fuse` takes.

    Args:
        predictor: of the rig. Where its side is "auto", the first frames decide.
    """

    def __init__(self, predictor: RigPredictor) -> None:
        self.predictor = predictor
        views = len(predictor.rig)
        self.side: Side | None = None if predictor.side == "auto" else predictor.side
        self._odds, self._looks = 0.0, 0
        self._last: list[tuple[Candidate, float] | None] = [None] * views  # of the frame before, with its time
        self._speed = [np.zeros(2) for _ in range(views)]  # pixels a second
        self._unconfirmed = [0] * views
        self._since = EVERY

    @isolated
    def __call__(self, images: Sequence[Any], time: float) -> RigFrame:
        """What is seen at `time`, seconds, later than those before; images and errors as for `RigPredictor`."""
        pictures = self.predictor.open_pictures(images)
        followed = [self._follow(view, picture, time) for view, picture in enumerate(pictures)]
        self._since += 1
        lost = any(each is None for each, picture in zip(followed, pictures, strict=True) if picture is not None)
        if not any(followed) or self._since >= (HURRY if lost else EVERY):
            self._since = 0
            candidates = [self._detected(view, picture, followed[view]) for view, picture in enumerate(pictures)]
        else:
            candidates = [[] if each is None else [each] for each in followed]
        frame = self.predictor.settled(pictures, candidates, time, self.side)
        self._learn(frame, time)
        return frame

    def _follow(self, view: int, picture: StraightPicture | None, time: float) -> Candidate | None:
        """The hand of the frame before, where it should be by now."""
        last = self._last[view]
        if picture is None or last is None or time - last[1] > BREAK:
            return None
        height, width = picture.image.shape[:2]
        before, then = last
        square = box_around_joints(before.joints + self._speed[view] * (time - then), width, height)
        if not square.overlaps(width, height):
            return None
        (found,) = self.predictor.predictor.see(picture.image)([Look(0, square, before.view.look.flip)])
        if score(found.sigma) < DOUBTFUL or not is_hand(found.joints, score(found.sigma), square):
            return None
        return Candidate(found, before.sure)

    def _detected(self, view: int, picture: StraightPicture | None, followed: Candidate | None) -> list[Candidate]:
        """What the detector finds in a view, and the hand that was followed there, unless it was not confirmed for long."""
        if picture is None:
            return []
        found = self.predictor.candidates(picture)
        if followed is None:
            self._unconfirmed[view] = 0
            return found
        size = max(float(np.ptp(followed.joints, axis=0).max()), 1.0)
        same = [
            each for each in found if np.linalg.norm(each.joints - followed.joints, axis=1).mean() < SAME_HAND * size
        ]
        others = [each for each in found if each not in same]
        if same:
            self._unconfirmed[view] = 0
            return [Candidate(followed.view, same[0].sure), *others]
        self._unconfirmed[view] += 1
        return found if self._unconfirmed[view] >= UNCONFIRMED else [followed, *others]

    def _learn(self, frame: RigFrame, time: float) -> None:
        """Places and speeds of this frame, and the side."""
        wrong = self._disagreeing(frame)
        for view, each in enumerate(frame.seen):
            last = self._last[view]
            if each is None or wrong[view]:
                self._last[view], self._speed[view] = None, np.zeros(2)
                continue
            if last is not None and time > last[1]:
                moved = (each.joints.mean(0) - last[0].joints.mean(0)) / (time - last[1])
                self._speed[view] = 0.5 * (self._speed[view] + moved)
            self._last[view] = each, time
        if self.side is None and any(each is not None for each in frame.seen):
            self._odds += 1.0 if frame.side == "right" else -1.0
            self._looks += 1
            if self._looks >= LOOKS_FOR_SIDE:
                self.side = "right" if self._odds > 0 else "left"

    def _disagreeing(self, frame: RigFrame) -> list[bool]:
        """Of each view, whether it follows something else than the others: of three and more that can be told."""
        cameras = self.predictor.placed(frame.pictures)
        rows = [view for view, each in enumerate(frame.seen) if each is not None]
        wrong = [False] * len(frame.seen)
        if len(rows) < 3:
            return wrong
        there = [(frame.seen[view], cameras[view]) for view in rows]
        points = np.stack([each.joints for each, _ in there if each is not None])
        weights = np.stack([each.sigma**-2.0 for each, _ in there if each is not None])
        agrees = triangulate(points, weights, [camera for _, camera in there if camera is not None]).agrees.mean(1)
        for view, share in zip(rows, agrees.tolist(), strict=True):
            wrong[view] = share < AGREES and agrees.max() >= AGREES
        return wrong
