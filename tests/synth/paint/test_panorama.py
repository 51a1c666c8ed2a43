"""Panoramas: light that agrees with summing over every pixel, views that agree with their pixels, and folders that may be wrong."""

import cv2
import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.synth.paint.light import draw_light, light_on_planes
from phalanx.synth.paint.panorama import (
    PanoramaBank,
    approximate_irradiance,
    decode,
    directions,
    encode,
    extract_light,
    irradiance,
    panorama_bank,
    panorama_of,
    read_panorama,
    seen,
    spread_normals,
)
from phalanx.synth.paint.standpoint import to_frame

NORMALS = spread_normals(60)


def sunny(direction: np.ndarray, height: int = 128) -> np.ndarray:
    """A blue sky above grey ground, and a sun two degrees across."""
    towards, _ = directions(height, 2 * height)
    sky = np.where(towards[..., 1:2] < 0, [0.3, 0.4, 0.6], [0.2, 0.2, 0.2])
    return np.where(towards @ direction > np.cos(np.deg2rad(2)), 1.0, 0.0)[..., None] * [900.0, 800.0, 600.0] + sky


def test_directions_cover_the_sphere():
    towards, area = directions(64, 128)
    assert np.isclose((area + 0 * towards[..., 0]).sum(), 4 * np.pi)
    assert np.allclose(np.linalg.norm(towards, axis=-1), 1)
    assert towards[0, :, 1].max() < -0.99  # up
    assert np.allclose(towards[32, 64], [0, 0, 1], atol=0.06) and towards[32, 96, 0] > 0.99  # ahead, right


def test_irradiance_of_even_light_is_that_light():
    even = np.ones((64, 128, 3)) * [1.0, 0.5, 0.25]
    assert np.allclose(irradiance(even, NORMALS), [[1.0, 0.5, 0.25]], rtol=0.01)
    light = extract_light(even)
    assert np.allclose(approximate_irradiance(light, NORMALS), [[[1.0, 0.5, 0.25]]], rtol=0.02)
    assert np.allclose(light.colour, 0)


@pytest.mark.parametrize("sun", [[0.3, -0.8, 0.5], [-0.02, -0.3, -1.0], [0.0, -1.0, 0.05]])
def test_a_sun_is_found_where_it_is(sun):
    direction = np.array(sun) / np.linalg.norm(sun)
    picture = sunny(direction)
    light = extract_light(picture)
    assert np.rad2deg(np.arccos(light.direction[0, 0] @ direction)) < 0.5  # also across the seam and at the pole
    assert 0.5 < np.rad2deg(np.arctan(light.softness[0, 0])) / 2 < 2
    assert light.colour[0, 0, 0] > 1.3 * light.colour[0, 0, 2] > 0 and light.colour[0, 1].max() < 0.01
    wanted = irradiance(picture, NORMALS)
    error = approximate_irradiance(light, NORMALS)[0] - wanted
    assert np.sqrt((error**2).mean()) < 0.05 * wanted.mean()
    assert np.abs(error.mean(0)).max() < 0.02 * wanted.mean()  # energy is kept


def test_light_of_the_package_agrees_with_its_pictures():
    """Of those without lights brighter than pictures keep: the others' pictures lack most of their light."""
    bank = panorama_bank(None, "cpu")
    assert len(bank) == 26 and bank.levels[0].shape == (26, 3, 256, 514)
    wanted = np.stack([irradiance(p[:, :, 1:-1].permute(1, 2, 0).numpy(), NORMALS) for p in bank.levels[2].float()])
    found = approximate_irradiance(bank.light, NORMALS)
    error = np.sqrt(((found - wanted) ** 2).mean((1, 2))) / wanted.mean((1, 2))
    ratio = found.mean((1, 2)) / wanted.mean((1, 2))
    whole = ratio < 1.1
    assert whole.sum() >= 8 and ratio.min() > 0.97
    assert error[whole].max() < 0.16 and error[whole].mean() < 0.09
    assert np.allclose(np.linalg.norm(bank.light.direction, axis=-1), 1, atol=1e-3)


def test_light_on_planes_is_that_of_the_panorama():
    light = panorama_bank(None, "cpu").light
    draw = draw_light(generator(0), 26)
    for name, value in vars(light).items():
        setattr(draw, name, value)
    normals = np.tile(NORMALS[7], (26, 1))
    assert np.allclose(light_on_planes(draw, normals), approximate_irradiance(light, NORMALS[7:8])[:, 0], rtol=1e-5)


def test_encoding_is_undone():
    linear = np.geomspace(0.002, 12.0, 50)
    assert np.allclose(decode(encode(linear)), linear, rtol=0.1, atol=0.001)
    values = np.arange(246, dtype=np.uint8)
    assert np.array_equal(encode(decode(values)), values)


