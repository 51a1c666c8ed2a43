"""A hand in a depth frame, with a network that knows the answer: geometry of frames, sides, boxes and masks."""

import numpy as np
import pytest
import torch
from finders import Surface

from phalanx.core.errors import InputError
from phalanx.fit.evidence import Evidence
from phalanx.hand.model import HandModel
from phalanx.hand.sphere_priors import joints_of_spheres
from phalanx.hand.spheres import sphere_centres
from phalanx.methods.sphere_fitting import SphereFittingConfig
from phalanx.predict import depth as module
from phalanx.predict.depth import DepthPredictor
from phalanx.synth import SynthConfig, make_chunk


@pytest.fixture(scope="module")
def sample():
    return make_chunk(SynthConfig(size=96, chunk=4, tiles=2, skins=1, depth_sensor="ideal"), 28, 0)


class Oracle:
    """Gives the true spheres in whatever cube it is shown, if the frame is not the mirrored one."""

    def __init__(self, monkeypatch, spheres, K):
        self.config = SphereFittingConfig(size=64)
        original = module.cube_maps

        def spy(frame, camera, middle, size, *rest):
            self.middle, self.straight = middle, bool(torch.allclose(camera, K.expand_as(camera), atol=1e-3))
            return original(frame, camera, middle, size, *rest)

        monkeypatch.setattr(module, "cube_maps", spy)
        self.spheres = spheres

    def __call__(self, maps):
        away = 0.0 if self.straight else 0.05
        return self.spheres[None] - self.middle[:, None] + away


def predictor(monkeypatch, sample, index, side="right"):
    spheres = sphere_centres(sample.joints[[index]])[0]
    return DepthPredictor(Oracle(monkeypatch, spheres, sample.K[[index]].clone()), finder=Surface(side))


def test_joints_spheres_and_mesh_are_where_the_hand_is(monkeypatch, sample):
    for index in range(2):
        made = predictor(monkeypatch, sample, index)
        depth, K = sample.depth[index].numpy(), sample.K[index].numpy()
        got = made(depth, K, side="right")
        assert np.abs(got.spheres - sphere_centres(sample.joints[[index]])[0].numpy()).max() < 1e-4
        error = np.linalg.norm(got.joints - sample.joints[index].numpy(), axis=1)
        assert error.mean() < 0.005
        assert np.linalg.norm(got.joints_2d - sample.joints_2d[index].numpy(), axis=1).mean() < 4
        assert got.scale_source == "depth" and got.side == "right" and got.side_source == "given"
        assert got.fit_error_mm < 10 and got.score > 0.4
        tips = got.joints[[4, 8, 12, 16, 20]]
        gap = np.linalg.norm(got.vertices[:, None] - tips, axis=2).min(0)
        assert gap.max() < 0.012


def test_a_left_hand_is_the_mirror_image(monkeypatch, sample):
    made = predictor(monkeypatch, sample, 0, "left")
    K = sample.K[0].numpy().astype(float)
    mirrored = K.copy()
    mirrored[0, 2] = 95 - K[0, 2]
    depth = np.ascontiguousarray(sample.depth[0].numpy()[:, ::-1])
    got = made(depth, mirrored, side="left")
    assert np.abs(got.spheres * [-1, 1, 1] - sphere_centres(sample.joints[[0]])[0].numpy()).max() < 1e-4
    pixels = got.joints @ mirrored.T
    assert np.allclose(pixels[:, :2] / pixels[:, 2:], got.joints_2d, atol=1e-6)
    auto = made(depth, mirrored)
    assert auto.side == "left" and auto.side_source == "guessed"


def test_box_and_mask_say_where_the_hand_is(sphere_weights, sample):
    K = sample.K[1].numpy()
    depth = np.zeros((96, 96), np.float32)
    depth[30:66, 50:86] = 0.6
    made = DepthPredictor(sphere_weights, finder=Surface())
    wanted = made.find(depth, K, "right").middle
    depth[30:70, 2:42] = 0.4  # something nearer
    assert (made.find(depth, K, "right").middle - wanted).norm() > 0.1
    for given in ({"box": (45, 0, 51, 96)}, {"mask": depth > 0.41}):
        assert (made.find(depth, K, "right", **given).middle - wanted).norm() < 0.02


def test_what_is_sure_is_not_left_for_what_is_nearer_and_no_hand(sample):
    made = DepthPredictor()
    depth, K = sample.depth[1].numpy().copy(), sample.K[1].numpy()
    depth[:30, :30] = 0.5 * depth[depth > 0].min()
    for side in ("right", "auto"):
        assert (made.find(depth, K, side).middle - sample.joints[1].mean(0)).norm() < 0.05


def test_where_there_is_no_hand_none_is_made_up(sphere_weights):
    made = DepthPredictor(sphere_weights, finder=Surface())
    row, column = np.indices((480, 640))
    K = [476.0, 476.0, 320.0, 240.0]
    speck = np.zeros((480, 640))
    speck[101, 103] = 0.6
    for depth, words in (
        (0.8 + 2e-4 * row + 1e-4 * column, "but a plain surface"),
        (np.full((480, 640), 4.66), "4.66 m away, where no hand can be made out: is the unit right"),
        (speck, "no hand is seen"),
    ):
        with pytest.raises(InputError, match=words):
            made(depth, K, side="right")


def test_bad_input_is_said_in_a_sentence(sphere_weights, sample):
    made = DepthPredictor(sphere_weights, finder=Surface())
    depth, K = sample.depth[0].numpy(), sample.K[0].numpy()
    for arguments, words in (
        ((np.zeros_like(depth), K), "nothing is read"),
        ((-depth, K), "negative"),
        ((depth[None], K), "depth"),
        ((depth, K, "both"), "side"),
        ((depth, K, "right", (500, 500, 10, 10)), "nothing is read"),
    ):
        with pytest.raises(InputError, match=words):
            made(*arguments)


def test_the_fit_is_given_the_spheres_joints_and_may_be_another(monkeypatch, sample):
    calls = []

    def fit(model, evidence):
        calls.append((model, evidence))
        return module.fit_within_limits(model, evidence)

    spheres = sphere_centres(sample.joints[[0]])[0]
    hand_model = HandModel.open_hand()
    oracle = Oracle(monkeypatch, spheres, sample.K[[0]].clone())
    made = DepthPredictor(oracle, model=hand_model, fit=fit, finder=Surface())
    made(sample.depth[0].numpy(), sample.K[0].numpy(), side="right")
    ((model, evidence),) = calls
    assert model is hand_model
    torch.testing.assert_close(evidence.joints, joints_of_spheres(spheres[None]), atol=1e-5, rtol=0)
    assert evidence.sigma_joints.shape == (1, 21)


def test_a_fit_needs_joints_with_their_sigma():
    with pytest.raises(ValueError, match="joints with sigma_joints"):
        module.fit_within_limits(HandModel.open_hand(), Evidence(joints=torch.zeros(1, 21, 3)))
