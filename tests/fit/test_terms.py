"""Each term's share of the normal equations: its gradient is that of its cost, its matrix the residuals', and NumPy gives the same."""

import math

import pytest
import torch

from phalanx.fit.chain import chain_of, hand_length
from phalanx.fit.solver import NormalEquations, normal_equations
from phalanx.fit.state import SHAPE, UNKNOWNS, State, pose_hands
from phalanx.fit.terms import InnerPrior, JointsTerm, LengthTerm, OrientationPrior, PictureTerm, SoftLimits
from phalanx.geometry.rotations import rotmat_angle

BATCH = 3
HUBER = 4.0


def random(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def slopes(joints):
    """x / z, y / z and z / z_root - 1 (B, 21, 3)."""
    return torch.cat((joints[..., :2] / joints[..., 2:], joints[..., 2:] / joints[:, 9:10, 2:] - 1), -1)


def make_terms(model, hands):
    """One term of each kind, for hands that are off from what it knows; with the residuals of those that are sums of squares."""
    chain = chain_of(model)
    joints = model.joints(hands.pose_of(model, hands.draw(model, BATCH, seed=1)))
    scale = 20 + 5 * torch.rand(BATCH, 21, 3, dtype=torch.float64)
    sigma = 0.03 + 0.02 * torch.rand(BATCH, 21, dtype=torch.float64)
    mean, weight = 0.2 * random(BATCH, 30), torch.rand(30, dtype=torch.float64) + 1
    limits = chain.limits.mean(1)[:, None] + 0.2 * (chain.limits - chain.limits.mean(1)[:, None])
    low, high = torch.cat((limits, torch.tensor([[-0.1, 0.1]]).double().expand(10, 2))).unbind(1)
    orientation = hands.draw(model, BATCH, seed=4).orientation
    length = torch.linspace(0.16, 0.2, BATCH, dtype=torch.float64)

    def inner(state):
        return state.inner - mean

    def beyond(state):
        return state.inner - state.inner.clamp(low, high)

    def posed(state):
        return model.joints(hands.pose_of(model, state))

    return {
        "picture": (
            PictureTerm(slopes(joints), scale, 1e9),
            lambda s: (scale * (slopes(posed(s)) - slopes(joints))).flatten(1),
        ),
        "picture, robust": (PictureTerm(slopes(joints), scale, HUBER), None),
        "joints": (JointsTerm(joints, sigma), lambda s: ((posed(s) - joints) / sigma[..., None]).flatten(1)),
        "joints, robust": (JointsTerm(joints, sigma, HUBER), None),
        "inner": (InnerPrior(mean, weight), lambda s: weight.sqrt() * inner(s)),
        "limits": (SoftLimits(low, high, 9 * weight), lambda s: 3 * weight.sqrt() * beyond(s)),
        "orientation": (OrientationPrior(orientation, 7.0), None),
        "length": (
            LengthTerm(chain, length, 1e4),
            lambda s: 100 * (hand_length(chain, s.shape)[0] - length)[:, None],
        ),
    }


KINDS = ["picture", "picture, robust", "joints", "joints, robust", "inner", "limits", "orientation", "length"]


def share(model, term, state) -> NormalEquations:
    return normal_equations(chain_of(model), [term], state)


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_half_the_costs(double, hands, kind):
    term, _ = make_terms(double, hands)[kind]
    state = hands.draw(double, BATCH)
    steps = 1e-6 * torch.eye(UNKNOWNS, dtype=torch.float64).expand(BATCH, -1, -1)
    ahead, behind = (
        torch.cat([share(double, term, state.moved(sign * steps[:, i])).cost for i in range(UNKNOWNS)], 1)
        for sign in (1, -1)
    )
    slope = (ahead - behind) / 2e-6
    normal = share(double, term, state)
    assert float(slope.abs().max()) > 1e-2
    torch.testing.assert_close(2 * normal.gradient, slope, atol=1e-6 * float(slope.abs().max()), rtol=1e-6)
    torch.testing.assert_close(normal.diagonal, normal.matrix.diagonal(dim1=1, dim2=2))
    assert float(torch.linalg.eigvalsh(normal.matrix).min()) > -1e-6 * float(normal.matrix.max())


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "robust" not in kind and kind != "orientation"])
def test_cost_and_matrix_are_those_of_the_residuals(double, hands, kind):
    term, residuals = make_terms(double, hands)[kind]
    state = hands.draw(double, BATCH)
    normal = share(double, term, state)
    torch.testing.assert_close(normal.cost[:, 0], residuals(state).square().sum(1))
    full = torch.autograd.functional.jacobian(
        lambda step: residuals(state.moved(step)), torch.zeros(BATCH, UNKNOWNS, dtype=torch.float64)
    )  # (B, N, B, 36)
    for b in range(BATCH):
        torch.testing.assert_close(normal.matrix[b], full[b, :, b].T @ full[b, :, b])


