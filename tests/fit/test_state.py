import torch

from phalanx.fit.chain import chain_of
from phalanx.fit.state import State, pose_hands, small_turn
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.geometry.turns import cross_matrix


def test_posed_joints_are_the_models_and_derivatives_autograds(double, hands):
    state = hands.draw(double, 3)
    chain = chain_of(double)
    posed = pose_hands(chain, state)
    torch.testing.assert_close(posed.joints, double.joints(hands.pose_of(double, state)))
    full = torch.autograd.functional.jacobian(
        lambda step: pose_hands(chain, state.moved(step)).joints, torch.zeros(3, 36, dtype=torch.float64)
    )  # (B, 21, 3, B, 36)
    for b in range(3):
        torch.testing.assert_close(posed.derivatives[b], full[b, :, :, b])


def test_small_turn_is_a_rotation_and_agrees_to_second_order():
    vector = 1e-2 * torch.randn(4, 3, dtype=torch.float64)
    turn = small_turn(vector)
    torch.testing.assert_close(turn @ turn.mT, torch.eye(3, dtype=torch.float64).expand(4, 3, 3))
    assert float((turn - rotvec_to_rotmat(vector)).abs().max()) < 1e-5 * 0.5
    other = torch.randn(4, 3, dtype=torch.float64)
    torch.testing.assert_close((cross_matrix(vector) @ other[..., None])[..., 0], torch.linalg.cross(vector, other))


def test_hands_are_chosen_one_by_one(double, hands):
    first, second = hands.draw(double, 2, seed=1), hands.draw(double, 2, seed=2)
    chosen = first.where(torch.tensor([[True], [False]]), second)
    for name, value in vars(chosen).items():
        torch.testing.assert_close(value[0], getattr(first, name)[0])
        torch.testing.assert_close(value[1], getattr(second, name)[1])


def test_numpy_and_torch_pose_the_same_hands(double, hands):
    state = hands.draw(double, 4)
    step = 0.3 * torch.randn(4, 36, dtype=torch.float64)
    arrays = State(*(value.numpy() for value in vars(state).values()))
    theirs = pose_hands(chain_of(double), state.moved(step))
    ours = pose_hands(hands.numpy_chain(double), arrays.moved(step.numpy()))
    hands.close(ours.joints, theirs.joints)
    hands.close(ours.derivatives, theirs.derivatives)
    hands.close(ours.state.orientation, theirs.state.orientation)
