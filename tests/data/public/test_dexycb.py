import numpy as np
import pytest
import torch
from dexycb_miniature import labels, to_master, write
from PIL import Image
from true_hands import bent_hand, is_right

from phalanx.core.errors import InputError
from phalanx.data.public import dexycb
from phalanx.data.public.dexycb import SERIALS, DexYCB, members

CLOSE = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(autouse=True)
def official(monkeypatch):
    monkeypatch.setattr(dexycb, "OFFICIAL", {"s0_train": 10 * 4 * 8})
    monkeypatch.setattr(dexycb, "OFFICIAL_PERSON", {"sequences": 5})


@pytest.fixture(scope="module")
def miniature(tmp_path_factory):
    return write(tmp_path_factory.mktemp("dexycb"))


def test_hands_come_in_our_conventions(miniature):
    dataset = DexYCB(miniature, "s0_train")
    assert len(dataset) == 320 and DexYCB.recognises(miniature) and not DexYCB.recognises(miniature / "calibration")
    sample = dataset[(4 + 1) * 8 + 3]  # the second person's second sequence, seen by the fourth camera
    joints = torch.tensor(bent_hand(0.71), dtype=torch.float32)
    torch.testing.assert_close(sample.joints[0], joints, **CLOSE)
    assert is_right(sample.joints[0]) and sample.left is None and bool(sample.valid.all())
    assert sample.ids.tolist() == [[101, 0, 3]]
    seen = sample.joints[0] @ sample.K[0].T
    torch.testing.assert_close(sample.joints_2d[0], seen[:, :2] / seen[:, 2:], atol=1e-3, rtol=0)
    torch.testing.assert_close(sample.sensed_depth[0, 0, :3], torch.tensor([0, 0.711, 0.9]))
    torch.testing.assert_close(sample.depth, sample.sensed_depth * sample.mask)
    assert float(sample.mask.sum()) == 6 and sample.image[0, 0, 100, ::600].round().tolist() == [1, 0]
    with pytest.raises(IndexError):
        dataset[320]


def test_left_hands_are_mirrored(miniature):
    sample = DexYCB(miniature, "s0_train")[16]
    assert bool(sample.left) and is_right(sample.joints[0])
    torch.testing.assert_close(sample.joints[0], torch.tensor(bent_hand(0.72), dtype=torch.float32), **CLOSE)
    seen = sample.joints[0] @ sample.K[0].T
    torch.testing.assert_close(sample.joints_2d[0], seen[:, :2] / seen[:, 2:], atol=1e-3, rtol=0)
    assert float(sample.mask[0, :2, -3:].sum()) == 6


def test_pictures_without_a_hand_count_and_have_no_joints(miniature):
    sample = DexYCB(miniature, "s0_train")[24]
    assert not sample.valid.any() and not sample.joints.any() and not sample.joints_2d.any()


def test_pictures_without_a_hand_are_told_and_may_be_left_out(miniature):
    dataset = DexYCB(miniature, "s0_train")
    shown = dataset.with_hand()
    assert shown.reshape(10, 4, 8).all((0, 2)).tolist() == [True, True, True, False] and shown.sum() == 240
    dataset.keep(shown)
    assert len(dataset) == 240 and dataset[24].ids.tolist() == [[100, 0, 0]]


def test_cameras_stand_in_the_masters_frame(miniature):
    sample = DexYCB(miniature, "s0_train")[5]
    in_camera = torch.tensor([0.1, -0.2, 0.7, 1.0])
    in_world = torch.tensor(to_master(5), dtype=torch.float32) @ in_camera
    torch.testing.assert_close(sample.world_to_camera[0] @ torch.cat([in_world, torch.ones(1)]), in_camera, **CLOSE)


