import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.hand import HandModel, HandPose
from phalanx.hand.anatomy import ANGLE_NAMES, LIMITS, angles_to_rotations
from phalanx.hand.collision import (
    FLESH_TOLERANCE,
    finger_surfaces,
    penetration,
    sphere_proxies,
    vertex_penetration,
)
from phalanx.hand.pose_space import (
    DIP_PER_PIP,
    GESTURE_NAMES,
    RejectionReport,
    base_poses,
    couple_dip,
    gestures,
    interpolated_poses,
    interpolations,
    intersects,
    propose_angles,
    reject_intersecting,
    sample_angles,
    sample_correlated_angles,
)
from phalanx.hand.skeleton import TIPS


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


def test_streams_draw_what_they_always_drew() -> None:
    """What a synthesis stream holds is promised by its seed: values and number of draws of `sample_angles` are pinned."""
    generator = np.random.default_rng(11)
    angles = sample_angles(generator, 5)
    pinned = [-0.48902005, 0.09265748, -0.2415216, 0.41369137, -0.06314216, 0.4385002]
    np.testing.assert_allclose(angles[0, :6].numpy(), pinned, atol=1e-6)
    assert generator.random() == pytest.approx(0.6729388989395368, abs=1e-12)


# Dibra's protocol


def depths(angles: torch.Tensor) -> torch.Tensor:
    model = HandModel.open_hand()
    pose = HandPose.zero(len(angles))
    pose.rotations = angles_to_rotations(angles)
    return vertex_penetration(finger_surfaces(model), model(pose))


def column(angles: torch.Tensor, name: str) -> torch.Tensor:
    return angles[:, ANGLE_NAMES.index(name)]


def keeps_ratio(angles: torch.Tensor) -> bool:
    return all(
        torch.allclose(column(angles, f"{finger}_dip_flexion"), DIP_PER_PIP * column(angles, f"{finger}_pip_flexion"))
        for finger in ("index", "middle", "ring", "little")
    )


def test_base_poses() -> None:
    library = base_poses()
    assert tuple(library) == GESTURE_NAMES and len(library) > 30
    angles = torch.stack(list(library.values()))
    assert len(angles.unique(dim=0)) == len(library)
    assert (angles >= LIMITS[:, 0]).all() and (angles <= LIMITS[:, 1]).all()
    assert keeps_ratio(angles)
    assert not angles[:, :3].any()
    keep, report = reject_intersecting(angles)
    assert keep.all() and report.rate == 0
    # Coupling changes the gestures little: the tips stay where they are, pinches pinch.
    model = HandModel.open_hand()
    tips = []
    for poses in (angles, torch.deg2rad(torch.from_numpy(gestures())).float()):
        pose = HandPose.zero(len(poses))
        pose.rotations = angles_to_rotations(poses)
        tips.append(model.joints(pose)[:, TIPS])
    assert (tips[0] - tips[1]).norm(dim=2).max() < 0.006


def test_coupling_keeps_the_tips_direction() -> None:
    angles = propose_angles(np.random.default_rng(0), 20)
    coupled = couple_dip(angles)
    assert keeps_ratio(coupled)
    bent = [i for i, name in enumerate(ANGLE_NAMES) if name.endswith(("pip_flexion", "dip_flexion"))]
    torch.testing.assert_close(
        coupled[:, bent].unflatten(1, (4, 2)).sum(2), angles[:, bent].unflatten(1, (4, 2)).sum(2)
    )
    others = [i for i in range(23) if i not in bent]
    assert torch.equal(coupled[:, others], angles[:, others])
    torch.testing.assert_close(couple_dip(coupled), coupled)


