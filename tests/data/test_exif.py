"""Focal lengths out of EXIF data as cameras and programs leave them."""

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from phalanx.data.images import read_photo

DIAGONAL = np.hypot(36, 24)


def photo(path, size=(400, 300), orientation=1, **tags):
    """A JPEG with the given numbers in its EXIF part."""
    numbers = {"focal": 0x920A, "film": 0xA405, "width": 0xA002, "height": 0xA003, "dots": 0xA20E, "unit": 0xA210}
    exif = Image.Exif()
    exif[0x0112] = orientation
    inside = exif.get_ifd(0x8769)
    for name, value in tags.items():
        inside[numbers[name]] = value
    Image.new("RGB", size, "grey").save(path, exif=exif)
    return read_photo(path)


def test_by_the_equivalent_for_film(tmp_path):
    image, focal = photo(tmp_path / "a.jpg", film=26)
    assert image.shape == (300, 400, 3) and focal == pytest.approx(26 / DIAGONAL * 500)


def test_a_turned_photo_has_the_same_focal_length(tmp_path):
    image, focal = photo(tmp_path / "a.jpg", orientation=6, film=26, width=4000, height=3000)
    assert image.shape == (400, 300, 3) and focal == pytest.approx(26 / DIAGONAL * 500)


def test_by_the_resolution_of_the_sensor(tmp_path):
    focal = IFDRational(50, 1)
    tags = {"focal": focal, "dots": IFDRational(400, 1), "unit": 3, "width": 4000, "height": 3000}
    assert photo(tmp_path / "a.jpg", **tags)[1] == pytest.approx(50 * 40 * 400 / 4000)  # made smaller by ten
    del tags["unit"]
    assert photo(tmp_path / "a.jpg", **tags)[1] is None  # 50 mm at 400 dots an inch would be a fisheye
    assert photo(tmp_path / "a.jpg", **tags, **{"unit": 4})[1] == pytest.approx(50 * 400 * 400 / 4000)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {"focal": IFDRational(50, 1)},
        {"film": 0},
        {"film": 5},  # no pinhole's picture
        {"film": 65000},
        {"film": 26, "width": 4000, "height": 2250},  # another aspect: it was cut out
        {"focal": IFDRational(50, 0), "dots": IFDRational(400, 1)},
        {"focal": IFDRational(50, 1), "dots": IFDRational(400, 1), "unit": 77},
    ],
)
def test_what_does_not_tell(tmp_path, tags):
    assert photo(tmp_path / "a.jpg", **tags)[1] is None


def test_pictures_without_exif(tmp_path):
    Image.new("L", (40, 30)).save(tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png")[1] is None
