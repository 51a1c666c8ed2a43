from types import SimpleNamespace

import pytest
import torch

from phalanx.fit.chain import chain_of, local_rotations
from phalanx.fit.joints import (
    DEPTH_ROOT,
    FitConfig,
    State,
    add_priors,
    fit_evidence,
    fit_joints,
    hand_length,
    make_prior,
    normal_equations,
    posed_joints,
    small_turn,
    without_turn,
)
from phalanx.geometry.rotations import cross_matrix, ray_to_rotmat, rotmat_angle, rotvec_to_rotmat
from phalanx.hand.model import HandModel, HandPose

SIZE = 128


@pytest.fixture(scope="module")
def model() -> HandModel:
    return HandModel.open_hand()


def draw(model: HandModel, batch: int, seed: int = 0, spread: float = 0.9) -> State:
    """Hands in front of the camera with angles within the limits."""
    torch.manual_seed(seed)
    limits = chain_of(model).limits
    share = 0.5 + spread * (torch.rand(batch, 20).to(limits) - 0.5)
    angles = limits[:, 0] + (limits[:, 1] - limits[:, 0]) * share
    return State(
        rotvec_to_rotmat(1.5 * torch.randn(batch, 3).to(limits)),
        (torch.tensor([0.05, 0.02, 0.6]) + 0.05 * torch.randn(batch, 3)).to(limits),
        torch.cat((angles, 0.7 * torch.randn(batch, 10).to(limits)), dim=1),
    )


def pose_of(model: HandModel, state: State) -> HandPose:
    forearm = torch.eye(3).to(state.inner).expand(len(state.inner), 3, 3)
    return state.pose(chain_of(model), forearm)


def evidence_of(model: HandModel, state: State, noise: float = 0.0, off: float = 0.0):
    """Perfect evidence of posed hands in crops around them, spoilt by `noise` (crop units) and, for the parameters, `off` (radians)."""
    joints = model.joints(pose_of(model, state))
    batch, focal = len(joints), 300.0
    K = torch.zeros(batch, 3, 3)
    K[:, 0, 0] = K[:, 1, 1] = focal
    K[:, 2, 2] = 1
    seen = joints[..., :2] / joints[..., 2:]
    centre = seen.mean(1)
    K[:, :2, 2] = (SIZE - 1) / 2 - centre * focal  # the crop's centre looks at the hand
    root = joints[:, DEPTH_ROOT : DEPTH_ROOT + 1, 2]
    depth = (joints[..., 2] - root) * focal / (root * SIZE)
    joints_2d = (seen * focal + K[:, None, :2, 2] + 0.5) / SIZE
    turn = ray_to_rotmat(torch.cat((centre, torch.ones(batch, 1)), 1))
    angles = state.inner[:, :20] + off * torch.randn(batch, 20)
    return (
        joints,
        K,
        SimpleNamespace(
            joints_2d=joints_2d + noise * torch.randn_like(joints_2d),
            sigma_2d=torch.full((batch, 21), max(noise, 0.004)),
            depth=depth + noise * torch.randn_like(depth),
            sigma_depth=torch.full((batch, 21), max(noise, 0.004)),
            rotations=torch.cat((torch.eye(3).expand(batch, 1, 3, 3), local_rotations(chain_of(model), angles)), 1),
            orientation=turn.mT @ state.orientation @ rotvec_to_rotmat(off * torch.randn(batch, 3)),
            shape=torch.zeros(batch, 10),
        ),
    )


@pytest.mark.parametrize("angle", [0.5, 2.0, -2.9])
def test_a_turned_camera_gives_the_same_hand_in_its_own_frame(model, angle):
    state = draw(model, 8, spread=0.6)
    _, K, evidence = evidence_of(model, state)
    turn = rotvec_to_rotmat(torch.tensor([[0.0, 0, angle]]))
    stretch = torch.diag(torch.tensor([1.02, 1.0, 1.0]))  # pixels that are not square
    turned = K @ stretch @ turn
    upright, found = without_turn(turned)
    torch.testing.assert_close(upright @ found, turned)
    assert (rotmat_angle(found, turn.expand(8, 3, 3)) < 0.011).all()
    pose = fit_evidence(model, evidence, K @ turn, SIZE)
    plain = fit_evidence(model, evidence, K, SIZE)
    torch.testing.assert_close(model.joints(pose) @ turn.mT, model.joints(plain), atol=2e-4, rtol=0)


