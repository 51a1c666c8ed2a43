import numpy as np
import pytest
import torch
from PIL import Image
from true_hands import bent_hand, is_right

from phalanx.core.errors import InputError
from phalanx.data import labels
from phalanx.data.public import hands2017
from phalanx.data.public.hands2017 import HANDS2017, ORDER


def line(number: int, joints: np.ndarray) -> str:
    """A line of the annotation: wrist, the five MCPs (the thumb's first joint), then PIP, DIP, tip of each finger."""
    fingers = joints[1:].reshape(5, 4, 3)
    listed = np.concatenate([joints[:1], fingers[:, 0], fingers[:, 1:].reshape(15, 3)]) * 1000
    return f"image_D{number:08d}.png\t" + "\t".join(f"{value:.4f}" for value in listed.ravel()) + "\t\n"


def write(folder):
    """Three pictures to train on and two to test on."""
    depth = np.full((480, 640), 600, dtype=np.uint16)
    depth[3, 5:7] = [0, 411]
    for split, count in (("training", 3), ("frame", 2)):
        (folder / split / "images").mkdir(parents=True)
        for number in range(1, count + 1):
            Image.fromarray(depth).save(folder / split / "images" / f"image_D{number:08d}.png")
    (folder / "training" / "Training_Annotation.txt").write_text(
        "".join(line(number, bent_hand(0.5 + 0.01 * number)) for number in (1, 2, 3))
    )
    (folder / "frame" / "BoundingBox.txt").write_text(
        "image_D00000001.png\t10\t20.5\t100\t120\nframe/images/image_D00000002.png\t1\t2\t3\t4\n"
    )
    return folder


@pytest.fixture(autouse=True)
def official(monkeypatch):
    monkeypatch.setattr(hands2017, "OFFICIAL", {"training": 3, "frame": 2})


@pytest.fixture
def miniature(tmp_path):
    return write(tmp_path)


def test_hands_come_in_our_conventions(miniature, monkeypatch):
    monkeypatch.setattr(labels, "BLOCK", 2)  # the third line is of another block
    dataset = HANDS2017(miniature, "training")
    assert len(dataset) == 3 and sorted(ORDER) == list(range(21))
    assert HANDS2017.recognises(miniature) and not HANDS2017.recognises(miniature / "training")
    for index in range(3):
        sample = dataset[index]
        joints = torch.tensor(bent_hand(0.51 + 0.01 * index), dtype=torch.float32)
        torch.testing.assert_close(sample.joints[0], joints, atol=1e-6, rtol=0)
        assert is_right(sample.joints[0]) and sample.left is None and sample.valid is None and sample.boxes is None
        assert sample.ids.tolist() == [[0, index + 1, 0]]
        u = 475.065948 * joints[:, 0] / joints[:, 2] + 315.944855
        v = 475.065857 * joints[:, 1] / joints[:, 2] + 245.287079
        torch.testing.assert_close(sample.joints_2d[0], torch.stack([u, v], dim=-1), atol=1e-3, rtol=0)
    torch.testing.assert_close(sample.sensed_depth[0, 3, 4:8], torch.tensor([0.6, 0, 0.411, 0.6]))
    with pytest.raises(IndexError):
        dataset[3]


def test_frames_to_test_on_have_boxes(miniature):
    sample = HANDS2017(miniature, "frame")[0]
    assert sample.boxes.tolist() == [[[10, 20.5, 100, 120], [0, 0, 0, 0]]] and sample.joints is None
    assert HANDS2017(miniature, "frame")[1].ids.tolist() == [[0, 2, 0]]


def test_missing_and_surplus_files_are_named(miniature, monkeypatch):
    picture = miniature / "training" / "images" / "image_D00000004.png"
    picture.touch()
    with pytest.raises(InputError, match=r"image_D00000004.png: does not belong"):
        HANDS2017(miniature, "training")
    picture.unlink()
    picture.with_name("image_D00000001.png").unlink()
    with pytest.raises(InputError, match=r"image_D00000001.png: is missing \(1 of 3"):
        HANDS2017(miniature, "training")
    part = HANDS2017(miniature, "training", whole=False)
    assert len(part) == 2 and float(part[0].joints[0, 0, 2]) == pytest.approx(0.52)
    monkeypatch.setitem(hands2017.OFFICIAL, "frame", 9)
    with pytest.raises(InputError, match=r"BoundingBox.txt: 9 pictures expected, 2 found"):
        HANDS2017(miniature, "frame")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            line(1, bent_hand(0.5)) + "\n" + line(2, bent_hand(0.5)).rsplit("\t", 2)[0],
            "line 3: a name and 63 .* has 62",
        ),
        (
            line(1, bent_hand(0.5)) + line(2, bent_hand(0.5)) + line(3, bent_hand(np.nan)),
            "line 3: has values that are not",
        ),
        (
            line(1, bent_hand(0.5)) + line(2, bent_hand(0.5)).replace("500.0", "5oo.0", 1),
            "line 2: has values that are not",
        ),
        (line(1, bent_hand(0.5) * [1, 1, -1]), "behind the camera; is the sign of z right"),
        (line(1, bent_hand(0.5) / 1000), "should be in millimetres, but seem to be in metres"),
        ("", "the file is empty"),
    ],
)
def test_faults_of_labels(miniature, monkeypatch, text, fault):
    monkeypatch.setattr(labels, "BLOCK", 2)
    (miniature / "training" / "Training_Annotation.txt").write_text(text)
    with pytest.raises(InputError, match=fault):
        HANDS2017(miniature, "training", whole=False)


def test_faults_of_files(miniature):
    dataset = HANDS2017(miniature, "training")
    picture = miniature / "training" / "images" / "image_D00000001.png"
    picture.write_bytes(picture.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"image_D00000001.png: is truncated, damaged"):
        dataset[0]
    Image.new("I;16", (320, 240)).save(picture)
    with pytest.raises(InputError, match=r"640x480 pixels expected, has 320x240"):
        dataset[0]
    for path in (miniature / "frame" / "images").iterdir():
        path.unlink()
    (miniature / "frame" / "images").rmdir()
    with pytest.raises(InputError, match=r"frame/images: cannot be read"):
        HANDS2017(miniature, "frame")
    with pytest.raises(InputError, match=r"Training_Annotation.txt: cannot be read: no such file"):
        HANDS2017(miniature / "frame", "training")
