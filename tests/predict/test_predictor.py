import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.camera_files import Calibration
from phalanx.fit.evidence import Evidence
from phalanx.fit.joints import fit_evidence
from phalanx.geometry.camera import Camera
from phalanx.geometry.distortion import Lens
from phalanx.hand.model import HandModel, HandPose
from phalanx.predict.looks import CROP_FACTOR
from phalanx.predict.posing import SHAPE_LENGTHS
from phalanx.predict.predictor import Predictor


def project(K, points):
    homogeneous = points @ K.T
    return homogeneous[:, :2] / homogeneous[:, 2:]


@pytest.mark.parametrize(("side", "mirrored"), [("right", False), ("left", False), ("right", True), ("left", True)])
def test_truth_comes_back_in_the_frame_of_the_picture(oracle, side, mirrored):
    shows_left = (side == "left") != mirrored
    truth = oracle.truth(flip=shows_left)
    (hand,) = oracle.predictor(truth)(oracle.picture(), box="whole", K=truth.K, side=side, mirrored=mirrored)
    assert (hand.side, hand.mirrored, hand.camera_source, hand.scale_source) == (side, mirrored, "given", "prior")
    assert hand.side_source == "given"
    np.testing.assert_allclose(hand.joints, truth.joints, atol=2e-4)
    np.testing.assert_allclose(hand.joints_2d, truth.joints_2d, atol=0.1)
    np.testing.assert_allclose(hand.joints_2d, project(hand.K, hand.joints), atol=1e-9)
    np.testing.assert_allclose(np.radians(list(hand.angles_degrees.values())), truth.angles, atol=1e-4)
    np.testing.assert_allclose(hand.orientation, truth.pose.orientation[0], atol=2e-3)
    assert (hand.width, hand.height) == (oracle.width, oracle.height)
    # Which kind of hand it is: thumb side, fingers and the way out of the palm make a right- or left-handed frame.
    finger, thumb_side = hand.joints[9] - hand.joints[0], hand.joints[5] - hand.joints[17]
    out_of_palm = np.cross(thumb_side, finger) * (-1 if shows_left else 1)
    assert out_of_palm[2] < 0  # the true hand shows its palm


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("mirrored", [False, True])
def test_the_surer_side_is_taken(oracle, flip, mirrored):
    truth = oracle.truth(flip=flip)
    (hand,) = oracle.predictor(truth)(oracle.picture(), box="whole", K=truth.K, mirrored=mirrored)
    assert (hand.side, hand.side_source) == ("left" if flip != mirrored else "right", "guessed")
    np.testing.assert_allclose(hand.joints, truth.joints, atol=2e-4)


@pytest.mark.parametrize("flip", [False, True])
def test_with_the_real_fit_the_truth_comes_back_too(oracle, flip):
    truth = oracle.truth(flip=flip)
    predictor = oracle.predictor(truth)
    predictor.fit = fit_evidence
    (hand,) = predictor(oracle.picture(), box="whole", K=truth.K, side="left" if flip else "right")
    np.testing.assert_allclose(hand.joints_2d, truth.joints_2d, atol=0.1)
    np.testing.assert_allclose(hand.joints_relative, truth.joints - truth.joints[:1], atol=2e-3)
    (sized,) = predictor(oracle.picture(), box="whole", K=truth.K, side="left" if flip else "right", hand_length=0.21)
    chain = sized.joints[[0, 9, 10, 11, 12]]
    assert np.linalg.norm(np.diff(chain, axis=0), axis=1).sum() == pytest.approx(0.21, abs=1e-5)
    assert sized.scale == pytest.approx(1, abs=0.02)  # the fit has already found a hand of that size