def test_splits_are_the_authors():
    assert len(DexYCB.splits) == 12
    for split in DexYCB.splits:
        assert all(members(split))
    train, val, test = (members(f"s0_{part}") for part in ("train", "val", "test"))
    assert train == (list(range(10)), [i for i in range(100) if i % 5 != 4], list(range(8)))
    assert val[0] == [0, 1] and test[0] == list(range(2, 10)) and val[1] == test[1] == list(range(4, 100, 5))
    assert [members(f"s1_{part}")[0] for part in ("train", "val", "test")] == [[0, 1, 2, 3, 4, 5, 9], [6], [7, 8]]
    assert [members(f"s2_{part}")[2] for part in ("train", "val", "test")] == [[0, 1, 2, 3, 4, 5], [6], [7]]
    objects = [sorted({i // 5 for i in members(f"s3_{part}")[1]}) for part in ("train", "val", "test")]
    assert objects[1:] == [[3, 19], [7, 11, 15]] and sorted(n for part in objects for n in part) == list(range(20))
    for setup in ("s1", "s2"):
        assert members(f"{setup}_test")[1] == list(range(100))


def test_splits_open(miniature):
    assert [len(DexYCB(miniature, f"s0_{part}")) for part in ("val", "test")] == [2 * 8, 8 * 8]
    assert DexYCB(miniature, "s0_test")[0].ids.tolist() == [[204, 0, 0]]
    assert DexYCB(miniature, "s2_test")[1].ids.tolist() == [[1, 0, 7]]
    assert DexYCB(miniature, "s1_val")[0].ids.tolist() == [[600, 0, 0]]


def test_missing_and_surplus_files_are_named(tmp_path):
    folder = write(tmp_path, 1)
    place = folder / "20200711-subject-02" / "20200711_100000" / SERIALS[2]
    dexycb.OFFICIAL_PERSON["sequences"] = 1
    (place / "color_000001.jpg").touch()
    with pytest.raises(InputError, match=r"840412060917/color_000001.jpg: does not belong"):
        DexYCB(folder, "s0_train")
    (place / "color_000001.jpg").unlink()
    (place / "labels_000000.npz").unlink()
    with pytest.raises(InputError, match=r"840412060917/labels_000000.npz: is missing"):
        DexYCB(folder, "s0_train")
    assert len(DexYCB(folder, "s0_train", whole=False)) == 79
    (folder / "20200719-subject-10").rename(folder / "x")
    with pytest.raises(InputError, match=r"has no folder <date>-subject-10"):
        DexYCB(folder, "s0_train")
    assert len(DexYCB(folder, "s0_train", whole=False)) == 71
    with pytest.raises(InputError, match="holds no pictures with depth and labels of the split s0_val"):
        DexYCB(folder, "s0_val", whole=False)


def test_counts(miniature):
    dexycb.OFFICIAL["s0_train"] = 321
    with pytest.raises(InputError, match=r"\(s0_train\): 321 pictures expected, 320 found"):
        DexYCB(miniature, "s0_train")
    dexycb.OFFICIAL_PERSON["sequences"] = 6
    with pytest.raises(InputError, match="20200710-subject-01: 6 sequences expected, 5 found"):
        DexYCB(miniature, "s0_train")


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"joint_3d": bent_hand(0.7)[None] * 1000}, "should be in metres, but seem to be in millimetres"),
        ({"joint_3d": bent_hand(0.7)[None, :20]}, r"joint_3d: must have shape \(1, 21, 3\), has \(1, 20, 3\)"),
        ({"joint_2d": np.full((1, 21, 2), np.nan)}, "joint_2d: has values that are not finite"),
        ({"seg": None}, "lacks seg"),
    ],
)
def test_faults_of_labels(tmp_path, change, fault):
    folder = write(tmp_path, 1, SERIALS[:1])
    file = folder / "20200710-subject-01" / "20200710_100000" / SERIALS[0] / "labels_000000.npz"
    file.unlink()
    np.savez(file, **{k: v for k, v in (labels(0, "right") | change).items() if v is not None})
    dataset = DexYCB(folder, "s0_train", whole=False)
    with pytest.raises(InputError, match=rf"labels_000000.npz: .*{fault}"):
        dataset[0]
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(InputError, match=r"labels_000000.npz: is damaged or not an NPZ"):
        dataset[0]


@pytest.mark.parametrize(
    ("file", "text", "fault"),
    [
        ("20200710-subject-01/20200710_100000/meta.yml", "num_frames: [", "is damaged or not YAML"),
        ("20200710-subject-01/20200710_100000/meta.yml", "num_frames: 1", "lacks num_frames, mano_sides or"),
        (
            "20200710-subject-01/20200710_100000/meta.yml",
            "{num_frames: 1, mano_sides: [up], extrinsics: a}",
            "must be left or right, not up",
        ),
        (
            "20200710-subject-01/20200710_100000/meta.yml",
            "{num_frames: 1000000000000000, mano_sides: [left], extrinsics: a}",
            "num_frames is 1000000000000000; at most 10000 expected",
        ),
        (
            "calibration/extrinsics_20200702_151821/extrinsics.yml",
            f"extrinsics: {{'{SERIALS[0]}': [1, [2]]}}",
            "camera 836212060125: ",
        ),
        ("calibration/intrinsics/836212060125_640x480.yml", "color: {fx: 1}", "lacks fx, fy, ppx or ppy"),
        ("calibration/intrinsics/836212060125_640x480.yml", "- 1", "named values expected"),
        ("calibration/extrinsics_20200702_151821/extrinsics.yml", "extrinsics: {}", "lacks the camera 836212060125"),
        (
            "calibration/extrinsics_20200702_151821/extrinsics.yml",
            f"extrinsics: {{'{SERIALS[0]}': [1, 2]}}",
            r"camera 836212060125: must have shape \(12,\)",
        ),
        (
            "calibration/extrinsics_20200702_151821/extrinsics.yml",
            f"extrinsics: {{'{SERIALS[0]}': {[1] * 12}}}",
            "no rotation",
        ),
    ],
)
def test_faults_of_settings(tmp_path, file, text, fault):
    folder = write(tmp_path, 1, SERIALS[:1])
    (folder / file).write_text(text)
    with pytest.raises(InputError, match=fault):
        DexYCB(folder, "s0_train", whole=False)


def test_faults_of_pictures(tmp_path):
    folder = write(tmp_path, 1, SERIALS[:1])
    dataset = DexYCB(folder, "s0_train", whole=False)
    place = folder / "20200710-subject-01" / "20200710_100000" / SERIALS[0]
    depth, colour = place / "aligned_depth_to_color_000000.png", place / "color_000000.jpg"
    data = depth.read_bytes()
    depth.unlink()
    depth.write_bytes(data[:-30])
    with pytest.raises(InputError, match=r"_000000.png: is truncated, damaged"):
        dataset[0]
    Image.new("L", (640, 480)).save(depth)
    with pytest.raises(InputError, match=r"_000000.png: is not a 16-bit grey picture"):
        dataset[0]
    colour.unlink()
    Image.new("RGB", (320, 240)).save(colour)
    with pytest.raises(InputError, match=r"color_000000.jpg: 640x480 pixels expected, has 320x240"):
        dataset[0]
