"""What the overlay shows, and where; on a made-up hand whose surface is a ball round its palm."""

import dataclasses

import numpy as np
import pytest
import torch
import trimesh

from phalanx.geometry.camera import Camera
from phalanx.geometry.distortion import Lens
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.prediction import HandPrediction
from phalanx.predict.assemble import assemble
from phalanx.view.overlay import FINGER_COLOURS, SIDE_COLOURS, draw_hands, draw_overlay, draw_turned, with_gesture

K = np.array([[800.0, 0, 399.5], [0, 800, 299.5], [0, 0, 1]])


def fan_hand(at=(0.0, 0.0, 0.6), surface=True):
    """Five straight fingers like a fan, upwards, in a plane before the camera; a ball of 2 cm at the palm's middle."""
    joints = np.zeros((21, 3))
    for k in range(5):
        direction = np.array([np.sin((k - 2) * 0.35), -np.cos((k - 2) * 0.35), 0.0])
        for i in range(4):
            joints[1 + 4 * k + i] = direction * (0.07 + 0.03 * i)
    joints += at
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.02)
    pixels = joints @ K.T
    return HandPrediction(
        side="right",
        score=0.9,
        box=[0, 0, 10, 10],
        width=800,
        height=600,
        joints_2d=pixels[:, :2] / pixels[:, 2:],
        joints=joints,
        uncertainty=np.ones(21),
        rotations=np.tile(np.eye(3), (16, 1, 1)),
        orientation=np.eye(3),
        angles_degrees={},
        shape=np.zeros(10),
        K=K,
        vertices=ball.vertices + at - [0, 0.035, 0.005] if surface else None,
        faces=np.asarray(ball.faces) if surface else None,
    )


@pytest.fixture(scope="module")
def photo():
    return np.full((600, 800, 3), (30, 60, 30), np.uint8)


def at_joint(picture, hand, joint):
    x, y = np.round(hand.joints_2d[joint]).astype(int)
    return picture[y, x].astype(float)


def test_joints_have_their_fingers_colours(photo):
    hand = fan_hand(surface=False)
    picture = draw_overlay(photo, [hand])
    assert picture.shape == (600, 800 + 600, 3) and picture.dtype == np.uint8
    for k in range(5):
        for i in range(4):
            expected = 0.9 * FINGER_COLOURS[k] + 0.1 * photo[0, 0]
            np.testing.assert_allclose(at_joint(picture, hand, 1 + 4 * k + i), expected, atol=4)
        halfway = hand.joints_2d[[2 + 4 * k, 3 + 4 * k]].mean(0).round().astype(int)
        np.testing.assert_allclose(picture[halfway[1], halfway[0]], 0.9 * FINGER_COLOURS[k] + 3, atol=12)


def test_the_rest_of_the_photo_is_untouched(photo):
    hand = fan_hand()
    picture = draw_overlay(photo, [hand])[:, :800]
    changed = (picture != photo).any(-1)
    low, high = hand.joints_2d.min(0) - 20, hand.joints_2d.max(0) + 20
    y, x = np.nonzero(changed)
    assert x.min() > low[0] and x.max() < high[0] and y.min() > low[1] and y.max() < high[1]


def test_surface_covers_its_silhouette_and_lets_the_photo_through():
    hand = fan_hand()
    hand = dataclasses.replace(hand, vertices=hand.vertices + [0.15, 0, 0])  # away from the joints' lines
    centre = hand.vertices.mean(0)
    pixel = (K @ centre)[:2] / centre[2]
    radius = 0.02 / np.sqrt(centre[2] ** 2 - 0.02**2) * 800
    y, x = np.mgrid[0:600, 0:800]
    distance = np.hypot(x - pixel[0], y - pixel[1])
    dark, bright = (np.full((600, 800, 3), v, np.uint8) for v in (0, 200))
    on_dark, on_bright = (draw_overlay(p, [hand])[:, :800].astype(float) for p in (dark, bright))
    inside, outside = distance < radius - 2, (distance > radius + 2) & (distance < radius + 5)
    let_through = (on_bright - on_dark)[..., 0] / 200
    np.testing.assert_allclose(let_through[inside], 0.25, atol=0.02)
    assert (let_through[outside] == 1).all()
    assert (on_dark[inside].min(-1) > 25).all()  # it is lit


def test_light_comes_from_above_left():
    hand = fan_hand()
    centre = hand.vertices.mean(0)
    x, y = np.round((K @ centre)[:2] / centre[2]).astype(int)
    picture = draw_overlay(np.zeros((600, 800, 3), np.uint8), [hand]).astype(float)
    assert picture[y - 12, x - 12].sum() > picture[y + 12, x + 12].sum() + 50


def test_turned_view_has_the_near_side_on_the_left():
    hand = fan_hand(surface=False)
    joints = hand.joints.copy()
    joints[5:9, 2] -= 0.05  # index towards the camera
    joints[17:21, 2] += 0.05  # little finger away
    view = draw_turned(dataclasses.replace(hand, joints=joints), 400, 400).astype(float)

    def middle_of(finger):
        near = np.abs(view - (0.9 * FINGER_COLOURS[finger] + 24)).max(-1) < 12
        assert near.sum() > 20
        return np.argwhere(near).mean(0)  # row, column

    index, ring, little = middle_of(1), middle_of(3), middle_of(4)
    assert index[1] < ring[1] - 30 < little[1] - 60


