"""A predictor that is told what to answer."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Found:
    """A hand as protocols take it from a predictor."""

    joints: np.ndarray
    joints_2d: np.ndarray
    vertices: np.ndarray | None = None


class Told:
    """Answers the pictures that it gets, in turn, with joints (N, 21, 3), and vertices (N, V, 3) if there are some; misses some hands.

    `asked` are the options that it was called with.
    """

    def __init__(self, joints: np.ndarray, vertices: np.ndarray | None = None, missed: tuple[int, ...] = ()) -> None:
        self.joints, self.vertices, self.missed = joints, vertices, missed
        self.asked: list[dict[str, Any]] = []

    def __call__(self, image: np.ndarray, **options: Any) -> list[Found]:
        index = len(self.asked)
        self.asked.append(options)
        if index in self.missed:
            return []
        pixels = self.joints[index] @ np.asarray(options["K"]).T
        surface = None if self.vertices is None else self.vertices[index]
        return [Found(self.joints[index], pixels[:, :2] / pixels[:, 2:], surface)]