@pytest.mark.parametrize("flip", [False, True])
def test_surface_is_the_models_and_never_inside_out(oracle, flip):
    truth = oracle.truth(flip=flip)
    (hand,) = oracle.predictor(truth)(oracle.picture(), box="whole", K=truth.K, side="left" if flip else "right")
    surface = HandModel.open_hand()(truth.pose).vertices[0].double().numpy() * [-1 if flip else 1, 1, 1]
    np.testing.assert_allclose(hand.vertices, surface, atol=3e-4)
    corners = hand.vertices[hand.faces] - hand.vertices.mean(0)
    assert (np.cross(corners[:, 0], corners[:, 1]) * corners[:, 2]).sum() / 6 > 1e-4  # volume in m3


def test_pose_fields_rebuild_the_surface_as_documented(oracle):
    truth = oracle.truth(flip=True)
    (hand,) = oracle.predictor(truth)(oracle.picture(), box="whole", K=truth.K, side="left", hand_length=0.2)
    flip = np.array([-1, 1, 1])
    tensors = (torch.tensor(v)[None].float() for v in (hand.rotations, hand.shape, hand.orientation))
    pose = HandPose(*tensors, torch.tensor(hand.joints[:1] / hand.scale * flip).float())
    rebuilt = hand.scale * HandModel.open_hand()(pose).vertices[0].double().numpy() * flip
    np.testing.assert_allclose(hand.vertices, rebuilt, atol=1e-6)


def test_first_the_whole_picture_then_closer(oracle):
    truth = oracle.truth(at=(0.15, 0.05, 1.0))
    predictor = oracle.predictor(truth)
    (hand,) = predictor(oracle.picture(), box="whole", K=truth.K, side="right")
    whole, _ = predictor.estimator.network.seen
    assert whole[0, 0, 32].max() - whole[0, 0, 32].min() == pytest.approx(0.8, abs=0.02)  # all of the picture's width
    low, high = truth.joints_2d.min(0), truth.joints_2d.max(0)
    extent = (high - low).max() * CROP_FACTOR
    x, y, width, height = hand.box
    assert width == height == pytest.approx(extent, rel=0.01)
    np.testing.assert_allclose([x + width / 2 - 0.5, y + height / 2 - 0.5], (low + high) / 2, atol=1)
    np.testing.assert_allclose(hand.uncertainty, 0.01 * width, rtol=1e-5)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("roll", [0.6, 1.6, 3.1, -2.2])
@pytest.mark.parametrize("real_fit", [False, True])
def test_the_closer_look_is_turned_until_the_hand_points_up(oracle, flip, roll, real_fit):
    truth = oracle.truth(flip=flip, roll=roll, at=(0.04, 0.02, 0.5))
    predictor = oracle.predictor(truth)
    if real_fit:
        predictor.fit = fit_evidence
    (hand,) = predictor(oracle.picture(), box="whole", K=truth.K, side="left" if flip else "right")
    first, second = predictor.estimator.network.turns
    assert first == pytest.approx(0, abs=0.02)
    assert np.cos(second - roll) > np.cos(0.25)  # the palm of this hand is not quite upright at roll 0
    np.testing.assert_allclose(hand.joints_2d, truth.joints_2d, atol=0.2)
    np.testing.assert_allclose(hand.joints_relative, truth.joints - truth.joints[:1], atol=3e-3 if real_fit else 5e-4)
    x, y, width, height = hand.box
    assert (hand.joints_2d > [x, y]).all() and (hand.joints_2d < [x + width, y + height]).all()


@pytest.mark.parametrize("flip", [False, True])
def test_what_it_is_unsure_of_is_looked_at_again_turned(oracle, flip):
    truth = oracle.truth(flip=flip)
    predictor = oracle.predictor(truth, misread=2)
    (hand,) = predictor(oracle.picture(), box="whole", K=truth.K, side="left" if flip else "right")
    turns = predictor.estimator.network.turns
    assert len(turns) == 6  # three times a first and a closer look
    np.testing.assert_allclose(np.abs(turns[2:4]), np.pi / 2, atol=0.02)
    assert turns[2] == pytest.approx(-turns[3], abs=0.04)
    assert predictor.estimator.network.calls == [1, 1, 2, 2]  # all that is known to be looked at at once
    np.testing.assert_allclose(hand.joints, truth.joints, atol=2e-4)
    (certain,) = predictor(oracle.picture(), box="whole", K=truth.K, side="left" if flip else "right")
    assert len(turns) == 8  # the network is not asked again where it is sure
    np.testing.assert_allclose(certain.joints, hand.joints, atol=4e-4)


