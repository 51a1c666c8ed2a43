import torch

from phalanx.hand import HandModel, HandPose
from phalanx.hand.anatomy import LIMITS, angles_to_rotations
from phalanx.hand.skeleton import FINGERS, hand_scale
from phalanx.hand.spheres import (
    FINGER_SPHERES,
    FIT_GESTURES,
    PALM,
    RADII,
    fit_hand,
    fit_radii,
    sphere_centres,
    sphere_radii,
    surface_distance,
    union_distance,
)


def random_pose(batch: int, seed: int = 0) -> HandPose:
    generator = torch.Generator().manual_seed(seed)
    low, high = LIMITS.float().unbind(1)
    pose = HandPose.zero(batch)
    pose.rotations = angles_to_rotations(low + (high - low) * torch.rand(batch, 23, generator=generator))
    turn = torch.linalg.qr(torch.randn(batch, 3, 3, generator=generator))[0]
    pose.orientation = turn * torch.linalg.det(turn)[:, None, None]
    pose.shape = torch.randn(batch, 10, generator=generator)
    pose.translation = torch.randn(batch, 3, generator=generator)
    return pose


def test_there_are_as_many_as_in_the_paper(model: HandModel) -> None:
    joints = model.rest_joints[None]
    assert sphere_centres(joints).shape == (1, 41, 3) and sphere_radii(joints).shape == (1, 41)
    assert (len(RADII), len(PALM), [len(finger) for finger in FINGER_SPHERES]) == (41, 11, [6] * 5)
    assert sorted((*PALM, *(s for finger in FINGER_SPHERES for s in finger))) == list(range(41))
    torch.testing.assert_close(hand_scale(joints), torch.ones(1), atol=1e-4, rtol=0)


def test_fitting_again_gives_the_radii(model: HandModel) -> None:
    """Half a unit of their last digit, and what the fit itself is good for."""
    assert (fit_radii(model) - torch.tensor(RADII)).abs().max() < 0.0001


def test_radii_are_at_a_minimum(model: HandModel) -> None:
    surface = fit_hand(model)
    skin = surface.vertices[:, model.faces[(model.parts[model.faces] != 1).all(1)]]
    area = torch.linalg.cross(skin[:, :, 1] - skin[:, :, 0], skin[:, :, 2] - skin[:, :, 0]).norm(dim=2)[:1]
    centres, points = sphere_centres(surface.joints), skin.mean(2)

    def cost(radii: torch.Tensor) -> float:
        return float((area * union_distance(points, centres, radii).square()).sum())

    radii = torch.tensor(RADII)
    best = cost(radii)
    for step in (-0.001, 0.001):
        for sphere in (0, 5, 10, 12, 20, 30, 40):
            changed = radii.clone()
            changed[sphere] += step
            assert cost(changed) > best, (sphere, step)


def test_spheres_are_near_the_skin(model: HandModel) -> None:
    """The figures of the report, in mm, with a little room."""
    surface = fit_hand(model)
    assert len(surface.vertices) == len(FIT_GESTURES) + 1
    found = surface_distance(model, surface)
    assert found.skin_mean < 0.0020 and found.skin_95 < 0.0054
    assert found.spheres_mean < 0.0021 and found.spheres_95 < 0.0057


def test_spheres_are_near_the_skin_of_other_hands(model: HandModel) -> None:
    """Random poses and shapes, which the radii were not fitted to; also sees frames that are not the hand's own."""
    found = surface_distance(model, model(random_pose(4)))
    assert found.skin_mean < 0.003 and found.spheres_mean < 0.003


def test_centres_move_with_the_hand_and_grow_with_it(model: HandModel) -> None:
    pose = random_pose(3)
    joints = model.joints(pose)
    centres, radii = sphere_centres(joints), sphere_radii(joints)
    turn = random_pose(1, seed=1).orientation[0]
    torch.testing.assert_close(sphere_centres(joints @ turn.T + 0.3), centres @ turn.T + 0.3, atol=1e-6, rtol=0)
    torch.testing.assert_close(sphere_centres(1.2 * joints), 1.2 * centres, atol=1e-6, rtol=0)
    torch.testing.assert_close(sphere_radii(1.2 * joints), 1.2 * radii)
    # Bending fingers changes no size.
    straight = HandPose.zero(3)
    straight.shape = pose.shape
    torch.testing.assert_close(sphere_radii(model.joints(straight)), radii)


def test_a_finger_moves_its_own_spheres_only(model: HandModel) -> None:
    joints = model.rest_joints[None].double()
    for number, finger in enumerate(FINGERS):
        moved = joints.clone()
        moved[:, finger[2:]] += torch.tensor([0.0, 0.0, 0.001])
        change = (sphere_centres(moved) - sphere_centres(joints)).norm(dim=2)[0]
        own = set(FINGER_SPHERES[number])
        assert change[list(own)].max() > 0.0005
        assert max(float(change[s]) for s in range(41) if s not in own) < 1e-5  # but for the change of the hand's size


def test_gradients(model: HandModel) -> None:
    joints = model.joints(random_pose(2)).double().requires_grad_()
    assert torch.autograd.gradcheck(sphere_centres, (joints,), fast_mode=True)
    assert torch.autograd.gradcheck(sphere_radii, (joints,), fast_mode=True)


def test_union_distance() -> None:
    centres = torch.tensor([[[0.0, 0, 0], [3.0, 0, 0]]])
    radii = torch.tensor([1.0, 1.5])
    points = torch.tensor([[[0.0, 2, 0], [3.0, 0, 0], [10.0, 0, 0], [0.0, 0, 0.25]]])
    torch.testing.assert_close(union_distance(points, centres, radii), torch.tensor([[1.0, -1.5, 5.5, -0.75]]))
    # Two spheres of a batch with radii of their own.
    both = union_distance(points.repeat(2, 1, 1), centres.repeat(2, 1, 1), torch.stack((radii, 2 * radii)))
    torch.testing.assert_close(both[1], torch.tensor([0.0, -3.0, 4.0, -1.75]))
