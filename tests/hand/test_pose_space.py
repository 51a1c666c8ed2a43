import numpy as np
import torch

from phalanx.hand import HandModel, HandPose
from phalanx.hand.anatomy import ANGLE_NAMES, LIMITS, angles_to_rotations
from phalanx.hand.collision import FLESH_TOLERANCE, penetration, sphere_proxies
from phalanx.hand.pose_space import GESTURE_NAMES, gestures, intersects, propose_angles, sample_angles


def test_gestures_are_anatomical() -> None:
    angles = torch.deg2rad(torch.from_numpy(gestures()))
    assert angles.shape == (len(GESTURE_NAMES), 23)
    assert (angles >= LIMITS[:, 0]).all() and (angles <= LIMITS[:, 1]).all()
    pressed = [name for name, hit in zip(GESTURE_NAMES, intersects(angles).tolist(), strict=True) if hit]
    assert not pressed, pressed


def test_samples_keep_limits_and_do_not_intersect() -> None:
    angles = sample_angles(np.random.default_rng(0), 200)
    assert angles.shape == (200, 23)
    limits = LIMITS.float()
    assert (angles >= limits[:, 0] - 1e-6).all() and (angles <= limits[:, 1] + 1e-6).all()
    assert not intersects(angles).any()


def test_same_generator_same_poses() -> None:
    one, two = (sample_angles(np.random.default_rng(7), 16) for _ in range(2))
    assert torch.equal(one, two)
    assert not torch.equal(one, sample_angles(np.random.default_rng(8), 16))


def test_poses_are_spread() -> None:
    """Every finger is seen straight and curled, together with every neighbour's state."""
    angles = torch.rad2deg(sample_angles(np.random.default_rng(1), 600))
    curl = torch.stack(
        [angles[:, ANGLE_NAMES.index(f"{f}_pip_flexion")] for f in ("index", "middle", "ring", "little")], 1
    )
    states = {tuple(row) for row in (curl > 50).int().tolist()}
    assert len(states) == 16


def test_rejection_rejects_some() -> None:
    rate = intersects(propose_angles(np.random.default_rng(2), 500)).float().mean()
    assert 0.02 < rate < 0.6


def test_crossed_fingers_collide_and_gradient_parts_them() -> None:
    model = HandModel.open_hand()
    proxies = sphere_proxies(model)
    angles = torch.zeros(1, 23)
    angles[0, ANGLE_NAMES.index("index_mcp_abduction")] = -0.25
    angles.requires_grad_()
    pose = HandPose.zero(1)
    pose.rotations = angles_to_rotations(angles)
    depth = penetration(model, proxies, pose)
    assert depth.item() > FLESH_TOLERANCE
    depth.sum().backward()
    pose.rotations = angles_to_rotations((angles - 5.0 * angles.grad).detach())
    assert penetration(model, proxies, pose).item() < depth.item()


def test_open_hand_touches_nothing() -> None:
    model = HandModel.open_hand()
    assert penetration(model, sphere_proxies(model), HandPose.zero(1)).item() < FLESH_TOLERANCE