def _bank(picture: np.ndarray) -> PanoramaBank:
    level = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    levels = [level]
    for _ in range(4):
        levels.append(torch.nn.functional.avg_pool2d(levels[-1], 2))
    levels = [torch.cat([level[..., -1:], level, level[..., :1]], -1).half() for level in levels]
    return PanoramaBank(tuple(levels), extract_light(picture), ("one",))


def test_cameras_see_what_lies_in_their_directions():
    """The colour of each pixel of a panorama says its direction: so does what a camera sees."""
    towards, _ = directions(256, 512)
    bank = _bank(0.5 + 0.5 * towards)
    to_camera = to_frame(np.array([[0.1, 0.9, 0.3], [-0.4, 0.8, -0.2]]), np.array([3.0, -1.2]))
    K = torch.tensor([[[60.0, 0, 31.5], [0, 66.0, 20.0], [0, 0, 1]], [[300.0, 0, 40.0], [0, 300.0, 31.5], [0, 0, 1]]])
    view = seen(bank, np.array([0, 0]), to_camera, K, 64, np.zeros(2))
    line = torch.arange(64.0)
    y, x = torch.meshgrid(line, line, indexing="ij")
    rays = torch.stack([x, y, torch.ones_like(x)], -1) @ torch.linalg.inv(K).mT[:, None]
    rays = torch.nn.functional.normalize(rays, dim=-1) @ torch.from_numpy(to_camera).float()[:, None]  # R^T ray
    error = (view.permute(0, 2, 3, 1) - (0.5 + 0.5 * rays)).abs()
    assert error[0].max() < 0.02 and error[1, 4:-4, 4:-4].max() < 0.02


def test_blur_blurs_and_keeps_the_mean():
    bank = _bank(generator(0).random((128, 256, 3)))
    K = torch.tensor([[[40.0, 0, 31.5], [0, 40.0, 31.5], [0, 0, 1]]])
    sharp, blurred = (seen(bank, np.array([0]), np.eye(3)[None], K, 64, np.array([b])) for b in (0.0, 0.2))
    assert blurred.std() < 0.5 * sharp.std()
    assert abs(float(blurred.mean() - sharp.mean())) < 0.03


def test_folders_with_faults_are_named_and_the_rest_is_used(tmp_path, capsys):
    picture = sunny(np.array([0.6, -0.8, 0.0]), 64).astype(np.float32)
    cv2.imwrite(str(tmp_path / "good.hdr"), picture[..., ::-1])
    assert np.allclose(read_panorama(tmp_path / "good.hdr"), picture, rtol=0.02, atol=0.01)
    (tmp_path / "text.hdr").write_text("no picture")
    (tmp_path / "empty.hdr").write_bytes(b"")
    (tmp_path / "cut.hdr").write_bytes((tmp_path / "good.hdr").read_bytes()[:60])
    (tmp_path / "huge.hdr").write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 50000 +X 100000\n")
    (tmp_path / "no.exr").write_bytes(b"v/1\x01 and no more")
    (tmp_path / "notes.txt").write_text("no picture")
    cv2.imwrite(str(tmp_path / "square.hdr"), picture[:, :64])
    bank = panorama_bank(tmp_path, "cpu")
    said = capsys.readouterr().err.splitlines()
    names = ("cut.hdr: ", "empty.hdr: ", "huge.hdr: ", "no.exr: ", "square.hdr: ", "text.hdr: ")
    assert len(said) == len(names) and all(name in line for name, line in zip(names, said, strict=True))
    assert bank.names == ("good",) and bank.levels[0].shape == (1, 3, 64, 130)
    (tmp_path / "good.hdr").unlink()
    with pytest.raises(InputError, match="none of its 6 panoramas can be read"):
        panorama_bank(tmp_path, "cpu:0")
    with pytest.raises(InputError, match="gone: no such folder"):
        panorama_bank(tmp_path / "gone", "cpu")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="holds no panoramas"):
        panorama_bank(tmp_path / "none", "cpu")


def test_exr_files_are_read(tmp_path):
    exr = pytest.importorskip("OpenEXR")
    picture = sunny(np.array([0.6, -0.8, 0.0]), 64).astype(np.float32)
    header = {"compression": exr.ZIP_COMPRESSION, "type": exr.scanlineimage}
    with exr.File(header, {"RGB": picture}) as file:
        file.write(str(tmp_path / "one.exr"))
    assert np.array_equal(read_panorama(tmp_path / "one.exr"), picture)


def test_light_of_a_fine_panorama_is_that_of_a_smaller_one():
    direction = np.array([0.4, -0.7, 0.59])
    direction /= np.linalg.norm(direction)
    kept, light = panorama_of(sunny(direction, 1536).astype(np.float32), 512)
    _, wanted = panorama_of(sunny(direction, 512).astype(np.float32), 512)
    assert kept.shape == (256, 512, 3)
    assert light.direction.reshape(-1, 3)[0] @ direction > np.cos(np.deg2rad(1))
    assert np.allclose(light.colour, wanted.colour, rtol=0.1, atol=0.05)
