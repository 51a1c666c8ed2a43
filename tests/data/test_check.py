from pathlib import Path

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.check import check_splits, recognise, reprojection_error, some_samples
from phalanx.data.dataset import Dataset, check_files
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
