import os
import struct

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.video import frames_per_second, read_frames, write_video


def write(path, frames, rate=12.0):
    with write_video(path, rate) as append:
        for frame in frames:
            append(frame)


def flat(*colour):
    return np.full((48, 64, 3), colour, np.uint8)


def test_round_trip_in_order_and_colour(tmp_path):
    colours = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (120, 120, 120)]
    write(tmp_path / "a.mp4", [flat(*c) for c in colours])
    frames = list(read_frames(tmp_path / "a.mp4"))
    assert [f.shape for f in frames] == [(48, 64, 3)] * 4
    assert frames[0].dtype == np.uint8
    for frame, colour in zip(frames, colours, strict=True):
        np.testing.assert_allclose(frame.mean((0, 1)), colour, atol=8)
    assert frames_per_second(tmp_path / "a.mp4") == pytest.approx(12.0)
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_odd_sides_lose_a_row_and_a_column(tmp_path):
    write(tmp_path / "a.mp4", [np.zeros((49, 65, 3), np.uint8)] * 2)
    assert next(read_frames(tmp_path / "a.mp4")).shape == (48, 64, 3)


def test_turned_videos_come_upright(tmp_path):
    """As phones write them: the frames as the sensor lies, and in the track's head how to turn them."""
    frame = flat(0, 0, 0)
    frame[:24, :32] = [250, 20, 20]  # top left
    write(tmp_path / "a.mp4", [frame] * 2)
    content = (tmp_path / "a.mp4").read_bytes()
    upright = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    quarter_turn = struct.pack(">9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 48 << 16, 0, 1 << 30)
    at = content.index(upright, content.index(b"tkhd"))
    (tmp_path / "b.mp4").write_bytes(content[:at] + quarter_turn + content[at + len(quarter_turn) :])
    turned = next(read_frames(tmp_path / "b.mp4"))
    assert turned.shape == (64, 48, 3)
    corners = turned[16::32, 12::24, 0]
    assert corners[0, 1] > 200 and np.delete(corners.ravel(), 1).max() < 50  # top right


def test_interrupted_writing_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), write_video(tmp_path / "a.mp4", 12.0) as append:
        append(flat(0, 0, 0))
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_full_disk_leaves_nothing(tmp_path):
    """Files of this process may not grow beyond 5 kB: to OpenCV that is what a full disk is."""
    resource = pytest.importorskip("resource")
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), dtype=np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(InputError, match="^" + str(tmp_path / "a.mp4") + ": cannot be written whole"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, before[1]))
        try:
            write(tmp_path / "a.mp4", noise)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert os.listdir(tmp_path) == []


def test_opencv_4_keeps_silent_too(tmp_path, monkeypatch):
    """Which has its log level in another place than OpenCV 5."""
    import cv2

    levels = []
    monkeypatch.setattr(cv2, "setLogLevel", lambda level: levels.append(level) or 3, raising=False)
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    with pytest.raises(InputError, match="is not a video"):
        frames_per_second(tmp_path / "text.mp4")
    assert levels == [0, 3]


def test_bad_videos_are_one_sentence(tmp_path, capfd):
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "text.mp4").write_text("no video\n" * 100)
    write(tmp_path / "good.mp4", [flat(9, 9, 9)] * 20)
    content = (tmp_path / "good.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(content[: len(content) // 3])
    for name, says in [
        ("missing.mp4", "cannot be read: no such file"),
        ("empty.mp4", "the file is empty"),
        ("text.mp4", "is not a video"),
        ("half.mp4", "is not a video|no frame"),
    ]:
        with pytest.raises(InputError, match=says) as caught:
            list(read_frames(tmp_path / name))
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert capfd.readouterr() == ("", "")