def test_box_is_where_it_looks_and_what_it_gives_can_be_given_back(oracle):
    truth = oracle.truth()
    predictor = oracle.predictor(truth)
    low, high = truth.joints_2d.min(0), truth.joints_2d.max(0)
    (first,) = predictor(oracle.picture(), box=[*(low - 5), *(high - low + 10)], K=truth.K, side="right")
    predictor.estimator.network.seen.clear()
    (second,) = predictor(oracle.picture(), box=first.box, K=truth.K, side="right")
    assert len(predictor.estimator.network.seen) == 1  # nothing to look closer at
    np.testing.assert_allclose(second.box, first.box)
    np.testing.assert_allclose(second.joints, first.joints, atol=2e-4)


def test_camera_assumed_where_none_is_given(oracle):
    truth = oracle.truth()
    (hand,) = oracle.predictor(truth)(oracle.picture(), box="whole")
    assert hand.camera_source == "assumed"
    focal = oracle.width / 2 / np.tan(np.radians(30))
    np.testing.assert_allclose(hand.K, [[focal, 0, 159.5], [0, focal, 119.5], [0, 0, 1]], atol=1e-4)


def test_hand_length_sets_the_scale_and_keeps_the_picture(oracle):
    truth = oracle.truth()
    predictor = oracle.predictor(truth)
    (prior,) = predictor(oracle.picture(), box="whole", K=truth.K)
    (given,) = predictor(oracle.picture(), box="whole", K=truth.K, hand_length=0.21)
    assert (prior.scale, prior.scale_source, given.scale_source) == (1.0, "prior", "given")
    chain = given.joints[[0, 9, 10, 11, 12]]
    assert np.linalg.norm(np.diff(chain, axis=0), axis=1).sum() == pytest.approx(0.21, abs=1e-5)
    np.testing.assert_allclose(given.joints, prior.joints * given.scale, atol=1e-6)
    np.testing.assert_allclose(given.vertices, prior.vertices * given.scale, atol=1e-6)
    np.testing.assert_allclose(given.joints_2d, prior.joints_2d, atol=1e-6)


@pytest.mark.parametrize("length", [0.05, 0.08, 0.12, 0.19, 0.26, 0.35])
def test_every_hand_length_keeps_picture_and_pose(oracle, length):
    truth = oracle.truth()
    predictor = oracle.predictor(truth)
    predictor.fit = fit_evidence
    (hand,) = predictor(oracle.picture(), box="whole", K=truth.K, side="right", hand_length=length)
    chain = hand.joints[[0, 9, 10, 11, 12]]
    assert np.linalg.norm(np.diff(chain, axis=0), axis=1).sum() == pytest.approx(length, abs=1e-5)
    np.testing.assert_allclose(hand.joints_2d, truth.joints_2d, atol=2)
    np.testing.assert_allclose(list(hand.angles_degrees.values()), np.degrees(truth.angles), atol=8)


@pytest.mark.parametrize("factor", [1.0, 30.0, 1000.0])
def test_hands_far_away_are_found_as_well(oracle, factor):
    truth = oracle.truth(f=300.0 * factor, at=(0.04 / factor, 0.09 / factor, 0.5 * factor))
    predictor = oracle.predictor(truth)
    predictor.fit = fit_evidence
    (hand,) = predictor(oracle.picture(), box="whole", K=truth.K, side="right")
    np.testing.assert_allclose(hand.joints_2d, truth.joints_2d, atol=2)
    assert hand.joints[0, 2] == pytest.approx(truth.joints[0, 2], rel=0.1)


