import re
from pathlib import Path

import pytest
import torch
from PIL import Image

from phalanx.cli import main
from phalanx.core.errors import InputError
from phalanx.data.check import check_splits, recognise, reprojection_error, some_samples
from phalanx.data.dataset import Dataset, check_files
from phalanx.data.folders import PictureFolder
from phalanx.data.public import catalogue
from phalanx.data.public.catalogue import PLAIN_FOLDERS, PUBLIC_SETS
from phalanx.data.sample import Sample


class Dots(Dataset):
    """A set whose files are called 0.dot, 1.dot, ...; three are official."""

    name, splits, licence = "Dots", ("train", "test"), "none"

    def __init__(self, folder, split, whole=True):
        super().__init__(folder, split, whole)
        if not (self.folder / split).is_dir():
            raise InputError(f"{self.folder / split}: there is no such folder")
        self.files = sorted(path.name for path in (self.folder / split).iterdir())
        if whole:
            check_files(self.folder / split, [f"{i}.dot" for i in range(3)], self.files)

    @classmethod
    def recognises(cls, folder):
        return any((folder / split).is_dir() for split in cls.splits)

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        K = torch.tensor([[[50.0, 0, 10], [0, 50, 10], [0, 0, 1]]])
        joints = torch.tensor([0.01, 0.02, 0.5]).expand(1, 21, 3)
        return Sample(joints=joints, joints_2d=torch.tensor([11.0, 12.0 + index]).expand(1, 21, 2), K=K)


class Other(Dots):
    name = "Other"

    @classmethod
    def recognises(cls, folder):
        return (folder / "other").is_dir()


def make(folder: Path, split: str, count: int) -> Path:
    (folder / split).mkdir(parents=True)
    for i in range(count):
        (folder / split / f"{i}.dot").touch()
    return folder


def test_sets_are_recognised_by_their_layout(tmp_path):
    assert recognise(make(tmp_path / "dots", "test", 1), (Other, Dots)) is Dots
    with pytest.raises(InputError, match="none: there is no such folder"):
        recognise(tmp_path / "none", (Other, Dots))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="looks like none of the sets that are known: Other, Dots"):
        recognise(tmp_path / "empty", (Other, Dots))
    assert recognise(tmp_path / "dots", (Other,), (Dots,)) is Dots
    (tmp_path / "dots" / "other").mkdir()
    assert recognise(tmp_path / "dots", (Other,), (Dots,)) is Other
    with pytest.raises(InputError, match="looks like several sets: Other, Dots"):
        recognise(tmp_path / "dots", (Other, Dots))


def test_missing_and_surplus_files_are_named_and_the_rest_is_read(tmp_path):
    make(tmp_path, "train", 3)
    train, test = check_splits(tmp_path, Dots)
    assert train.fault is None and len(train.dataset) == 3
    assert test.dataset is None and test.fault.endswith("test: there is no such folder")
    (tmp_path / "train" / "1.dot").unlink()
    train, _ = check_splits(tmp_path, Dots)
    assert len(train.dataset) == 2 and "train/1.dot: is missing (1 of 3 files are)" in train.fault
    (tmp_path / "train" / "1.dot").touch()
    (tmp_path / "train" / "9.dot").touch()
    train, _ = check_splits(tmp_path, Dots)
    assert "train/9.dot: does not belong to the set" in train.fault
    with pytest.raises(InputError, match="the split all is none of train, test"):
        Dots(tmp_path, "all")


def test_the_exit_code_is_that_of_all_splits(tmp_path, monkeypatch, capsys):
    """One split that is whole does not speak for the other."""
    monkeypatch.setattr(catalogue, "PUBLIC_SETS", (Dots,))
    make(make(tmp_path / "dots", "train", 3), "test", 3)
    command = ["data", "check", str(tmp_path / "dots"), "--sheet", str(tmp_path / "sheet.png"), "--quiet"]
    assert main(command) == 0
    (tmp_path / "dots/test/1.dot").unlink()
    assert main(command) == 2
    complaint = capsys.readouterr().err
    assert "1 of 2 splits not whole, the first: test: " in complaint and "test/1.dot: is missing" in complaint


