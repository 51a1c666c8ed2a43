"""Recorded joints become hands with surfaces before a rig: in order, as their recorder saw them, and how far off is said."""

import json

import numpy as np
import pytest
import torch

from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.data.loading import index_shards, load_batches
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.pose_space import sample_angles
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.scene.hands import draw_shapes, view_rotations
from phalanx.synth.scene.recorded import recorded_hands
from phalanx.synth.scene.rigs import load_rig
from phalanx.synth.scene.views import draw_views
from phalanx.synth.sets.sets import Plan

HANDS = 5


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Joints of hands that the model can be, before a camera, in a file; and these joints."""
    random, hand = generator(5), HandModel.open_hand()
    angles = torch.as_tensor(sample_angles(random, HANDS), dtype=torch.float32)
    held = torch.as_tensor(view_rotations(random, HANDS), dtype=torch.float32)
    shape = 0.3 * draw_shapes(random, 1).expand(HANDS, -1)
    pose = HandPose(angles_to_rotations(angles), shape, held, torch.tensor([0.0, 0.0, 0.5]).expand(HANDS, -1))
    joints = hand.joints(pose)
    path = tmp_path_factory.mktemp("recorded") / "joints.npz"
    np.savez(path, joints=joints.numpy())
    return path, joints


def test_the_hand_takes_the_poses(recorded, model):
    path, joints = recorded
    found = recorded_hands(str(path))
    assert len(found.residual) == HANDS and found.residual.max() < 0.004
    off = (model.joints(found.pose) - joints).norm(dim=-1).mean(1)
    np.testing.assert_allclose(off.numpy(), found.residual, atol=1e-4)
    assert found.summary().startswith("5 recorded hands posed: joints are off by ")


def test_camera_0_sees_them_as_their_recorder_did(recorded, model):
    path, joints = recorded
    rig = load_rig("ring2")
    views = draw_views(generator(0), model, 2, rig, 64, recorded=recorded_hands(str(path)), first=4)
    seen = model.joints(views.pose).view(2, 2, 21, 3)[:, 0]
    for hand, number in enumerate((4, 0)):  # the last, then from the beginning
        relative = joints[number] - joints[number, 0]
        assert ((seen[hand] - seen[hand, 0]) - relative).norm(dim=-1).max() < 0.012


def test_chunks_go_on_where_the_last_ended(recorded):
    config = SynthConfig(size=32, chunk=4, rig="ring2", poses=recorded[0], tiles=2, skins=1)
    chunks = [make_chunk(config, 3, index) for index in range(3)]
    shapes = torch.cat([chunk.rotations[::2] for chunk in chunks])
    expected = recorded_hands(str(recorded[0])).pose.rotations
    torch.testing.assert_close(shapes, expected[[0, 1, 2, 3, 4, 0]])
    assert all(chunk.vertices is not None and chunk.depth.max() > 0 for chunk in chunks)


def test_a_set_of_all_hands_and_views(recorded, tmp_path, capsys, monkeypatch):
    small = dict(chunk=4, tiles=2, skins=1)
    monkeypatch.setattr("phalanx.synth.SynthConfig", lambda **settings: SynthConfig(**settings, **small))
    out = tmp_path / "set"
    assert main(["synth", "--poses", str(recorded[0]), "--rig", "ring2", "--size", "32", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "5 recorded hands posed: joints are off by" in said
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["count"] == 2 * HANDS and manifest["synth"]["poses"] == "joints.npz"
    assert any(name == "the poses joints.npz" for name in manifest["surroundings"])
    assert len(json.loads((out / "poses.json").read_text())["residual_mm"]) == HANDS
    batches = list(load_batches(index_shards(sorted(out.glob("*.tar"))), 2 * HANDS, 0, ("vertices", "joints")))
    assert batches[0].vertices.shape == (2 * HANDS, 1769, 3)


def test_drawn_hands_are_as_before_and_manifests_too(model):
    plain = draw_views(generator(1), model, 2, load_rig("ring2"), 64)
    again = draw_views(generator(1), model, 2, load_rig("ring2"), 64, recorded=None, first=7)
    assert torch.equal(plain.pose.rotations, again.pose.rotations)
    assert "poses" not in Plan(SynthConfig(), 0, 32).settings()["synth"]


def test_what_cannot_be_done_is_said(tmp_path):
    with pytest.raises(InputError, match="poses: recorded hands are seen by a rig"):
        SynthConfig(poses=tmp_path / "joints.npz")
    with pytest.raises(InputError, match=r"joints\.npz"):
        recorded_hands(str(tmp_path / "joints.npz"))
    flat = tmp_path / "flat.npz"
    np.savez(flat, joints_2d=np.random.default_rng(0).uniform(0, 640, (4, 21, 2)))
    with pytest.raises(InputError, match=r"flat\.npz"):
        recorded_hands(str(flat))
