from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from phalanx.fit.chain import local_rotations, numpy_chain_of
from phalanx.fit.evidence import DEPTH_ROOT, Evidence
from phalanx.fit.state import State, pose_hands
from phalanx.fit.views import ViewEvidence, fit_views, triangulate
from phalanx.geometry.camera import Camera
from phalanx.geometry.distortion import Lens
from phalanx.geometry.placed import PlacedCamera
from phalanx.geometry.turns import ray_to_rotmat
from phalanx.hand.plain import PlainHand
from phalanx.hand.skeleton import BONES
from phalanx.synth.scene.rigs import looking_at

SIZE, FOCAL = 512, 700.0


def cameras(count, lens=None, spread=2.4):
    """On an arc of `spread` radians round the origin, 0.7 m away, at different heights."""
    K = np.array([[FOCAL, 0, 255.5], [0, FOCAL * 1.02, 250.0], [0, 0, 1]])
    result = []
    for view in range(count):
        turn = spread * (view / max(count - 1, 1) - 0.5)
        place = 0.7 * np.array([np.sin(turn), -0.3 + 0.2 * (view % 2), -np.cos(turn)])
        placed = looking_at(place, np.zeros(3), np.array([0.0, -1.0, 0.0]))
        result.append(PlacedCamera(Camera(K, SIZE, SIZE), placed, lens, f"camera {view}"))
    return result


def draw(batch, seed=0):
    """Joints (B, 21, 3) of hands about the origin, and their states."""
    rng, chain = np.random.default_rng(seed), numpy_chain_of(PlainHand.open_hand(), np.float64)
    low, high = chain.limits.T
    angles = low + (high - low) * (0.5 + 0.8 * (rng.random((batch, 20)) - 0.5))
    turn = np.linalg.qr(rng.normal(size=(batch, 3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))[:, None, None]
    inner = np.concatenate((angles, 0.7 * rng.normal(size=(batch, 10))), axis=1)
    state = State(turn, 0.02 * rng.normal(size=(batch, 3)), inner)
    return pose_hands(chain, state).joints, state


def views_of(placed, points, sigma, seen=None, state=None, truth=None):
    """Evidence of every view: 2D joints (F, V, 21, 2), and where there is a `state`, orientation and depth."""
    result = []
    for view, camera in enumerate(placed):
        K = np.tile(camera.camera.K, (len(points), 1, 1))
        facts = {}
        if state is not None:
            before = camera.to_camera(truth)
            middle = camera.camera.rays(np.full((len(points), 1, 2), SIZE / 2 - 0.5))[:, 0]
            facts["orientation"] = (
                ray_to_rotmat(middle).swapaxes(-1, -2) @ camera.world_to_camera[:3, :3] @ state.orientation
            )
            root = before[:, DEPTH_ROOT, None, 2]
            facts["depth"] = (before[..., 2] - root) / root * 1.01 * FOCAL / SIZE
            facts["sigma_depth"] = np.full((len(points), 21), 0.01)
            straight = np.tile(np.eye(3), (len(points), 1, 1, 1))
            chain = numpy_chain_of(PlainHand.open_hand(), np.float64)
            facts["rotations"] = np.concatenate((straight, local_rotations(chain, state.angles)), axis=1)
        there = np.ones(len(points), bool) if seen is None else seen[:, view]
        known = Evidence(
            joints_2d=(points[:, view] + 0.5) / SIZE, sigma_2d=np.full((len(points), 21), sigma / SIZE), **facts
        )
        result.append(ViewEvidence(known, K, SIZE, camera.world_to_camera, there))
    return result


def off(found, truth):
    """Millimetres."""
    return 1e3 * np.linalg.norm(found - truth, axis=-1)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(2, 6), seed=st.integers(0, 10_000), frames=st.integers(1, 3))
def test_joints_that_are_seen_exactly_are_found_exactly(count, seed, frames):
    placed, truth = cameras(count), draw(frames, seed)[0]
    points = np.stack([camera.project(truth) for camera in placed], axis=1)
    found = triangulate(points, np.ones(points.shape[:-1]), placed)
    assert off(found.joints, truth).max() < 1e-3
    assert (found.views == count).all() and found.errors.max() < 1e-3


