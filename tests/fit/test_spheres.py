import numpy as np
import pytest
import torch

from phalanx.fit.chain import numpy_chain_of, relaxed_angles
from phalanx.fit.image_terms import mask_term
from phalanx.fit.solver import normal_equations
from phalanx.fit.spheres import CollisionTerm, spheres_of
from phalanx.fit.state import State, pose_hands
from phalanx.hand.plain import PlainHand
from phalanx.hand.spheres import sphere_centres, sphere_radii

CHAIN = numpy_chain_of(PlainHand.open_hand(), np.float64)


def draw(batch: int = 3, bend: float = 0.0) -> State:
    random = np.random.default_rng(0)
    turn, _ = np.linalg.qr(random.standard_normal((batch, 3, 3)))
    turn *= np.sign(np.linalg.det(turn))[:, None, None]
    angles = relaxed_angles(CHAIN, batch) + bend + 0.25 * random.standard_normal((batch, 20))
    inner = np.concatenate((angles, 0.5 * random.standard_normal((batch, 10))), 1)
    return State(turn, np.array([0, 0, 0.5]) + 0.02 * random.standard_normal((batch, 3)), inner)


def nudge(unknown: int, size: float) -> np.ndarray:
    step = np.zeros((3, 36))
    step[:, unknown] = size
    return step


def test_spheres_are_those_of_the_hand_and_move_as_their_derivatives_say():
    state = draw()
    spheres = spheres_of(pose_hands(CHAIN, state))
    joints = torch.from_numpy(pose_hands(CHAIN, state).joints)
    np.testing.assert_allclose(spheres.centres, sphere_centres(joints).numpy(), atol=1e-12)
    np.testing.assert_allclose(spheres.radii, sphere_radii(joints).numpy(), atol=1e-12)
    for unknown in range(36):
        ahead, behind = (spheres_of(pose_hands(CHAIN, state.moved(nudge(unknown, size)))) for size in (1e-5, -1e-5))
        np.testing.assert_allclose(
            (ahead.centres - behind.centres) / 2e-5, spheres.by_unknowns[..., unknown], atol=1e-8
        )
        np.testing.assert_allclose(
            (ahead.radii - behind.radii) / 2e-5, spheres.radii_by_unknowns[..., unknown], atol=1e-8
        )


def disc() -> np.ndarray:
    y, x = np.mgrid[:64, :64]
    return np.tile((x - 34) ** 2 + (y - 30) ** 2 < 15**2, (3, 1, 1))


PROJECTION = np.tile(np.array([[150.0, 0, 32, 0], [0, 150, 32, 0], [0, 0, 1, 0]]), (3, 1, 1))


@pytest.mark.parametrize("kind", ["mask", "collision"])
def test_gradients_are_half_the_slope_of_the_cost(kind):
    state = draw(bend=1.0 if kind == "collision" else 0.0)
    term = mask_term(disc(), PROJECTION, 1.5) if kind == "mask" else CollisionTerm(1e5)
    normal = normal_equations(CHAIN, [term], state)
    assert (normal.cost > 0).all()
    slopes = [
        (
            normal_equations(CHAIN, [term], state.moved(nudge(unknown, 1e-7))).cost
            - normal_equations(CHAIN, [term], state.moved(nudge(unknown, -1e-7))).cost
        )
        / 4e-7
        for unknown in range(36)
    ]
    slopes = np.concatenate(slopes, 1)
    np.testing.assert_allclose(normal.gradient, slopes, atol=2e-3 * np.abs(slopes).max())
