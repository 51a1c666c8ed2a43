"""Hands that hold things: fingers outside of them but at them, in poses that hands can take."""

import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.hand.anatomy import LIMITS, angles_to_rotations
from phalanx.hand.collision import hand_capsules
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.pose_space import capsules_intersect, sample_angles
from phalanx.render.solids import signed_distance
from phalanx.synth.scene.grasp import Grasps, draw_grasps
from phalanx.synth.scene.grasp_fingers import ABDUCT, AXIS_POINTS, BENDS, finger_tables, posture_points
from phalanx.synth.scene.grasp_plans import GRASP_NAMES

EACH = 4


@pytest.fixture(scope="module")
def grasps(model: HandModel) -> Grasps:
    """A few of every kind, in mean hands."""
    return draw_grasps(generator(1), model, EACH * len(GRASP_NAMES), kinds=np.repeat(np.arange(len(GRASP_NAMES)), EACH))


def posed(grasps: Grasps) -> HandPose:
    pose = HandPose.zero(len(grasps.angles))
    pose.rotations, pose.shape = angles_to_rotations(grasps.angles), grasps.shape
    return pose


def capsule_lines(model: HandModel, pose: HandPose, steps: int) -> torch.Tensor:
    """Points (B, 14, steps, 3) along the axes of the fingers' capsules, from the model's own kinematics."""
    capsules = hand_capsules(model)
    _, rotations, joints = model.chain(pose)
    start, end = joints[:, capsules.joints[:14]].unbind(2)
    middle = (rotations[:, capsules.segments[:14]] @ capsules.offsets[:14, :, None])[..., 0]
    (first, last), share = capsules.along[:14].unbind(1), torch.linspace(0, 1, steps)
    along = first[:, None] + (last - first)[:, None] * share
    return (start + middle)[:, :, None] + along[..., None] * (end - start)[:, :, None]


def finger_distances(model: HandModel, grasps: Grasps) -> torch.Tensor:
    """Gap (B, 5) between each finger's flesh and the thing, negative where it sinks in; metres."""
    line = capsule_lines(model, posed(grasps), 25)
    distance = signed_distance(grasps.solids, line.flatten(1, 2))[:, 0].unflatten(1, (14, 25)).amin(2)
    gap = distance - hand_capsules(model).radii[:14]
    return torch.stack([part.amin(1) for part in gap.split([2, 3, 3, 3, 3], 1)], 1)


def test_tables_of_fingers_are_the_models_kinematics(model: HandModel) -> None:
    angles = sample_angles(generator(2), 6)
    pose = HandPose.zero(6)
    pose.rotations = angles_to_rotations(angles)
    degrees = torch.rad2deg(angles)
    tables = finger_tables(model, pose.shape)
    points = posture_points(tables, slice(0, 5), degrees[:, torch.tensor(BENDS)][:, :, None], degrees[:, ABDUCT, None])
    found = points[:, :, 0].flatten(1, 2)[:, 1:]  # without the thumb's metacarpal
    expected = capsule_lines(model, pose, AXIS_POINTS)
    assert (found[:, :, :-1] - expected).abs().max() < 1e-5
    assert (tables.radii.flatten(1)[:, 1:] - hand_capsules(model).radii[:14]).abs().max() < 1e-6
    # Pads are on the skin, on the side to which fingers bend.
    surface = model(pose)
    assert (torch.cdist(found[:, :, -1], surface.vertices).amin(2)).max() < 0.007
    open_ = posture_points(tables, slice(1, 5), torch.zeros(6, 4, 1, 3), torch.zeros(6, 4, 1))[:, :, 0]
    assert (open_[..., -1, 2] > open_[..., 0, 2]).all()


