"""What every reader of a public set is: labelled hands by number, as the authors distribute them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path

from phalanx.core.errors import InputError
from phalanx.data.sample import Sample


class Dataset(ABC):
    """The labelled hands of one split of one public set on disk.

    A reader is one module, `data/<set>.py`, whose head says layout, units, axes, joint order and their source. Opening it reads the
    annotations and makes sure that the split is whole; pictures are read when asked for. `dataset[i]` is a checked sample of one
    hand (B = 1) in our conventions: metres, OpenCV axes, our joint order, left hands mirrored (`Sample.left`), joints that
    the set does not have not `valid`. Attributes `name`, `splits` and `licence` belong to the class.

    Args:
        folder: the set's folder, as its archives unpack.
        split: one of `splits`.
        whole: make sure that the split has its official number of pictures and labels; False opens what is there of it.

    Raises:
        InputError: naming the file and the fault, here and when a hand is asked for.
    """

    name: str
    splits: tuple[str, ...]
    licence: str
    """What the authors ask of users, in a few words."""
    marks: tuple[str, ...] = ()
    """Patterns of paths below the set's folder, any of which identifies it: pictures too, so that a set without labels is known."""
    files: tuple[str, ...] = ()
    """Patterns of names that the set's files have and no others, wherever they lie."""

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        if split not in self.splits:
            raise InputError(f"{self.name}: the split {split} is none of {', '.join(self.splits)}")
        self.folder, self.split, self.whole = Path(folder), split, whole

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        """Whether `folder` looks like this set, or a part of it, by its folders and a few files; reads no content.

        What looks like the set need not open: it may lack what it cannot be read without, which opening it names.
        """
        return any(next(Path(folder).glob(mark), None) is not None for mark in cls.marks)

    @abstractmethod
    def __len__(self) -> int:
        """Number of hands."""

    @abstractmethod
    def __getitem__(self, index: int) -> Sample:
        """Hand `index` as a sample with B = 1. Raises IndexError beyond the last, InputError for files at fault."""


def inner_folder(folder: Path, name: str) -> Path:
    """`folder / name` where it is there, else `folder`: archives are unpacked with or without the folder that they hold."""
    return folder / name if (folder / name).is_dir() else folder


def check_files(folder: Path, expected: Iterable[str], found: Iterable[str]) -> None:
    """Raise InputError naming the first file of `folder` that is missing or surplus, by relative path."""
    wanted, there = set(expected), set(found)
    if missing := wanted - there:
        raise InputError(f"{folder / min(missing)}: is missing ({len(missing)} of {len(wanted)} files are)")
    if surplus := there - wanted:
        raise InputError(f"{folder / min(surplus)}: does not belong to the set ({len(surplus)} files do not)")


def check_count(name: str, found: Mapping[str, int], official: Mapping[str, int]) -> None:
    """Raise InputError if the number of something, by what it is, is not the official one."""
    for what, count in official.items():
        if found.get(what, 0) != count:
            raise InputError(f"{name}: {count} {what} expected, {found.get(what, 0)} found")
