"""Hands refined on joints, masks and depth of hands made of spheres, whose evidence is exact."""

from dataclasses import replace

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.fit import solver
from phalanx.fit.chain import numpy_chain_of, relaxed_angles, rotations_to_hinges
from phalanx.fit.joints import pose_of_state
from phalanx.fit.refine import HandView, RefineConfig, refine_hands
from phalanx.fit.spheres import spheres_of
from phalanx.fit.state import State, pose_hands
from phalanx.hand.plain import PlainHand

HAND = PlainHand.open_hand()
CHAIN = numpy_chain_of(HAND)
K = np.array([[300.0, 0, 63.5], [0, 300, 63.5], [0, 0, 1]], np.float32)
SIDE = 128


def hands(batch: int, seed: int = 0) -> State:
    """Half-open hands at half a metre, palms about towards the camera."""
    random = np.random.default_rng(seed)
    turn = State(np.tile(np.diag([1, -1, -1]), (batch, 1, 1)), np.zeros((batch, 3)), np.zeros((batch, 30)))
    step = np.concatenate((0.4 * random.standard_normal((batch, 3)), np.zeros((batch, 33))), 1)
    angles = relaxed_angles(CHAIN, batch) + 0.15 * random.standard_normal((batch, 20))
    inner = np.concatenate((angles, 0.3 * random.standard_normal((batch, 10))), 1)
    place = np.array([0, 0.08, 0.5]) + 0.01 * random.standard_normal((batch, 3))
    state = State(turn.moved(step).orientation, place, inner)
    return State(*(values.astype(np.float32) for values in vars(state).values()))


def off(state: State, seed: int = 1, size: float = 0.1) -> State:
    """Hands a little turned, moved and bent away."""
    random = np.random.default_rng(seed)
    scale = np.r_[np.full(3, size), np.full(2, 0.1 * size), 0.0, np.full(20, size), np.zeros(10)]
    return state.moved((scale * random.standard_normal((len(state.inner), 36))).astype(np.float32))


def joints_of(state: State) -> np.ndarray:
    return pose_hands(CHAIN, state).joints


def pixels_of(joints: np.ndarray) -> np.ndarray:
    seen = joints @ K.T
    return seen[..., :2] / seen[..., 2:]


def pictures(state: State) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the spheres' discs, and depth maps of the spheres (B, H, W)."""
    spheres = spheres_of(pose_hands(CHAIN, state))
    y, x = np.mgrid[:SIDE, :SIDE]
    rays = np.stack((x, y, np.ones_like(x)), -1) @ np.linalg.inv(K).T
    along = np.einsum("hwc,bsc->bhws", rays, spheres.centres)
    norm = np.square(rays).sum(-1)[None, ..., None]
    outside = (np.square(spheres.centres).sum(-1) - np.square(spheres.radii))[:, None, None]
    root = along**2 - norm * outside
    depth = np.where(root > 0, (along - np.sqrt(np.maximum(root, 0))) / norm, np.inf).min(-1)
    return np.isfinite(depth), np.where(np.isfinite(depth), depth, 0)


def error(found: np.ndarray, true: np.ndarray) -> float:
    return 1000 * float(np.linalg.norm(found - true, axis=-1).mean())


TRUE = hands(4)
GIVEN = off(TRUE)
START = pose_of_state(CHAIN, GIVEN)
MASKS, DEPTH = pictures(TRUE)
JOINTS = joints_of(TRUE)
BEFORE = error(joints_of(GIVEN), JOINTS)


def iou(masks: np.ndarray, others: np.ndarray) -> float:
    return float(((masks & others).sum((1, 2)) / (masks | others).sum((1, 2))).mean())


def test_each_kind_of_evidence_brings_hands_nearer_to_it():
    by_joints = refine_hands(HAND, START, joints=JOINTS)
    assert error(HAND.joints(by_joints.pose), JOINTS) < 0.3 * BEFORE
    by_depth = refine_hands(HAND, START, [HandView(K, mask=MASKS, depth=DEPTH)])
    assert error(HAND.joints(by_depth.pose), JOINTS) < 0.6 * BEFORE
    by_pixels = refine_hands(HAND, START, [HandView(K, joints_2d=pixels_of(JOINTS))])
    off_before = np.linalg.norm(pixels_of(joints_of(GIVEN)) - pixels_of(JOINTS), axis=-1).mean()
    off_after = np.linalg.norm(pixels_of(HAND.joints(by_pixels.pose)) - pixels_of(JOINTS), axis=-1).mean()
    assert off_after < 0.4 * off_before
    by_mask = refine_hands(HAND, START, [HandView(K, mask=MASKS, sigma_mask=1.0)])
    shown = pictures(_state_of(by_mask.pose))[0]
    assert 1 - iou(shown, MASKS) < 0.5 * (1 - iou(pictures(GIVEN)[0], MASKS))
    for refined in (by_joints, by_depth, by_pixels, by_mask):
        assert (refined.cost < refined.cost_before).all() and refined.faults == (None,) * 4