@pytest.mark.parametrize("count", [3, 4, 8])
def test_a_wrong_view_has_no_say(count):
    rng, placed, truth = np.random.default_rng(1), cameras(count), draw(40)[0]
    points = np.stack([camera.project(truth) for camera in placed], axis=1)
    points += rng.normal(size=points.shape)
    clean = triangulate(points, np.ones(points.shape[:-1]), placed)
    bad = rng.integers(0, count, 40)
    points[np.arange(40), bad] += 60 + 40 * rng.normal(size=(40, 21, 2))
    found = triangulate(points, np.ones(points.shape[:-1]), placed)
    assert np.nanmean(off(found.joints, truth)) < 1.8 * np.mean(off(clean.joints, truth))
    assert np.isfinite(found.joints).mean() > 0.99
    assert found.agrees[np.arange(40), bad].mean() < 0.1
    assert np.nanmean(found.errors[np.arange(40), bad]) > 40  # it says how far off that view is


def test_a_wrong_joint_of_one_view_has_no_say():
    placed, truth = cameras(4), draw(10)[0]
    points = np.stack([camera.project(truth) for camera in placed], axis=1)
    points[:, 2, 8] += 50
    found = triangulate(points, np.ones(points.shape[:-1]), placed)
    assert off(found.joints, truth).max() < 0.1
    assert not found.agrees[:, 2, 8].any() and (found.views[:, 8] == 3).all()


def test_absent_views_and_joints_do_not_count():
    placed, truth = cameras(3), draw(6)[0]
    points = np.stack([camera.project(truth) for camera in placed], axis=1)
    weights = np.ones(points.shape[:-1])
    points[0, 1] = np.nan
    points[1, 2, 4], weights[1, 2, 4] = 1e6, 0
    points[2, :2] = np.nan  # one view is left
    found = triangulate(points, weights, placed)
    assert off(found.joints[[0, 1, 3, 4, 5]], truth[[0, 1, 3, 4, 5]]).max() < 1e-3
    assert np.isnan(found.joints[2]).all() and (found.views[2] == 0).all()
    assert np.isnan(found.errors[0, 1]).all() and np.isnan(found.errors[1, 2, 4])


def test_two_views_that_disagree_give_nothing_and_say_how_far_off_they_are():
    placed, truth = cameras(2, spread=1.0), draw(5)[0]
    points = np.stack([camera.project(truth) for camera in placed], axis=1)
    points[:, 1, :, 1] += 120
    found = triangulate(points, np.ones(points.shape[:-1]), placed)
    assert np.isnan(found.joints).all()
    assert np.nanmedian(found.errors) > 30


def test_weights_decide_between_views_that_agree_roughly():
    rng, placed, truth = np.random.default_rng(2), cameras(3), draw(60)[0]
    points = np.stack([camera.project(truth) for camera in placed], axis=1)
    sigma = np.array([1.0, 1.0, 6.0])
    points += sigma[:, None, None] * rng.normal(size=points.shape)
    even = triangulate(points, np.ones(points.shape[:-1]), placed)
    right = triangulate(points, np.broadcast_to(sigma[:, None] ** -2.0, points.shape[:-1]), placed)
    assert np.nanmean(off(right.joints, truth)) < 0.8 * np.nanmean(off(even.joints, truth))


def test_one_frame_is_a_batch_of_one_and_lenses_count():
    lens = Lens("radial-tangential", np.array([-0.2, 0.05, 0.001, 0.0]))
    placed, truth = cameras(2, lens), draw(1)[0][0]
    points = np.stack([camera.project(truth) for camera in placed])
    found = triangulate(points, np.ones((2, 21)), placed)
    assert found.joints.shape == (21, 3) and found.errors.shape == (2, 21)
    assert off(found.joints, truth).max() < 1e-2
    straight = triangulate(points, np.ones((2, 21)), cameras(2))
    assert off(straight.joints, truth).max() > 0.2


