"""Hands in panoramas: all views and both hands of a person stand in one place, under one light."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.paint.light import draw_light, light_on_planes
from phalanx.synth.paint.standpoint import draw_standpoints, exposures, to_frame
from phalanx.synth.scene.domains import ANY, STUDIO
from phalanx.synth.shots import draw_shot
from phalanx.synth.standing import stand_in_panoramas

CONFIG = SynthConfig(size=32, chunk=8, tiles=2, skins=1, panorama_share=1.0)


def stand(config: SynthConfig, seed: int = 5):
    """A shot, its light, and what is behind each place."""
    shot = draw_shot(config, generator(seed), None, torch.device("cpu"))
    behind = torch.full((shot.places, 3, config.size, config.size), 0.3)
    light = draw_light(generator(seed, 1), shot.hands)[shot.views.hand]
    return shot, stand_in_panoramas(config, ANY, shot, light, behind, generator(seed, 4)), behind


def test_frames_keep_directions():
    random = np.random.default_rng(0)
    down, heading = random.normal(size=(20, 3)), random.uniform(-3, 3, 20)
    turn = to_frame(down, heading)
    assert np.allclose(turn @ turn.transpose(0, 2, 1), np.eye(3)) and np.allclose(np.linalg.det(turn), 1)
    assert np.allclose(turn[:, :, 1], down / np.linalg.norm(down, axis=1, keepdims=True))


def test_light_is_the_same_in_the_world_for_all_views():
    shot, light, _ = stand(replace(CONFIG, chunk=16, rig="ring8"))
    back = shot.views.world_to_camera[:, :3, :3].mT.numpy()
    world = (back[:, None] @ light.direction[..., None])[..., 0].reshape(2, 8, 2, 3)
    assert np.allclose(world, world[:, :1], atol=1e-5)
    slope = (back[:, None] @ light.ambient[:, :, 1:, None])[..., 0] / light.ambient[:, :, :1]
    assert np.allclose(slope.reshape(2, 8, 3, 3), slope.reshape(2, 8, 3, 3)[:, :1], atol=1e-4)
    assert np.abs(world[0] - world[1]).max() > 0.1


def test_rigs_see_opposite_parts_of_a_place():
    shot, _, behind = stand(replace(CONFIG, chunk=16, rig="ring8"))
    assert shot.places == 16
    assert (behind[0] - behind[4]).abs().mean() > 0.01


def test_frames_of_clips_share_light_and_exposure():
    shot, light, behind = stand(replace(CONFIG, scene="motion", frames=4))
    assert shot.places == len(behind) == 2
    for value in (light.direction, light.colour, light.ambient):
        assert np.array_equal(value[:4], np.repeat(value[:1], 4, 0))


def test_hand_and_background_share_an_exposure():
    _, light, behind = stand(replace(CONFIG, chunk=64))
    mean = behind.mean((1, 2, 3)).numpy()
    hand = 0.35 * light_on_planes(light, np.tile([0.0, 0.0, -1.0], (64, 1))).mean(1)
    together = hand**0.6 * mean**0.4
    assert 0.1 < np.median(together) < 0.4 and (together > 0.03).mean() > 0.9


def test_exposure_follows_light():
    light = draw_light(generator(3), 4)
    draw = draw_standpoints(generator(0), 4, 1.0, 26, (0.0, 1.0))
    behind = torch.full((4, 3, 8, 8), 0.2)
    one = exposures(behind, light, draw)
    light.colour *= 2
    light.ambient *= 2
    assert np.allclose(exposures(2 * behind, light, draw), one / 2, rtol=0.03)
    draw.inside[:] = False
    assert np.array_equal(exposures(behind, light, draw), np.ones((4, 3)))


def test_share_and_domain_say_who_stands_in_panoramas():
    shot = draw_shot(CONFIG, generator(5), None, torch.device("cpu"))
    light = draw_light(generator(5, 1), shot.hands)
    behind = torch.full((shot.places, 3, 32, 32), 0.3)
    for config, domain in ((replace(CONFIG, panorama_share=0.0), ANY), (CONFIG, STUDIO)):
        assert stand_in_panoramas(config, domain, shot, light, behind, generator(5, 4)) is light
    assert (behind == 0.3).all()


def test_chunks_repeat_and_keep_their_poses():
    one, again = make_chunk(CONFIG, 3, 0), make_chunk(CONFIG, 3, 0)
    without = make_chunk(replace(CONFIG, panorama_share=0.0), 3, 0)
    assert torch.equal(one.image, again.image) and not torch.equal(one.image, without.image)
    for name in ("joints", "K", "rotations", "mask", "depth"):
        assert torch.equal(getattr(one, name), getattr(without, name)), name


def test_a_folder_without_panoramas_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no panoramas"):
        make_chunk(replace(CONFIG, panoramas=tmp_path), 3, 0)
    with pytest.raises(InputError, match="panorama_share"):
        replace(CONFIG, panorama_share=1.5)
