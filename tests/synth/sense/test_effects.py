"""Effects against outside implementations."""

import cv2
import numpy as np
import pytest
import torch

from phalanx.core.seeding import generator
from phalanx.synth.paint.clutter import paint
from phalanx.synth.sense.effects import apply_effects, convolve, draw_effects, jpeg, mix_amplitude, softened


@pytest.fixture(scope="module")
def pictures() -> torch.Tensor:
    tiles = np.stack([cv2.GaussianBlur(paint(generator(7, i), 64), (0, 0), 1.0) for i in range(6)])
    return torch.from_numpy(tiles).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize("quality", [20, 50, 85])
def test_jpeg_is_libjpegs(pictures, quality):
    ours = jpeg(pictures, torch.full((len(pictures),), float(quality))).clamp(0, 1)
    for before, after in zip(pictures, ours, strict=True):
        rgb = (before.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        _, data = cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])
        theirs = cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1] / 255.0
        difference = np.abs(after.permute(1, 2, 0).numpy() - theirs).mean()
        loss = np.abs(before.permute(1, 2, 0).numpy() - theirs).mean()
        assert difference < 0.5 * loss + 0.004


def test_convolution_is_opencvs(pictures):
    kernels = torch.from_numpy(generator(0).random((6, 5, 5), dtype=np.float32))
    ours = convolve(pictures, kernels)
    for picture, kernel, result in zip(pictures, kernels, ours, strict=True):
        theirs = cv2.filter2D(picture.permute(1, 2, 0).numpy(), -1, kernel.numpy(), borderType=cv2.BORDER_REPLICATE)
        assert np.allclose(result.permute(1, 2, 0).numpy(), theirs, atol=1e-4)


def test_softening_is_opencvs_box_filter(pictures):
    for picture, result in zip(pictures, softened(pictures), strict=True):
        theirs = cv2.blur(picture.permute(1, 2, 0).numpy(), (3, 3), borderType=cv2.BORDER_REPLICATE)
        assert np.allclose(result.permute(1, 2, 0).numpy(), theirs, atol=1e-6)


def test_amplitude_moves_and_phase_stays(pictures):
    donors = pictures.roll(1, 0)
    assert torch.allclose(mix_amplitude(pictures, donors, 0.0, 3.0), pictures, atol=1e-5)
    mixed = mix_amplitude(pictures, donors, 0.5, 3.0)
    before, after, other = (torch.fft.rfft2(p) for p in (pictures, mixed, donors))
    strong = before.abs() > 1.0
    assert ((before * after.conj()).angle().abs()[strong] < 1e-2).all()
    low = (before.abs() - other.abs())[..., 0, 1], (after.abs() - other.abs())[..., 0, 1]
    assert low[1].abs().mean() < low[0].abs().mean()  # nearer to the donor at the lowest frequency
    assert torch.allclose(before[..., 25:40, 25:], after[..., 25:40, 25:], rtol=0.02, atol=0.05)  # not at the high ones


def test_no_strength_no_change(pictures):
    draw = draw_effects(generator(1), 6, 64, strength=0.0)
    draw.grey[:] = 0
    assert (apply_effects(pictures.clone(), draw) - pictures).abs().max() < 1.5 / 255


def test_effects_stay_in_range_and_repeat(pictures):
    first = apply_effects(pictures.clone(), draw_effects(generator(2), 6, 64))
    second = apply_effects(pictures.clone(), draw_effects(generator(2), 6, 64))
    assert torch.equal(first, second)
    assert first.min() >= 0 and first.max() <= 1
    assert (first - pictures).abs().mean() > 0.01


def test_black_is_zero_without_a_sign():
    dark = torch.full((4, 3, 32, 32), -0.0)
    assert not torch.signbit(apply_effects(dark, draw_effects(generator(1), 4, 32, 0.0))).any()


def test_noise_grows_with_light_and_has_no_mean():
    grey = torch.cat([torch.full((1, 3, 64, 64), 0.1), torch.full((1, 3, 64, 64), 0.8)])
    draw = draw_effects(generator(3), 2, 64, strength=0.0)
    draw.grey[:] = 0
    draw.noise[:, 0], draw.noise[:, 2] = 0.05, 0
    noise = apply_effects(grey.clone(), draw) - grey
    assert noise.mean().abs() < 0.002
    dark, bright = noise.flatten(1).std(1)
    assert bright / dark == pytest.approx(8**0.5, rel=0.1)  # shot noise: the root of the light
