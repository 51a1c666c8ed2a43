from pathlib import Path

import numpy as np
import pytest
import torch
from true_hands import bent_hand, is_right

from phalanx.core.errors import InputError
from phalanx.data.public import msra15
from phalanx.data.public.msra15 import GESTURES, MSRA15, ORDER, PEOPLE


def line(joints: np.ndarray) -> str:
    """A line of joint.txt: wrist, index to little finger, thumb; y up, z negative, millimetres."""
    listed = joints[[0, *range(5, 21), 1, 2, 3, 4]] * [1000, -1000, -1000]
    return " ".join(f"{value:.4f}" for value in listed.ravel())


def write(folder: Path, people=("P0", "P3"), gestures=GESTURES, frames: int = 2) -> Path:
    for person in people:
        for gesture in gestures:
            place = folder / person / gesture
            place.mkdir(parents=True)
            joints = [bent_hand(0.3 + 0.01 * frame) for frame in range(frames)]
            (place / "joint.txt").write_text("\n".join([str(frames), *map(line, joints)]) + "\n")
            for frame in range(frames):
                head = np.array([320, 240, 100, 50, 104, 53], dtype="<i4")
                box = np.arange(12, dtype="<f4") * 50 + frame  # 3 rows of 4
                (place / f"{frame:06d}_depth.bin").write_bytes(head.tobytes() + box.tobytes())
                (place / f"{frame:06d}_depth.jpg").touch()
    return folder


@pytest.fixture(autouse=True)
def official(monkeypatch):
    monkeypatch.setattr(msra15, "OFFICIAL", dict.fromkeys(msra15.OFFICIAL, 2))


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return write(tmp_path_factory.mktemp("msra"))


def test_hands_come_in_our_conventions(miniature):
    dataset = MSRA15(miniature, "P3")
    assert len(dataset) == 34
    assert MSRA15.recognises(miniature) and not MSRA15.recognises(miniature / "P3")
    sample = dataset[2 * GESTURES.index("L") + 1]
    joints = torch.tensor(bent_hand(0.31), dtype=torch.float32)
    torch.testing.assert_close(sample.joints[0], joints, atol=1e-6, rtol=0)
    assert is_right(sample.joints[0]) and sample.left is None and sample.valid is None and sample.image is None
    assert sample.ids.tolist() == [[3, 1, 0]] and sample.gesture.tolist() == [11]
    u, v = 241.42 * joints[:, 0] / joints[:, 2] + 160, 241.42 * joints[:, 1] / joints[:, 2] + 120
    torch.testing.assert_close(sample.joints_2d[0], torch.stack([u, v], dim=-1), atol=1e-3, rtol=0)


def test_depth_fills_its_box(miniature):
    depth = MSRA15(miniature, "P0")[1].depth[0]
    assert depth.shape == (240, 320)
    torch.testing.assert_close(depth[50:53, 100:104], (torch.arange(12) * 50 + 1).reshape(3, 4) / 1000)
    assert depth.count_nonzero() == 12


def test_all_is_everyone_in_order(miniature, tmp_path):
    with pytest.raises(InputError, match=r"P1/1/joint.txt: cannot be read"):
        MSRA15(miniature, "all")
    assert MSRA15(miniature, "all", whole=False)[34].ids.tolist() == [[3, 0, 0]]
    folder = write(tmp_path / "cvpr15_MSRAHandGestureDB", PEOPLE, frames=2).parent
    dataset = MSRA15(folder, "all")
    assert len(dataset) == 9 * 17 * 2 and dataset[34 * 8].ids.tolist() == [[8, 0, 0]]


def test_counts_are_the_published_ones(monkeypatch):
    monkeypatch.undo()
    assert len(msra15.OFFICIAL) == 153 and sum(msra15.OFFICIAL.values()) == 76_375
    people = [sum(n for place, n in msra15.OFFICIAL.items() if place.startswith(f"{p}/")) for p in PEOPLE]
    assert people == [8499, 8492, 8412, 8488, 8500, 8497, 8497, 8498, 8492]
    assert sorted(ORDER) == list(range(21))


def test_missing_and_surplus_files_are_named(tmp_path):
    place = write(tmp_path, ("P0",)) / "P0" / "IP"
    (place / "000002_depth.bin").touch()
    with pytest.raises(InputError, match=r"P0/IP/000002_depth.bin: does not belong"):
        MSRA15(tmp_path, "P0")
    (place / "000002_depth.bin").unlink()
    (place / "000000_depth.bin").unlink()
    with pytest.raises(InputError, match=r"P0/IP/000000_depth.bin: is missing"):
        MSRA15(tmp_path, "P0")
    part = MSRA15(tmp_path, "P0", whole=False)
    assert len(part) == 33 and part[2 * GESTURES.index("IP")].ids.tolist() == [[0, 1, 0]]
    with pytest.raises(InputError, match=r"has no P1/1/joint.txt"):
        MSRA15(tmp_path, "P1", whole=False)


def test_counts_differ(miniature, monkeypatch):
    monkeypatch.setitem(msra15.OFFICIAL, "P0/T", 3)
    with pytest.raises(InputError, match=r"P0/T/joint.txt: 3 frames expected, 2 found"):
        MSRA15(miniature, "P0")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("two\n", "line 1: a number of frames expected, has 'two'"),
        (f"2\n{line(bent_hand(0.3))}\n", "has 1 lines of joints, but its first line says 2"),
        (
            f"2\n{line(bent_hand(0.3))}\n{line(bent_hand(0.3)).rsplit(' ', 3)[0]}\n",
            "line 3: 63 numbers .* expected, has 60",
        ),
        (f"1\n{line(bent_hand(0.3)).replace('-', 'x', 1)}\n", "line 2: has values that are not numbers"),
        (f"2\n{line(bent_hand(0.3))}\nnan{line(bent_hand(0.3))[7:]}\n", "line 3: has values that are not numbers"),
        (f"1\n{line(bent_hand(0.3) * [1, 1, -1])}\n", "hands are .* mm behind the camera"),
        (f"1\n{line(bent_hand(0.3) / 1000)}\n", "should be in millimetres, but seem to be in metres"),
    ],
)
def test_faults_of_labels(tmp_path, text, fault):
    folder = write(tmp_path, ("P0",), ("1",))
    (folder / "P0" / "1" / "joint.txt").write_text(text)
    with pytest.raises(InputError, match=fault):
        MSRA15(folder, "P0", whole=False)


def test_faults_of_pictures(tmp_path):
    dataset = MSRA15(write(tmp_path, ("P0",), ("1",)), "P0", whole=False)
    picture = tmp_path / "P0" / "1" / "000000_depth.bin"
    data = picture.read_bytes()
    for broken, fault in (
        (data[:-4], "72 bytes expected, has 68"),
        (data[:20], "is cut short"),
        (b"", "the file is empty"),
        (data[:-4] + b"\xff" * 4, "depths that are not finite"),
        (b"\xff" * 4 + data[4:], "no box in a picture of 320x240"),
    ):
        picture.write_bytes(broken)
        with pytest.raises(InputError, match=fault):
            dataset[0]
