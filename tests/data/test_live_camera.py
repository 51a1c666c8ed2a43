"""Cameras in threads: the newest frame and no other, and one sentence where there is none."""

import time

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.live_camera import LiveCamera, open_window
from phalanx.data.video import write_video


@pytest.fixture
def clip(tmp_path):
    """Half a second: ten frames, each 20 brighter than the one before."""
    with write_video(tmp_path / "clip.mp4", 20.0) as append:
        for number in range(10):
            append(np.full((48, 64, 3), 20 * number + 20, np.uint8))
    return tmp_path / "clip.mp4"


def test_whoever_is_slow_gets_the_newest_frame(clip):
    numbers = []
    with LiveCamera(clip) as camera:
        while (frame := camera.next()) is not None:
            numbers.append(frame.number)
            assert frame.image.mean() == pytest.approx(20 * frame.number + 20, abs=6)
            assert frame.time == pytest.approx(frame.number / 20, abs=1e-6) and frame.arrived <= time.perf_counter()
            if len(numbers) == 1:
                time.sleep(0.6)  # until the video has ended
        assert camera.next() is None and camera.came == 10
    assert numbers[-1] == 9 and len(numbers) == 2


def test_a_block_that_is_left_early_ends_the_thread(clip):
    with LiveCamera(clip) as camera:
        assert camera.next() is not None
    assert not camera._thread.is_alive()


def test_cameras_that_are_not_there(tmp_path, capfd):
    with pytest.raises(InputError, match="^camera 97: there is none that can be opened"), LiveCamera(97):
        pass
    with pytest.raises(InputError, match=r"nowhere\.mp4: there is no such camera or video file$"):
        with LiveCamera(tmp_path / "nowhere.mp4"):
            pass
    (tmp_path / "text.mp4").write_text("no video\n" * 50)
    with LiveCamera(tmp_path / "text.mp4") as camera, pytest.raises(InputError, match=r"text\.mp4: is not a video"):
        camera.next()
    assert capfd.readouterr() == ("", "")


def test_a_camera_and_one_that_gives_nothing(monkeypatch):
    class Capture:
        frames = 3

        def __init__(self, number):
            self.left = self.frames

        def isOpened(self):
            return True

        def read(self):
            self.left -= 1
            return self.left >= 0, np.full((4, 6, 3), (10, 20, 200), np.uint8)

        def release(self):
            pass

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    with LiveCamera(0) as camera:
        frame = camera.next()
        assert frame is not None and frame.image[0, 0].tolist() == [200, 20, 10]
    monkeypatch.setattr(Capture, "frames", 0)
    with LiveCamera(0) as camera, pytest.raises(InputError, match="^camera 0: gives no frames"):
        camera.next()


def test_windows(monkeypatch):
    """There is none without a display, or where OpenCV has none; with one, q and closing it end the show."""
    monkeypatch.setattr("os.uname", lambda: type("System", (), {"sysname": "Linux"}), raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert open_window("a") is None
    monkeypatch.setenv("DISPLAY", ":0")

    def headless(*_):
        raise cv2.error("The function is not implemented")

    monkeypatch.setattr(cv2, "namedWindow", headless)
    assert open_window("a") is None
    shown, keys = [], iter([-1, ord("q"), -1])
    monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
    monkeypatch.setattr(cv2, "imshow", lambda title, picture: shown.append(picture))
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(keys))
    monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: float(len(shown) < 3))
    show = open_window("a")
    assert show is not None
    picture = np.full((4, 6, 3), (10, 20, 200), np.uint8)
    assert [show(picture) for _ in range(3)] == [True, False, False]
    assert shown[0][0, 0].tolist() == [200, 20, 10]