def test_several_hands_share_the_column(photo):
    one, two = fan_hand(at=(-0.1, 0.0, 0.6)), fan_hand(at=(0.1, 0.05, 0.7))
    picture = draw_overlay(photo, [one, two])
    assert picture.shape == (600, 800 + 300, 3)
    for hand in (one, two):
        np.testing.assert_allclose(at_joint(picture, hand, 4), 0.9 * FINGER_COLOURS[0] + 0.1 * photo[0, 0], atol=4)


def test_colours_tell_right_from_left():
    """Right hands are bluish, left ones orange, on the photo and in the turned view."""
    black = np.zeros((600, 800, 3), np.uint8)
    for side, warm in (("right", False), ("left", True)):
        hand = dataclasses.replace(fan_hand(), side=side)
        hand = dataclasses.replace(hand, vertices=hand.vertices + [0.15, 0, 0])  # away from the joints' lines
        picture = draw_overlay(black, [hand]).astype(float)
        for part in (picture[:, :800], picture[:, 800:] * (np.ptp(picture[:, 800:], axis=-1, keepdims=True) > 14)):
            x, y = np.round((K @ hand.vertices.mean(0))[:2] / hand.vertices.mean(0)[2]).astype(int)
            red, _, blue = part[y - 3 : y + 4, x - 3 : x + 4].mean((0, 1)) if part.shape[1] == 800 else part.sum((0, 1))
            assert (red > blue) == warm


def test_several_hands_are_labelled_and_one_is_not(photo):
    """At the wrist, where nothing else is; and the others are found by the same plate in their turned views."""
    hands = [fan_hand((-0.1, 0, 0.6)), dataclasses.replace(fan_hand((0.1, 0, 0.6)), side="left")]
    with_labels = draw_overlay(photo, hands)[:, :800]
    for hand in hands:
        plate = (SIDE_COLOURS[hand.side] * 255).round()
        x, y = np.round(hand.joints_2d[0]).astype(int)
        near = with_labels[y - 20 : y + 20, x - 20 : x + 20]
        assert (near == plate).all(-1).sum() > 50 and (near.max(-1) < 60).sum() > 20  # a plate, and dark letters
        alone = draw_overlay(photo, [hand])[:, :800]
        assert not (alone == plate).all(-1).any()
    np.testing.assert_array_equal(draw_hands(photo, hands, ["R1", "L1"]), with_labels)
    at_the_rim = draw_hands(photo, [fan_hand((0.45, 0, 0.6))], ["R7"])  # the wrist is beyond the picture
    assert (at_the_rim[:, -60:] == (SIDE_COLOURS["right"] * 255).round()).all(-1).sum() > 50


def test_a_gesture_stands_at_the_wrist(photo):
    hand = fan_hand()
    named = dataclasses.replace(hand, gesture="open", gesture_probability=0.974)
    unsure = dataclasses.replace(hand, gesture="none", gesture_probability=0.3)
    assert with_gesture(named, "R1") == "R1: open (97 %)" and with_gesture(named, "") == "open (97 %)"
    assert with_gesture(unsure, "") == "none" and with_gesture(hand, "R1") == "R1" and with_gesture(hand, "") == ""
    changed = (draw_overlay(photo, [named]) != draw_overlay(photo, [hand])).any(2)
    rows, columns = np.nonzero(changed)
    at = (hand.joints_2d[0] + 0.5) * draw_hands(photo, [hand]).shape[0] / photo.shape[0]
    assert abs(columns.mean() - at[0]) < 5 and abs(rows.mean() - at[1]) < 5


@pytest.mark.parametrize(("count", "width"), [(1, 600), (3, 200), (4, 400), (8, 600), (10, 450)])
def test_turned_views_of_many_hands_fill_columns(photo, count, width):
    hands = [fan_hand((0.05 * number - 0.2, 0, 0.6), surface=False) for number in range(count)]
    assert draw_overlay(photo, hands).shape == (600, 800 + width, 3)


def test_no_hands_is_the_photo(photo):
    np.testing.assert_array_equal(draw_overlay(photo, []), photo)


@pytest.mark.parametrize(
    ("size", "drawn"), [((100, 60), (720, 432)), ((3000, 1500), (1080, 540)), ((16, 900), (16, 900))]
)
def test_photos_are_brought_to_a_size_for_drawing(size, drawn):
    width, height = size
    rng = np.random.default_rng(0)
    picture = draw_overlay(rng.integers(0, 255, (height, width, 3), dtype=np.uint8), [])
    assert picture.shape == (drawn[1], drawn[0], 3)