def test_a_hand_behind_the_camera_is_never_given(oracle):
    truth = oracle.truth()
    predictor = oracle.predictor(truth)
    fit = predictor.fit
    predictor.fit = lambda *args: replace(fit(*args), translation=torch.tensor([[0.0, 0.0, -0.5]]))
    assert predictor(oracle.picture(), box="whole", K=truth.K, side="right") == []


def pointing_forearm(pose):
    """The pose with its forearm towards the camera."""
    return replace(
        pose, orientation=torch.tensor([[[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]]), translation=torch.tensor([[0, 0, 0.1]])
    )


def test_before_a_given_camera_the_forearm_may_end_behind_it(oracle):
    truth = oracle.truth()
    predictor = oracle.predictor(truth)
    fit = predictor.fit
    predictor.fit = lambda *args: pointing_forearm(fit(*args))
    (hand,) = predictor(oracle.picture(), box="whole", K=truth.K, side="right")
    assert hand.joints[:, 2].min() > 0 > hand.vertices[:, 2].min()


def test_where_the_hand_reaches_behind_an_assumed_camera_the_lens_is_longer(oracle):
    """The first lens that is long enough, of the same evidence: the picture is not looked at again."""
    truth = oracle.truth()
    predictor = oracle.predictor(truth)
    fit, seen = predictor.fit, []

    def near(model, evidence, K, size, length):
        seen.append(float(K[0, 0, 0]))
        pose = fit(model, evidence, K, size, length)
        return pointing_forearm(pose) if len(seen) < 3 else pose

    predictor.fit = near
    (hand,) = predictor(oracle.picture(), box="whole", side="right")
    assert hand.camera_source == "assumed" and hand.vertices[:, 2].min() > 0
    assert len(seen) == 3 and seen[0] < seen[1] < seen[2]
    assert hand.K[0, 0] == pytest.approx(160 / np.tan(np.radians(15)), rel=1e-6)  # 60, 45, 30 degrees across
    assert len(predictor.estimator.network.seen) == 2
    predictor.fit = lambda *args: pointing_forearm(fit(*args))
    assert predictor(oracle.picture(), box="whole", side="right") == []


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    "lens",
    [
        Lens("radial-tangential", (-0.12, 0.03, 0.002, -0.001)),
        Lens("fisheye", (0.25, -0.05, 0, 0)),
        Lens("inverse radial-tangential", (0.1, 0.02, 0.001, 0.001, 0)),
    ],
)
def test_a_distorting_lens_is_undone_inside(oracle, lens, flip):
    """The picture is bent; joints are true all the same, and lie on what it shows."""
    truth = oracle.truth(flip=flip, at=(0.02, 0.08, 0.3))
    camera = Camera(truth.K, oracle.width, oracle.height)
    x, y = np.meshgrid(np.arange(oracle.width), np.arange(oracle.height))
    rays = camera.rays(np.stack((x, y), -1).reshape(-1, 2).astype(float))
    rays[:, :2] = lens.undistort(rays[:, :2])
    extent = np.array([oracle.width, oracle.height]) - 1
    image = np.full((oracle.height, oracle.width, 3), 0.5, np.float32)
    image[..., :2] = (0.1 + 0.8 * camera.project(rays) / extent).reshape(oracle.height, oracle.width, 2)
    bent = camera.project(np.c_[lens.distort(truth.joints[:, :2] / truth.joints[:, 2:]), np.ones(21)])
    assert np.abs(bent - truth.joints_2d).max() > 1.5
    side = "left" if flip else "right"
    given = Calibration(truth.K, (oracle.width, oracle.height), lens)
    predictor = oracle.predictor(truth)
    (hand,) = predictor(image.clip(0, 1), "whole", K=given, side=side)
    np.testing.assert_allclose(hand.joints, truth.joints, atol=1e-3)
    np.testing.assert_allclose(hand.joints_2d, bent, atol=0.5)
    np.testing.assert_array_equal(hand.K, truth.K)
    assert (hand.width, hand.height, hand.distortion_model) == (oracle.width, oracle.height, lens.model)
    np.testing.assert_array_equal(hand.distortion, lens.coefficients)
    x, y, width, height = hand.box
    assert (bent > [x, y]).all() and (bent < [x + width, y + height]).all()
    (again,) = predictor(image.clip(0, 1), K=given, side=side, box=hand.box)
    np.testing.assert_allclose(again.joints, truth.joints, atol=1e-3)