def relative_error(found: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """Root-relative errors (B, 21) in mm after one scale per hand."""
    a, b = found - found[:, :1], true - true[:, :1]
    return 1000 * (a * (b.norm(dim=(1, 2)) / a.norm(dim=(1, 2)))[:, None, None] - b).norm(dim=-1)


def test_posed_joints_are_the_models_and_derivatives_autograds(model):
    double = HandModel.open_hand().double()
    state = draw(double, 3)
    chain = chain_of(double)
    joints, derivatives = posed_joints(chain, state)
    torch.testing.assert_close(joints, double.joints(pose_of(double, state)))
    full = torch.autograd.functional.jacobian(
        lambda step: posed_joints(chain, state.moved(step))[0], torch.zeros(3, 36, dtype=torch.float64)
    )  # (B, 21, 3, B, 36)
    for b in range(3):
        torch.testing.assert_close(derivatives[b], full[b, :, :, b])


def test_small_turn_is_a_rotation_and_agrees_to_second_order():
    vector = 1e-2 * torch.randn(4, 3, dtype=torch.float64)
    turn = small_turn(vector)
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3, dtype=torch.float64).expand(4, 3, 3))
    assert float((turn - rotvec_to_rotmat(vector)).abs().max()) < 1e-5 * 0.5
    other = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close((cross_matrix(vector) @ other[..., None])[..., 0], torch.linalg.cross(vector, other))


def test_normal_equations_with_priors_are_the_gradient_of_the_cost():
    model = HandModel.open_hand().double()
    chain = chain_of(model)
    state = draw(model, 2, spread=1.3)  # some angles beyond their limits
    mean = torch.randn(2, 30, dtype=torch.float64) * 0.2
    target = model.joints(pose_of(model, draw(model, 2, seed=1)))
    length = torch.full((2,), 0.2, dtype=torch.float64)
    prior = make_prior(chain, mean, 0.5, 0.8, 0.1, draw(model, 2, seed=4).orientation, 0.7, length, 0.01)

    def equations(at: State):
        joints, derivatives = posed_joints(chain, at)
        return add_priors(normal_equations((joints - target) / 0.05, derivatives / 0.05, 1.5), chain, at, prior)

    step = torch.zeros(2, 36, dtype=torch.float64, requires_grad=True)
    cost = equations(state.moved(step))[2]
    (slope,) = torch.autograd.grad(cost.sum(), step)
    matrix, gradient, _ = equations(state)
    torch.testing.assert_close(gradient, slope, atol=1e-6, rtol=1e-6)
    assert float(torch.linalg.eigvalsh(matrix).min()) > 0


def test_perfect_evidence_is_fitted(model):
    state = draw(model, 16)
    joints, K, evidence = evidence_of(model, state)
    pose = fit_evidence(model, evidence, K, SIZE)
    found = model.joints(pose)
    assert float(relative_error(found, joints).mean()) < 1.5
    pixels = found[..., :2] / found[..., 2:] * 300 + K[:, None, :2, 2]
    wanted = joints[..., :2] / joints[..., 2:] * 300 + K[:, None, :2, 2]
    assert float((pixels - wanted).norm(dim=-1).mean()) < 0.5


def test_fit_is_better_than_the_networks_own_parameters_and_than_lifting(model):
    state = draw(model, 32)
    joints, K, evidence = evidence_of(model, state, noise=0.015, off=0.3)
    found = model.joints(fit_evidence(model, evidence, K, SIZE))
    middle = torch.tensor([(SIZE - 1) / 2, (SIZE - 1) / 2, 1.0])
    orientation = ray_to_rotmat((torch.linalg.inv(K) @ middle[:, None])[..., 0]) @ evidence.orientation
    said = model.joints(HandPose(evidence.rotations, evidence.shape, orientation, torch.zeros(32, 3)))
    lifted_z = 1 + evidence.depth * SIZE / 300
    rays = (evidence.joints_2d * SIZE - 0.5 - K[:, None, :2, 2]) / 300
    lifted = torch.cat((rays * lifted_z[..., None], lifted_z[..., None]), -1)
    error = float(relative_error(found, joints).mean())
    assert error < 0.5 * float(relative_error(said, joints).mean())
    assert error < 0.85 * float(relative_error(lifted, joints).mean())


