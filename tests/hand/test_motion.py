import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.hand import HandModel, HandPose, motion
from phalanx.hand.anatomy import LIMITS, angles_to_rotations
from phalanx.hand.collision import (
    FLESH_TOLERANCE,
    capsule_overlaps,
    finger_surfaces,
    hand_capsules,
    vertex_penetration,
)
from phalanx.hand.motion import (
    PEAK_SPEED,
    SHORTEST,
    FingerPath,
    MotionConfig,
    angles_at,
    drift,
    finger_path,
    hand_motion,
    minimum_jerk,
)

STEP = 1e-3  # seconds, for finite differences


@pytest.fixture(scope="module")
def path() -> FingerPath:
    return finger_path(np.random.default_rng(0), 4.0)


def finely(path: FingerPath) -> torch.Tensor:
    end = float(path.starts[-1] + path.durations[-1])
    return angles_at(path, torch.arange(0, end + 0.1, STEP, dtype=torch.float64))


def test_minimum_jerk() -> None:
    u = torch.linspace(-0.5, 1.5, 20001, dtype=torch.float64)
    x = minimum_jerk(u)
    assert x[0] == 0 and x[-1] == 1 and minimum_jerk(torch.tensor(0.5)) == 0.5
    torch.testing.assert_close(x + x.flip(0), torch.ones_like(x))
    speed = x.diff() / 1e-4
    acceleration = speed.diff() / 1e-4
    assert speed.min() >= 0 and speed.max().item() == pytest.approx(15 / 8, rel=1e-6)
    assert acceleration.abs().max().item() == pytest.approx(10 / 3**0.5, rel=1e-4)
    assert acceleration.diff().abs().max() < 61 * 1e-4  # jerk is 60 at most: acceleration does not jump


def test_path_passes_through_its_keys(path: FingerPath) -> None:
    ends = path.starts + path.durations
    assert (path.starts[1:] >= ends[:-1]).all() and ends[-1] >= 4.0
    torch.testing.assert_close(angles_at(path, path.starts), path.keys[:-1])
    torch.testing.assert_close(angles_at(path, ends), path.keys[1:])
    torch.testing.assert_close(angles_at(path, ends[-1:] + 100), path.keys[-1:])


def test_path_keeps_limits_and_speeds(path: FingerPath) -> None:
    angles = finely(path)
    limits = LIMITS.float().double()
    assert (angles >= limits[:, 0] - 1e-7).all() and (angles <= limits[:, 1] + 1e-7).all()
    speed = angles.diff(dim=0).abs() / STEP
    assert (speed <= PEAK_SPEED * (1 + 1e-6)).all()
    assert (path.durations >= SHORTEST).all()
    # Somebody is in a hurry in each movement: no slower than the slowest pace, but for tiny movements.
    way = (path.keys[1:] - path.keys[:-1]).abs()
    quickest = (way / PEAK_SPEED * 15 / 8 / path.durations[:, None]).amax(1)
    assert (quickest[path.durations > SHORTEST] > 0.7 * MotionConfig.slowest).all()


def test_path_is_smooth(path: FingerPath) -> None:
    """Speed and acceleration are bounded and continuous: their steps shrink with the step of time."""
    angles = finely(path)
    acceleration = angles.diff(n=2, dim=0) / STEP**2
    share = path.windows[..., 1] - path.windows[..., 0]
    way = (path.keys[1:] - path.keys[:-1]).abs()
    seconds = path.durations[:, None] * share
    assert (acceleration.abs().amax(0) <= (10 / 3**0.5 * way / seconds**2).amax(0) * 1.001 + 1e-6).all()
    jerk = acceleration.diff(dim=0).abs().amax(0) / STEP
    assert (jerk <= (60 * way / seconds**3).amax(0) * 1.05 + 1e-3).all()


def test_fingers_of_one_digit_move_together(path: FingerPath) -> None:
    share = path.windows[..., 1] - path.windows[..., 0]
    assert (path.windows >= 0).all() and (path.windows <= 1 + 1e-12).all() and (share > 0.69).all()
    for digit in (slice(0, 3), slice(3, 7), slice(7, 11), slice(11, 15), slice(15, 19), slice(19, 23)):
        assert torch.equal(path.windows[:, digit], path.windows[:, digit.start, None].expand_as(path.windows[:, digit]))
    assert len(path.windows[0, :, 0].unique()) == 6


def test_no_collisions_on_the_way() -> None:
    """At any time, not only where the way was looked at; at most a millimetre deeper between the looks."""
    model = HandModel.open_hand()
    angles = angles_at(finger_path(np.random.default_rng(1), 6.0), torch.arange(0, 6, 1 / 60)).float()
    pose = HandPose.zero(len(angles))
    pose.rotations = angles_to_rotations(angles)
    depth = capsule_overlaps(model, hand_capsules(model), pose).amax(1)
    assert (depth > FLESH_TOLERANCE).float().mean() < 0.02
    assert depth.max() < FLESH_TOLERANCE + 0.001
    assert vertex_penetration(finger_surfaces(model), model(pose[::6])).max() < FLESH_TOLERANCE + 0.001
    assert (angles.diff(dim=0).abs().amax(1) > 1e-4).float().mean() > 0.5  # it does move


