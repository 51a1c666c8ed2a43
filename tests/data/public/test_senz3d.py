from pathlib import Path

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.public import senz3d
from phalanx.data.public.senz3d import Senz3D


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """Two people, two gestures, one picture each."""
    monkeypatch.setattr(senz3d, "OFFICIAL", {"people": 2, "gestures": 2, "repetitions": 1})
    for person in (1, 2):
        for gesture in (1, 2):
            place = tmp_path / f"data/S{person}/G{gesture}"
            place.mkdir(parents=True)
            picture = np.zeros((480, 640, 3), np.uint8)
            picture[..., 2] = 100 * gesture  # red, as OpenCV writes it
            cv2.imwrite(str(place / "1-color.png"), picture)
            depth = np.full((240, 320), 400 + person, "<i2")
            depth[0, 1], depth[5, 0] = -1, 258  # a fault, and a number whose bytes differ
            depth.tofile(place / "1-depth.bin")
            np.full((240, 320), 70 * gesture, "<i2").tofile(place / "1-conf.bin")
    return tmp_path


def test_depth_is_in_metres_without_faulty_readings(folder):
    pictures = Senz3D(folder, "depth")
    assert len(pictures) == 4
    sample = pictures[2]
    assert (sample.ids.tolist(), sample.gesture.tolist(), sample.image) == ([[2, 1, 1]], [1], None)
    assert sample.sensed_depth.shape == (1, 240, 320)
    assert sample.sensed_depth[0, [100, 0, 5], [7, 1, 0]].tolist() == pytest.approx([0.402, 0, 0.258])
    assert (pictures.confidence(3) == 140).all()


def test_colour(folder):
    sample = Senz3D(folder, "colour")[1]
    assert (sample.ids.tolist(), sample.sensed_depth) == ([[1, 1, 2]], None)
    assert sample.image.shape == (1, 3, 480, 640) and sample.image[0, 0].mean() == pytest.approx(200 / 255)


def test_recognises(folder):
    assert Senz3D.recognises(folder) and not Senz3D.recognises(folder / "data")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "data/S2/G1/1-conf.bin").unlink(), r"data/S2/G1/1-conf\.bin: is missing \(1 of 12"),
        (lambda f: (f / "data/S2/G1/2-color.png").touch(), r"data/S2/G1/2-color\.png: does not belong"),
        (lambda f: (f / "data").rename(f / "other"), "data: no such folder"),
    ],
)
def test_faults_are_named_when_opened(folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        Senz3D(folder, "colour")


def test_a_partial_copy_opens_when_asked(folder):
    (folder / "data/S1/G1/1-depth.bin").unlink()
    assert Senz3D(folder, "depth", whole=False)[0].ids.tolist() == [[1, 1, 2]]
    for path in folder.glob("data/*/*/*-color.png"):
        path.unlink()
    with pytest.raises(InputError, match="holds no files"):
        Senz3D(folder, "colour", whole=False)


def test_files_at_fault_are_named(folder):
    colour, depth = Senz3D(folder, "colour"), Senz3D(folder, "depth")
    path = folder / "data/S1/G1/1-depth.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match=r"1-depth\.bin: 153600 bytes expected \(320x240\), has 153598"):
        depth[0]
    path.unlink()
    with pytest.raises(InputError, match=r"1-depth\.bin: cannot be read"):
        depth[0]
    path = folder / "data/S1/G1/1-color.png"
    cv2.imwrite(str(path), np.zeros((240, 320, 3), np.uint8))
    with pytest.raises(InputError, match=r"1-color\.png: 640x480 pixels expected, has 320x240"):
        colour[0]
    with pytest.raises(IndexError):
        colour[4]
