"""Samples in files: WebDataset shards, tar files whose members share a key for each picture.

    00000003_00000000_00000005.image.png    colour
                              .depth.png    uint16, tenths of a millimetre, 0 = no reading; likewise
                              .sensed_depth.png
                              .mask.png     uint8, 255 = hand
                              .parts.png    uint8, 0 = nothing, else 1 + segment
                              .hand_masks.png  uint8, 255 = hand: this hand's mask above that of the person's other
                              .labels.npy   every other field of `Sample`, as the fields of one NumPy record

The key is the sample's `ids` (sequence, frame, view; for single synthetic pictures seed, chunk, number in the chunk). What a sample
does not have is left out. `webdataset` reads such files, and so does `read_shard`.
"""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.files import reason, write_whole
from phalanx.data.sample import Sample

DEPTH_UNIT = 1e-4  # metres
PICTURES = ("image", "depth", "sensed_depth", "mask", "parts", "hand_masks")
# One filter for all rows and runs of equal bytes alone: half the time of the library's own choice, at 2 % more bytes.
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # since OpenCV 4.11
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]


def write_shard(path: str | os.PathLike[str], samples: Iterable[Sample]) -> int:
    """Write all pictures of `samples`, which have `ids`, into one tar file, whole or not at all; returns how many.

    The bytes depend on the samples only.

    Raises:
        InputError: the file cannot be written.
    """
    pictures = (encode(sample, index) for sample in samples for index in range(len(sample)))
    with write_whole(path) as temporary, temporary.open("wb") as file:
        return write_pictures(file, pictures)


def write_pictures(file: BinaryIO, pictures: Iterable[Mapping[str, bytes]]) -> int:
    """The same into an open file, or memory, of pictures that `encode` made."""
    count = 0
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for picture in pictures:
            for name, content in picture.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
            count += 1
    return count


def encode(sample: Sample, index: int) -> dict[str, bytes]:
    """Picture `index` of `sample` as the contents of a shard's members by name."""
    fields = {name: value[index].cpu() for name, value in sample.present().items()}
    key = "_".join(f"{number:08d}" for number in fields["ids"].tolist())
    files = {}
    for name in PICTURES:
        if name in fields:
            files[f"{key}.{name}.png"] = cv2.imencode(".png", _TO_PIXELS[name](fields.pop(name)), _PNG)[1].tobytes()
    values = {name: value.numpy() for name, value in fields.items()}
    record = np.empty((), [(name, value.dtype.newbyteorder("<"), value.shape) for name, value in values.items()])
    for name, value in values.items():
        record[name] = value
    with io.BytesIO() as buffer:
        np.save(buffer, record)
        files[f"{key}.labels.npy"] = buffer.getvalue()
    return files


def read_shard(path: str | os.PathLike[str]) -> Iterator[Sample]:
    """The pictures of a shard, one a sample (B = 1).

    Raises:
        InputError: the file is missing, is no tar file, is cut short, or a member cannot be decoded.
    """
    path = Path(path)
    try:
        with tarfile.open(path, "r:") as tar:
            for key, members in groupby(tar, lambda member: member.name.split(".", 1)[0]):
                pixels: dict[str, np.ndarray] = {}
                for member in members:
                    file = tar.extractfile(member)
                    content = b"" if file is None else file.read()
                    if len(content) < member.size:
                        raise InputError(f"{path}: is cut short at {member.name}")
                    pixels |= decode_pixels(f"{path}: {member.name}", member.name.split(".", 1)[-1], content)
                if not pixels:
                    raise InputError(f"{path}: {key} holds nothing that a sample has")
                batch = {name: torch.from_numpy(array)[None] for name, array in pixels.items()}
                yield Sample(**pixels_to_fields(batch))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except tarfile.TarError as error:
        raise InputError(f"{path}: is not a whole tar file ({error})") from error


def decode_pixels(where: str, kind: str, content: bytes, fields: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """What a member of `kind` ("image.png", "labels.npy", ...) holds, by field, pictures as pixels; of labels `fields` alone.

    Raises InputError, beginning with `where`, if it cannot be decoded; a member of an unknown kind holds nothing.
    """
    try:
        if kind == "labels.npy":
            record = _record(content)
            return {n: record[n].copy() for n in record.dtype.names or () if fields is None or n in fields}
        field = kind.removesuffix(".png")
        if field in PICTURES:
            pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
            if pixels is None:
                raise ValueError("no picture")
            return {field: np.stack(cv2.split(pixels)[::-1]) if field == "image" else pixels}  # planes R, G, B
    except Exception as error:  # damaged files raise many kinds
        raise InputError(f"{where} cannot be decoded") from error
    return {}


def _record(content: bytes) -> np.ndarray:
    """What a NPY file holds. NumPy reads each header as Python code; here all of one form are read once."""
    length = 10 + int.from_bytes(content[8:10], "little")
    if content[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("not a NPY file of version 1")
    shape, _, dtype = _npy_header(content[8:length])
    if dtype.hasobject:
        raise ValueError("holds objects")
    return np.frombuffer(content, dtype, offset=length).reshape(shape)


@lru_cache(maxsize=256)
def _npy_header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype]:
    return np.lib.format.read_array_header_1_0(io.BytesIO(content))


def pixels_to_fields(pixels: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fields of a sample from `decode_pixels`' arrays, stacked to batches."""
    return {name: _FROM_PIXELS[name](value) if name in _FROM_PIXELS else value for name, value in pixels.items()}


def _depth_to_pixels(depth: Tensor) -> np.ndarray:
    return (depth / DEPTH_UNIT).round().clamp(0, 65535).numpy().astype(np.uint16)


def _depth_from_pixels(pixels: Tensor) -> Tensor:
    return pixels.float() * DEPTH_UNIT


_TO_PIXELS: dict[str, Callable[[Tensor], np.ndarray]] = {
    "image": lambda x: cv2.merge([*(x * 255).round_().clamp_(0, 255).byte().flip(0).numpy()]),  # planes B, G, R
    "depth": _depth_to_pixels,
    "sensed_depth": _depth_to_pixels,
    "mask": lambda x: (x * 255).round().byte().numpy(),
    "parts": lambda x: x.numpy(),
    "hand_masks": lambda x: (x * 255).round().byte().flatten(0, 1).numpy(),
}
_FROM_PIXELS: dict[str, Callable[[Tensor], Tensor]] = {
    "image": lambda x: x.float().div_(255),
    "depth": _depth_from_pixels,
    "sensed_depth": _depth_from_pixels,
    "mask": lambda x: x.float().div_(255),
    "hand_masks": lambda x: (x.float() / 255).unflatten(1, (2, -1)),
}
