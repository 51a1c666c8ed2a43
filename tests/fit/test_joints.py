from dataclasses import replace

import pytest
import torch

from phalanx.fit.chain import chain_of, hand_length, rotations_to_hinges
from phalanx.fit.crop import without_turn
from phalanx.fit.evidence import Evidence
from phalanx.fit.joints import FitConfig, fit_evidence, fit_joints, solve_evidence
from phalanx.geometry.rotations import rotmat_angle, rotvec_to_rotmat
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.hand.model import HandPose


@pytest.mark.parametrize("angle", [0.5, 2.0, -2.9])
def test_a_turned_camera_gives_the_same_hand_in_its_own_frame(model, hands, angle):
    state = hands.draw(model, 8, spread=0.6)
    _, K, evidence = hands.evidence_of(model, state)
    turn = rotvec_to_rotmat(torch.tensor([[0.0, 0, angle]]))
    stretch = torch.diag(torch.tensor([1.02, 1.0, 1.0]))  # pixels that are not square
    turned = K @ stretch @ turn
    upright, found = without_turn(turned)
    torch.testing.assert_close(upright @ found, turned)
    assert (rotmat_angle(found, turn.expand(8, 3, 3)) < 0.011).all()
    pose = fit_evidence(model, evidence, K @ turn, hands.size)
    plain = fit_evidence(model, evidence, K, hands.size)
    torch.testing.assert_close(model.joints(pose) @ turn.mT, model.joints(plain), atol=2e-4, rtol=0)