def test_thick_hands_have_thick_fingers(model: HandModel) -> None:
    shape = torch.zeros(2, 10)
    shape[:, 0] = torch.tensor([-2.0, 2.0])
    tables = finger_tables(model, shape)
    surface = model(
        HandPose(HandPose.zero(2).rotations, shape, HandPose.zero(2).orientation, HandPose.zero(2).translation)
    )
    middle = posture_points(tables, slice(2, 3), torch.zeros(2, 1, 1, 3), torch.zeros(2, 1, 1))[:, 0, 0, 1]  # (2, 5, 3)
    for hand in range(2):
        skin = surface.vertices[hand, model.parts == 9]
        away = (skin - middle[hand, 0])[:, [0, 2]].norm(dim=1)
        assert tables.radii[hand, 2, 1].item() == pytest.approx(away.median().item(), rel=0.12)
    assert (tables.thick[0] - tables.thick[1]).abs().min() > 0.1


def test_poses_are_poses_of_hands(grasps: Grasps) -> None:
    assert grasps.angles.shape == (EACH * len(GRASP_NAMES), 23) and grasps.angles.dtype == torch.float32
    limits = LIMITS.float()
    assert (grasps.angles >= limits[:, 0]).all() and (grasps.angles <= limits[:, 1]).all()
    assert not capsules_intersect(grasps.angles).any()
    bent = torch.rad2deg(grasps.angles)
    pip, dip = bent[:, 9::4], bent[:, 10::4]
    free = (pip > 10) & (dip < 94)
    assert ((dip / pip)[free] > 0.249).all() and ((dip / pip)[free] < 0.751).all()
    assert (dip[pip <= 10].abs() < 8).all()


def test_fingers_are_at_things_and_not_in_them(model: HandModel, grasps: Grasps) -> None:
    gap = finger_distances(model, grasps)
    assert gap.min() > -0.0032
    lying = torch.from_numpy(grasps.kind == GRASP_NAMES.index("palm"))
    assert ((gap < 0.005).sum(1) >= 2)[~lying].all()
    hooked = torch.from_numpy(np.isin(grasps.kind, [GRASP_NAMES.index(name) for name in ("palm", "hook", "stick")]))
    assert (gap[:, 0] < 0.005)[~hooked].all()  # thumbs oppose
    # The whole skin, palm and forearm too: flesh gives, but not more than it does.
    surface = model.without_correctives()(posed(grasps))  # flesh that swells gives way
    depth = signed_distance(grasps.solids, surface.vertices)[:, 0].amin(1)
    assert depth.min() > -0.006
    assert depth.max() < 0.003  # nothing hangs in the air, nor over the palm


def test_hands_of_any_shape_hold_things_that_fit_them(model: HandModel) -> None:
    shape = torch.as_tensor(generator(3).normal(0, 1.15, (24, 10)).clip(-3, 3), dtype=torch.float32)
    grasps = draw_grasps(generator(4), model, 24, shape)
    assert torch.equal(grasps.shape, shape)
    surface = model.without_correctives()(posed(grasps))  # flesh that swells gives way
    depth = signed_distance(grasps.solids, surface.vertices)[:, 0].amin(1)
    assert depth.min() > -0.012 and depth.quantile(0.1) > -0.006 and depth.max() < 0.003
    assert not capsules_intersect(grasps.angles).any()


def test_grasps_depend_on_the_generator_alone(model: HandModel) -> None:
    one, two, other = (draw_grasps(generator(seed), model, 6) for seed in (7, 7, 8))
    assert torch.equal(one.angles, two.angles) and torch.equal(one.solids.centre, two.solids.centre)
    assert np.array_equal(one.kind, two.kind)
    assert not torch.equal(one.angles, other.angles)


def test_kinds_are_drawn_or_given(model: HandModel) -> None:
    kinds = np.array([GRASP_NAMES.index("pen"), GRASP_NAMES.index("ball"), GRASP_NAMES.index("phone")])
    grasps = draw_grasps(generator(5), model, 3, kinds=kinds)
    assert np.array_equal(grasps.kind, kinds)
    assert grasps.solids.half[0, 0, 2] > 5 * grasps.solids.half[0, 0, 0]  # a pen is long
    assert grasps.solids.kind.shape == (3, 1)
    assert len(draw_grasps(generator(5), model, 0).angles) == 0
    assert len(np.unique(draw_grasps(generator(6), model, 24).kind)) > 5
