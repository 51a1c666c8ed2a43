"""Pictures with depth beside them: size and distance come from depth, and pairs at fault are named."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.hand.plain import PlainHand
from phalanx.predict.files import predict_files
from phalanx.predict.paired_depth import length_of, open_paired_folder, place_hand, place_hands
from phalanx.render.mesh import barycentrics
from phalanx.render.mesh import depth as surface_depth
from phalanx.render.visibility import visibility

TRUE = 1.15
"""How much larger the true hand is than the one that colour leads to."""


@pytest.fixture(scope="module")
def model():
    return PlainHand.open_hand()


@pytest.fixture(params=[False, True], ids=["right", "left"])
def hand(request, oracle):
    truth = oracle.truth(flip=request.param)
    return oracle.predictor(truth)(oracle.picture(), box="whole", K=truth.K)[0]


def measured(hand, factor=TRUE, behind=None):
    """The depth map (H, W) of a predicted hand, made larger; with a wall at `behind` metres."""
    vertices = torch.tensor(hand.vertices * factor, dtype=torch.float32)[None]
    faces, K = torch.tensor(hand.faces.copy()), torch.tensor(hand.K, dtype=torch.float32)[None]
    index = visibility(vertices, faces, K, hand.height, hand.width)
    depth = surface_depth(vertices, faces, index, barycentrics(vertices, faces, K, index))[0].numpy()
    depth[index[0].numpy() < 0] = 0
    return depth if behind is None else np.where(depth > 0, depth, behind)


def test_depth_gives_size_and_distance_and_leaves_the_picture_as_it_is(hand, model):
    placed = place_hand(model, hand, measured(hand))
    assert placed.scale_source == "depth" and hand.scale_source == "prior"
    np.testing.assert_allclose(placed.joints, TRUE * hand.joints, rtol=0.01)
    np.testing.assert_allclose(length_of(model, placed), TRUE * length_of(model, hand), rtol=0.01)
    np.testing.assert_array_equal(placed.joints_2d, hand.joints_2d)
    pixels = placed.joints @ hand.K.T
    np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], hand.joints_2d, atol=1e-6)


def test_noise_holes_and_a_wall_behind_do_not_matter(hand, model):
    random = np.random.default_rng(0)
    depth = measured(hand, behind=0.9) + random.normal(0, 0.004, (hand.height, hand.width))
    depth[random.random(depth.shape) < 0.5] = 0
    shifted = np.roll(depth, 3, axis=1)  # joints are seen three pixels off
    np.testing.assert_allclose(place_hand(model, hand, shifted).scale, TRUE * hand.scale, rtol=0.02)


def test_pairs_at_fault_are_named(hand, model):
    good = measured(hand, behind=0.9)
    with pytest.raises(InputError, match=f"holes over the {hand.side} hand: .* has a reading"):
        place_hand(model, hand, np.where(good < 0.8, 0, good))
    with pytest.raises(InputError, match="would make the .* hand 0.* m long"):
        place_hand(model, hand, measured(hand, 2.5))
    with pytest.raises(InputError, match="disagree on where"):  # a wall where colour shows a hand
        place_hand(model, hand, np.full_like(good, 2.0))
    steps = np.where(np.indices(good.shape).sum(0) // 6 % 3 == 0, good, 0.4 + 0.2 * (np.indices(good.shape)[1] % 5))
    with pytest.raises(InputError, match="disagree on where"):
        place_hand(model, hand, steps)
    with pytest.raises(InputError, match="no surface"):
        place_hand(model, replace(hand, vertices=None, faces=None), good)


def test_a_hand_without_depth_beside_one_with_it_keeps_its_size(hand, model):
    far = replace(hand, joints=hand.joints + [0.02, 0, 5], vertices=hand.vertices + [10, 0, 5])
    placed, problems = place_hands(model, [hand, far], measured(hand))
    assert [each.scale_source for each in placed] == ["depth", "prior"] and len(problems) == 1
    with pytest.raises(InputError, match="holes"):
        place_hands(model, [far], measured(hand))
    assert place_hands(model, [], measured(hand)) == ([], [])


def test_a_batch_of_pairs_goes_on(tmp_path, oracle, model):
    truth = oracle.truth()
    predictor = oracle.predictor(truth)
    hand = predictor(oracle.picture(), box="whole", K=truth.K)[0]
    colour, depth = tmp_path / "colour", tmp_path / "depth"
    colour.mkdir()
    depth.mkdir()
    for name in ("a_color", "b_color", "c_color", "d_color"):
        cv2.imwrite(str(colour / f"{name}.png"), np.round(oracle.picture()[..., ::-1] * 255).astype(np.uint8))
    values = np.round(measured(hand) * 1000).astype(np.uint16)
    cv2.imwrite(str(depth / "a_depth.png"), values)
    cv2.imwrite(str(depth / "b_depth.png"), values[::2, ::2])
    cv2.imwrite(
        str(depth / "d_depth.png"), np.where(np.arange(values.shape[1]) < 40, 700, 0 * values).astype(np.uint16)
    )
    K = truth.K
    camera = f"{K[0, 0]},{K[1, 1]},{K[0, 2]},{K[1, 2]}"
    said, complained = [], []
    summary = predict_files(
        [colour], tmp_path / "out", box="whole", predictor=predictor, say=said.append, complain=complained.append,
        depth=open_paired_folder(depth, camera, 0.001),
    )  # fmt: skip
    assert len(summary.done) == 1 and "cm long by depth" in said[0]
    (found,) = json.loads((tmp_path / "out" / "a_color.json").read_text())["hands"]
    assert found["scale_source"] == "depth" and found["camera_source"] == "given"
    np.testing.assert_allclose(found["scale"], TRUE * hand.scale, rtol=0.01)
    assert len(complained) == 3
    assert "b_depth.png: has 160x120 pixels and b_color.png 320x240" in complained[0]
    assert "c_color.png: no depth frame in" in complained[1]
    assert "d_color.png: depth has holes over the right hand" in complained[2]
    with pytest.raises(InputError, match="is no folder"):
        open_paired_folder(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds no depth frames"):
        (tmp_path / "empty").mkdir()
        open_paired_folder(tmp_path / "empty")
    with pytest.raises(InputError, match="unit is not given"):
        open_paired_folder(depth).read(colour / "a_color.png", 320, 240)


def test_frames_of_one_name_are_told_apart_by_their_folders(tmp_path):
    for name in ("depth/one/a.png", "depth/two/a.png"):
        (tmp_path / name).parent.mkdir(parents=True)
        cv2.imwrite(str(tmp_path / name), np.full((4, 4), 500, np.uint16))
    folder = open_paired_folder(tmp_path / "depth", unit=0.001)
    assert folder.frame_of(tmp_path / "colour/two/a.png") == tmp_path / "depth/two/a.png"
    with pytest.raises(InputError, match="two depth frames have its name"):
        folder.frame_of(tmp_path / "colour/a.png")
