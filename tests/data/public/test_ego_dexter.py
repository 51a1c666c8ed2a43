import numpy as np
import pytest
import torch
from PIL import Image
from true_hands import left_tips

from phalanx.core.errors import InputError
from phalanx.data.public import ego_dexter
from phalanx.data.public.ego_dexter import SEQUENCES, EgoDexter
from phalanx.hand.skeleton import TIPS

CLOSE = {"atol": 1e-5, "rtol": 0}


def lines(frame: int) -> tuple[str, str]:
    """Lines of the 3D and 2D file: none known in frame 1; in frame 2 no ring finger's tip, and the thumb's in space alone."""
    xyz = left_tips(frame)
    uv = np.rint(xyz[:, :2] / xyz[:, 2:] * 475.62 + [311.125, 245.965]).astype(int)
    missing = {1: slice(None), 2: slice(3, 4)}.get(frame, slice(0))
    xyz[missing], uv[missing] = 0, -1
    if frame == 2:
        uv[0] = -1
    return (
        "".join(", ".join(f"{v:.4f}" for v in point) + "; " for point in xyz * 1000),
        "".join(f"{u}, {v}; " for u, v in uv),
    )


def write(folder, sequences=SEQUENCES):
    for sequence in sequences:
        place = folder / "data" / sequence
        for kind in ("depth", "color_on_depth"):
            (place / kind).mkdir(parents=True)
        for name, column in (("annotation.txt_3D.txt", 0), ("annotation.txt", 1)):
            (place / name).write_text("\n".join(lines(frame)[column] for frame in range(3)) + "\n")
        for frame in range(3):
            colour = np.zeros((480, 640, 3), dtype=np.uint8)
            colour[2, 3] = [255, 51, 40 * frame]
            depth = np.full((480, 640), 500, dtype=np.uint16)
            depth[3, 5:7] = [32001, 411]
            Image.fromarray(depth).save(place / "depth" / f"image_{frame:05d}_depth.png", compress_level=1)
            file = place / "color_on_depth" / f"image_{frame:05d}_color_on_depth.png"
            Image.fromarray(colour).save(file, compress_level=1)
    return folder


@pytest.fixture(autouse=True)
def official(monkeypatch):
    monkeypatch.setattr(ego_dexter, "OFFICIAL", {"labelled frames": 8})


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return write(tmp_path_factory.mktemp("ego") / "EgoDexter")


def test_tips_come_in_our_conventions(miniature):
    dataset = EgoDexter(miniature, "test")
    assert len(dataset) == 8 and EgoDexter.recognises(miniature) and EgoDexter.recognises(miniature.parent)
    assert not EgoDexter.recognises(miniature / "data")
    sample = dataset[2]
    expected = torch.tensor(left_tips(0) * [-1, 1, 1], dtype=torch.float32)  # mirrored: a right hand
    torch.testing.assert_close(sample.joints[0, TIPS], expected, **CLOSE)
    assert float(expected[0, 0] - expected[4, 0]) > 0.05  # palm up front, a right thumb is on the right
    assert sample.valid[0].nonzero().ravel().tolist() == list(TIPS) and bool(sample.left)
    assert not sample.joints[0, sample.valid[0] == 0].any() and not sample.joints_2d[0, sample.valid[0] == 0].any()
    seen = sample.joints[0, TIPS] @ sample.K[0].T
    torch.testing.assert_close(sample.joints_2d[0, TIPS], seen[:, :2] / seen[:, 2:], atol=0.501, rtol=0)
    torch.testing.assert_close(sample.sensed_depth[0, 3, -8:-4], torch.tensor([0.5, 0.411, 0, 0.5]))
    torch.testing.assert_close(sample.image[0, :, 2, 636], torch.tensor([1, 0.2, 0]))
    assert sample.ids.tolist() == [[1, 0, 0]]


def test_frames_without_labels_are_left_out_and_missing_tips_are_not_valid(miniature):
    sample = EgoDexter(miniature.parent, "test")[1]
    assert sample.ids.tolist() == [[0, 2, 0]]
    assert sample.valid[0, list(TIPS)].tolist() == [1, 1, 1, 0, 1]
    assert not sample.joints[0, 16].any() and not sample.joints_2d[0, 16].any()
    u = 475.62 * left_tips(2)[0, 0] / left_tips(2)[0, 2] + 311.125  # the thumb's pixel is not labelled, its point is
    assert float(sample.joints_2d[0, 4, 0]) == pytest.approx(639 - u, abs=1e-3)


def test_missing_and_surplus_files_are_named(tmp_path):
    place = write(tmp_path, ("Desk", "Kitchen")) / "data" / "Desk"
    with pytest.raises(InputError, match=r"Fruits/annotation.txt_3D.txt: cannot be read"):
        EgoDexter(tmp_path)
    surplus = place / "depth" / "image_00003_depth.png"
    surplus.touch()
    with pytest.raises(InputError, match=r"depth/image_00003_depth.png: does not belong"):
        EgoDexter(tmp_path)
    surplus.unlink()
    (place / "color_on_depth" / "image_00000_color_on_depth.png").unlink()
    with pytest.raises(InputError, match=r"image_00000_color_on_depth.png: is missing"):
        EgoDexter(tmp_path)
    part = EgoDexter(tmp_path, whole=False)
    assert len(part) == 3 and part[0].ids.tolist() == [[0, 2, 0]] and part[1].ids.tolist() == [[2, 0, 0]]


def test_counts(miniature, tmp_path, monkeypatch):
    monkeypatch.setattr(ego_dexter, "OFFICIAL", {"labelled frames": 9})
    with pytest.raises(InputError, match="data: 9 labelled frames expected, 8 found"):
        EgoDexter(miniature)
    with pytest.raises(InputError, match="holds no pictures and <sequence>/annotation.txt of Desk"):
        EgoDexter(tmp_path, whole=False)


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda text: text.replace(";", "", 1), "line 1: five tips of 3 numbers expected"),
        (lambda text: text.replace("400.0000", "4oo", 1), "line 1: has values that are not numbers"),
        (lambda text: text.replace("420.0000", "nan", 1), "line 3: has values that are not numbers"),
        (lambda text: text.replace("400.", "0.4").replace("420.", "0.42"), "seem to be in metres, not in mm"),
        (lambda text: text.split("\n")[0], "has 1 lines, annotation.txt has 3"),
    ],
)
def test_faults_of_labels(tmp_path, spoil, fault):
    file = write(tmp_path, ("Desk",)) / "data" / "Desk" / "annotation.txt_3D.txt"
    file.write_text(spoil(file.read_text()))
    with pytest.raises(InputError, match=fault):
        EgoDexter(tmp_path, whole=False)


def test_faults_of_pictures(tmp_path):
    place = write(tmp_path, ("Desk",)) / "data" / "Desk"
    dataset = EgoDexter(tmp_path, whole=False)
    depth = place / "depth" / "image_00000_depth.png"
    depth.write_bytes(depth.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"_depth.png: is truncated, damaged"):
        dataset[0]
    Image.new("L", (640, 480)).save(depth)
    with pytest.raises(InputError, match=r"_depth.png: is not a 16-bit grey picture"):
        dataset[0]
    Image.new("RGB", (320, 240)).save(place / "color_on_depth" / "image_00000_color_on_depth.png")
    with pytest.raises(InputError, match=r"_color_on_depth.png: 640x480 pixels expected, has 320x240"):
        dataset[0]
