import pytest
import torch

from phalanx.fit.chain import HINGES, chain_of, joints_and_derivatives, local_rotations, rotations_to_hinges
from phalanx.hand.anatomy import angles_to_rotations, rotations_to_angles
from phalanx.hand.model import HandModel, HandPose


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.open_hand().double()


@pytest.fixture
def drawn(model):
    torch.manual_seed(1)
    limits = chain_of(model).limits
    angles = limits[:, 0] + (limits[:, 1] - limits[:, 0]) * torch.rand(5, 20, dtype=torch.float64)
    return angles, torch.randn(5, 10, dtype=torch.float64)


def test_rotations_are_those_of_the_anatomical_angles(model, drawn):
    angles, _ = drawn
    anatomical = torch.zeros(5, 23, dtype=torch.float64)
    anatomical[:, list(HINGES)] = angles
    torch.testing.assert_close(local_rotations(chain_of(model), angles), angles_to_rotations(anatomical)[:, 1:])


def test_angles_come_back(model, drawn):
    angles, _ = drawn
    chain = chain_of(model)
    rotations = local_rotations(chain, angles)
    torch.testing.assert_close(rotations_to_hinges(chain, rotations), angles)


def test_angles_of_any_rotations_are_those_of_the_anatomical_pose(model):
    from phalanx.geometry.rotations import rotvec_to_rotmat

    torch.manual_seed(2)
    rotations = rotvec_to_rotmat(0.6 * torch.randn(6, 16, 3, dtype=torch.float64))
    theirs = rotations_to_angles(rotations)[:, list(HINGES)]
    torch.testing.assert_close(rotations_to_hinges(chain_of(model), rotations[:, 1:]), theirs)


def test_joints_are_those_of_the_hand_model(model, drawn):
    angles, shape = drawn
    chain = chain_of(model)
    pose = HandPose.zero(5, dtype=torch.float64)
    pose.rotations[:, 1:] = local_rotations(chain, angles)
    pose.shape = shape
    expected = model.joints(pose)[:, 1:].unflatten(1, (5, 4))
    torch.testing.assert_close(joints_and_derivatives(chain, angles, shape)[0], expected)


def test_derivatives_are_those_of_autograd(model, drawn):
    angles, shape = drawn
    chain = chain_of(model)
    _, by_angle, by_shape = joints_and_derivatives(chain, angles, shape)
    full_angle, full_shape = torch.autograd.functional.jacobian(
        lambda a, s: joints_and_derivatives(chain, a, s)[0], (angles, shape)
    )  # (B, 5, 4, 3, B, 20), (B, 5, 4, 3, B, 10)
    for b in range(5):
        torch.testing.assert_close(by_shape[b], full_shape[b, ..., b, :])
        for finger in range(5):
            own = full_angle[b, finger, :, :, b].unflatten(-1, (5, 4))  # (4, 3, 5, 4)
            torch.testing.assert_close(by_angle[b, finger], own[:, :, finger])
            others = [k for k in range(5) if k != finger]
            assert float(own[:, :, others].abs().max()) == 0.0
