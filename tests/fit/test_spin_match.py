import math
import subprocess
import sys

import torch
from fits_of_tensors import fit_recording

from phalanx.fit.chain import chain_of, local_rotations
from phalanx.fit.joints import fit_joints
from phalanx.fit.spin_match import spin, spin_match, swing
from phalanx.geometry.rotations import rotmat_angle, rotvec_to_rotmat
from phalanx.hand.anatomy import rotations_to_angles
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.skeleton import FINGERS


def unit(count: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(count, 3, dtype=torch.float64), dim=-1)


def posed(model: HandModel, hinges: torch.Tensor, shape: torch.Tensor | None = None) -> HandPose:
    pose = HandPose.zero(len(hinges))
    pose.rotations[:, 1:] = local_rotations(chain_of(model), hinges)
    if shape is not None:
        pose.shape = shape
    return pose


def bent(model: HandModel, count: int) -> torch.Tensor:
    """Hinge angles within their limits, every flexion at least 30 degrees but for the knuckles'."""
    limits = chain_of(model).limits
    low = limits[:, 0].clone().view(5, 4)
    low[:, 2:] = torch.maximum(low[:, 2:], torch.tensor(0.55))
    low = torch.minimum(low.flatten(), limits[:, 1])
    return low + (limits[:, 1] - low) * torch.rand(count, 20)


def test_swing_is_the_smallest_rotation_there():
    torch.manual_seed(0)
    start, end = unit(200), unit(200)
    rotation = swing(start, end)
    torch.testing.assert_close((rotation @ start[..., None])[..., 0], end)
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3, dtype=torch.float64).expand(200, 3, 3))
    between = torch.acos((start * end).sum(-1).clamp(-1, 1))
    torch.testing.assert_close(rotmat_angle(rotation, torch.eye(3, dtype=torch.float64)), between, atol=1e-6, rtol=0)


def test_spin_puts_the_next_bone_where_its_hinge_bends_it():
    torch.manual_seed(1)
    bone = unit(200)
    hinge = torch.nn.functional.normalize(torch.linalg.cross(bone, unit(200)), dim=-1)
    turn = rotvec_to_rotmat(bone * torch.empty(200, 1, dtype=torch.float64).uniform_(-1.4, 1.4))
    bend = torch.empty(200, 1, dtype=torch.float64).uniform_(0.8, 1.5)
    following = (turn @ (rotvec_to_rotmat(hinge * bend) @ bone[..., None]))[..., 0]
    found = spin(bone, hinge, following)
    torch.testing.assert_close((found @ bone[..., None])[..., 0], bone)
    off = rotmat_angle(found, turn)
    assert (
        off < 0.15 * rotmat_angle(turn, torch.eye(3, dtype=torch.float64)) + 1e-6
    ).all()  # what SURE_BEND holds back
    straight = spin(bone, hinge, bone)
    torch.testing.assert_close(straight, torch.eye(3, dtype=torch.float64).expand(200, 3, 3))


def test_hinges_come_back_from_joints_alone(model):
    torch.manual_seed(2)
    hinges = bent(model, 200)
    joints = model.joints(posed(model, hinges))
    found = spin_match(chain_of(model), joints[:, FINGERS])
    error = (found - hinges).abs()
    assert error.median() < 0.01 and error.quantile(0.9) < 0.1


def test_numpy_and_torch_match_alike(double, hands):
    joints = double.joints(hands.pose_of(double, hands.draw(double, 20)))[:, FINGERS]
    hands.close(spin_match(hands.numpy_chain(double), joints.numpy()), spin_match(chain_of(double), joints), 1e-9)


def test_polished_it_is_exact(model):
    torch.manual_seed(3)
    hinges, shape = bent(model, 100), 0.7 * torch.randn(100, 10)
    pose = posed(model, hinges, shape)
    pose.orientation = rotvec_to_rotmat(torch.randn(100, 3))
    pose.translation = torch.randn(100, 3)
    joints = model.joints(pose)
    found = fit_joints(model, joints)
    assert 1e3 * (model.joints(found) - joints).norm(dim=-1).mean() < 0.5
    known = fit_joints(model, joints, shape)
    torch.testing.assert_close(known.shape, shape)
    assert 1e3 * (model.joints(known) - joints).norm(dim=-1).mean() < 0.2


def test_no_limit_is_violated_whatever_the_joints(model):
    torch.manual_seed(4)
    joints = model.joints(posed(model, bent(model, 64))) + 0.02 * torch.randn(64, 21, 3)  # hands out of joint
    angles = rotations_to_angles(fit_joints(model, joints).rotations.double())
    from phalanx.hand.anatomy import LIMITS

    beyond = torch.maximum(angles - LIMITS[:, 1], LIMITS[:, 0] - angles)
    assert math.degrees(beyond.max()) < 1e-3


def test_frames_of_a_sequence_share_their_shape(model):
    torch.manual_seed(5)
    shape = (0.8 * torch.randn(1, 10)).expand(30, 10)
    pose = posed(model, bent(model, 30), shape)
    joints = model.joints(pose)
    found = fit_recording(model, joints + 0.002 * torch.randn(30, 21, 3), one_hand=True).pose
    assert (found.shape == found.shape[:1]).all()
    free = fit_joints(model, joints + 0.002 * torch.randn(30, 21, 3))

    def length_error(shape: torch.Tensor) -> torch.Tensor:
        rest, true = model.joint_positions(shape), model.joint_positions(pose.shape)
        return (rest - true).norm(dim=-1).mean()

    assert length_error(found.shape) < length_error(free.shape)


def test_what_libraries_keep_serves_differentiation_later():
    """In a process of its own, where nothing was aligned before."""
    code = """
import torch
from phalanx.fit.joints import fit_joints
from phalanx.geometry.alignment import rigid_alignment
from phalanx.hand.model import HandModel, HandPose
model = HandModel.open_hand()
joints = model.joints(HandPose.zero(2))
fit_joints(model, joints)
points = joints.clone().requires_grad_()
rigid_alignment(points, joints)[0].sum().backward()
assert points.grad is not None
"""
    subprocess.run([sys.executable, "-c", code], check=True)
