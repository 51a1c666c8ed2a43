"""The time that fitting to a user's data may take, reading and all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from phalanx.core.errors import InputError
from phalanx.train.plan import LoopConfig

LEAST_SECONDS = 5.0
"""That must be left for training."""


class Ticker:
    """The time that everything may take together; tells how much is gone."""

    def __init__(self, loop: LoopConfig, progress: Callable[[int, int], None]) -> None:
        self.seconds = math.inf if loop.samples is not None or loop.minutes is None else 60 * loop.minutes
        self._started, self._progress = time.monotonic(), progress

    def __call__(self) -> None:
        if math.isfinite(self.seconds):
            self._progress(int(min(self.elapsed, self.seconds)), math.ceil(self.seconds))

    @property
    def elapsed(self) -> float:
        """Seconds."""
        return time.monotonic() - self._started

    def left(self) -> float:
        """Seconds. Raises InputError if too few are left to train."""
        left = self.seconds - self.elapsed
        if left < LEAST_SECONDS:
            enough = math.ceil(2 * (self.elapsed + LEAST_SECONDS) / 6) / 10
            raise InputError(
                f"minutes: {self.seconds / 60:g} are too few, for loading and reading took {self.elapsed:.0f} s; give {enough:g} or more"
            )
        return left
