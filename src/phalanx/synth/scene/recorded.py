"""Hands that were recorded: the hand model posed on joints out of a file, by spin match and least squares (Chen 2020, ch. 5).

So the labels of a public set, which are joints alone, become hands with surfaces, seen by any cameras.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.files import write_json
from phalanx.data.keypoints import read_keypoints
from phalanx.hand.model import HandPose, concatenate_poses
from phalanx.predict.keypoints import fit_keypoints


@dataclass(frozen=True, eq=False)
class RecordedHands:
    """N hands in the order of their file; left ones as right hands in a mirror."""

    pose: HandPose
    """In the frame of the joints, taken for that of a camera."""
    residual: np.ndarray
    """(N,) mean distance in metres of the posed hand's joints from those of the file, of those that the file has."""

    def summary(self) -> str:
        """How many there are, and how well the hand took their poses, in a sentence."""
        middle, high = 1000 * np.median(self.residual), 1000 * np.quantile(self.residual, 0.95)
        return (
            f"{len(self.residual)} recorded hands posed: joints are off by {middle:.1f} mm in the median hand, "
            f"by {high:.1f} mm in one of twenty"
        )

    def write(self, path: Path) -> None:
        """Write the residual of each hand, in mm, as JSON."""
        write_json(path, {"residual_mm": (1000 * self.residual).round(3).tolist()})


@lru_cache(maxsize=2)
def recorded_hands(path: str) -> RecordedHands:
    """The hands of a file of joints in space (`data.keypoints.read_keypoints`); unit, order and side are found out by fitting.

    Raises:
        InputError: the file cannot be read, or what it holds are no joints of hands in space.
    """
    poses, residuals = [], []
    for track in read_keypoints(path):
        try:
            found = fit_keypoints(track.points, confidence=track.confidence, in_picture=track.in_picture)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        if found.camera is not None:
            raise InputError(f"{path}: joints are places in a picture; joints in space are needed")
        recording = found.recording
        arrays = (recording.rotations, recording.shape, recording.orientation, recording.joints[:, 0])
        poses.append(HandPose(*(torch.as_tensor(value, dtype=torch.float32) for value in arrays)))
        residuals.append(np.nanmean(found.joint_error, axis=1))
    return RecordedHands(concatenate_poses(poses), np.concatenate(residuals))