def test_interpolations_are_straight_lines() -> None:
    steps = 2
    poses = interpolations(steps)
    library = list(base_poses().values())
    n = len(library)
    assert len(poses.angles) == len(poses.pairs) == len(poses.fractions) == n + steps * n * (n - 1) // 2
    assert torch.equal(poses.angles[:n], torch.stack(library))
    slow = [
        library[i] + (library[j] - library[i]) * k / (steps + 1)
        for i in range(n)
        for j in range(i + 1, n)
        for k in range(1, steps + 1)
    ]
    torch.testing.assert_close(poses.angles[n:], torch.stack(slow))
    one, two = (torch.stack(library)[poses.pairs[:, side]] for side in range(2))
    torch.testing.assert_close(one + (two - one) * poses.fractions[:, None], poses.angles)
    # Whatever is linear holds by construction.
    assert (poses.angles >= LIMITS[:, 0]).all() and (poses.angles <= LIMITS[:, 1]).all()
    assert keeps_ratio(poses.angles)
    assert torch.equal(interpolations(0).angles, torch.stack(library))


def some(*names: str) -> dict[str, torch.Tensor]:
    return {name: base_poses()[name] for name in names}


def test_survivors_have_no_vertices_in_foreign_fingers() -> None:
    names = ("open", "fist", "three", "pinch_little", "thumb_up", "hold_pen")
    proposed = interpolations(3, some(*names))
    survivors, report = interpolated_poses(3, some(*names))
    deep = depths(proposed.angles) > FLESH_TOLERANCE
    assert report.proposed == len(proposed.angles) == 6 + 3 * 15
    assert report.in_finger == int(deep.sum()) > 0
    assert len(survivors.angles) == report.kept == report.proposed - report.in_finger - report.in_palm
    assert (depths(survivors.angles) <= FLESH_TOLERANCE).all()
    keep, _ = reject_intersecting(proposed.angles)
    assert torch.equal(proposed.angles[keep], survivors.angles) and torch.equal(proposed.pairs[keep], survivors.pairs)
    # Flesh that gives more keeps more.
    assert interpolated_poses(3, some(*names), tolerance=0.008)[1].kept >= report.kept


def test_fingers_in_the_palm_are_rejected() -> None:
    angles = torch.zeros(2, 23)
    angles[1, [ANGLE_NAMES.index(f"little_{joint}_flexion") for joint in ("mcp", "pip", "dip")]] = torch.deg2rad(
        torch.tensor([100.0, 100.0, 70.0])
    )
    keep, report = reject_intersecting(angles)
    assert keep.tolist() == [True, False]
    assert (report.proposed, report.in_finger, report.in_palm) == (2, 0, 1)


def test_report_says_count_and_rate() -> None:
    report = RejectionReport(proposed=2000, in_finger=90, in_palm=10, tolerance=0.004)
    assert report.kept == 1900 and report.rate == 0.05
    for part in ("2,000 poses proposed", "1,900 kept", "5.0 % rejected", "4 mm", "90", "10"):
        assert part in str(report)
    empty = reject_intersecting(torch.zeros(0, 23))
    assert len(empty[0]) == 0 and empty[1].rate == 0


def test_nothing_to_interpolate() -> None:
    with pytest.raises(InputError, match="steps is -1"):
        interpolations(-1)
    with pytest.raises(InputError, match="poses is empty"):
        interpolations(1, {})


def test_correlated_angles() -> None:
    """Fingers bend together, joints of one finger most of all, the thumb on its own; nothing leaves the limits."""
    angles = sample_correlated_angles(np.random.default_rng(0), 400)
    assert angles.shape == (400, 23) and not angles[:, :3].any()
    limits = LIMITS.float()
    assert (angles >= limits[:, 0] - 1e-6).all() and (angles <= limits[:, 1] + 1e-6).all()
    assert not intersects(angles).any()

    def correlation(one: str, two: str) -> float:
        return float(torch.corrcoef(torch.stack([column(angles, one), column(angles, two)]))[0, 1])

    assert correlation("index_pip_flexion", "index_dip_flexion") > 0.75
    assert 0.4 < correlation("ring_mcp_flexion", "ring_pip_flexion") < 0.95
    assert 0.15 < correlation("middle_pip_flexion", "ring_pip_flexion") < 0.9
    assert abs(correlation("thumb_mcp_flexion", "index_mcp_flexion")) < 0.25
    assert torch.equal(angles, sample_correlated_angles(np.random.default_rng(0), 400))
    assert len(sample_correlated_angles(np.random.default_rng(0), 0)) == 0
