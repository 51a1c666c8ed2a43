import numpy as np
import pytest
import torch
from PIL import Image
from true_hands import left_tips

from phalanx.core.errors import InputError
from phalanx.data.public import dexter_object
from phalanx.data.public.dexter_object import DEPTH_TO_COLOUR, SEQUENCES, DexterObject
from phalanx.hand.skeleton import TIPS

CLOSE = {"atol": 1e-5, "rtol": 0}


def lines(frame: int) -> tuple[str, str]:
    """Lines of the 3D and 2D file; the ring finger's tip is missing in frame 1. Three corners follow."""
    xyz = left_tips(frame)
    uv = xyz[:, :2] / xyz[:, 2:] * [224.502, 230.494] + [160, 120]
    xyz = xyz * [-1000, -1000, 1000]
    if frame == 1:
        xyz[3], uv[3] = 32001, 0
    corners = ["1.5, 2.5, 400"] * 3
    return (
        "; ".join([", ".join(f"{v:.4f}" for v in point) for point in xyz] + corners) + ";",
        "; ".join([", ".join(f"{v:.4f}" for v in point) for point in uv] + ["3, 4"] * 3) + ";",
    )


def write(folder, sequences=SEQUENCES, frames: int = 2):
    for number, sequence in enumerate(sequences):
        place = folder / "data" / sequence
        for kind in ("color", "depth", "annotations"):
            (place / kind).mkdir(parents=True)
        for dimension, column in (("3D", 0), ("2D", 1)):
            text = "\n".join(lines(frame)[column] for frame in range(frames)) + "\n"
            (place / "annotations" / f"{sequence}{dimension}.txt").write_text(text)
        for frame in range(frames):
            colour = np.zeros((480, 640, 3), dtype=np.uint8)
            colour[2, 3] = [255, 51, 40 * number + frame]
            depth = np.full((240, 320), 500, dtype=np.uint16)
            depth[3, 5:7] = [32001, 411]
            Image.fromarray(colour).save(place / "color" / f"image_{frame:05d}_color.png", compress_level=1)
            Image.fromarray(depth).save(place / "depth" / f"image_{frame:05d}_depth.png")
    return folder


@pytest.fixture(autouse=True)
def official(monkeypatch):
    monkeypatch.setattr(dexter_object, "OFFICIAL", {"frames": 12})


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return write(tmp_path_factory.mktemp("dexter") / "dexter+object")


def test_tips_as_the_depth_camera_sees_them(miniature):
    dataset = DexterObject(miniature, "depth")
    assert len(dataset) == 12 and DexterObject.recognises(miniature) and DexterObject.recognises(miniature.parent)
    assert not DexterObject.recognises(miniature / "data")
    sample = dataset[2]
    expected = torch.tensor(left_tips(0) * [-1, 1, 1], dtype=torch.float32)  # mirrored: a right hand
    torch.testing.assert_close(sample.joints[0, TIPS], expected, **CLOSE)
    assert float(expected[0, 0] - expected[4, 0]) > 0.05  # palm up front, a right thumb is on the right
    assert sample.valid[0].nonzero().ravel().tolist() == list(TIPS) and bool(sample.left)
    assert not sample.joints[0, sample.valid[0] == 0].any() and not sample.joints_2d[0, sample.valid[0] == 0].any()
    seen = sample.joints[0, TIPS] @ sample.K[0].T
    torch.testing.assert_close(sample.joints_2d[0, TIPS], seen[:, :2] / seen[:, 2:], atol=1e-3, rtol=0)
    torch.testing.assert_close(sample.sensed_depth[0, 3, -8:-4], torch.tensor([0.5, 0.411, 0, 0.5]))
    assert sample.ids.tolist() == [[1, 0, 1]] and sample.image is None