def relative_error(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Root-relative errors (B, 21) in mm after one scale per hand."""
    a, b = found - found[:, :1], true - true[:, :1]
    return 1000 * (a * (b.norm(dim=(1, 2)) / a.norm(dim=(1, 2)))[:, None, None] - b).norm(dim=-1)


def test_perfect_evidence_is_fitted(model, hands):
    state = hands.draw(model, 16)
    joints, K, evidence = hands.evidence_of(model, state)
    pose = fit_evidence(model, evidence, K, hands.size)
    found = model.joints(pose)
    assert float(relative_error(found, joints).mean()) < 1.5
    pixels = found[..., :2] / found[..., 2:] * 300 + K[:, None, :2, 2]
    wanted = joints[..., :2] / joints[..., 2:] * 300 + K[:, None, :2, 2]
    assert float((pixels - wanted).norm(dim=-1).mean()) < 0.5


def test_fit_is_better_than_the_networks_own_parameters_and_than_lifting(model, hands):
    state = hands.draw(model, 32)
    joints, K, evidence = hands.evidence_of(model, state, noise=0.015, off=0.3)
    found = model.joints(fit_evidence(model, evidence, K, hands.size))
    middle = torch.tensor([(hands.size - 1) / 2, (hands.size - 1) / 2, 1.0])
    orientation = ray_to_rotmat((torch.linalg.inv(K) @ middle[:, None])[..., 0]) @ evidence.orientation
    said = model.joints(HandPose(evidence.rotations, evidence.shape, orientation, torch.zeros(32, 3)))
    lifted_z = 1 + evidence.depth * hands.size / 300
    rays = (evidence.joints_2d * hands.size - 0.5 - K[:, None, :2, 2]) / 300
    lifted = torch.cat((rays * lifted_z[..., None], lifted_z[..., None]), -1)
    error = float(relative_error(found, joints).mean())
    assert error < 0.5 * float(relative_error(said, joints).mean())
    assert error < 0.85 * float(relative_error(lifted, joints).mean())


def test_one_wild_joint_does_not_spoil_the_others(model, hands):
    state = hands.draw(model, 8, seed=3)
    joints, K, evidence = hands.evidence_of(model, state)
    evidence.joints_2d[:, 8] += 0.4
    error = relative_error(model.joints(fit_evidence(model, evidence, K, hands.size)), joints)
    others = [j for j in range(21) if j not in (5, 6, 7, 8)]
    assert float(error[:, others].mean()) < 3.0


def test_batches_do_not_mix(model, hands):
    state = hands.draw(model, 4)
    _, K, evidence = hands.evidence_of(model, state, noise=0.01, off=0.2)
    together = fit_evidence(model, evidence, K, hands.size)
    for b in range(4):
        one = evidence.map(lambda value: value[b : b + 1])  # noqa: B023
        alone = fit_evidence(model, one, K[b : b + 1], hands.size)
        torch.testing.assert_close(alone.translation[0], together.translation[b], atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(alone.rotations[0], together.rotations[b], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("length", [0.16, 0.21])
def test_given_length_settles_size_and_distance(model, hands, length):
    state = hands.draw(model, 6)
    _, K, evidence = hands.evidence_of(model, state)
    pose = fit_evidence(model, evidence, K, hands.size, hand_length=length, config=FitConfig(steps=10))
    torch.testing.assert_close(
        hand_length(chain_of(model), pose.shape)[0], torch.full((6,), length), atol=1.5e-3, rtol=0
    )
    free = fit_evidence(model, evidence, K, hands.size)
    ratio = length / hand_length(chain_of(model), free.shape)[0]
    torch.testing.assert_close(pose.translation[:, 2] / free.translation[:, 2], ratio, atol=0.03, rtol=0.03)


def test_angles_stay_near_their_limits(model, hands):
    state = hands.draw(model, 8)
    _, K, evidence = hands.evidence_of(model, state, noise=0.08, off=0.8)
    pose = fit_evidence(model, evidence, K, hands.size)
    chain = chain_of(model)
    angles = rotations_to_hinges(chain, pose.rotations[:, 1:])
    beyond = angles - angles.clamp(chain.limits[:, 0], chain.limits[:, 1])
    assert float(beyond.abs().max()) < 0.35


def test_fit_joints_finds_the_pose(model, hands):
    state = hands.draw(model, 24, seed=5)
    pose = hands.pose_of(model, state)
    joints = model.joints(pose)
    found = fit_joints(model, joints)
    error = 1000 * (model.joints(found) - joints).norm(dim=-1).mean(1)
    assert float(error.median()) < 0.5
    assert int((error > 3).sum()) <= 1
    assert float(torch.rad2deg(rotmat_angle(found.orientation, pose.orientation)).median()) < 5


def test_results_can_be_differentiated_through(model, hands):
    joints = model.joints(HandPose.zero(1)) + torch.tensor([0.0, 0.0, 0.5])
    pose = fit_joints(model, joints, steps=3)
    pose.shape.requires_grad_(True)
    model.joints(pose).sum().backward()
    assert pose.shape.grad is not None and bool(torch.isfinite(pose.shape.grad).all())


def test_nothing_seen_stays_finite(model, hands):
    evidence = Evidence(
        joints_2d=torch.full((1, 21, 2), 0.5),
        sigma_2d=torch.full((1, 21), 0.5),
        depth=torch.zeros(1, 21),
        sigma_depth=torch.full((1, 21), 0.5),
        rotations=torch.eye(3).expand(1, 16, 3, 3),
        orientation=torch.eye(3)[None],
        shape=torch.zeros(1, 10),
    )
    K = torch.tensor([[[300.0, 0, 63.5], [0, 300, 63.5], [0, 0, 1]]])
    pose = fit_evidence(model, evidence, K, hands.size)
    for value in vars(pose).values():
        assert bool(torch.isfinite(value).all())
    assert float(pose.translation[0, 2]) > 0


def test_numpy_gives_the_same_hands(double, hands):
    state = hands.draw(double, 4)
    _, K, evidence = hands.evidence_of(double, state, noise=0.01, off=0.2)
    turned = K @ rotvec_to_rotmat(torch.tensor([[0.0, 0, 0.7]], dtype=torch.float64))
    theirs = solve_evidence(chain_of(double), evidence, turned, hands.size, 0.19)
    ours = solve_evidence(hands.numpy_chain(double), hands.as_numpy(evidence), turned.numpy(), hands.size, 0.19)
    for name, value in vars(theirs).items():
        hands.close(getattr(ours, name), value, 1e-9)


@pytest.mark.parametrize("absent", ["depth", "sigma_depth", "sigma_2d", "shape", "rotations"])
def test_what_the_evidence_does_not_say_is_not_needed(model, hands, absent):
    joints, K, evidence = hands.evidence_of(model, hands.draw(model, 8, spread=0.5), noise=0.002)
    found = model.joints(fit_evidence(model, replace(evidence, **{absent: None}), K, hands.size))
    off = found[..., :2] / found[..., 2:] - joints[..., :2] / joints[..., 2:]
    assert hands.focal * float(off.norm(dim=-1).mean()) < 2


@pytest.mark.parametrize("name", ["sigma_2d", "sigma_depth"])
def test_an_uncertainty_that_is_absent_counts_as_the_least(model, hands, name):
    _, K, evidence = hands.evidence_of(model, hands.draw(model, 4), noise=0.02)
    absent = fit_evidence(model, replace(evidence, **{name: None}), K, hands.size)
    least = fit_evidence(model, replace(evidence, **{name: torch.zeros(4, 21)}), K, hands.size)
    torch.testing.assert_close(absent.translation, least.translation)
    assert float((absent.translation - fit_evidence(model, evidence, K, hands.size).translation).abs().max()) > 1e-5


def test_depths_that_weigh_nothing_are_as_if_absent(double, hands):
    _, K, evidence = hands.evidence_of(double, hands.draw(double, 6, spread=0.5))
    absent = fit_evidence(double, replace(evidence, depth=None), K, hands.size, config=FitConfig(steps=25))
    weightless = FitConfig(steps=25, floor_depth=1e9)  # a fit from another start
    found = fit_evidence(double, evidence, K, hands.size, config=weightless)
    torch.testing.assert_close(double.joints(absent), double.joints(found), atol=2e-4, rtol=0)


def test_without_rotations_the_forearm_is_straight(model, hands):
    _, K, evidence = hands.evidence_of(model, hands.draw(model, 2))
    found = fit_evidence(model, replace(evidence, rotations=None), K, hands.size)
    torch.testing.assert_close(found.rotations[:, 0], torch.eye(3).expand(2, 3, 3))


def test_joints_in_3d_and_in_the_picture_weigh_together(model, hands):
    """3D joints that are 2 cm too far away: the picture and they agree on the way that leads there."""
    state = hands.draw(model, 8, spread=0.5)
    joints, K, evidence = hands.evidence_of(model, state)
    turn = rotvec_to_rotmat(torch.tensor([[0.0, 0, 0.6]]))
    near = Evidence(joints=joints @ turn, sigma_joints=torch.full((8, 21), 0.005))  # in the turned crop's frame
    both = replace(evidence, joints=near.joints, sigma_joints=near.sigma_joints)
    alone = model.joints(fit_evidence(model, near, config=FitConfig(steps=6)))
    torch.testing.assert_close(alone, near.joints, atol=4e-3, rtol=0)
    together = fit_evidence(model, both, K @ turn, hands.size, config=FitConfig(steps=6))
    torch.testing.assert_close(model.joints(together), near.joints, atol=3e-3, rtol=0)
    far = replace(both, joints=both.joints * 1.04, shape=None)
    moved = model.joints(fit_evidence(model, far, K @ turn, hands.size, config=FitConfig(steps=6)))
    gain = (moved.norm(dim=-1) / near.joints.norm(dim=-1)).mean()
    assert 1.03 < float(gain) < 1.045
    picture = moved @ turn.mT
    wanted = joints[..., :2] / joints[..., 2:]
    torch.testing.assert_close(picture[..., :2] / picture[..., 2:], wanted, atol=8e-3, rtol=0)


def test_each_joint_counts_as_much_as_its_sigma_says(model, hands):
    state = hands.draw(model, 6, seed=5, spread=0.6)
    joints = model.joints(hands.pose_of(model, state))
    spoilt = joints.clone()
    spoilt[:, 8] += 0.03
    sigma = torch.full((6, 21), 0.002)
    sigma[:, 8] = 0.5
    trusting, wary = fit_joints(model, spoilt), fit_joints(model, spoilt, sigma=sigma)
    off = [1000 * (model.joints(pose) - joints)[:, :8].norm(dim=-1).mean() for pose in (trusting, wary)]
    assert float(off[1]) < 0.5 < float(off[0])


def test_many_hands_are_fitted_in_parts(model, hands, monkeypatch):
    from phalanx.fit import joints as module

    state = hands.draw(model, 5, spread=0.6)
    given, shape = model.joints(hands.pose_of(model, state)), state.shape
    whole = fit_joints(model, given, shape)
    monkeypatch.setattr(module, "BATCH", 2)
    torch.testing.assert_close(fit_joints(model, given, shape).rotations, whole.rotations, atol=1e-3, rtol=0)


def test_evidence_that_is_not_enough_is_refused(model, hands):
    _, K, evidence = hands.evidence_of(model, hands.draw(model, 2))
    for given, camera, says in (
        (Evidence(), K, "is empty"),
        (evidence, None, "K and size are needed"),
        (Evidence(depth=evidence.depth), None, "K and size are needed"),
        (Evidence(joints_2d=evidence.joints_2d), K, "starts from joints"),
        (Evidence(shape=evidence.shape), K, "starts from joints"),
    ):
        with pytest.raises(ValueError, match=says):
            fit_evidence(model, given, camera, None if camera is None else hands.size)
