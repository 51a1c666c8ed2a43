"""Hands sit on the wrists of bodies."""

import pytest
import torch

from phalanx.hand.model import HandModel, HandPose
from phalanx.synth.body.model import JOINT, SIDES, BodyModel
from phalanx.synth.body.wrists import CUT, borders, fit_wrists, hand_radius


@pytest.fixture(scope="module")
def body() -> BodyModel:
    return BodyModel.open_body()


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


def test_forearms_become_as_thick_as_hands(body: BodyModel, model: HandModel) -> None:
    shapes = torch.randn(3, 10, generator=torch.Generator().manual_seed(1))
    radii = torch.stack([hand_radius(model, shapes), 0.9 * hand_radius(model, shapes)], 1)
    assert (radii > 0.015).all() and (radii < 0.05).all()
    pose = body.rest_pose(3)
    pose.shape = torch.randn(pose.shape.shape, generator=torch.Generator().manual_seed(3))
    before = body(pose)
    after = fit_wrists(body, before, radii)
    for number, rim in enumerate(borders(body)):
        side = SIDES[number]
        axis = after.joints[:, JOINT[f"{side}_wrist"]] - after.joints[:, JOINT[f"{side}_elbow"]]
        axis = axis / axis.norm(dim=1, keepdim=True)
        ring = after.vertices[:, rim]
        offset = ring - ring.mean(1, keepdim=True)
        across = offset - (offset @ axis[..., None]) * axis[:, None]
        torch.testing.assert_close(across.norm(dim=2).mean(1), radii[:, number], atol=2e-3, rtol=0)
    still = body.skin_weights[:, [JOINT[f"{side}_{j}"] for side in SIDES for j in ("elbow", "forearm")]].sum(1) < 0.5
    torch.testing.assert_close(after.vertices[:, still], before.vertices[:, still])
