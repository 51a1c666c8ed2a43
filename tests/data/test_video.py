import os
import struct

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.video import frames_per_second, frames_stated, read_frames, timed_frames, write_video


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
    with pytest.raises(InputError, match="^" + str(tmp_path / "a.mp4") + ": could not be written completely"):
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
        ("half.mp4", "is cut short: the index"),
    ]:
        with pytest.raises(InputError, match=says) as caught:
            list(read_frames(tmp_path / name))
        assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert capfd.readouterr() == ("", "")


def box_at(content, *names):
    at = 0
    for name in names:
        at = content.index(name, at)
    return at - 4


def with_durations(content, durations):
    """An MP4 as OpenCV writes it, with one duration for each frame instead of one for all."""
    table = box_at(content, b"moov", b"stts")
    size = struct.unpack(">I", content[table : table + 4])[0]
    entries = b"".join(struct.pack(">II", 1, duration) for duration in durations)
    new = struct.pack(">I4sII", 16 + len(entries), b"stts", 0, len(durations)) + entries
    changed = bytearray(content[:table] + new + content[table + size :])
    around = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
    for depth in range(1, 1 + len(around)):
        at = box_at(content, *around[:depth])
        grown = struct.unpack(">I", content[at : at + 4])[0] + len(new) - size
        changed[at : at + 4] = struct.pack(">I", grown)
    return bytes(changed)


def test_times_are_those_of_the_file(tmp_path):
    write(tmp_path / "a.mp4", [flat(9, 9, 9 * k) for k in range(6)], 10.0)
    times = [time for time, _ in timed_frames(tmp_path / "a.mp4")]
    np.testing.assert_allclose(times, np.arange(6) / 10, atol=1e-9)
    content = (tmp_path / "a.mp4").read_bytes()
    unit = struct.unpack(">I", content[box_at(content, b"moov", b"stts") + 20 :][:4])[0]  # a tenth of a second
    durations = [unit // 2, 2 * unit, unit // 2, 3 * unit // 2, unit, unit // 2]
    (tmp_path / "b.mp4").write_bytes(with_durations(content, durations))
    times = [time for time, _ in timed_frames(tmp_path / "b.mp4")]
    np.testing.assert_allclose(times, [0, 0.05, 0.25, 0.3, 0.45, 0.55], atol=1e-6)


@pytest.mark.parametrize("stated", [0.0, -5.0, float("nan")])
def test_without_times_frames_come_at_the_rate(tmp_path, monkeypatch, stated):
    import cv2

    write(tmp_path / "a.mp4", [flat(9, 9, 9)] * 4, 20.0)

    class Timeless:
        def __init__(self, *args):
            self.capture = capture(*args)

        def get(self, what):
            return stated if what == cv2.CAP_PROP_POS_MSEC else self.capture.get(what)

        def __getattr__(self, name):
            return getattr(self.capture, name)

    capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Timeless)
    times = [time for time, _ in timed_frames(tmp_path / "a.mp4")]
    np.testing.assert_allclose(times, np.arange(4) / 20, atol=1e-9)


def write_mjpeg(path, *frames, rate=10.0):
    """An AVI of JPEG frames that OpenCV writes: cut anywhere, what came before can be read."""
    import cv2

    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), rate, frames[0].shape[1::-1])
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame[..., ::-1])
    writer.release()


def test_a_video_that_ends_in_the_middle_is_read_up_to_there(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), dtype=np.uint8)
    write_mjpeg(tmp_path / "a.avi", *noise)
    said = []
    assert len(list(timed_frames(tmp_path / "a.avi", said.append))) == 20 and said == []
    assert frames_stated(tmp_path / "a.avi") == 20
    content = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "b.avi").write_bytes(content[: len(content) // 2])
    read = list(timed_frames(tmp_path / "b.avi", said.append))
    assert 5 <= len(read) <= 12
    assert said == [f"{tmp_path / 'b.avi'}: the video ends in the middle: {len(read)} of 20 frames can be read"]
    assert len(list(timed_frames(tmp_path / "b.avi"))) == len(read)


def test_frames_of_changing_size(tmp_path, monkeypatch):
    """Pictures one after the other, as some cameras send them. OpenCV 5 scales later ones to the first; where one comes as it is, the
    video ends."""
    import cv2

    content = b""
    for side in (64, 64, 64, 32, 32):
        content += cv2.imencode(".jpg", np.full((48, side, 3), 90, np.uint8))[1].tobytes()
    path = tmp_path / "a.mjpeg"
    path.write_bytes(content)
    said = []
    shapes = {frame.shape for _, frame in timed_frames(path, said.append)}
    assert shapes == {(48, 64, 3)} and len(said) <= 1

    class Changing:
        def __init__(self, *args):
            self.capture, self.count = capture(*args), 0

        def read(self):
            ok, frame = self.capture.read()
            self.count += 1
            return ok, frame if self.count <= 3 or frame is None else frame[:, :32]

        def __getattr__(self, name):
            return getattr(self.capture, name)

    capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Changing)
    said.clear()
    assert [frame.shape for _, frame in timed_frames(path, said.append)] == [(48, 64, 3)] * 3
    assert said == [f"{path}: frame 3 has 32x48 pixels, those before it 64x48; the video is read up to there"]
    with pytest.raises(InputError, match="frame 3 has 32x48"):
        list(timed_frames(path))
