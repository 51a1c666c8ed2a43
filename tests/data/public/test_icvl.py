import numpy as np
import pytest
import torch
from PIL import Image

from phalanx.core.errors import InputError
from phalanx.data.public import icvl
from phalanx.data.public.icvl import ICVL
from phalanx.hand.skeleton import TIPS

CLOSE = {"atol": 1e-4, "rtol": 0}


def points(depth: float) -> np.ndarray:
    """Palm and three points a finger of a left hand, its palm towards the camera: (16, 3) metres, OpenCV axes."""
    xyz = np.zeros((16, 3))
    xyz[1:, 0] = -np.repeat([0.045, 0.025, 0.003, -0.018, -0.036], 3)  # a left thumb is on the picture's left
    xyz[1:, 1] = -np.concatenate([[0, 0.03, 0.05], np.tile([0.035, 0.08, 0.12], 4)])
    xyz[1:, 2] = -np.tile([0, 0.01, 0.03], 5)
    return xyz + [0.03, 0.05, depth]


def line(name: str, xyz: np.ndarray) -> str:
    uvd = [xyz[:, 0] / xyz[:, 2] * 240.99 + 160, xyz[:, 1] / xyz[:, 2] * 240.96 + 120, xyz[:, 2] * 1000]
    return f"{name} " + " ".join(f"{value:.4f}" for value in np.stack(uvd, axis=-1).ravel())


