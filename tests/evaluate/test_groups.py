import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from phalanx.data.public.photos3d import read_photos3d
from phalanx.evaluate.groups import bends, curled_fingers, palm_facing, views


def right_hand(flexion_degrees: np.ndarray) -> np.ndarray:
    """A stick hand, palm to the camera 50 cm off, fingers up; `flexion_degrees` (5, 3) a joint, towards the palm."""
    joints = [np.zeros(3)]
    for finger, across in enumerate((0.04, 0.02, 0.0, -0.02, -0.04)):  # thumb to the right: the palm is seen
        point, direction, angle = np.array([across, -0.08, 0.0]), np.array([across, -0.08, 0.0]), 0.0
        direction = direction / np.linalg.norm(direction)
        joints.append(point)
        for bend, length in zip(flexion_degrees[finger], (0.04, 0.03, 0.02), strict=True):
            angle += np.radians(bend)
            point = point + length * (np.cos(angle) * direction + np.sin(angle) * np.array([0.0, 0.0, -1.0]))
            joints.append(point)
    return np.array(joints) + [0.0, 0.0, 0.5]


def turned(joints: np.ndarray, degrees: float) -> np.ndarray:
    """Turned about the upright axis through the palm's middle."""
    middle = joints[[0, 5, 9, 13, 17]].mean(0)
    return (joints - middle) @ Rotation.from_euler("y", degrees, degrees=True).as_matrix().T + [0.0, 0.0, 0.5]


STRAIGHT = np.zeros((5, 3))


@pytest.mark.parametrize(
    ("degrees", "view"), [(0, "palm"), (55, "palm"), (65, "side"), (-90, "side"), (115, "side"), (125, "back")]
)
def test_views_of_right_and_left_hands(degrees, view):
    hand = turned(right_hand(STRAIGHT), degrees)
    assert views(hand[None], "right").tolist() == [view]
    mirrored = hand * [-1, 1, 1]
    assert views(mirrored[None], "left").tolist() == [view]
    assert palm_facing(mirrored[None], "left") == pytest.approx(palm_facing(hand[None], "right"))


def test_the_view_is_told_from_the_way_to_the_camera_not_from_the_optical_axis():
    hand = turned(right_hand(STRAIGHT), 0) + [0.5, 0.0, 0.0]  # 45 degrees beside the axis
    assert palm_facing(hand[None], "right") == pytest.approx(np.cos(np.radians(45)))


@given(st.lists(st.floats(0, 85), min_size=15, max_size=15), st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_bends_are_the_angles_the_hand_was_built_with_from_wherever_it_is_seen(angles, seed):
    flexion = np.array(angles).reshape(5, 3)
    turn = Rotation.random(1, np.random.default_rng(seed)).as_matrix()[0]
    np.testing.assert_allclose(bends((right_hand(flexion) @ turn * 1.3)[None])[0], flexion, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 0),
        ({1: (0, 89, 0)}, 0),
        ({1: (0, 91, 0)}, 1),
        ({1: (31, 30, 30)}, 1),
        ({0: (80, 0, 0)}, 0),  # a thumb in front of the palm but straight
        ({0: (0, 31, 30)}, 1),
        ({0: (20, 30, 40), 1: (80, 80, 40), 2: (80, 80, 40), 3: (80, 80, 40), 4: (80, 80, 40)}, 5),
    ],
)
def test_curled_fingers_are_counted(changes, count):
    flexion = STRAIGHT.copy()
    for finger, angles in changes.items():
        flexion[finger] = angles
    assert curled_fingers(right_hand(flexion)[None]).tolist() == [count]


def test_real_photos_fall_into_the_groups_that_the_eye_puts_them_in(real):
    photos = read_photos3d(real("photos_3d"))
    view = dict(zip(photos.image_paths, views(photos.joints, photos.side), strict=True))
    curled = dict(zip(photos.image_paths, curled_fingers(photos.joints), strict=True))
    assert (view["images/00000.jpg"], curled["images/00000.jpg"]) == ("palm", 0)  # open hand
    counts = {name: list(view.values()).count(name) for name in ("palm", "side", "back")}
    assert counts["palm"] > 150 and min(counts.values()) >= 5