def _state_of(pose) -> State:
    inner = np.concatenate((rotations_to_hinges(CHAIN, pose.rotations[:, 1:]), pose.shape), 1)
    return State(pose.orientation, pose.translation, inner)


def test_two_views_settle_what_one_leaves_open():
    aside = np.eye(4)
    aside[:3, :3] = [[0, 0, -1], [0, 1, 0], [1, 0, 0]]
    aside[:3, 3] = [0.5, 0, 0.5]
    moved = JOINTS @ aside[:3, :3].T + aside[:3, 3]
    first = HandView(K, joints_2d=pixels_of(JOINTS))
    second = HandView(K, joints_2d=pixels_of(moved), from_first=aside)
    one, two = (refine_hands(HAND, START, views) for views in ([first], [first, second]))
    assert error(HAND.joints(two.pose), JOINTS) < 0.5 * error(HAND.joints(one.pose), JOINTS)
    assert (two.joint_sigma.mean(1) < one.joint_sigma.mean(1)).all()


@pytest.mark.parametrize("longer", [1.0, 1000.0])
def test_no_fit_is_worse_than_what_was_given(monkeypatch, longer):
    step = solver._damped_step
    monkeypatch.setattr(solver, "_damped_step", lambda product, damping: longer * step(product, damping))
    far = off(TRUE, size=0.5)  # beyond limits, so that priors pull as hard as evidence
    view = HandView(K, joints_2d=pixels_of(JOINTS), mask=MASKS, depth=DEPTH)
    refined = refine_hands(HAND, pose_of_state(CHAIN, far), [view])
    assert (refined.cost <= refined.cost_before).all() and np.isfinite(refined.pose.rotations).all()
    again = refine_hands(HAND, refined.pose, [view], config=RefineConfig(steps=0))
    np.testing.assert_allclose(again.cost_before, refined.cost, rtol=0.02)  # it is the cost of what came back
    perfect = refine_hands(HAND, pose_of_state(CHAIN, TRUE), joints=JOINTS)
    assert (perfect.cost <= perfect.cost_before).all()


def test_a_batch_is_its_hands_one_by_one():
    view = HandView(K, joints_2d=pixels_of(JOINTS), mask=MASKS)
    together = refine_hands(HAND, START, [view])
    alone = refine_hands(HAND, START[2:3], [HandView(K, joints_2d=pixels_of(JOINTS)[2:3], mask=MASKS[2:3])])
    np.testing.assert_allclose(HAND.joints(together.pose[2:3]), HAND.joints(alone.pose), atol=2e-3)


def test_uncertainty_is_as_large_as_errors_are():
    random = np.random.default_rng(5)
    true = hands(64, seed=3)
    measured = joints_of(true) + 0.004 * random.standard_normal((64, 21, 3))
    refined = refine_hands(HAND, pose_of_state(CHAIN, off(true)), joints=measured, sigma_joints=0.004)
    found = np.sqrt(np.square(HAND.joints(refined.pose) - joints_of(true)).sum(-1).mean())
    said = np.sqrt(np.square(refined.joint_sigma).mean())
    assert 0.7 < found / said < 1.4
    some = measured.copy()
    some[:, 8] = np.nan  # a finger tip that nobody saw
    unsure = refine_hands(HAND, pose_of_state(CHAIN, off(true)), joints=some, sigma_joints=0.004).joint_sigma
    share = unsure[:, 8] / refined.joint_sigma[:, 8]
    assert np.median(share) > 1.5 and (share > 1.2).all()  # least where the finger is held by its limits


