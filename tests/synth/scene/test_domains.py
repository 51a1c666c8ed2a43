"""Domains share poses and nothing else."""

import cv2
import numpy as np
import torch

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.paint.background import tile_bank
from phalanx.synth.paint.light import draw_light
from phalanx.synth.paint.skin import skin_matrices
from phalanx.synth.scene.domains import ANY, DOMAINS, FIELD, STUDIO

SMALL = {"size": 32, "chunk": 6, "tiles": 6, "skins": 2}


def test_what_they_are_made_of_is_disjoint():
    assert STUDIO.build * FIELD.build == -1 and STUDIO.half != FIELD.half
    assert STUDIO.tones[1] < FIELD.tones[0]
    for kind in ("painters", "cameras", "depth_sensors"):
        ours, theirs = getattr(STUDIO, kind), getattr(FIELD, kind)
        assert ours and theirs and not {str(x) for x in ours} & {str(x) for x in theirs}
    assert set(STUDIO.painters) | set(FIELD.painters) == set(ANY.painters)


def test_light_is_soft_and_white_or_hard_and_coloured():
    draw = draw_light(generator(1), 400)
    soft, hard = STUDIO.light(draw), FIELD.light(draw)
    assert soft.softness.min() > hard.softness.max()
    for light in (soft, hard):
        assert np.allclose(np.linalg.norm(light.direction, axis=-1), 1, atol=1e-5)
        for name, value in vars(light).items():
            assert value.dtype == np.float32 and value.shape == getattr(draw, name).shape, name
    ratio = soft.colour[..., 0] / soft.colour[..., 2].clip(1e-9)
    assert np.allclose(ratio[soft.colour[..., 2] > 0], 1, atol=1e-5)
    ratio = hard.colour[..., 0] / hard.colour[..., 2].clip(1e-9)
    ratio = ratio[hard.colour[..., 2] > 0]
    assert ((ratio > 2) | (ratio < 0.5)).all() and (ratio > 2).any() and (ratio < 0.5).any()
    assert soft.direction[..., 2].max() < -0.05 < hard.direction[:, 0, 2].mean()


def test_skin_of_one_is_lighter_than_any_of_the_other():
    light, dark = (np.exp(skin_matrices(generator(2), 500, d.tones)[:, :, 0]).mean(1) for d in (STUDIO, FIELD))
    assert np.quantile(light, 0.05) > np.quantile(dark, 0.75)


def test_grounds_and_photographs_are_divided(tmp_path):
    for i in range(8):
        cv2.imwrite(str(tmp_path / f"{i}.png"), np.full((40, 40, 3), 20 + 25 * i, np.uint8))
    seen = []
    for domain in (STUDIO, FIELD):
        bank = tile_bank(30, tmp_path, 1.0, "cpu", domain.painters, domain.half).tiles(np.arange(30))
        seen.append({int(tile[0, 9, 9]) for tile in bank})
    assert seen[0] and seen[1] and not seen[0] & seen[1]
    for path in list(tmp_path.iterdir())[1:]:
        path.unlink()
    faults = []
    for domain in (STUDIO, FIELD):  # a single photograph can be but of one
        try:
            tile_bank(2, tmp_path, 0.5, "cpu", domain.painters, domain.half)
        except InputError as error:
            faults.append(str(error))
    assert len(faults) == 1 and "none of its 1 pictures falls to this domain" in faults[0]
    ours, theirs = (tile_bank(3, None, 0.5, "cpu", d.painters, d.half).tiles(np.arange(3)) for d in (STUDIO, FIELD))
    assert not torch.equal(ours, theirs)


def test_pictures_of_domains_show_the_same_poses():
    studio, field = (
        make_chunk(SynthConfig(**SMALL, domain=name, depth_sensor="ideal"), 3, 0).check()
        for name in ("studio", "field")
    )
    assert torch.equal(studio.rotations, field.rotations)
    assert (studio.shape[:, 0] <= 0).all() and (field.shape[:, 0] >= 0).all()
    assert not torch.equal(studio.image, field.image)
    # pictures travel as bytes
    assert torch.equal(studio.image, (studio.image * 255).round() / 255)


def test_any_is_the_default_and_has_no_sensed_depth_but_on_demand():
    assert SynthConfig().domain == "any" and DOMAINS["any"].light(3) == 3
    assert make_chunk(SynthConfig(**SMALL), 0, 0).sensed_depth is None
    sample = make_chunk(SynthConfig(**SMALL, depth_sensor="ideal", camera="ideal"), 0, 0)
    hit = sample.mask > 0.5
    assert torch.equal(sample.sensed_depth[hit], sample.depth[hit]) and (sample.sensed_depth > 0).all()
