"""Hands sit on the wrists of bodies."""

import pytest
import torch

from phalanx.hand.model import HandModel, HandPose
from phalanx.synth.body.model import JOINT, SIDES, BodyModel

CUT = 0.045  # metres above the wrist where the body's forearms end, for the mean shape


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.open_body()


def borders(body: BodyModel) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices (N,) of the rims where the arms end: right and left."""
    edges = torch.cat([body.faces[:, [0, 1]], body.faces[:, [1, 2]], body.faces[:, [2, 0]]])
    _, group, count = torch.unique(edges.sort(1).values, dim=0, return_inverse=True, return_counts=True)
    ends = edges[count[group] == 1].unique()
    arm = body.skin_weights[:, [JOINT["right_forearm"], JOINT["left_forearm"]]][ends]
    return ends[arm[:, 0] > 0.5], ends[arm[:, 1] > 0.5]


def test_bodies_end_just_above_their_wrists(body: BodyModel) -> None:
    right, left = borders(body)
    assert len(right) == len(left) >= 6
    assert set(body.mirror[right].tolist()) == set(left.tolist())
    elbow, wrist = (body.rest_joints[JOINT[name]] for name in ("right_elbow", "right_wrist"))
    axis = (wrist - elbow) / (wrist - elbow).norm()
    along = (wrist - body.template[right]) @ axis
    assert (along > CUT - 0.001).all() and (along < CUT + 0.025).all()


@pytest.mark.parametrize("side", SIDES)
def test_the_open_hand_lies_on_the_forearm(body: BodyModel, model: HandModel, side: str) -> None:
    """The forearm of the mean hand is within some millimetres of the mean body's, seen as of the same base mesh."""
    surface = body(body.rest_pose(1))
    orientation, wrist = body.hand_frames(surface, side)
    torch.testing.assert_close(orientation @ orientation.mT, torch.eye(3)[None], atol=1e-5, rtol=0)
    assert torch.linalg.det(orientation).item() == pytest.approx(1.0, abs=1e-5)
    pose = HandPose(torch.eye(3).expand(1, 16, 3, 3), torch.zeros(1, 10), orientation, wrist)
    hand = model(pose).vertices[0]
    if side == "left":
        hand = hand * torch.tensor([-1.0, 1.0, 1.0])
    y = model.template[:, 1]
    forearm = hand[(y < -CUT - 0.02) & (y > -0.15)]
    corners = surface.vertices[0][body.faces]  # points all over the body's faces
    share = torch.rand(40, 3, generator=torch.Generator().manual_seed(0)) + 0.01
    points = torch.einsum("sk,fkc->sfc", share / share.sum(1, keepdim=True), corners).flatten(0, 1)
    near = torch.cdist(forearm, points[(points - wrist_of(body, side)).norm(dim=1) < 0.25]).amin(1)
    assert near.mean() < 0.004 and near.max() < 0.011


def wrist_of(body: BodyModel, side: str) -> torch.Tensor:
    return body.rest_joints[JOINT[f"{side}_wrist"]]
