import gzip

import numpy as np
import pytest
import torch
from nyu_miniature import points, write
from PIL import Image
from scipy.io import savemat
from true_hands import bent_hand, is_right

from phalanx.core.errors import InputError
from phalanx.data.public import nyu
from phalanx.data.public.nyu import JOINTS_14, NYU


@pytest.fixture(autouse=True)
def official(monkeypatch):
    monkeypatch.setitem(nyu.OFFICIAL, "test", 2)


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return write(tmp_path_factory.mktemp("nyu"), points())


def test_every_hand_comes_in_our_conventions(miniature):
    dataset = NYU(miniature, "test")
    assert len(dataset) == 6 and NYU.recognises(miniature) and not NYU.recognises(miniature / "test")
    for index in range(6):
        view, frame = divmod(index, 2)
        sample = dataset[index]
        joints = torch.tensor(bent_hand(0.6 + 0.1 * view + 0.01 * frame), dtype=torch.float32)
        torch.testing.assert_close(sample.joints[0], joints, atol=1e-6, rtol=0)
        assert is_right(sample.joints[0]) and sample.left is None and sample.valid is None
        assert sample.ids.tolist() == [[0, frame + 1, view + 1]]
        u, v = 588.036865 * joints[:, 0] / joints[:, 2] + 320, 240 + 587.075073 * joints[:, 1] / joints[:, 2]
        torch.testing.assert_close(sample.joints_2d[0], torch.stack([u, v], dim=-1), atol=1e-3, rtol=0)
    with pytest.raises(IndexError):
        dataset[6]


def test_depth_joins_two_channels_and_far_is_no_reading(miniature):
    sample = NYU(miniature, "test")[0]
    corner = torch.tensor([[0, 0.513], [0.255, 0.256]])
    torch.testing.assert_close(sample.sensed_depth[0, :2, :2], corner)
    assert float(sample.sensed_depth[0, 100, 100]) == pytest.approx(0.7)
    torch.testing.assert_close(sample.image[0, :, 5, 7], torch.tensor([1, 0.2, 0]))


def test_the_14_points_are_those_of_the_files(miniature):
    expected = points()[1, 1, list(JOINTS_14)] / [1000, -1000, 1000]
    np.testing.assert_allclose(NYU(miniature, "test").joints_14(3), expected, atol=1e-6)


def test_the_second_person_has_another_number(miniature, monkeypatch):
    monkeypatch.setattr(nyu, "SECOND_PERSON", 1)
    dataset = NYU(miniature, "test")
    assert [int(dataset[index].ids[0, 0]) for index in (0, 1)] == [0, 1]


def test_a_missing_and_a_surplus_file_are_named_and_parts_open(tmp_path):
    folder = write(tmp_path, points())
    (folder / "test" / "depth_2_0000002.png").unlink()
    (folder / "test" / "rgb_1_0000001.png").unlink()
    with pytest.raises(InputError, match=r"depth_2_0000002.png: is missing \(2 of 12"):
        NYU(folder, "test")
    part = NYU(folder, "test", whole=False)
    assert len(part) == 5 and part[0].image is None and part[1].image is not None
    assert part[3].ids.tolist() == [[0, 1, 3]]


def test_surplus_and_counts(tmp_path, monkeypatch):
    folder = write(tmp_path / "dataset", points(frames=1)).parent  # as the archive unpacks
    assert NYU.recognises(folder)
    with pytest.raises(InputError, match=r"joint_data.mat: 2 frames expected, 1 found"):
        NYU(folder, "test")
    monkeypatch.setitem(nyu.OFFICIAL, "test", 1)
    assert len(NYU(folder, "test")) == 3
    (folder / "dataset" / "test" / "depth_1_0000002.png").touch()
    with pytest.raises(InputError, match=r"depth_1_0000002.png: does not belong"):
        NYU(folder, "test")
    with pytest.raises(InputError, match="split val"):
        NYU(folder, "val")


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (lambda xyz: xyz / 1000, "seem to be in metres"),
        (lambda xyz: xyz * 10, "no known unit"),
        (lambda xyz: xyz * [1, 1, -1], "behind the camera; is the sign of z right"),
        (lambda xyz: xyz[:, :, :21], r"\(3, any, 36, 3\), has \(3, 2, 21, 3\)"),
        (lambda xyz: np.where(np.arange(2)[:, None, None] == 1, np.nan, xyz), "view 1, frame 2, has values"),
    ],
)
def test_faults_of_labels(tmp_path, spoil, fault):
    (tmp_path / "test").mkdir()
    savemat(tmp_path / "test" / "joint_data.mat", {"joint_xyz": spoil(points())})
    with pytest.raises(InputError, match=fault):
        NYU(tmp_path, "test")