def test_identical_cameras_triangulate_nothing():
    placed, truth = cameras(2, spread=0.0), draw(2)[0]
    same = [placed[0], placed[0]]
    points = np.stack([camera.project(truth) for camera in same], axis=1)
    assert np.isnan(triangulate(points, np.ones(points.shape[:-1]), same).joints).all()


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="do not agree"):
        triangulate(np.zeros((2, 21, 2)), np.ones((2, 21)), cameras(3))


@pytest.mark.parametrize("count", [2, 4])
def test_the_fitted_hand_is_nearer_than_its_triangulated_joints(count):
    rng, placed, (truth, _) = np.random.default_rng(3), cameras(count), draw(40)
    points = np.stack([camera.project(truth) for camera in placed], axis=1)
    points += 2 * rng.normal(size=points.shape)
    joints = triangulate(points, np.ones(points.shape[:-1]), placed)
    fit = fit_views(PlainHand.open_hand(), views_of(placed, points, 2.0), joints.joints)
    assert off(fit.joints, truth).mean() < 0.85 * np.nanmean(off(joints.joints, truth))
    ratio = fit.sigma.mean() * 1e3 * np.sqrt(3) / np.sqrt(np.square(off(fit.joints, truth)).mean())
    assert 0.6 < ratio < 1.7  # it knows how far off it is
    np.testing.assert_allclose(PlainHand.open_hand().joints(fit.pose), fit.joints, atol=1e-6)


def test_a_known_shape_keeps_every_bone_as_long():
    rng, placed, (truth, state) = np.random.default_rng(4), cameras(3), draw(12)
    points = np.stack([camera.project(truth) for camera in placed], axis=1)
    points += rng.normal(size=points.shape)
    joints = triangulate(points, np.ones(points.shape[:-1]), placed).joints
    shape = np.broadcast_to(state.shape[0], (12, 10))
    fit = fit_views(PlainHand.open_hand(), views_of(placed, points, 1.0), joints, shape)
    a, b = np.array(BONES).T
    bones = np.linalg.norm(fit.joints[:, a] - fit.joints[:, b], axis=-1)
    assert (bones.std(0) / bones.mean(0)).max() < 0.01


def test_a_hand_that_one_view_sees_stands_where_its_size_lets_expect():
    placed, (truth, state) = cameras(3), draw(8)
    points = np.stack([camera.project(truth) for camera in placed], axis=1)
    seen = np.zeros((8, 3), bool)
    seen[:, 1] = True
    points[:, [0, 2]] = np.nan
    joints = triangulate(points, np.ones(points.shape[:-1]), placed).joints
    views = views_of(placed, points, 1.0, seen, state, truth)
    alone = fit_views(PlainHand.open_hand(), views, joints, state.shape)
    assert off(alone.joints, truth).mean() < 10
    assert alone.sigma.mean() > 0.002
    unknown = [replace(view, evidence=replace(view.evidence, orientation=None)) for view in views]
    with pytest.raises(ValueError, match="needs an orientation"):
        fit_views(PlainHand.open_hand(), unknown, joints)


def test_a_joint_that_no_view_agrees_on_follows_the_hand():
    placed, (truth, _) = cameras(2), draw(6)
    points = np.stack([camera.project(truth) for camera in placed], axis=1)
    points[:, 0, 12] += 80
    found = triangulate(points, np.ones(points.shape[:-1]), placed)
    views = views_of(placed, points, 1.0)
    views = [
        ViewEvidence(view.evidence, view.K, view.size, view.world_to_camera, found.agrees[:, k])
        for k, view in enumerate(views)
    ]
    fit = fit_views(PlainHand.open_hand(), views, found.joints)
    assert np.median(off(fit.joints, truth)[:, 12]) < 30
    assert np.median(np.delete(off(fit.joints, truth), 12, axis=1)) < 3
    assert fit.sigma[:, 12].mean() > 2 * np.delete(fit.sigma, 12, axis=1).mean()
