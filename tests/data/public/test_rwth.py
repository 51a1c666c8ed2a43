from pathlib import Path

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.data.public import rwth
from phalanx.data.public.rwth import RWTH
from phalanx.data.video import write_video


def write_sequence(folder: Path, name: str, grey: int, count: int = 5) -> None:
    """Frames grow brighter by 20 a frame."""
    width, height = (320, 240) if "cam1" in name else (352, 288)
    with write_video(folder / "new.mp4", 25.0) as append:
        for number in range(count):
            append(np.full((height, width, 3), grey + 20 * number, np.uint8))
    (folder / "new.mp4").rename(folder / name)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    """One signer, two gestures, one recording, of both cameras."""
    monkeypatch.setattr(rwth, "OFFICIAL", {"sequences": 2, "gestures": 2})
    (tmp_path / "videos").mkdir()
    for gesture in (1, 2):
        for camera in ("cam1", "cam2"):
            write_sequence(tmp_path / "videos", f"7_{gesture}_1_{camera}.mpg", 50 * gesture)
    (tmp_path / "gesture_ids.txt").write_text("1 = A\n2 = Ä\n", encoding="latin-1")
    return tmp_path


def test_middle_frames_and_labels(folder):
    sequences = RWTH(folder, "cam2")
    assert len(sequences) == 2 and sequences.gestures == {1: "A", 2: "Ä"}
    sample = sequences[1]
    assert (sample.ids.tolist(), sample.gesture.tolist()) == ([[70201, 2, 2]], [2])
    assert sample.time.tolist() == pytest.approx([2 / 25])
    assert sample.image.shape == (1, 3, 288, 352)
    assert 255 * float(sample.image.mean()) == pytest.approx(140, abs=6)  # 100 + 2 x 20


def test_all_frames(folder):
    samples = list(RWTH(folder, "cam1").frames(0))
    assert [int(sample.ids[0, 1]) for sample in samples] == [0, 1, 2, 3, 4]
    brightness = [255 * float(sample.image.mean()) for sample in samples]
    assert brightness == pytest.approx([50, 70, 90, 110, 130], abs=6)


def test_recognises(folder):
    assert RWTH.recognises(folder)
    for path in (folder / "videos").iterdir():
        path.rename(path.with_suffix(".mp4"))
    assert not RWTH.recognises(folder)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "videos/7_2_1_cam1.mpg").unlink(), r"7_2_1_cam1\.mpg: is missing \(1 of 2 files are\)"),
        (lambda f: (f / "videos/7_3_1_cam1.mpg").touch(), r"7_3_1_cam1\.mpg: does not belong"),
        (lambda f: (f / "videos/a_cam1.mpg").touch(), r"a_cam1\.mpg: does not belong"),
        (lambda f: [(f / f"videos/8_{g}_1_cam1.mpg").touch() for g in (1, 2)], "2 sequences expected, 4 found"),
        (
            lambda f: (f / "gesture_ids.txt").write_text("1 = A\n\nB = 2\n"),
            r"gesture_ids\.txt: line 3: not of the form",
        ),
    ],
)
def test_faults_are_named_when_opened(folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        RWTH(folder, "cam1")


def test_a_partial_copy_opens_when_asked(folder):
    (folder / "videos/7_1_1_cam1.mpg").unlink()
    (folder / "gesture_ids.txt").unlink()
    sequences = RWTH(folder, "cam1", whole=False)
    assert sequences[0].gesture.tolist() == [2] and sequences.gestures == {}
    with pytest.raises(InputError, match="holds no videos"):
        RWTH(folder / "nowhere", "cam1", whole=False)


def test_videos_at_fault_are_named(folder):
    sequences = RWTH(folder, "cam1")
    path = folder / "videos/7_1_1_cam1.mpg"
    (folder / "videos/7_1_1_cam2.mpg").rename(path)
    with pytest.raises(InputError, match=r"7_1_1_cam1\.mpg: 320x240 pixels expected, has 352x288"):
        sequences[0]
    path.write_bytes(b"not a video")
    with pytest.raises(InputError, match=r"7_1_1_cam1\.mpg: is not a video"):
        sequences[0]
    with pytest.raises(IndexError):
        sequences[2]