@pytest.mark.parametrize("kind", ["picture", "joints"])
def test_wild_points_pull_no_harder_than_huber_lets_them(double, hands, kind):
    """Against the reweighting of each point by min(1, huber / |r|)."""
    plain, residuals = make_terms(double, hands)[kind]
    robust, _ = make_terms(double, hands)[f"{kind}, robust"]
    state = hands.draw(double, BATCH)
    size = residuals(state).unflatten(1, (21, 3)).norm(dim=-1)  # (B, 21)
    assert 0.1 < float((size > HUBER).double().mean()) < 0.95
    cost = torch.where(size < HUBER, size.square(), 2 * HUBER * size - HUBER**2).sum(1)
    torch.testing.assert_close(share(double, robust, state).cost[:, 0], cost)
    weight = (HUBER / size).clamp_max(1).repeat_interleave(3, 1)
    full = torch.autograd.functional.jacobian(
        lambda step: residuals(state.moved(step)), torch.zeros(BATCH, UNKNOWNS, dtype=torch.float64)
    )
    for b in range(BATCH):
        expected = full[b, :, b].T @ (weight[b, :, None] * full[b, :, b])
        torch.testing.assert_close(share(double, robust, state).matrix[b], expected)
    assert float((share(double, plain, state).cost - share(double, robust, state).cost).min()) > 0


def test_the_pull_of_an_orientation_is_the_sine_of_its_angle(double, hands):
    state = hands.draw(double, 4)
    mean = hands.draw(double, 4, seed=4).orientation
    normal = share(double, OrientationPrior(mean, 7.0), state)
    angle = rotmat_angle(mean, state.orientation)
    torch.testing.assert_close(normal.gradient[:, :3].norm(dim=1), 7 * torch.sin(angle))
    torch.testing.assert_close(normal.cost[:, 0], 2 * 7 * (1 - torch.cos(angle)))


@pytest.mark.parametrize("kind", KINDS)
def test_numpy_and_torch_give_the_same_share(double, hands, kind):
    term, _ = make_terms(double, hands)[kind]
    state = hands.draw(double, BATCH)
    if kind == "length":
        ours = LengthTerm(hands.numpy_chain(double), term.length.numpy(), term.weight)
    elif kind == "orientation":
        ours = OrientationPrior(hands.draw(double, BATCH, seed=4).orientation.numpy(), 7.0)
    else:
        ours = hands.as_numpy(term)
    arrays = State(*(value.numpy() for value in vars(state).values()))
    found = normal_equations(hands.numpy_chain(double), [ours], arrays)
    wanted = share(double, term, state)
    scale = float(wanted.product.abs().max())
    hands.close(found.product / scale, wanted.product / scale)
    hands.close(found.cost, wanted.cost)


def test_shares_add_up(double, hands):
    state = hands.draw(double, BATCH)
    terms = [term for term, _ in make_terms(double, hands).values()]
    together = normal_equations(chain_of(double), terms, state)
    alone = [share(double, term, state) for term in terms]
    torch.testing.assert_close(together.product, torch.stack([normal.product for normal in alone]).sum(0))
    torch.testing.assert_close(together.cost, torch.stack([normal.cost for normal in alone]).sum(0))


def test_what_weighs_nothing_adds_nothing(double, hands):
    state = hands.draw(double, BATCH)
    terms = make_terms(double, hands)
    picture, joints = terms["picture, robust"][0], terms["joints"][0]
    flat = PictureTerm(picture.measured, picture.scale * torch.tensor([1.0, 1, 0]), HUBER)
    other = PictureTerm(picture.measured + torch.tensor([0.0, 0, 5]), flat.scale, HUBER)
    torch.testing.assert_close(share(double, flat, state).product, share(double, other, state).product)
    missing = torch.full_like(joints.sigma, math.inf)
    assert float(share(double, JointsTerm(joints.joints, missing), state).product.abs().max()) == 0
    part = joints.sigma.clone()
    part[:, 5:] = math.inf
    alone = pose_hands(chain_of(double), state)
    normal = NormalEquations(BATCH, alone.joints)
    off = (alone.joints - joints.joints)[:, :5] / joints.sigma[:, :5, None]
    normal.add_points(off, alone.derivatives[:, :5] / joints.sigma[:, :5, None, None])
    torch.testing.assert_close(share(double, JointsTerm(joints.joints, part), state).product, normal.product)


def test_joints_behind_the_camera_leave_the_picture_finite(double, hands):
    state = hands.draw(double, BATCH)
    state.translation[:, 2] = 0
    normal = share(double, make_terms(double, hands)["picture, robust"][0], state)
    assert bool(normal.product.isfinite().all()) and bool(normal.cost.isfinite().all())


def test_a_hand_length_moves_the_shape_alone(double, hands):
    normal = share(double, make_terms(double, hands)["length"][0], hands.draw(double, BATCH))
    normal.gradient[:, SHAPE] = 0
    normal.matrix[:, SHAPE, SHAPE] = 0
    assert float(normal.gradient.abs().max()) == 0 and float(normal.matrix.abs().max()) == 0