def test_fingers_do_not_run_through_each_other():
    crossed = np.zeros((1, 36), np.float32)
    crossed[0, 6 + 4], crossed[0, 6 + 8] = -0.35, 0.35  # index and middle finger towards each other
    state = replace(hands(1), inner=np.zeros((1, 30), np.float32)).moved(crossed)

    def depth(posed: State) -> float:
        spheres = spheres_of(pose_hands(CHAIN, posed))
        a, b = slice(17, 23), slice(23, 29)
        apart = np.linalg.norm(spheres.centres[0, a, None] - spheres.centres[0, None, b], axis=-1)
        return float((spheres.radii[0, a, None] + spheres.radii[0, None, b] - apart)[2:, 2:].max())

    assert depth(state) > 0.006
    view = HandView(K, joints_2d=pixels_of(joints_of(state)) + 1.0, sigma_2d=6.0)
    refined = refine_hands(HAND, pose_of_state(CHAIN, state), [view])
    assert depth(_state_of(refined.pose)) < depth(state) - 0.001


def test_contradicting_evidence_is_named_and_a_batch_goes_on():
    elsewhere = MASKS.copy()
    elsewhere[1] = False
    elsewhere[1, :12, :12] = True
    pixels = pixels_of(JOINTS)
    view = HandView(K, joints_2d=pixels, mask=elsewhere)
    refined = refine_hands(HAND, START, [view])
    assert "mask does not show the hand" in str(refined.faults[1]) and refined.faults[::2] == (None, None)
    np.testing.assert_array_equal(refined.pose.rotations[1], START.rotations[1])
    assert refined.cost[0] < refined.cost_before[0]
    with pytest.raises(InputError, match="mask does not show the hand"):
        refine_hands(HAND, START[1:2], [HandView(K, joints_2d=pixels[1:2], mask=elsewhere[1:2])])
    larger = K * np.array([[8], [8], [1]])  # of a picture eight times as wide
    with pytest.raises(InputError, match="another size"):
        refine_hands(HAND, START, [HandView(larger, mask=MASKS)])
    with pytest.raises(InputError, match="all its joints are missing"):
        refine_hands(HAND, START, [HandView(K, joints_2d=np.full((4, 21, 2), np.nan))])
    with pytest.raises(InputError, match="two sizes"):
        refine_hands(HAND, START, [HandView(K, mask=MASKS, depth=DEPTH[:, ::2])])
    with pytest.raises(InputError, match="there is none"):
        refine_hands(HAND, START, [HandView(K)])
    with pytest.raises(InputError, match="mask is empty"):
        refine_hands(HAND, START, [HandView(K, mask=np.zeros_like(MASKS))])
    with pytest.raises(InputError, match="shape"):
        refine_hands(HAND, START, [HandView(K, mask=MASKS[:2])])


@pytest.mark.parametrize("size", [0.02, 3.0])
def test_the_estimators_evidence_is_never_fitted_worse(monkeypatch, size):
    """Steps astray are not taken: the hand stays as `fit_evidence` has it."""
    from phalanx.fit import refine as module
    from phalanx.fit.evidence import Evidence
    from phalanx.fit.joints import fit_evidence
    from phalanx.fit.refine import refine_evidence

    true = hands(3)
    posed = pose_hands(CHAIN, true).joints
    pixels = posed @ K.T
    places = ((pixels[..., :2] / pixels[..., 2:] + 0.5) / SIDE).astype(np.float32)
    sigma = np.full((3, 21), 0.01, np.float32)
    known = Evidence(joints_2d=places, sigma_2d=sigma, orientation=true.orientation)
    cameras = np.tile(K, (3, 1, 1))
    plain = fit_evidence(HAND, known, cameras, SIDE)
    masks = np.zeros((3, 32, 32), np.float32)
    masks[:, 8:24, 8:24] = 1
    minimise, calls = module.minimise, []

    def astray(chain, terms, state, steps):
        found, cost = minimise(chain, terms, state, steps)
        calls.append(steps)
        return (off(found, size=size), cost) if len(calls) == 2 else (found, cost)

    monkeypatch.setattr(module, "minimise", astray)
    refined = refine_evidence(HAND, known, cameras, SIDE, masks=masks, sigma_mask=1e3)  # a mask that says nothing
    assert len(calls) == 2
    np.testing.assert_allclose(refined.rotations, plain.rotations, atol=1e-5)
    np.testing.assert_allclose(refined.translation, plain.translation, atol=1e-5)