def test_samples_are_spread_evenly_and_their_labels_compared(tmp_path):
    dataset = Dots(make(tmp_path, "train", 3), "train")
    samples = some_samples(dataset, 2)
    assert [float(sample.joints_2d[0, 0, 1]) for sample in samples] == [12.0, 14.0]
    assert len(some_samples(dataset, 10)) == 3
    assert reprojection_error(samples[:1]) == pytest.approx(0, abs=1e-5)
    assert reprojection_error(samples) == pytest.approx(2, abs=1e-5)
    samples[1].valid = torch.zeros(1, 21)
    assert reprojection_error(samples) == pytest.approx(0, abs=1e-5)
    assert reprojection_error([Sample(joints=samples[0].joints)]) is None


WITHOUT_LABELS = [  # a set's name, files of it, and how the sentence about what is missing ends or goes on
    ("RHD", "evaluation/color/00000.png evaluation/depth/00000.png evaluation/mask/00000.png",
     "anno_evaluation.pickle: cannot be read: no such file"),
    ("STB", "images/B1Counting/BB_left_0.png", "labels/B1Counting_BB.mat: cannot be read: no such file"),
    ("STB", "labels/B1Counting_BB.mat", "images: has no pictures of the split test_bb"),
    ("MHP", "annotated_frames/data_1/0_webcam_1.jpg", "has no frames of the split test with <frame>_joints.txt"),
    ("FreiHAND", "training/rgb/00000000.jpg", "training_K.json: cannot be read: no such file"),
    ("HO-3D", "train/ABF10/rgb/0000.png train/ABF10/depth/0000.png", "train.txt: cannot be read: no such file"),
    ("HO-3D", "train/ABF10/rgb/0000.png train/ABF10/depth/0000.png train.txt", "meta/0000.pkl: is missing"),
    ("DexYCB", "20200709-subject-01/20200709_141754/836212060125/color_000000.jpg", "meta.yml: cannot be read"),
    ("InterHand2.6M", "images/test/Capture0/ROM01/cam400002/image1.jpg", "InterHand2.6M_test_data.json: cannot be read"),
    ("CMU Panoptic hands", "hand_labels/manual_test/a_l.jpg", "manual_test: holds no picture with a JSON file"),
    ("CMU Panoptic hands", "hand143_panopticdb/imgs/00000000.jpg", "hands_v143_14817.json: cannot be read"),
    ("Ge 2019 synthetic", "images/l01/cam01/a.png", "3D_labels/camPosition.txt: cannot be read: no such file"),
    ("Ge 2019 real-world", "images/00000.jpg params.mat", "(params|pose_gt).mat: "),
    ("Ge 2019 real-world", "images/00000.jpg pose_gt.mat", "params.mat: cannot be read: no such file"),
    ("NYU hand pose", "test/depth_1_0000001.png", "test/joint_data.mat: cannot be read: no such file"),
    ("NYU hand pose", "dataset/train/depth_1_0000001.png", "train/joint_data.mat: cannot be read: no such file"),
    ("MSRA15", "P0/1/000000_depth.bin", "has no P0/1/joint.txt"),
    ("MSRA15", "cvpr15_MSRAHandGestureDB/P0/1/000000_depth.bin", "has no P0/1/joint.txt"),
    ("ICVL hand posture", "Testing/Depth/test_seq_1/image_0000.png", "Testing/test_seq_1.txt"),
    ("HANDS 2017", "training/images/image_D00000001.png", "Training_Annotation.txt: cannot be read: no such file"),
    ("Dexter+Object", "data/Grasp1/color/a.png", "holds no <sequence>/annotations/<sequence>3D.txt of Grasp1"),
    ("EgoDexter", "data/Desk/color_on_depth/image_00000_color_on_depth.png", "holds no pictures and .*annotation.txt"),
    ("HGR", "hgr1_images/original_images/1_P_hgr1_id01_1.jpg", r"of hgr1 with masks \(hgr1_skin/skin_masks/<id>.bmp\)"),
    ("Senz3D", "data/S1/G1/1-color.png", "holds no files S<n>/G<n>/<n>-depth.bin"),
]  # fmt: skip


def lay(folder: Path, files: str) -> Path:
    """Pictures, and files that are none and hold nothing to be read but a frame of HO-3D."""
    for name in files.split():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".jpg"):
            Image.new("RGB", (20, 20)).save(path)
        else:
            path.write_text("ABF10/0000")
    return folder


