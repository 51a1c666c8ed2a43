"""MANO's pose and shape for keypoints, for whoever has a file of MANO.

The MANO hand is fitted as the open hand is, to the keypoints where there are some and to the open hand's joints where there are none.
Its 15 finger joints turn about any axis in MANO's own fits; here fingers bend and spread as anatomy lets them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.isolated import isolated
from phalanx.fit.sequences import fit_recording
from phalanx.hand.mano import load_mano
from phalanx.predict.keypoints import KeypointFit


@dataclass(frozen=True, eq=False)
class ManoFit:
    """MANO's parameters for T frames, as `smplx` takes them with `use_pca=False, flat_hand_mean=True`."""

    pose: np.ndarray  # (T, 45) axis-angle vectors of the finger joints, from the flat hand
    shape: np.ndarray  # (T, 10) betas
    orientation: np.ndarray  # (T, 3) axis-angle vector of the wrist
    translation: np.ndarray  # (T, 3) metres
    joint_error: np.ndarray  # (T, 21) metres from what it was fitted to

    def arrays(self) -> dict[str, np.ndarray]:
        """By the names that they have in NPZ files."""
        return {f"mano_{name}": value for name, value in vars(self).items()}


@isolated
def fit_mano(found: KeypointFit, path: str | os.PathLike[str], one_hand: bool = False) -> ManoFit:
    """The MANO hand of the file `path` in the poses of a fit.

    Raises:
        InputError: the file is none of MANO's (`load_mano`), or of the other side.
    """
    hand = load_mano(path)
    recording = found.recording
    if hand.side != recording.side:
        raise InputError(f"{path}: is MANO's {hand.side} hand, and these are {recording.side} ones")
    target = recording.joints
    if found.camera is None:
        target = np.where(recording.filled[..., None], recording.joints, found.keypoints)
    centre = target[:, :1]
    local = ((target - centre) * recording.mirror).astype(np.float32)
    pose = fit_recording(hand.model, local, one_hand=one_hand).pose.map(torch.from_numpy)
    with torch.inference_mode():
        off = (hand.model.joints(pose) - torch.from_numpy(local)).norm(dim=-1)
        parameters = hand.from_pose(pose)
        values = (parameters.pose, parameters.betas, parameters.orientation, parameters.translation)
        angles, shape, orientation, translation = (value.numpy() for value in values)
    return ManoFit(angles, shape, orientation, translation + centre[:, 0], off.numpy())
