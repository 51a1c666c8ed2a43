"""Chunks: the same bytes for the same arguments, and labels that agree with one another and with the picture."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from phalanx.hand.model import HandPose
from phalanx.render.visibility import visibility
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.shots import project

CONFIG = SynthConfig(size=64, chunk=8, tiles=6, skins=1)


@pytest.fixture(scope="module")
def sample():
    return make_chunk(CONFIG, 11, 0)


def test_sample_is_whole(sample):
    assert sample.check() is sample
    assert sample.image.shape == (8, 3, 64, 64) and sample.depth.shape == sample.mask.shape == (8, 64, 64)
    assert sample.ids.tolist() == [[11, 0, i] for i in range(8)]
    bytes_ = sample.image * 255
    assert torch.equal(bytes_, bytes_.round())  # what a camera's file can hold
    assert (sample.image.flatten(1).std(1) > 0.01).all()


def test_same_arguments_same_bytes(sample):
    state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - that nobody drew from it
    make_chunk(CONFIG, 11, 1)
    again = make_chunk(CONFIG, 11, 0)
    for name, value in sample.present().items():
        assert torch.equal(value, again.present()[name]), name
    assert torch.equal(state[0], torch.get_rng_state())
    assert np.array_equal(state[1], np.random.get_state()[1])  # noqa: NPY002


def test_bytes_do_not_depend_on_threads(sample):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        again = make_chunk(CONFIG, 11, 0)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert torch.equal(sample.image, again.image) and torch.equal(sample.depth, again.depth)


def test_other_chunks_and_seeds_differ(sample):
    for other in (make_chunk(CONFIG, 11, 1), make_chunk(CONFIG, 12, 0)):
        assert (other.joints - sample.joints).abs().amax((1, 2)).min() > 1e-3
        assert (other.image - sample.image).abs().mean() > 0.05


def test_joints_project_to_their_pixels(sample):
    camera_points = torch.einsum("bij,bnj->bni", sample.K, sample.joints)
    pixels = camera_points[..., :2] / camera_points[..., 2:]
    assert torch.allclose(pixels, sample.joints_2d, atol=1e-3)
    assert torch.equal(project(sample.joints, sample.K), sample.joints_2d)
    inside = ((pixels > -0.5) & (pixels < 63.5)).all(-1).sum(1)
    assert (inside >= 14).all()


def test_labels_are_the_models(sample, model):
    pose = HandPose(sample.rotations, sample.shape, sample.orientation, sample.translation)
    surface = model(pose)
    assert torch.allclose(surface.vertices, sample.vertices, atol=1e-6)
    assert torch.allclose(surface.joints, sample.joints, atol=1e-6)
    assert torch.allclose(sample.joints[:, 0], sample.translation)


def test_parts_are_the_segments_seen(sample, model):
    assert torch.equal(sample.parts > 0, sample.mask > 0)
    seen = visibility(sample.vertices, model.faces, sample.K, 64, 64).long()
    parts = model.parts[model.faces[:, 0]][seen.clamp_min(0)] + 1
    both = (seen >= 0) & (sample.mask == 1)
    assert (parts == sample.parts)[both].float().mean() > 0.93  # all but seams between segments
    assert len(sample.parts.unique()) > 12


def test_mask_covers_the_model(sample, model):
    """Eightfold supersampling of the bare model: the mask holds it, and little more beside the arm."""
    K = sample.K.clone()
    K[:, :2] *= 8
    K[:, :2, 2] += 3.5
    hand = model.faces[(model.template[model.faces][..., 1] > -0.08).all(1)]  # beyond, the arm is drawn out
    fine = visibility(sample.vertices, hand, K, 512, 512) >= 0
    coverage = F.avg_pool2d(fine[:, None].float(), 8)[:, 0]
    assert (coverage - sample.mask).clamp_min(0).mean() < 0.004  # sampling error along the rims
    assert sample.mask[coverage > 0.999].min() > 0.99
    # Within reach of the fingers, where nothing is worn, both agree.
    near = torch.cdist(_grid(64), sample.joints_2d[:, 5:].flatten(0, 1)).view(64, 64, 8, 16).amin(-1) < 2
    near = near.permute(2, 0, 1) & (sample.mask < 1)
    assert (coverage - sample.mask)[near].abs().mean() < 0.12


def _grid(size: int) -> torch.Tensor:
    line = torch.arange(size, dtype=torch.float32)
    return torch.stack(torch.meshgrid(line, line, indexing="xy"), -1).view(-1, 2)


def test_depth_lies_just_before_the_joints(sample):
    """Flesh lies between the camera and a joint: never much behind it, mostly within a finger's thickness."""
    pixel = sample.joints_2d.round().long()
    inside = ((pixel >= 0) & (pixel < 64)).all(-1)
    picture, joint = inside.nonzero().unbind(1)
    x, y = pixel[picture, joint].unbind(1)
    depth, mask = sample.depth[picture, y, x], sample.mask[picture, y, x]
    flesh = (sample.joints[picture, joint, 2] - depth)[mask > 0.99]
    assert len(flesh) > 80
    assert flesh.min() > -0.012 and flesh.median() < 0.03
    assert ((sample.depth > 0) == (sample.mask > 0)).all()


def test_sparse_samples_are_the_same_pictures(sample):
    sparse = make_chunk(replace(CONFIG, dense=False), 11, 0)
    assert sparse.depth is None and sparse.mask is None and sparse.vertices is None
    assert torch.equal(sparse.image, sample.image) and torch.equal(sparse.joints, sample.joints)


def test_one_picture_of_sixteen_pixels():
    tiny = make_chunk(SynthConfig(size=16, chunk=1, tiles=1, skins=1), 0, 0)
    assert tiny.image.shape == (1, 3, 16, 16)
    tiny.check()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_makes_the_same_pictures(sample):
    other = make_chunk(CONFIG, 11, 0, device="cuda").to("cpu")
    assert torch.allclose(other.joints, sample.joints, atol=1e-4)
    assert (other.image - sample.image).abs().mean() < 0.02


def test_a_camera_that_stands_alone_is_the_world_and_time_begins_at_0():
    sample = make_chunk(SynthConfig(size=32, chunk=3, tiles=2, skins=1), 0, 0)
    assert torch.equal(sample.world_to_camera, torch.eye(4).expand(3, 4, 4))
    assert torch.equal(sample.time, torch.zeros(3))