def write(folder):
    """Two training frames in two folders, two and one frames to test, the test files with their odd line ends."""
    parts = {
        "Training/labels.txt": ["201403121135/image_0000.png", "45/image_0000.png"],
        "Testing/test_seq_1.txt": ["test_seq_1/image_0000.png", "test_seq_1/image_0001.png"],
        "Testing/test_seq_2.txt": ["test_seq_2/image_0000.png"],
    }
    depth = np.full((240, 320), 400, dtype=np.uint16)
    depth[3, 5:8] = [0, 65535, 311]
    for file, names in parts.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        end = "\n" if "labels" in file else "\r\r\n\r\r\n"
        path.write_bytes("".join(line(name, points(0.3 + 0.01 * i)) + end for i, name in enumerate(names)).encode())
        for name in names:
            (path.parent / "Depth" / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(depth).save(path.parent / "Depth" / name)
    return folder


@pytest.fixture(autouse=True)
def official(monkeypatch):
    counts = {"Training/labels.txt": 2, "Testing/test_seq_1.txt": 2, "Testing/test_seq_2.txt": 1}
    monkeypatch.setattr(icvl, "OFFICIAL", counts)
    monkeypatch.setattr(icvl, "OFFICIAL_PICTURES", 2)


@pytest.fixture
def miniature(tmp_path):
    return write(tmp_path)


def test_tips_come_in_our_conventions(miniature):
    dataset = ICVL(miniature, "test")
    assert len(dataset) == 3 and len(ICVL(miniature, "train")) == 2
    assert ICVL.recognises(miniature) and not ICVL.recognises(miniature / "Testing")
    sample = dataset[1]
    tips = torch.tensor(points(0.31) * [-1, 1, 1], dtype=torch.float32)[[3, 6, 9, 12, 15]]  # mirrored: a right hand
    torch.testing.assert_close(sample.joints[0, TIPS], tips, **CLOSE)
    assert sample.valid[0].nonzero().ravel().tolist() == list(TIPS)
    assert not sample.joints[0, sample.valid[0] == 0].any() and not sample.joints_2d[0, sample.valid[0] == 0].any()
    assert bool(sample.left) and sample.ids.tolist() == [[0, 1, 0]]
    pixels = sample.joints[0, TIPS] @ sample.K[0].T
    torch.testing.assert_close(sample.joints_2d[0, TIPS], pixels[:, :2] / pixels[:, 2:], atol=1e-3, rtol=0)
    assert (
        float(sample.joints[0, 4, 0] - sample.joints[0, 20, 0]) > 0.05
    )  # palm up front, a right thumb is on the right
    assert dataset[-1].ids.tolist() == [[1, 0, 0]]
    with pytest.raises(IndexError):
        dataset[3]


def test_all_points_are_those_of_the_file(miniature):
    torch.testing.assert_close(
        ICVL(miniature, "test").joints_16(1), torch.tensor(points(0.31), dtype=torch.float32), **CLOSE
    )


def test_depth_is_flipped_and_has_holes(miniature):
    depth = ICVL(miniature, "train")[0].sensed_depth[0]
    torch.testing.assert_close(depth[3, -8:-4], torch.tensor([0.311, 0, 0, 0.4]))


def test_missing_and_surplus_files_are_named(miniature):
    picture = miniature / "Testing" / "Depth" / "test_seq_1" / "image_0002.png"
    picture.touch()
    with pytest.raises(InputError, match=r"test_seq_1/image_0002.png: does not belong"):
        ICVL(miniature, "test")
    picture.unlink()
    picture.with_name("image_0000.png").unlink()
    with pytest.raises(InputError, match=r"test_seq_1/image_0000.png: is missing"):
        ICVL(miniature, "test")
    assert [ICVL(miniature, "test", whole=False)[i].ids.tolist() for i in (0, 1)] == [[[0, 1, 0]], [[1, 0, 0]]]


def test_training_may_lack_as_many_pictures_as_it_does(miniature, monkeypatch):
    (miniature / "Training" / "Depth" / "45" / "image_0000.png").unlink()
    with pytest.raises(InputError, match=r"Depth/45/image_0000.png: is missing"):
        ICVL(miniature, "train")
    monkeypatch.setattr(icvl, "OFFICIAL_PICTURES", 1)
    assert len(ICVL(miniature, "train")) == 1


def test_counts_and_parts(miniature):
    (miniature / "Testing" / "test_seq_2.txt").unlink()
    with pytest.raises(InputError, match=r"test_seq_2.txt: cannot be read"):
        ICVL(miniature, "test")
    assert len(ICVL(miniature, "test", whole=False)) == 2
    file = miniature / "Testing" / "test_seq_1.txt"
    file.write_text(line("test_seq_1/image_0000.png", points(0.3)))
    with pytest.raises(InputError, match=r"test_seq_1.txt: 2 frames expected, 1 found"):
        ICVL(miniature, "test")
    file.write_text(line("test_seq_1/image_0009.png", points(0.3)))
    with pytest.raises(
        InputError, match="holds none of the pictures of Testing/test_seq_1.txt and Testing/test_seq_2.txt"
    ):
        ICVL(miniature, "test", whole=False)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("\n" + line("a/b.png", points(0.3)[:15]), "line 2: a name and 48 numbers expected, has 45"),
        (line("a/b.png", points(0.3)) + "\n" + line("a/b.png", points(np.nan)), "line 2: has values"),
        (line("a/b.png", points(0.3)).replace("300.0", "3oo.0", 1), "line 1: has values that are not numbers"),
        (line("45/image_0000.png", points(0.3) * 0.001), "seem to be in metres, not in mm"),
    ],
)
def test_faults_of_labels(miniature, text, fault):
    (miniature / "Training" / "labels.txt").write_text(text)
    with pytest.raises(InputError, match=fault):
        ICVL(miniature, "train", whole=False)


def test_faults_of_pictures(miniature):
    dataset = ICVL(miniature, "train")
    picture = miniature / "Training" / "Depth" / "201403121135" / "image_0000.png"
    picture.write_bytes(picture.read_bytes()[:-40])
    with pytest.raises(InputError, match=r"image_0000.png: is truncated, damaged"):
        dataset[0]
    Image.new("L", (320, 240)).save(picture)
    with pytest.raises(InputError, match=r"image_0000.png: is not a 16-bit grey picture, but of kind L"):
        dataset[0]
    picture.unlink()
    with pytest.raises(InputError, match=r"image_0000.png: cannot be read: no such file"):
        dataset[0]