def test_marks_stay_on_the_hand_when_the_photo_is_scaled():
    hand = fan_hand(surface=False)
    small = dataclasses.replace(
        hand,
        joints_2d=(hand.joints_2d + 0.5) / 4 - 0.5,
        K=np.diag([0.25, 0.25, 1]) @ K + [[0, 0, -0.375], [0, 0, -0.375], [0, 0, 0]],
    )
    picture = draw_overlay(np.zeros((150, 200, 3), np.uint8), [small])  # drawn at 720 / 200 = 3.6
    x, y = np.round((small.joints_2d[8] + 0.5) * 3.6 - 0.5).astype(int)
    np.testing.assert_allclose(picture[y, x], 0.9 * FINGER_COLOURS[1], atol=4)


@pytest.mark.parametrize("at", [(3.0, 0, 0.6), (-0.29, -0.2, 0.6), (0, 0, 0.03), (0, 0, -1.0), (0.0, 0.0, 50.0)])
def test_hands_beyond_the_picture_or_behind_the_camera_do_not_break_it(photo, at):
    picture = draw_overlay(photo, [fan_hand(at)])
    assert picture.shape == (600, 1400, 3)


def posed(turn, at, camera=K, lens=None):
    """The open hand, turned and placed by its wrist."""
    model, pose = HandModel.open_hand(), HandPose.zero(1)
    pose.orientation = torch.tensor(turn, dtype=torch.float32)[None]
    pose.translation = torch.tensor([at], dtype=torch.float32)
    others = {"side": "right", "score": 0.9, "box": [0, 0, 10, 10], "uncertainty": np.ones(21)}
    return assemble(model, pose, Camera(camera, 800, 600), False, lens=lens, **others)


FINGERS_LEFT = [[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]
FINGERS_AWAY = [[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]


def surface_share(view, hand_pixels):
    """Share of pixels (N, 2) at which the view shows the surface or a mark, and not the panel's light background."""
    x, y = np.round(hand_pixels).astype(int).T
    return (np.ptp(view[y, x].astype(int), axis=-1) > 14).mean()  # the panel is grey


def test_the_turned_view_is_whole_where_the_forearm_points_at_its_eye():
    """The forearm, which fades out there, hid the hand: nothing of it was left but the finger tips."""
    hand = posed(FINGERS_LEFT, (0.05, 0.02, 0.45))  # the forearm points to the right, from where the turned view looks
    view = draw_turned(dataclasses.replace(hand, joints=hand.joints), 400, 400)
    middle = (hand.joints.min(0) + hand.joints.max(0)) / 2
    places = (hand.vertices - middle)[:, [2, 1]]  # depth becomes x
    radius = 1.25 * np.abs((hand.joints - middle)[:, [2, 1]]).max() + 0.01
    pixels = places * 200 / radius + 199.5
    palm = np.linalg.norm(hand.vertices - hand.joints[9], axis=1) < 0.035
    inside = (pixels > 2).all(1) & (pixels < 397).all(1)
    assert (palm & inside).sum() > 50
    assert surface_share(view, pixels[palm & inside]) > 0.97


@pytest.mark.parametrize("distance", [0.3, 0.13])
def test_the_photo_shows_the_hand_behind_a_forearm_that_comes_from_the_viewer(distance):
    """At the nearer distance the forearm ends behind the camera."""
    hand = posed(FINGERS_AWAY, (0.0, 0.0, distance))
    assert (hand.vertices[:, 2].min() < 0) == (distance < 0.2)
    dark, bright = (np.full((600, 800, 3), value, np.uint8) for value in (0, 200))
    on_dark, on_bright = (draw_overlay(photo, [hand])[:, :800].astype(float) for photo in (dark, bright))
    let_through = (on_bright - on_dark).mean(-1) / 200
    x, y = np.round(hand.joints_2d[[0, 5, 9, 13, 17]].mean(0)).astype(int)
    np.testing.assert_allclose(let_through[y - 3 : y + 4, x - 3 : x + 4].max(), 0.25, atol=0.03)
    assert (let_through < 0.3).mean() < 0.5  # and not the whole photo


def test_the_surface_lies_where_a_distorting_lens_shows_it():
    lens = Lens("radial-tangential", (-0.3, 0.1, 0, 0))
    turn = np.diag([1.0, -1, -1])
    bent, straight = posed(turn, (0.05, 0.1, 0.35), lens=lens), posed(turn, (0.05, 0.1, 0.35))
    assert np.abs(bent.joints_2d - straight.joints_2d).max() > 8
    black = np.zeros((600, 800, 3), np.uint8)
    drawn = (draw_overlay(black, [bent])[:, :800] > 0).any(-1)
    vertices = bent.vertices[HandModel.open_hand().parts.numpy() != 1]  # not the forearm, which fades out
    pixels = lens.distort(vertices[:, :2] / vertices[:, 2:]) * 800 + [399.5, 299.5]
    assert (pixels > 1).all() and (pixels < [798, 598]).all()
    hand = np.zeros_like(drawn)
    x, y = np.round(pixels).astype(int).T
    hand[y, x] = True
    assert drawn[hand].mean() > 0.9
    rows, columns = np.nonzero(drawn)
    assert abs(columns.max() - pixels[:, 0].max()) < 3 and abs(rows.min() - pixels[:, 1].min()) < 3
