from dataclasses import replace

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.synth import SynthConfig
from phalanx.synth.frames import FramesConfig, make_frames
from phalanx.synth.preview import draw_frames_sheet, draw_sheet, save_frames_sheet, save_sheet


def test_sheet_is_drawn(tmp_path):
    path = tmp_path / "sheet.png"
    config = SynthConfig(chunk=3, tiles=2, skins=1)
    save_sheet(path, seed=1, rows=2, columns=2, size=32, config=config)
    sheet = cv2.imread(str(path))
    assert sheet.shape == (128, 128, 3)
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.png"]
    save_sheet(tmp_path / "again.png", seed=1, rows=2, columns=2, size=32, config=config)
    assert np.array_equal(sheet, cv2.imread(str(tmp_path / "again.png")))


def test_bad_sheets_are_refused(tmp_path):
    with pytest.raises(InputError, match="must end in"):
        save_sheet(tmp_path / "sheet.txt")
    with pytest.raises(InputError, match="at least one row"):
        save_sheet(tmp_path / "sheet.png", rows=0)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written"):
        save_sheet(tmp_path / "file" / "sheet.png")


def test_a_row_shows_one_hand_and_depth_stands_below(tmp_path):
    config = SynthConfig(chunk=5, scene="motion", frames=5, tiles=2, skins=1, depth_sensor="ideal")
    save_sheet(tmp_path / "clip.png", rows=2, columns=3, size=32, config=config)
    sheet = cv2.imread(str(tmp_path / "clip.png"))
    assert sheet.shape == (2 * 2 * 64, 3 * 64, 3)
    row = sheet[:64].reshape(64, 3, 64, 3).astype(float)
    other = sheet[128:192].reshape(64, 3, 64, 3).astype(float)
    assert np.abs(row[:, 0] - row[:, 2]).mean() < np.abs(row[:, 0] - other[:, 0]).mean()


def test_people_have_boxes_drawn_round_their_hands():
    config = SynthConfig(size=64, chunk=8, scene="people", tiles=2, skins=1, camera="ideal")
    sheet = draw_sheet(config, 0, 2, 3)
    assert sheet.shape == (2 * 128, 3 * 128, 3)
    for colour in ((40, 220, 60), (250, 150, 20)):  # this hand's, the other's
        assert (sheet == colour).all(-1).sum() > 30


def test_whole_frames_have_boxes_of_all_hands_and_depth_below():
    config = FramesConfig(96, 64, chunk=2, people=(1, 2), tiles=2, skins=1, effects=0.0)
    frames = make_frames(config, 4, 0)
    drawn = draw_frames_sheet(config, 4, 2, 2, width=96)
    assert drawn.shape == (64, 2 * 96, 3)
    for i in range(2):
        tile = drawn[:, 96 * i : 96 * (i + 1)]
        for side, colour in enumerate(((40, 220, 60), (250, 150, 20))):  # right hands, left ones
            there = bool((frames.side[i, frames.present[i]] == side).any())
            assert bool((tile == colour).all(-1).any()) == there
    assert set(frames.side[frames.present].tolist()) == {0, 1}
    below = draw_frames_sheet(replace(config, depth_sensor="ideal"), 4, 1, 1, width=48)
    assert below.shape == (2 * 32, 48, 3)


def test_bad_sheets_of_frames_are_refused(tmp_path):
    with pytest.raises(InputError, match="must end in"):
        save_frames_sheet(tmp_path / "sheet.txt")
    with pytest.raises(InputError, match="at least one frame"):
        save_frames_sheet(tmp_path / "sheet.png", count=0)