def test_a_camera_for_another_size_is_scaled(oracle):
    truth = oracle.truth()
    double = Camera(truth.K, oracle.width, oracle.height).resize(2 * oracle.width, 2 * oracle.height)
    (hand,) = oracle.predictor(truth)(oracle.picture(), box="whole", K=Calibration(double.K, (640, 480)), side="right")
    np.testing.assert_allclose(hand.K, truth.K)
    np.testing.assert_allclose(hand.joints, truth.joints, atol=2e-4)


def test_the_focal_length_in_the_file_is_used(oracle, tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 1
    exif.get_ifd(0x8769)[0xA405] = 35
    Image.fromarray((oracle.picture() * 255).round().astype(np.uint8)).save(tmp_path / "a.png", exif=exif)
    truth = oracle.truth()
    (hand,) = oracle.predictor(truth)(tmp_path / "a.png", "whole", side="right")
    assert hand.camera_source == "exif"
    focal = 35 / np.hypot(36, 24) * np.hypot(oracle.width, oracle.height)
    np.testing.assert_allclose(hand.K, [[focal, 0, 159.5], [0, focal, 119.5], [0, 0, 1]])
    (hand,) = oracle.predictor(truth)(tmp_path / "a.png", "whole", K=truth.K, side="right")
    assert hand.camera_source == "given"


def test_uint8_float_and_path_agree(oracle, tmp_path):
    import cv2

    truth = oracle.truth()
    predictor = oracle.predictor(truth)
    image = (oracle.picture() * 255).round().astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    for given in (image, tmp_path / "a.png", str(tmp_path / "a.png")):
        predictor.estimator.network.seen.clear()
        predictor(given, "whole", K=truth.K)
        np.testing.assert_allclose(predictor.estimator.network.seen[0][0, :, 30, 30], [0.5, 0.46, 0.5], atol=0.06)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"K": np.zeros((3, 3))}, "K: the camera matrix is singular"),
        ({"K": (500, 0, 1, 1)}, "K: the camera matrix is singular"),
        ({"K": np.eye(4)}, "K: must have shape"),
        ({"box": (400, 10, 50, 50)}, "box: 400,10,50,50 lies outside the picture of 320x240"),
        ({"box": (-60, 10, 50, 50)}, "box: .* lies outside"),
        ({"box": (10, 10, 0, 50)}, "box: width and height must be positive"),
        ({"box": (10, 10, 50, 4)}, "box: less than 8 pixels"),
        ({"box": (10, 10, 50)}, "box: must have shape"),
        ({"box": (-1e9, -1e9, 2e9, 2e9)}, "box: .* is more than 10 times the picture"),
        ({"box": (-1e300, -1e300, 2e300, 2e300)}, "box: .* is more than 10 times the picture"),
        ({"K": (0.8, 0.8, 0.5, 0.5)}, "K: focal lengths of 0.8 and 0.8 .* too wide for a lens; all count in pixels"),
        ({"K": np.eye(3)}, "K: focal lengths of 1 and 1 .* too wide for a lens"),
        ({"K": (500, 500, 1e5, 120)}, "K: .* too wide for a lens"),
        ({"K": "none.yaml"}, "none.yaml: cannot be read: no such file"),
        ({"K": {"fx": 300}}, "K: holds no camera matrix"),
        ({"K": Calibration(np.diag([300.0, 300, 1]), (240, 320))}, "K: is for pictures of 240x320 .* it was turned"),
        ({"K": Calibration(np.diag([300.0, 300, 1]), (300, 300))}, "K: is for pictures of 300x300 .* another ratio"),
        ({"K": (1e9, 1e9, 160, 120)}, "K: focal lengths of 1e.09 and 1e.09 are too long for 320x240 pixels"),
        ({"box": (10, 10, float("nan"), 5)}, "box: .*finite"),
        ({"box": "all"}, "box: must be x, y, width, height or 'whole', not 'all'"),
        ({"max_hands": 0}, "max_hands: must be a whole number of at least 1, not 0"),
        ({"max_hands": 2.5}, "max_hands: must be a whole number"),
        ({"min_score": 1.5}, "min_score: must lie between 0 and 1, got 1.5"),
        ({"side": "both"}, "side: must be 'left', 'right' or 'auto', not 'both'"),
        ({"hand_length": 190}, "hand_length: must lie between 0.05 and 0.35 metres, got 190"),
        ({"hand_length": float("nan")}, "hand_length"),
    ],
)
def test_bad_options_are_one_sentence(oracle, options, says):
    predictor = oracle.predictor(oracle.truth())
    with pytest.raises(InputError, match=says) as caught:
        predictor(oracle.picture(), **{"box": "whole"} | options)
    assert "\n" not in str(caught.value)
    assert predictor.estimator.network.seen == []


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.zeros((50, 50, 5), np.uint8), "must be"),
        (np.zeros((3, 50, 50), np.uint8), "must be .*; move the channels to the end"),
        (np.zeros((2, 50, 50, 3), np.uint8), "must be .*; give one picture at a time"),
        (None, "image: is None"),
        (b"\xff\xd8\xff\xe0", "image: is bytes"),
        (io.BytesIO(b"\xff\xd8"), "image: is an open file"),
        ({"image": 1}, "image: is no picture, but a dict"),
        (torch.zeros(3, 50, 50), "move the channels to the end"),
        ("https://example.org/a.png", "^https://example.org/a.png: is a URL"),
        (np.zeros((50, 50, 3), np.int64), "not int64"),
        (np.full((50, 50, 3), 255.0), r"must lie in \[0, 1\]"),
        (np.full((50, 50, 3), np.nan), r"must lie in \[0, 1\]"),
        (np.zeros((1, 1, 3), np.uint8), "1x1 pixels are too few"),
        (np.zeros((16, 1601, 3), np.uint8), "image: 1601x16 pixels: one side is more than 100 times"),
        ("none.png", "none.png: cannot be read"),
    ],
)
def test_bad_images_are_one_sentence(oracle, image, says):
    predictor = oracle.predictor(oracle.truth())
    for call in (predictor, predictor.detect, lambda image: predictor.follow(image, [], [])):
        with pytest.raises(InputError, match=says):
            call(image)


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(InputError, match="none.safetensors"):
        Predictor(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"no weights at all" * 10)
    with pytest.raises(InputError, match="bad.safetensors"):
        Predictor(tmp_path / "bad.safetensors")


def test_parts_are_taken_as_they_are_given(oracle):
    """The fit gets the given model, the estimator's evidence and a hand length that the model can have."""
    truth = oracle.truth()
    model, calls = HandModel.open_hand(), []

    def fit(*arguments):
        calls.append(arguments)
        return oracle.fit(*arguments)

    predictor = Predictor(oracle.estimator(truth, size=96), model=model, fit=fit)
    predictor(oracle.picture(), box="whole", K=truth.K, side="right", hand_length=0.3)
    (given, evidence, K, size, length) = calls[0]
    assert (
        given is model and size == 96 and K.shape == (1, 3, 3) and length.tolist() == pytest.approx([SHAPE_LENGTHS[1]])
    )
    np.testing.assert_allclose(evidence.shape, truth.pose.shape)


def test_an_estimator_must_say_where_joints_are(oracle):
    class Blind:
        config = SimpleNamespace(size=64)

        def evidence(self, batch):
            return Evidence(shape=torch.zeros(1, 10))

    with pytest.raises(ValueError, match="joints_2d with sigma_2d"):
        Predictor(Blind())(oracle.picture(), box="whole", side="right")
