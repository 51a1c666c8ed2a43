"""Frames that follow each other: no jumps between branches, missing joints from neighbours, one shape."""

import math

import numpy as np
import pytest
import torch
from fits_of_tensors import array, fit_picture_recording, fit_recording, movements

from phalanx.fit.chain import HINGES, chain_of
from phalanx.fit.joints import fit_joints
from phalanx.fit.pictures import PictureJoints
from phalanx.fit.sequences import find_jumps
from phalanx.fit.state import State
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.hand.anatomy import ANGLE_NAMES, rotations_to_angles

FRAMES = 30


@pytest.fixture(scope="module")
def motion(model) -> torch.Tensor:
    """(T, 23) angles of a hand that closes slowly, and its joints (T, 21, 3)."""
    from phalanx.hand.model import HandPose

    chain = chain_of(model)
    share = torch.linspace(0, 1, FRAMES)[:, None]
    angles = share * torch.tensor([[0.1, 1.45, 1.2, 0.6]]).repeat(1, 5)
    inner = torch.cat((angles.clamp(chain.limits[:, 0], chain.limits[:, 1]), torch.zeros(FRAMES, 10)), dim=1)
    orientation = rotvec_to_rotmat(share * torch.tensor([[0.3, 0.5, -0.2]]) + torch.tensor([[2.0, 0.4, 0.1]]))
    state = State(orientation, torch.tensor([0.1, 0.0, 0.6]) + 0.05 * share, inner)
    from phalanx.fit.joints import pose_of_state

    pose = pose_of_state(chain, state)
    return HandPose(**vars(pose))


def angles_of(pose) -> torch.Tensor:
    return rotations_to_angles(pose.rotations.double())


def largest_change(pose) -> float:
    """Degrees between consecutive frames."""
    return math.degrees(float((angles_of(pose)[1:] - angles_of(pose)[:-1]).abs().max()))


def test_noise_makes_no_jumps(model, motion):
    torch.manual_seed(0)
    joints = model.joints(motion)
    noisy = joints + 0.0015 * torch.randn_like(joints)
    alone, together = fit_joints(model, noisy), fit_recording(model, noisy).pose
    assert largest_change(together) < 25 < largest_change(alone)
    off = [float((model.joints(pose) - noisy).norm(dim=-1).mean()) for pose in (alone, together)]
    assert off[1] < off[0] + 3e-4
    beyond = angles_of(together)[:, list(HINGES)] - chain_of(model).limits.double().mean(1)
    assert bool((beyond.abs() <= (chain_of(model).limits[:, 1] - chain_of(model).limits[:, 0]) / 2 + 1e-4).all())


def test_a_branch_that_only_one_frame_takes_is_left(model, motion, monkeypatch):
    """Whatever a frame by itself ends in, its neighbours bring it back."""
    from phalanx.fit import outliers as module

    solve = module.solve_joints

    def astray(chain, evidence, **options):
        state = solve(chain, evidence, **options)
        if len(state.inner) == FRAMES:
            state.inner[15, 17] = 0.3  # the little finger's base: bent the other way
            state.inner[15, 18] = 1.9
        return state

    monkeypatch.setattr(module, "solve_joints", astray)
    joints = model.joints(motion)
    pose = fit_recording(model, joints).pose
    assert largest_change(pose) < 10
    assert float((model.joints(pose) - joints).norm(dim=-1).max()) < 2e-3


def test_missing_joints_come_from_neighbours(model, motion):
    joints = model.joints(motion)
    torch.manual_seed(1)
    given = torch.where(torch.rand(FRAMES, 21, 1) < 0.25, torch.nan, joints)
    lost = ~torch.isfinite(given).all(-1)
    off = [
        1e3 * float((model.joints(pose) - joints).norm(dim=-1)[lost].mean())
        for pose in (fit_joints(model, given), fit_recording(model, given).pose)
    ]
    assert off[1] < min(2.0, 0.7 * off[0])
    tips = joints.clone()
    tips[1::2, [4, 8, 12, 16, 20]] = torch.nan
    found = model.joints(fit_recording(model, tips).pose)
    assert 1e3 * float((found - joints).norm(dim=-1)[1::2, [4, 8, 12, 16, 20]].mean()) < 1.8


