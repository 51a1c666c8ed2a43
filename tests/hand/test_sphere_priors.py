"""Sphere priors against hands that were not sampled for them: real ones are within ranges, broken ones are not."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.hand.sphere_priors import joints_of_spheres, sample_joints, sphere_priors
from phalanx.hand.spheres import FINGER_SPHERES, PALM, RADII, sphere_centres


@pytest.fixture(scope="module")
def hands():
    joints = sample_joints(generator(77), 400)
    return joints, sphere_centres(joints)


def test_pairs_are_sensible():
    priors = sphere_priors()
    assert (priors.bones[:, 0] != priors.bones[:, 1]).all() and (priors.shortest < priors.longest).all()
    bones = {tuple(pair) for pair in priors.bones.tolist()}
    assert sum(a in PALM and b in PALM for a, b in bones) == 55
    for finger in FINGER_SPHERES:  # every finger hangs together, and on the palm
        assert all((a, b) in bones for a, b in pairwise(finger))
        assert sum((a, finger[0]) in bones for a in PALM) >= 5
    own = {sphere: k for k, finger in enumerate(FINGER_SPHERES) for sphere in finger}
    for a, b in priors.apart.tolist():
        assert own.get(a, -1) != own.get(b, -1)
    assert len(priors.apart) > 300


def test_other_hands_keep_ranges_and_distances(hands):
    _, centres = hands
    priors = sphere_priors()
    length = (centres[:, priors.bones[:, 0]] - centres[:, priors.bones[:, 1]]).norm(dim=-1)
    outside = (length < priors.shortest) | (length > priors.longest)
    assert outside.float().mean() < 0.02
    away = (centres[:, priors.apart[:, 0]] - centres[:, priors.apart[:, 1]]).norm(dim=-1)
    radii = torch.tensor(RADII)
    deep = radii[priors.apart].sum(1) - away > 0.004
    assert deep.float().mean() < 0.004
    # A finger pulled out, and one pushed through its neighbour, break them.
    torn = centres.clone()
    torn[:, list(FINGER_SPHERES[2])] += torch.tensor([0.0, 0.06, 0.0])
    length = (torn[:, priors.bones[:, 0]] - torn[:, priors.bones[:, 1]]).norm(dim=-1)
    assert (length > priors.longest + 0.01).any(1).all()
    through = centres.clone()
    through[:, list(FINGER_SPHERES[2])] = centres[:, list(FINGER_SPHERES[1])]
    away = (through[:, priors.apart[:, 0]] - through[:, priors.apart[:, 1]]).norm(dim=-1)
    assert (radii[priors.apart].sum(1) - away > 0.01).any(1).all()


def test_joints_come_back_from_spheres(hands):
    joints, centres = hands
    error = (joints_of_spheres(centres) - joints).norm(dim=-1)
    assert error.mean() < 0.001 and error.amax() < 0.008
    turn = rotvec_to_rotmat(torch.tensor([0.4, -1.1, 0.8]))
    moved = joints_of_spheres(1.3 * centres @ turn.T + torch.tensor([0.1, 0.2, 0.5]))
    assert torch.allclose(moved, 1.3 * joints_of_spheres(centres) @ turn.T + torch.tensor([0.1, 0.2, 0.5]), atol=1e-5)
    # Errors of single spheres are not blown up.
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 0.005, centres.shape)).float()
    noisy = joints_of_spheres(centres + noise) - joints_of_spheres(centres)
    assert noisy.norm(dim=-1).mean() < 2.0 * noise.norm(dim=-1).mean()