@pytest.mark.parametrize(("name", "files", "message"), WITHOUT_LABELS, ids=range(len(WITHOUT_LABELS)))
def test_sets_without_labels_are_told_and_what_is_missing_is_named(tmp_path, name, files, message):
    folder = lay(tmp_path / "set", files)
    kind = recognise(folder, PUBLIC_SETS, PLAIN_FOLDERS)
    assert kind.name == name
    reports = check_splits(folder, kind)
    assert reports and all(report.fault for report in reports)
    assert any(re.search(message, report.fault) for report in reports), [report.fault for report in reports]
    with pytest.raises(InputError, match=rf"is around what looks like a set.*; check .*set \({re.escape(name)}\)"):
        recognise(tmp_path, PUBLIC_SETS, PLAIN_FOLDERS)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("HO-3D", "train/ABF10/rgb/0000.jpg evaluation/AP10/rgb/0000.jpg evaluation_xyz.json evaluation_verts.json"),
        ("HO-3D", "evaluation/AP10/rgb/0000.png evaluation_xyz.json"),
        ("FreiHAND", "evaluation/rgb/00000000.jpg evaluation_xyz.json evaluation_verts.json"),
        ("FreiHAND", "evaluation_xyz.json evaluation_scale.json"),
    ],
)
def test_label_files_that_sets_share_do_not_make_them_several(tmp_path, name, files):
    lay(tmp_path / "set", files)
    assert recognise(tmp_path / "set", PUBLIC_SETS).name == name
    if "/" in files:
        with pytest.raises(InputError, match=rf"; check {re.escape(str(tmp_path))}/set \({name}\)$"):
            recognise(tmp_path, PUBLIC_SETS, PLAIN_FOLDERS)


def test_a_set_deeper_below_is_found_and_several_are_named(tmp_path):
    lay(tmp_path / "a/b/one", "images/B1Counting/BB_left_0.png")
    lay(tmp_path / "two", "test/depth_1_0000001.png")
    with pytest.raises(InputError, match=r"check .*two \(NYU hand pose\), .*a/b/one \(STB\)"):
        recognise(tmp_path, PUBLIC_SETS, PLAIN_FOLDERS)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            "BB_left_0.png BB_right_0.png B1Counting_BB.mat",
            r"files of STB \(B1Counting_BB.mat, BB_left_0.png, BB_right_0",
        ),
        (
            "x/depth_1_0000001.png x/rgb_1_0000001.png",
            "files of NYU hand pose .*not in the layout.*phalanx.data.public.nyu",
        ),
        ("InterHand2.6M_test_data.json 1.jpg", "files of InterHand2.6M"),
        ("a/color/1.png a/depth/1.png", "a/depth: seems to hold depth or masks"),
        ("rgb/1.jpg mask/1.jpg", "mask: seems to hold depth or masks"),
        ("x/1.txt", "looks like none of the sets"),
    ],
)
def test_files_of_sets_and_depth_and_masks_are_no_plain_pictures(tmp_path, files, message):
    with pytest.raises(InputError, match=message):
        recognise(lay(tmp_path / "some", files), PUBLIC_SETS, PLAIN_FOLDERS)


@pytest.mark.parametrize(
    "files", ["1.jpg", "a/1.png b/2.png", "color/1.png", "train/rgb/1.jpg", "test/images/1.jpg notes.txt"]
)
def test_plain_pictures_are_plain_pictures(tmp_path, files):
    assert recognise(lay(tmp_path / "some", files), PUBLIC_SETS, PLAIN_FOLDERS) is PictureFolder


def test_real_samples_are_what_they_are(real):
    for name, message in (
        ("stereo_pair", "files of STB .B1Counting_BB.mat, BB_left_0.png"),
        ("nyu_published", "files of NYU hand pose .nyu_test_groundtruth_label.txt.gz, depth_1_0000001.png"),
    ):
        with pytest.raises(InputError, match=message):
            recognise(real(name), PUBLIC_SETS, PLAIN_FOLDERS)
    assert recognise(real("photos_digits"), PUBLIC_SETS, PLAIN_FOLDERS) is PictureFolder
    assert recognise(real("photos_3d"), PUBLIC_SETS, PLAIN_FOLDERS).name == "Ge 2019 real-world"