def test_faults_of_files(tmp_path):
    with pytest.raises(InputError, match=r"joint_data.mat: cannot be read: no such file"):
        NYU(tmp_path, "test")
    folder = write(tmp_path / "a", points())
    picture = folder / "test" / "depth_1_0000001.png"
    picture.write_bytes(picture.read_bytes()[:200])
    with pytest.raises(InputError, match=r"depth_1_0000001.png: the picture is truncated"):
        NYU(folder, "test")[0]
    (folder / "test" / "rgb_1_0000001.png").rename(picture)
    with pytest.raises(InputError, match=r"has red in it"):
        NYU(folder, "test", whole=False)[0]
    Image.new("RGB", (320, 240)).save(picture)
    with pytest.raises(InputError, match=r"640x480 pixels expected, has 320x240"):
        NYU(folder, "test", whole=False)[0]
    labels = folder / "test" / "joint_data.mat"
    labels.write_bytes(labels.read_bytes()[:300])
    with pytest.raises(InputError, match=r"joint_data.mat: is damaged"):
        NYU(folder, "test")
    savemat(labels, {"joint_uvd": points()})
    with pytest.raises(InputError, match=r"no variable joint_xyz"):
        NYU(folder, "test")


def test_a_real_frame(tmp_path, real):
    """The set's first test frame: its published points lie a little behind the surface that its depth picture shows."""
    folder = real("nyu_published")
    uvd = np.array(gzip.open(folder / "nyu_test_groundtruth_label.txt.gz").readline().split(), dtype=float)
    u, v, d = uvd.reshape(14, 3).T
    xyz = np.stack([(u - 320) * d / 588.03, -(v - 240) * d / 587.07, d], axis=-1)  # as the community turns them
    every = points(frames=1)  # what is not published is a synthetic hand
    every[0, 0, list(JOINTS_14)] = xyz
    (tmp_path / "test").mkdir()
    savemat(tmp_path / "test" / "joint_data.mat", {"joint_xyz": every})
    for kind in ("depth", "rgb"):
        (tmp_path / "test" / f"{kind}_1_0000001.png").symlink_to(folder / f"{kind}_1_0000001.png")
    dataset = NYU(tmp_path, "test", whole=False)
    assert len(dataset) == 1
    sample, joints = dataset[0], dataset.joints_14(0).double().numpy()

    pixels = joints @ sample.K[0].double().numpy().T
    pixels = pixels[:, :2] / pixels[:, 2:]
    np.testing.assert_allclose(pixels, np.stack([u, v], axis=-1), atol=0.01)
    column, row = np.rint(pixels).astype(int).T
    behind = joints[:, 2] - sample.sensed_depth[0].numpy()[row, column]
    assert (behind > 0).all() and behind.max() < 0.035  # flesh between skin and bone
    little, index, side_a, side_b = joints[[1, 7, 11, 12]]
    facing = np.cross(index - (side_a + side_b) / 2, little - (side_a + side_b) / 2)
    assert facing[2] < 0  # a right palm, seen from its inside, as the picture shows

    hidden = sample.sensed_depth[0] == 0  # nothing nearer than the sensor's end
    assert 0.5 < float(hidden.float().mean()) < 0.7
    black = sample.image[0].sum(0) == 0
    assert float(hidden[black].float().mean()) > 0.98  # colour lies on depth
