"""Colour cameras against the formulas that they are made from."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.synth.sense.colour_sensor import ColourDraw, blur_motion, draw_colour, sense_colour
from phalanx.synth.sense.effects import jpeg
from phalanx.synth.sense.sensors import COLOUR_CAMERAS, MACHINE_VISION, PERFECT_CAMERA, PHONE, WEBCAM, ColourCamera

SIZE = 64
PLAIN = ColourCamera(name="plain")


def pictures(count: int = 4) -> torch.Tensor:
    """Soft coloured blobs."""
    coarse = torch.from_numpy(generator(8).random((count, 3, 5, 5), dtype=np.float32))
    return torch.nn.functional.interpolate(coarse, size=SIZE, mode="bicubic", align_corners=True).clamp(0, 1)


def grey(light: float, count: int = 4) -> torch.Tensor:
    """A picture of so much linear light."""
    return torch.full((count, 3, SIZE, SIZE), light**0.5)


def sense(images, camera, seed=0, flow=None):
    return sense_colour(images, camera, draw_colour(generator(seed), len(images), SIZE, camera), flow)


def test_ideal_changes_nothing():
    images = pictures()
    result = sense(images, PERFECT_CAMERA)
    assert torch.equal(result, images) and result is not images
    assert (sense(images, PLAIN) - images).abs().max() < 0.02  # an endless well has no noise


@pytest.mark.parametrize("camera", [WEBCAM, PHONE, MACHINE_VISION], ids=lambda c: c.name)
def test_repeats_and_does_not_know_its_batch(camera):
    images = pictures()
    before = images.clone()
    flow = torch.from_numpy(generator(2).normal(0, 3, (4, 2, SIZE, SIZE)).astype(np.float32))
    draw = draw_colour(generator(3), 4, SIZE, camera)
    for motion in (None, flow):
        together = sense_colour(images, camera, draw, motion)
        assert torch.equal(together, sense_colour(images, camera, draw, motion))
        assert torch.equal(images, before)
        assert together.min() >= 0 and together.max() <= 1 and not together.requires_grad
        assert torch.equal((together * 255).round() / 255, together)
        assert 0.003 < (together - images).abs().mean() < 0.3
        for i in range(4):
            part = slice(i, i + 1)
            alone = ColourDraw(**{f.name: getattr(draw, f.name)[part] for f in fields(draw)})
            single = sense_colour(images[part], camera, alone, None if motion is None else motion[part])[0]
            assert (single - together[i]).abs().max() < 1.5 / 255


def test_cameras_differ_as_they_should():
    error = {}
    for camera in COLOUR_CAMERAS:
        clean = replace(camera, exposure=0.0, white_balance=0.0, vignetting=0.0, shake=0.0)
        error[camera.name] = np.mean([(sense(pictures(), clean, seed=i) - pictures()).std() for i in range(6)])
    assert error["ideal"] == 0 < error["machine_vision"] < error["webcam"]
    assert error["phone"] < error["webcam"]


@pytest.mark.parametrize("light", [0.05, 0.3, 0.7])
def test_noise_is_that_of_electrons(light):
    camera = ColourCamera(name="test", full_well=2000.0, read_noise=6.0, gains=(4.0, 4.0))
    sensed = torch.cat([sense(grey(light), camera, seed=i) for i in range(4)]).square()
    electrons = 500 * light  # of 2000 / 4
    assert sensed.mean().item() == pytest.approx(light, abs=0.002)
    assert sensed.std().item() == pytest.approx((electrons + 36) ** 0.5 / 500, rel=0.05)


def test_noise_averages_out_over_the_cameras_pixels():
    camera = ColourCamera(name="test", full_well=2000.0)
    fine, coarse = (sense(grey(0.4), replace(camera, pixels=(p, p))).square().std().item() for p in (1.0, 4.0))
    assert fine / coarse == pytest.approx(4, rel=0.02)


def test_only_processed_noise_is_alike_in_neighbours():
    def likeness(processed):
        camera = ColourCamera(name="test", full_well=2000.0, processed=processed)
        noise = torch.cat([sense(grey(0.4), camera, seed=i) for i in range(6)])
        noise = noise - noise.mean()
        return ((noise[..., 1:] * noise[..., :-1]).mean() / noise.square().mean()).item()

    assert abs(likeness(False)) < 0.02
    assert likeness(True) > 0.3


def test_row_noise_is_alike_along_rows():
    sensed = sense(grey(0.4), ColourCamera(name="test", full_well=1000.0, gains=(1.0, 1.0), row_noise=30.0))
    light = sensed.square()
    rows = light.mean((1, 3))
    assert rows.std().item() == pytest.approx(0.03, rel=0.15)
    within = (light - rows[:, None, :, None]).std()
    assert within.item() == pytest.approx((400**0.5) / 1000, rel=0.1)  # shot noise alone


def test_bands_run_along_rows():
    camera = ColourCamera(name="test", banding=(1.0, 0.2))
    draw = draw_colour(generator(0), 4, SIZE, camera)
    draw.band[:] = [0.2, 4.0, 0.0]
    light = sense_colour(grey(0.4), camera, draw).square()
    assert (light - light[..., :1]).abs().max() < 1e-6
    spectrum = torch.fft.rfft(light[0, 0, :, 0] - 0.4).abs()
    assert spectrum.argmax() == 4
    assert light.max().item() == pytest.approx(0.48, abs=0.002) and light.min().item() == pytest.approx(0.32, abs=0.002)


def test_exposure_is_in_stops_and_white_balance_between_channels():
    draws = [draw_colour(generator(i), 200, 16, replace(PLAIN, exposure=0.5, white_balance=0.1)) for i in range(4)]
    stops = np.log2(np.concatenate([d.exposure for d in draws]))
    assert stops.std() == pytest.approx(0.5, rel=0.08) and abs(stops.mean()) < 0.06
    balance = np.log(np.concatenate([d.balance for d in draws]))
    assert (balance[:, 1] == 0).all() and balance[:, [0, 2]].std() == pytest.approx(0.1, rel=0.08)
    draw = draw_colour(generator(0), 1, SIZE, PLAIN)
    draw.exposure[:], draw.balance[:] = 2.0, [1.2, 1.0, 0.5]
    light = sense_colour(grey(0.2, 1), PLAIN, draw).square()[0, :, 0, 0]
    assert torch.allclose(light, torch.tensor([0.48, 0.4, 0.2]), atol=1e-5)


def test_vignetting_takes_its_share_in_the_corners():
    draw = draw_colour(generator(0), 1, SIZE, PLAIN)
    draw.vignette[:] = [0.3, 0.0, 0.0]
    light = sense_colour(grey(0.5, 1), PLAIN, draw).square()[0, 0] / 0.5
    assert light[0, 0].item() == light[-1, -1].item() == pytest.approx(0.7, abs=1e-4)
    assert light[31, 31].item() == pytest.approx(1.0, abs=1e-3)
    assert (light[31, 32:].diff() < 0).all()


def test_motion_smears_a_point_along_its_way():
    point = torch.zeros(1, 3, SIZE, SIZE)
    point[:, :, 30, 34] = 1.0
    blurred = blur_motion(point, torch.tensor([[8.0, -4.0]]))[0, 0]
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    assert blurred.sum().item() == pytest.approx(1, abs=1e-5)
    mean = (blurred * x).sum() - 34, (blurred * y).sum() - 30
    assert abs(mean[0]) < 1e-3 and abs(mean[1]) < 1e-3  # it stays where it is
    xx, xy = (blurred * (x - 34) ** 2).sum().item(), (blurred * (x - 34) * (y - 30)).sum().item()
    assert xx == pytest.approx(64 / 12, rel=0.15) and xy == pytest.approx(-32 / 12, rel=0.15)
    assert torch.equal(blur_motion(point, torch.tensor([[0.1, 0.1]])), point)


def test_flow_that_is_the_same_everywhere_is_velocity():
    images, velocity = pictures(2), torch.tensor([[5.0, 2.0], [-3.0, 6.0]])
    by_kernel = blur_motion(images, velocity)
    by_flow = blur_motion(images, torch.zeros(2, 2), velocity[:, :, None, None].expand(-1, -1, SIZE, SIZE))
    assert torch.allclose(by_kernel, by_flow, atol=1e-4)
    by_both = blur_motion(images, 0.5 * velocity, 0.5 * velocity[:, :, None, None].expand(-1, -1, SIZE, SIZE))
    assert torch.allclose(by_flow, by_both, atol=1e-5)


def test_flow_blurs_only_what_moves_and_while_the_shutter_is_open():
    stripes = (torch.arange(SIZE) // 4 % 2).float().mul(0.5).add(0.25).expand(1, 3, SIZE, SIZE).contiguous()
    flow = torch.zeros(1, 2, SIZE, SIZE)
    flow[:, 0, 32:] = 16.0
    for open_, still in ((0.0, True), (0.5, False)):
        draw = draw_colour(generator(0), 1, SIZE, PLAIN)
        draw.shutter[:] = open_
        sensed = sense_colour(stripes, PLAIN, draw, flow)
        assert torch.allclose(sensed[:, :, :32], stripes[:, :, :32], atol=1e-5)
        assert torch.allclose(sensed[:, :, 32:], stripes[:, :, 32:], atol=1e-5) == still
    assert sensed[0, 0, 50, 12:52].std() < 0.15 * stripes.std()  # 8 pixels: a whole period


def test_colour_noise_goes_and_brightness_stays():
    images = pictures() + torch.from_numpy(generator(1).normal(0, 0.05, (4, 3, SIZE, SIZE)).astype(np.float32))
    images = images.clamp(0.05, 0.95)
    smooth = sense(images, replace(PLAIN, chroma=(0.9, 0.9)))
    weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
    assert ((smooth - images) * weights).sum(1).abs().mean() < 1e-3

    def rough(p):
        colour = p - (p * weights).sum(1, keepdim=True)
        return colour.diff(dim=-1).abs().mean()

    assert rough(smooth) < 0.35 * rough(images)


def test_jpeg_is_that_of_effects():
    camera = replace(PLAIN, jpeg=(30.0, 30.0))
    theirs = jpeg(pictures(), torch.full((4,), 30.0)).clamp(0, 1)
    assert torch.allclose(sense(pictures(), camera), theirs, atol=2e-3)


def test_bad_input_is_refused():
    images = pictures(2)
    draw = draw_colour(generator(0), 2, SIZE, WEBCAM)
    bad = images.clone()
    bad[0, 0, 0, 0] = float("nan")
    with pytest.raises(InputError, match="^images: has values"):
        sense_colour(bad, WEBCAM, draw)
    for wrong in (images[:, :2], images[:, :, :40, :40], images[0]):
        with pytest.raises(InputError, match="^images: must have shape"):
            sense_colour(wrong, WEBCAM, draw)
    with pytest.raises(InputError, match="^draw: was made for"):
        sense_colour(images[:1], WEBCAM, draw)
    with pytest.raises(InputError, match="^flow: must have shape"):
        sense_colour(images, WEBCAM, draw, torch.zeros(2, SIZE, SIZE))
    with pytest.raises(InputError, match="^flow: has values"):
        sense_colour(images, WEBCAM, draw, torch.full((2, 2, SIZE, SIZE), float("inf")))