def test_where_every_way_is_blocked_the_hand_holds_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion, "capsules_intersect", lambda angles: torch.ones(len(angles), dtype=torch.bool))
    key = torch.zeros(23, dtype=torch.float64)
    found, _ = motion._next_key(np.random.default_rng(0), key)
    assert torch.equal(found, key)


def test_blocked_ways_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first three candidates are blocked in the middle of the way: the fourth is taken."""
    looked = []

    def blocked(angles: torch.Tensor) -> torch.Tensor:
        looked.append(angles)
        hit = torch.zeros(motion._CANDIDATES, motion._LOOKS, dtype=torch.bool)
        hit[:3, 10] = True
        return hit.flatten()

    monkeypatch.setattr(motion, "capsules_intersect", blocked)
    found, _ = motion._next_key(np.random.default_rng(0), torch.zeros(23, dtype=torch.float64))
    ways = looked[0].unflatten(0, (motion._CANDIDATES, motion._LOOKS))
    torch.testing.assert_close(found, ways[3, -1])
    assert len(looked) == 1


def test_drift() -> None:
    times = torch.arange(0, 20, STEP, dtype=torch.float64)
    place = drift(np.random.default_rng(0), times, speed=0.4, reach=0.1)
    speed = place.diff(dim=0) / STEP
    acceleration = speed.diff(dim=0) / STEP
    assert not place[0].any() and speed[0].norm() < 1e-4 and acceleration[0].norm() < 0.05
    assert 0.05 < place.norm(dim=1).max() <= 0.1
    assert 0.2 < speed.norm(dim=1).max() <= 0.4
    assert acceleration.norm(dim=1).max() <= 2 * 0.4 / 0.4
    assert (acceleration.diff(dim=0) / STEP).norm(dim=1).max() < 4 * 0.4 / 0.4**2 * 1.01  # continuous
    assert not drift(np.random.default_rng(0), times[:9], speed=0.0, reach=0.1).any()
    assert not drift(np.random.default_rng(0), times[:9], speed=1.0, reach=0.0).any()


def start() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.diag(torch.tensor([1.0, -1.0, -1.0])), torch.tensor([0.05, 0.1, 0.5])


def test_hand_motion() -> None:
    orientation, translation = start()
    config = MotionConfig(turn=0.5, turn_speed=1.0, reach=0.05, speed=0.2)
    moved = hand_motion(np.random.default_rng(0), torch.arange(90) / 30, orientation, translation, config)
    assert (
        moved.angles.shape == (90, 23) and moved.orientation.shape == (90, 3, 3) and moved.translation.shape == (90, 3)
    )
    assert moved.angles.dtype == moved.orientation.dtype == moved.translation.dtype == torch.float32
    assert torch.equal(moved.orientation[0], orientation) and torch.equal(moved.translation[0], translation)
    eye = torch.eye(3).expand(90, 3, 3)
    torch.testing.assert_close(moved.orientation @ moved.orientation.mT, eye, atol=1e-5, rtol=0)
    assert (torch.linalg.det(moved.orientation) > 0).all()

    def angle(turn: torch.Tensor) -> torch.Tensor:
        return ((turn.double().diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1).acos()

    assert 0.05 < angle(moved.orientation @ orientation.T).max() < 0.501
    assert angle(moved.orientation[1:] @ moved.orientation[:-1].mT).max() * 30 < 1.02
    assert (moved.translation - translation).norm(dim=1).max() < 0.0501
    assert moved.translation.diff(dim=0).norm(dim=1).max() * 30 < 0.2001


def test_time_only_samples_the_motion() -> None:
    """The same generator gives the same motion for any frame rate and length; another gives another."""
    short, long, quick = (
        hand_motion(np.random.default_rng(5), torch.arange(count) / rate, *start())
        for count, rate in ((16, 10), (31, 10), (46, 30))
    )
    for name in ("angles", "orientation", "translation"):
        a, b, c = (getattr(moved, name) for moved in (short, long, quick))
        torch.testing.assert_close(a, b[:16], atol=1e-6, rtol=0)
        torch.testing.assert_close(a, c[::3], atol=1e-6, rtol=0)
    other = hand_motion(np.random.default_rng(6), torch.arange(3) / 10, *start())
    assert not torch.equal(other.angles, short.angles[:3])


def test_slower_configuration_is_slower() -> None:
    quick, slow = (
        finger_path(np.random.default_rng(3), 0.0, MotionConfig(slowest=pace, quickest=pace)) for pace in (1.0, 0.25)
    )
    torch.testing.assert_close(4 * quick.durations, slow.durations)


@pytest.mark.parametrize(
    ("times", "config", "fault"),
    [
        (torch.zeros(2, 2), MotionConfig(), "times"),
        (torch.tensor([0.0, -1.0]), MotionConfig(), "times"),
        (torch.tensor([0.0, float("nan")]), MotionConfig(), "times"),
        (torch.zeros(1), MotionConfig(slowest=0.0), "slowest"),
        (torch.zeros(1), MotionConfig(slowest=0.5, quickest=0.4), "slowest"),
        (torch.zeros(1), MotionConfig(turn=4.0), "turn"),
        (torch.zeros(1), MotionConfig(speed=-1.0), "speed"),
    ],
)
def test_bad_input(times: torch.Tensor, config: MotionConfig, fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        hand_motion(np.random.default_rng(0), times, *start(), config)


def test_no_frames() -> None:
    assert hand_motion(np.random.default_rng(0), torch.zeros(0), *start()).translation.shape == (0, 3)
