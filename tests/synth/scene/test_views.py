"""Clips: hands that move before cameras which stay where they are."""

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.hand.model import HandModel
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.scene.rigs import load_rig
from phalanx.synth.scene.views import draw_clips, draw_views
from phalanx.synth.shots import project

TIMES = torch.arange(12, dtype=torch.float64) / 30


def test_clips_move_smoothly_inside_a_crop_that_stays(model):
    views = draw_clips(generator(2), model, 6, 128, TIMES)
    assert views.hand.tolist() == [i for i in range(6) for _ in range(12)]
    assert views.frame.tolist() == list(range(12)) * 6
    cameras = views.K.view(6, 12, 3, 3)
    assert torch.equal(cameras, cameras[:, :1].expand_as(cameras))
    assert torch.equal(views.pose.shape.view(6, 12, 10)[:, 0], views.pose.shape.view(6, 12, 10)[:, 11])
    joints = model.joints(views.pose)
    pixels = project(joints, views.K).view(6, 12, 21, 2)
    assert pixels.min() > 0 and pixels.max() < 127
    step = (joints.view(6, 12, 21, 3).diff(dim=1)).norm(dim=-1)
    assert 1e-4 < step.mean() < 0.02 and step.max() < 0.08  # metres in a thirtieth of a second
    jerk = joints.view(6, 12, 21, 3).diff(n=3, dim=1).norm(dim=-1)
    assert jerk.mean() < step.mean()


def test_clips_before_a_rig_agree_in_the_world(model, in_world):
    rig = load_rig("ring3")
    views = draw_views(generator(4), model, 2, rig, 64, TIMES[:5])
    assert views.view.tolist() == [0, 1, 2] * 10 and views.frame[:6].tolist() == [0, 0, 0, 1, 1, 1]
    world = in_world(model.joints(views.pose), views.world_to_camera).view(2, 5, 3, 21, 3)
    assert (world - world[:, :, :1]).abs().max() < 1e-5
    assert (world[:, 0] - world[:, 4]).abs().max() > 1e-3
    cameras = views.K.view(2, 5, 3, 3, 3)
    assert torch.equal(cameras, cameras[:, :1].expand_as(cameras))


def test_clips_that_no_hand_sits_through_are_refused():
    with pytest.raises(InputError, match="too long"):
        draw_clips(generator(0), _Far(), 1, 32, TIMES[:2])


class _Far(HandModel):
    """A hand whose joints all lie at the camera."""

    def __init__(self) -> None:
        model = HandModel.open_hand()
        super().__init__(
            model.template,
            model.faces,
            model.uv,
            model.shape_basis,
            model.rest_joints,
            model.joint_basis,
            model.skin_weights,
        )
        self.calls = 0

    def joints(self, pose):
        self.calls += 1
        joints = super().joints(pose)
        return joints * 0 + 0.01 if len(joints) == 2 else joints


def test_a_chunk_of_clips():
    config = SynthConfig(size=32, chunk=10, scene="motion", frames=4, frame_rate=25, tiles=4, skins=2)
    sample = make_chunk(config, 1, 3).check()
    assert len(sample) == 8 and config.pictures == 8 and config.hands == 2
    assert sample.ids.tolist() == [[6 + i // 4, i % 4, 0] for i in range(8)]
    assert torch.allclose(sample.time[:4], torch.arange(4) / 25)
    again = make_chunk(config, 1, 3)
    for name, value in sample.present().items():
        assert torch.equal(value, again.present()[name]), name
    # The ground stays while noise changes: frames differ a little everywhere, clips a lot.
    off = (sample.mask == 0).float()
    rest = off[0] * off[1] > 0
    assert 0 < (sample.image[0] - sample.image[1]).abs()[:, rest].mean() < 0.08
    assert (sample.image[0] - sample.image[4]).abs().mean() > 0.08
