"""What tests of hands share."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from made_up_mano import as_mano_writes, made_up, mirrored

from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.prediction import Side
from phalanx.hand.recording import HandRecording, own_faces


@pytest.fixture(scope="package")
def model() -> HandModel:
    """The open hand."""
    return HandModel.open_hand()


@pytest.fixture(scope="package")
def mano_files(tmp_path_factory) -> dict[str, Path]:
    """Made-up files of both sides, as Python 3 and as MANO's authors write them."""
    folder = tmp_path_factory.mktemp("mano")
    right = made_up()
    for side, entries in (("RIGHT", right), ("LEFT", mirrored(right))):
        (folder / f"MANO_{side}.pkl").write_bytes(pickle.dumps(entries))
        (folder / f"{side}_py2.pkl").write_bytes(as_mano_writes(entries))
    return {path.stem: path for path in folder.iterdir()}


def record(side: Side, vary: float = 0.0, frames: int = 4) -> HandRecording:
    """A hand that closes and turns; `vary` is how much its shape differs between frames, standard deviations."""
    torch.manual_seed(0)
    share = torch.linspace(0, 1, frames)[:, None]
    pose = HandPose.zero(frames)
    pose.rotations = angles_to_rotations(share * torch.full((frames, 23), 0.9))
    pose.shape = torch.randn(1, 10) + vary * torch.randn(frames, 10)
    pose.orientation = rotvec_to_rotmat(share * torch.tensor([[2.0, -3.0, 1.0]]))
    pose.translation = torch.tensor([0.1, -0.05, 0.6]) + 0.1 * share
    model = HandModel.open_hand()
    surface = model(pose)
    mirror = np.array([-1.0 if side == "left" else 1.0, 1, 1])
    return HandRecording(
        side=side,
        frames=np.arange(frames) * 2,
        times=np.arange(frames) / 15 + 3,
        joints=surface.joints.numpy() * mirror,
        rotations=pose.rotations.numpy(),
        orientation=pose.orientation.numpy(),
        shape=pose.shape.numpy(),
        filled=np.zeros((frames, 21), bool),
        vertices=surface.vertices.numpy() * mirror,
        faces=own_faces(model, side),
        sources={"side": "given"},
    )


@pytest.fixture
def recorded() -> Callable[..., HandRecording]:
    return record