def test_misplaced_joints_are_named(model, motion):
    joints = model.joints(motion).clone()
    joints[7, 8] += torch.tensor([0.0, 0.2, 0.0])
    fit = fit_recording(model, joints)
    assert torch.nonzero(fit.outliers).tolist() == [[7, 8]]
    assert float((model.joints(fit.pose) - model.joints(motion)).norm(dim=-1).max()) < 5e-3


def test_frames_of_one_hand_share_their_shape(model, motion):
    torch.manual_seed(2)
    joints = model.joints(motion)
    pose = fit_recording(model, joints + 0.002 * torch.randn_like(joints), one_hand=True).pose
    assert (pose.shape == pose.shape[:1]).all()


def test_strangers_do_not_pull_each_other(model, hands):
    joints = model.joints(hands.pose_of(model, hands.draw(model, 6, seed=8, spread=0.7)))
    alone, beside = fit_joints(model, joints), fit_recording(model, joints).pose
    torch.testing.assert_close(model.joints(beside), model.joints(alone), atol=2e-3, rtol=0)
    assert not torch.isfinite(movements(joints, torch.zeros(6, 21, dtype=torch.bool))).any()


def test_movement_is_without_that_of_the_whole_hand(model, motion):
    joints = model.joints(motion)[:1].repeat(3, 1, 1)
    joints[1] = joints[1] @ rotvec_to_rotmat(torch.tensor([0.3, 0.2, 1.0])) + 1.0
    joints[2] = joints[1]
    joints[2, 8] += torch.tensor([0.0, 0.0, 0.02])
    moved = movements(joints)
    assert float(moved[0]) < 1e-5 and 0.015 < float(moved[1]) < 0.02
    seen = torch.ones(3, 21, dtype=torch.bool)
    seen[2, 8] = False
    assert float(movements(joints, seen)[1]) < 1e-5


def test_jumps_are_changes_without_movement():
    angles = torch.zeros(4, 23)
    angles[1:, 5] = math.radians(31)
    angles[3, 7] = math.radians(-40)
    (jump, other) = find_jumps(array(angles), np.array([0.002, 0.001, 0.009]))
    assert (jump.frame, jump.angle, other.frame, other.angle) == (1, ANGLE_NAMES[5], 3, ANGLE_NAMES[7])
    assert math.degrees(jump.change) == pytest.approx(31) and other.movement == pytest.approx(0.009)
    assert find_jumps(array(angles), np.array([0.02, 0.001, np.inf])) == []


def test_pictures_of_a_recording(model, motion):
    joints = model.joints(motion)
    places = joints[..., :2] / joints[..., 2:]
    spoilt = places.clone()
    spoilt[4, 12] += 0.3
    seen = torch.ones(FRAMES, 21, dtype=torch.bool)
    seen[9, 3] = False
    fit = fit_picture_recording(model, PictureJoints(spoilt, seen))
    assert torch.nonzero(fit.outliers).tolist() == [[4, 12]]
    assert largest_change(fit.pose) < 25
    found = model.joints(fit.pose)
    assert float((found[..., :2] / found[..., 2:] - places).norm(dim=-1).mean()) < 3e-3


def test_pictures_of_one_hand_share_their_shape(model, motion):
    joints = model.joints(motion)[:6]
    given = PictureJoints(joints[..., :2] / joints[..., 2:], torch.ones(6, 21, dtype=torch.bool))
    fit = fit_picture_recording(model, given, one_hand=True)
    assert (fit.pose.shape == fit.pose.shape[:1]).all()
    found = model.joints(fit.pose)
    assert float((found[..., :2] / found[..., 2:] - given.places).norm(dim=-1).mean()) < 3e-3
