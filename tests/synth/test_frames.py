"""Whole frames: labels that agree with the models and the pictures, whatever else is in the way."""

import itertools
from contextlib import closing
from dataclasses import replace

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.hand.skeleton import FINGERS, FOREARM
from phalanx.render.visibility import visibility
from phalanx.synth.frames import FramesConfig, make_frames, stream_frames
from phalanx.synth.holding import grasp_bank
from phalanx.synth.paint.body_surface import body
from phalanx.synth.paint.surface import hand
from phalanx.synth.scene.gathering import draw_gathering

CONFIG = FramesConfig(width=192, height=128, chunk=6, people=(1, 3), tiles=4, skins=2)
FLIP = torch.tensor([-1.0, 1.0, 1.0])
KNUCKLES = [finger[0] for finger in FINGERS[1:]]


@pytest.fixture(scope="module")
def frames():
    return make_frames(replace(CONFIG, depth_sensor="domain"), 6, 0).check()


def test_frames_are_whole(frames):
    assert frames.image.shape == (6, 3, 128, 192) and frames.boxes.shape == (6, 6, 4)
    assert frames.present.sum() >= 6 and frames.present[:, 0].any()
    assert set(frames.side[frames.present].tolist()) == {0, 1}
    assert frames.ids[:, 2].tolist() == list(range(6))
    assert (frames.sensed_depth > 0).float().mean() > 0.3


def test_joints_project_to_their_pixels(frames):
    pixels = frames.joints @ frames.K[:, None].mT
    before = frames.present[..., None] & (frames.joints[..., 2] > 0.02)
    assert before.sum() > 0.9 * 21 * frames.present.sum()
    torch.testing.assert_close(
        (pixels[..., :2] / pixels[..., 2:])[before], frames.joints_2d[before], rtol=1e-4, atol=1e-2
    )


def test_boxes_are_those_of_the_masks(frames):
    for frame, number in frames.present.nonzero().tolist():
        rows, columns = (frames.masks[frame] == 1 + number).nonzero().unbind(1)
        assert len(rows) >= 6
        x, y, width, height = frames.boxes[frame, number].tolist()
        assert (x, y) == (columns.min(), rows.min())
        assert (x + width, y + height) == (columns.max() + 1, rows.max() + 1)
        assert 0 < frames.share[frame, number] <= 1
    assert frames.masks.amax((1, 2)).tolist() == frames.present.sum(1).tolist()


def test_depth_is_that_of_hands_where_they_are_seen(frames):
    for frame, number in frames.present.nonzero().tolist():
        seen = frames.depth[frame][frames.masks[frame] == 1 + number]
        near, far = frames.joints[frame, number, :, 2].aminmax()
        assert near - 0.05 < seen.median() < far + 0.03


def test_sides_are_right(frames):
    """The palm's knuckles run from the thumb's side to the other in the frame of the hand, of a left one in the mirror."""
    rest = hand("cpu")[0].rest_joints[KNUCKLES]
    for frame, number in frames.present.nonzero().tolist():
        joints = frames.joints[frame, number]
        if frames.side[frame, number]:
            joints = joints * FLIP
        own = (joints - joints[:1]) @ frames.orientation[frame, number]
        scale = own[KNUCKLES].norm() / rest.norm()
        assert (own[KNUCKLES] / scale - rest).norm(dim=1).max() < 0.02


def test_masks_agree_with_all_hands_drawn_at_once():
    """Another way to the same masks: all bare hands and bodies of a frame in one mesh, left hands mirrored by their vertices."""
    config = replace(CONFIG, chunk=8, effects=0.0)
    made = make_frames(config, 11, 2)
    bank = grasp_bank(None)
    grasps = bank.angles[bank.usable]
    drawn = draw_gathering(
        generator(11, 2, 10, 0), body("cpu")[0], hand("cpu")[0], 8, config.people, 192, 128, grasps=grasps
    )
    model = hand("cpu")[0]
    drawn = drawn.kept_away(model, 0.12, 192, 128)
    posed = model(drawn.hands)
    wrist = drawn.hands.translation[:, None]
    size = torch.as_tensor(drawn.scale, dtype=torch.float32).repeat_interleave(2)[:, None, None]
    vertices = wrist + (posed.vertices - wrist) * size
    vertices[1::2] = vertices[1::2] * FLIP
    whole = (model.parts != FOREARM)[model.faces].all(1)
    compared = 0
    for frame in range(8):
        people = [i for i, owner in enumerate(drawn.frame.tolist()) if owner == frame]
        parts, faces, start = [], [], 0
        for number in itertools.chain.from_iterable((2 * person, 2 * person + 1) for person in people):
            parts.append(vertices[number])
            faces.append(model.faces + start)
            start += len(vertices[number])
        for person in people:
            parts.append(drawn.body.vertices[person])
            faces.append(body("cpu")[0].faces + start)
            start += len(parts[-1])
        seen = visibility(torch.cat(parts)[None], torch.cat(faces), drawn.K[frame, None], 128, 192, "torch")[0]
        owner = torch.where(seen < 0, -1, seen // len(model.faces))
        bare = torch.where(seen >= 0, whole[seen.long().remainder(len(model.faces))], False)
        for number in range(int(made.present[frame].sum())):
            mask = made.masks[frame] == 1 + number
            if mask.sum() < 60 or made.share[frame, number] < 0.5:
                continue
            scores = [
                float((mask & (owner == k) & bare).sum() / (mask | ((owner == k) & bare)).sum())
                for k in range(2 * len(people))
            ]
            best = max(range(len(scores)), key=scores.__getitem__)
            assert scores[best] > 0.6  # sleeves, gloves and clothes differ
            assert best % 2 == made.side[frame, number]
            compared += 1
    assert compared >= 4


def test_same_arguments_same_bytes(frames):
    again = make_frames(replace(CONFIG, depth_sensor="domain"), 6, 0)
    for name, value in frames.fields_there().items():
        assert torch.equal(value, again.fields_there()[name]), name
    assert not torch.equal(make_frames(CONFIG, 6, 1).image, frames.image)


def test_workers_make_the_same_bytes():
    small = replace(CONFIG, chunk=2, people=(1, 2))
    with closing(stream_frames(small, 3, workers=2)) as made, closing(stream_frames(small, 3)) as own:
        for _ in range(2):
            first, second = next(made), next(own)
            for name, value in second.fields_there().items():
                assert torch.equal(value, first.fields_there()[name]), name


@pytest.mark.parametrize(
    ("choice", "fault"),
    [
        ({"width": 100}, "width"),
        ({"people": (3, 2)}, "people"),
        ({"domain": "mars"}, "domain"),
        ({"chunk": 0}, "chunk"),
    ],
)
def test_choices_at_fault_are_named(choice, fault):
    with pytest.raises(InputError, match=f"{fault}: "):
        FramesConfig(**choice)