def test_one_wild_joint_does_not_spoil_the_others(model):
    state = draw(model, 8, seed=3)
    joints, K, evidence = evidence_of(model, state)
    evidence.joints_2d[:, 8] += 0.4
    error = relative_error(model.joints(fit_evidence(model, evidence, K, SIZE)), joints)
    others = [j for j in range(21) if j not in (5, 6, 7, 8)]
    assert float(error[:, others].mean()) < 3.0


def test_batches_do_not_mix(model):
    state = draw(model, 4)
    _, K, evidence = evidence_of(model, state, noise=0.01, off=0.2)
    together = fit_evidence(model, evidence, K, SIZE)
    for b in range(4):
        one = SimpleNamespace(**{name: value[b : b + 1] for name, value in vars(evidence).items()})
        alone = fit_evidence(model, one, K[b : b + 1], SIZE)
        torch.testing.assert_close(alone.translation[0], together.translation[b], atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(alone.rotations[0], together.rotations[b], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("length", [0.16, 0.21])
def test_given_length_settles_size_and_distance(model, length):
    state = draw(model, 6)
    _, K, evidence = evidence_of(model, state)
    pose = fit_evidence(model, evidence, K, SIZE, hand_length=length, config=FitConfig(steps=10))
    torch.testing.assert_close(
        hand_length(chain_of(model), pose.shape)[0], torch.full((6,), length), atol=1.5e-3, rtol=0
    )
    free = fit_evidence(model, evidence, K, SIZE)
    ratio = length / hand_length(chain_of(model), free.shape)[0]
    torch.testing.assert_close(pose.translation[:, 2] / free.translation[:, 2], ratio, atol=0.03, rtol=0.03)


def test_angles_stay_near_their_limits(model):
    state = draw(model, 8)
    _, K, evidence = evidence_of(model, state, noise=0.08, off=0.8)
    pose = fit_evidence(model, evidence, K, SIZE)
    from phalanx.fit.chain import rotations_to_hinges

    chain = chain_of(model)
    angles = rotations_to_hinges(chain, pose.rotations[:, 1:])
    beyond = angles - angles.clamp(chain.limits[:, 0], chain.limits[:, 1])
    assert float(beyond.abs().max()) < 0.35


def test_fit_joints_finds_the_pose(model):
    state = draw(model, 24, seed=5)
    pose = pose_of(model, state)
    joints = model.joints(pose)
    found = fit_joints(model, joints)
    error = 1000 * (model.joints(found) - joints).norm(dim=-1).mean(1)
    assert float(error.median()) < 0.5
    assert int((error > 3).sum()) <= 1
    assert float(torch.rad2deg(rotmat_angle(found.orientation, pose.orientation)).median()) < 5


def test_results_can_be_differentiated_through(model):
    joints = model.joints(HandPose.zero(1)) + torch.tensor([0.0, 0.0, 0.5])
    pose = fit_joints(model, joints, steps=3)
    pose.shape.requires_grad_(True)
    model.joints(pose).sum().backward()
    assert pose.shape.grad is not None and bool(torch.isfinite(pose.shape.grad).all())


def test_nothing_seen_stays_finite(model):
    evidence = SimpleNamespace(
        joints_2d=torch.full((1, 21, 2), 0.5),
        sigma_2d=torch.full((1, 21), 0.5),
        depth=torch.zeros(1, 21),
        sigma_depth=torch.full((1, 21), 0.5),
        rotations=torch.eye(3).expand(1, 16, 3, 3),
        orientation=torch.eye(3)[None],
        shape=torch.zeros(1, 10),
    )
    K = torch.tensor([[[300.0, 0, 63.5], [0, 300, 63.5], [0, 0, 1]]])
    pose = fit_evidence(model, evidence, K, SIZE)
    for value in vars(pose).values():
        assert bool(torch.isfinite(value).all())
    assert float(pose.translation[0, 2]) > 0