def test_tips_as_the_colour_camera_sees_them(miniature):
    sample = DexterObject(miniature.parent, "colour")[2]
    homogeneous = np.concatenate([left_tips(0), np.ones((5, 1))], axis=1)
    expected = homogeneous @ np.array(DEPTH_TO_COLOUR).T
    torch.testing.assert_close(
        sample.joints[0, TIPS], torch.tensor(expected * [-1, 1, 1], dtype=torch.float32), **CLOSE
    )
    assert abs(expected - left_tips(0)).max() < 0.03  # the cameras stand side by side
    seen = sample.joints[0, TIPS] @ sample.K[0].T
    torch.testing.assert_close(sample.joints_2d[0, TIPS], seen[:, :2] / seen[:, 2:], atol=1e-3, rtol=0)
    u = 587.45209 * expected[0, 0] / expected[0, 2] + 325
    assert float(sample.joints_2d[0, 4, 0]) == pytest.approx(639 - u, abs=1e-3)
    torch.testing.assert_close(sample.image[0, :, 2, 636], torch.tensor([1, 0.2, 40 / 255]))
    assert sample.ids.tolist() == [[1, 0, 0]] and sample.sensed_depth is None


def test_missing_tips_are_not_valid(miniature):
    for split in ("colour", "depth"):
        sample = DexterObject(miniature, split)[1]
        assert sample.valid[0, list(TIPS)].tolist() == [1, 1, 1, 0, 1]
        assert not sample.joints[0, 16].any() and not sample.joints_2d[0, 16].any()


def test_pictures_must_match_their_lines(tmp_path):
    place = write(tmp_path, ("Rigid",)) / "data" / "Rigid"
    assert len(DexterObject(tmp_path, "depth", whole=False)) == 2
    with pytest.raises(InputError, match=r"Grasp13D.txt: cannot be read: no such file"):
        DexterObject(tmp_path, "depth")
    (place / "depth" / "image_00002_depth.png").touch()
    with pytest.raises(InputError, match=r"depth/image_00002_depth.png: has no partner in the folder color"):
        DexterObject(tmp_path, "colour", whole=False)
    (place / "depth" / "image_00002_depth.png").unlink()
    (place / "depth" / "image_00000_depth.png").unlink()
    with pytest.raises(InputError, match=r"color/image_00000_color.png: has no partner in the folder depth"):
        DexterObject(tmp_path, "depth", whole=False)
    (place / "color" / "image_00000_color.png").unlink()
    with pytest.raises(InputError, match="Rigid: has 1 pictures of colour, 1 of depth, 2 lines of 3D and 2 of 2D"):
        DexterObject(tmp_path, "depth", whole=False)


def test_counts(miniature, tmp_path, monkeypatch):
    monkeypatch.setattr(dexter_object, "OFFICIAL", {"frames": 13})
    with pytest.raises(InputError, match="data: 13 frames expected, 12 found"):
        DexterObject(miniature, "depth")
    with pytest.raises(InputError, match="holds no <sequence>/annotations/<sequence>3D.txt of Grasp1"):
        DexterObject(tmp_path, "depth", whole=False)


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda text: text.replace(";", "", 4), "3D.txt: line 1: five tips of 3 numbers expected"),
        (lambda text: text.replace("400.0000", "4oo", 1), "3D.txt: line 1: has values that are not numbers"),
        (lambda text: text.replace("410.0000", "nan", 1), "3D.txt: line 2: has values that are not numbers"),
        (lambda text: text.replace("400.0000", "0.4").replace("410.0000", "0.41"), "seem to be in metres, not in mm"),
    ],
)
def test_faults_of_labels(tmp_path, spoil, fault):
    file = write(tmp_path, ("Rigid",)) / "data" / "Rigid" / "annotations" / "Rigid3D.txt"
    file.write_text(spoil(file.read_text()))
    with pytest.raises(InputError, match=fault):
        DexterObject(tmp_path, "depth", whole=False)


def test_faults_of_pictures(tmp_path):
    place = write(tmp_path, ("Rigid",), 1) / "data" / "Rigid"
    colour, depth = (DexterObject(tmp_path, split, whole=False) for split in ("colour", "depth"))
    picture = place / "depth" / "image_00000_depth.png"
    picture.write_bytes(picture.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"_depth.png: is truncated, damaged"):
        depth[0]
    Image.new("L", (320, 240)).save(picture)
    with pytest.raises(InputError, match=r"_depth.png: is not a 16-bit grey picture, but of kind L"):
        depth[0]
    Image.new("RGB", (320, 240)).save(place / "color" / "image_00000_color.png")
    with pytest.raises(InputError, match=r"_color.png: 640x480 pixels expected, has 320x240"):
        colour[0]
