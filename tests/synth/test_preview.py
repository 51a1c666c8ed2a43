import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.synth import SynthConfig
from phalanx.synth.preview import draw_joints, save_sheet


def test_sheet_is_drawn(tmp_path):
    path = tmp_path / "sheet.png"
    config = SynthConfig(chunk=3, tiles=2, skins=1)
    save_sheet(path, seed=1, rows=2, columns=2, size=32, config=config)
    sheet = cv2.imread(str(path))
    assert sheet.shape == (128, 128, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.png"]
    save_sheet(tmp_path / "again.png", seed=1, rows=2, columns=2, size=32, config=config)
    assert np.array_equal(sheet, cv2.imread(str(tmp_path / "again.png")))


def test_joints_are_drawn_where_they_are():
    tile = np.zeros((32, 32, 3), np.uint8)
    joints = np.full((21, 2), 5.0)
    joints[8] = [20.0, 25.0]  # the index finger's tip
    drawn = draw_joints(tile, joints, scale=2)
    assert drawn.shape == (64, 64, 3)
    # Pixel (20, 25) becomes the square of pixels 40..41, 50..51.
    assert drawn[50, 40].max() > 200 and drawn[40, 50].max() == 0


def test_bad_sheets_are_refused(tmp_path):
    with pytest.raises(InputError, match="must end in"):
        save_sheet(tmp_path / "sheet.txt")
    with pytest.raises(InputError, match="at least one row"):
        save_sheet(tmp_path / "sheet.png", rows=0)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        save_sheet(tmp_path / "file" / "sheet.png")
