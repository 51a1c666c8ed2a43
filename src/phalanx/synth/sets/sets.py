"""Sets on disk: pictures in shards, with a manifest. A set that was killed at any moment goes on when it is started again.

A shard's content is a function of settings, seed, its number and the engine (`synth.version`); it appears whole or not at all. So
nothing is lost or made twice, and the bytes are the same however many processes or machines (`synth.sets.cluster`) make it.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import platform
import shutil
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypedDict

import cv2
import numpy as np
import torch

from phalanx import __version__
from phalanx.core.errors import InputError
from phalanx.core.files import file_checksum, reason, writable_folder, write_json, write_whole
from phalanx.core.parallel import prepare_worker, shared
from phalanx.data.loading import index_shards
from phalanx.data.shards import encode, write_pictures
from phalanx.synth.chunks import make_chunk
from phalanx.synth.config import SynthConfig
from phalanx.synth.scene.rigs import load_rig
from phalanx.synth.sets.cluster import Cluster, connect
from phalanx.synth.version import ENGINE

SCHEMA = "phalanx.set/2"
CHUNKS = 32  # in a shard
_SPARE = 1.05  # disk wanted beyond the estimate
_MOST = 10**9  # pictures


class Entry(TypedDict):
    """A shard in a manifest."""

    file: str
    pictures: int
    bytes: int
    sha256: str


class PlanSettings(TypedDict):
    """A `Plan` in a manifest."""

    synth: dict[str, object]
    seed: int
    count: int


class Manifest(PlanSettings):
    """What lies beside the shards of a set: what they are made of and what they must be."""

    schema: str
    version: str
    engine: int
    licence: str
    surroundings: dict[str, str]
    complete: bool
    shards: dict[str, Entry]
    """By number."""


@dataclass(frozen=True)
class Plan:
    """What a set will contain."""

    config: SynthConfig
    seed: int
    count: int  # pictures

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63 or not 1 <= self.count <= _MOST:
            raise InputError(
                f"set: needs a seed of 0 to 2^63 - 1 and a count of 1 to {_MOST}, not {self.seed}, {self.count}"
            )

    @property
    def shards(self) -> int:
        """Number of shards."""
        return math.ceil(self.count / self._full)

    def name(self, shard: int) -> str:
        """File name of a shard."""
        return f"shard_{shard:06d}.tar"

    def pictures(self, shard: int) -> int:
        """Number of pictures in a shard; the last may hold fewer than the others."""
        return min(self._full, self.count - shard * self._full)

    def chunks(self, shard: int) -> range:
        """Numbers of the chunks in a shard."""
        first = shard * CHUNKS
        return range(first, first + math.ceil(self.pictures(shard) / self.config.pictures))

    @property
    def _full(self) -> int:
        """Pictures in a full shard."""
        return CHUNKS * self.config.pictures

    def settings(self) -> PlanSettings:
        """As the manifest has it."""
        folders = _folders(self.config)  # machines may keep them in different places
        settings = asdict(self.config) | {name: folder.name for name, folder in folders.items()}
        for name in ("poses", "realism"):  # sets from before there were such settings go on
            file = settings.pop(name)
            settings |= {} if file is None else {name: Path(file).name}
        if self.config.realism is None:
            del settings["realism_share"]
        return {"synth": settings, "seed": self.seed, "count": self.count}


@dataclass
class Estimate:
    """What it will take to finish a set."""

    seconds: float
    bytes: int
    free: int  # bytes on the disk


def make_set(
    plan: Plan,
    out: str | os.PathLike[str],
    workers: int = 1,
    say: Callable[[str], None] = print,
    progress: Callable[[int, int], None] = lambda done, total: None,
    ray: str | None = None,
) -> Path:
    """Make the set, or what is still missing of it, in the folder `out`; returns its manifest.

    Args:
        plan: what to make.
        out: the folder; shards that are there are kept.
        workers: processes, this one among them; with a cluster, its processors count instead.
        say: is given a line on the time and the disk that it will take.
        progress: is called after every shard with the number of pictures that are done, and of all.
        ray: address of a Ray cluster whose machines make the shards, "host:port" or "auto"; "local" starts Ray on this machine
            with `workers` processors. Only this process writes to `out`, so the machines need not share a disk.

    Raises:
        InputError: the folder holds another set, or one that another version of the engine began; it cannot be written, or the disk
            is too small; there is no such cluster, or one of its machines has other photographs or versions. What is there stays.
    """
    folder = writable_folder(out)
    path = folder / "manifest.json"
    manifest = _open_manifest(path, plan)
    for left in folder.glob(".shard_*.part.tar"):  # of a run that was killed
        left.unlink(missing_ok=True)
    there = {shard for shard in range(plan.shards) if (folder / plan.name(shard)).exists()}
    for shard in sorted(there):
        _check_shard(plan, shard, folder / plan.name(shard), manifest["shards"])
    missing = [shard for shard in range(plan.shards) if shard not in there]
    done = sum(map(plan.pictures, there))
    machines: AbstractContextManager[Cluster | None] = nullcontext()
    numbers = array("q")  # of the chunks that this process and its workers make
    if ray is not None and missing:
        machines = connect(ray, workers)
    else:
        numbers.extend(chunk for shard in missing for chunk in plan.chunks(shard))
    with machines as cluster, shared(partial(_encoded, plan), numbers, workers) as chunks:
        if missing:
            _announce(plan, missing, folder, workers if cluster is None else cluster.processors, say)
        write_json(path, manifest, indent=1)
        made = _write(plan, missing, folder, chunks) if cluster is None else _have_made(plan, missing, folder, cluster)
        for shard, entry in made:
            manifest["shards"][str(shard)] = entry
            write_json(path, manifest, indent=1)
            done += entry["pictures"]
            progress(done, plan.count)
    manifest["complete"] = True
    manifest["shards"] = {number: manifest["shards"][number] for number in sorted(manifest["shards"], key=int)}
    write_json(path, manifest, indent=1)
    return path


def _check_shard(plan: Plan, shard: int, path: Path, entries: dict[str, Entry]) -> None:
    """Check that a shard is the one in the manifest or, if the manifest does not have it yet, that it is whole."""
    entry = entries.get(str(shard))
    if entry is None:
        if len(index_shards([path])) != plan.pictures(shard):
            raise InputError(
                f"{path}: does not hold the {plan.pictures(shard)} pictures of its number; delete it to make it again"
            )
        entries[str(shard)] = _entry(path, plan.pictures(shard))
    elif path.stat().st_size != entry["bytes"]:
        raise InputError(f"{path}: is damaged (its size differs from the manifest's); delete it to make it again")


def _announce(plan: Plan, missing: list[int], folder: Path, workers: int, say: Callable[[str], None]) -> None:
    """Say what the shards `missing` will take, and refuse them where the disk is too small."""
    estimate = estimate_set(plan, missing, folder, workers)
    say(
        f"{sum(map(plan.pictures, missing))} of {plan.count} pictures to make: about {_duration(estimate.seconds)} with "
        f"{workers} worker{'s' * (workers > 1)}, {_amount(estimate.bytes)} ({_amount(estimate.free)} are free)"
    )
    if estimate.bytes * _SPARE > estimate.free:
        raise InputError(
            f"{folder}: the set needs about {_amount(estimate.bytes)} and {_amount(estimate.free)} are free"
        )


def _amount(size: float) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.2f} MB"


def estimate_set(plan: Plan, missing: list[int], folder: Path, workers: int) -> Estimate:
    """What the shards `missing` will take, from making and encoding one chunk twice (the first time builds the banks)."""
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        sample = make_chunk(plan.config, plan.seed, 0)
        size = sum(len(content) for i in range(len(sample)) for content in encode(sample, i).values())
        setup, seconds = seconds, time.perf_counter() - started
    chunks = sum(map(plan.pictures, missing)) / plan.config.pictures
    return Estimate(
        chunks * seconds / max(1, min(workers, chunks)) + setup,
        math.ceil(chunks * size),
        shutil.disk_usage(folder).free,
    )


def read_manifest(out: str | os.PathLike[str], say: Callable[[str], None] = print) -> Manifest:
    """The manifest of the set in the folder `out`.

    Args:
        out: the folder.
        say: is given a line if another version of the engine made the set: the same settings would give other pictures now.

    Raises:
        InputError: there is no manifest of a set.
    """
    path = Path(out) / "manifest.json"
    manifest = _read(path)
    if (engine := manifest.get("engine")) != ENGINE:
        say(f"{path}: the set was made by {_of_engine(engine)}, this is {ENGINE}, which draws other pictures")
    return manifest


def verify_set(out: str | os.PathLike[str], say: Callable[[str], None] = print) -> int:
    """Compare every shard with the manifest's checksums; returns the number of pictures.

    Args:
        out: the folder of the set.
        say: as in `read_manifest`.

    Raises:
        InputError: names the first file that is missing, surplus or changed, or says that the set is not complete.
    """
    folder = Path(out)
    manifest = read_manifest(folder, say)
    for entry in manifest["shards"].values():
        path = folder / entry["file"]
        if not path.exists():
            raise InputError(f"{path}: is missing; make the set again into the same folder to fill the gap")
        if file_checksum(path) != entry["sha256"]:
            raise InputError(f"{path}: is damaged (checksum differs); delete it and make the set again")
    if surplus := {p.name for p in folder.glob("*.tar")} - {entry["file"] for entry in manifest["shards"].values()}:
        raise InputError(f"{folder / min(surplus)}: is not in the manifest")
    if not manifest["complete"]:
        raise InputError(f"{folder}: the set is not complete; make it again into the same folder to go on")
    return sum(entry["pictures"] for entry in manifest["shards"].values())


def _encoded(plan: Plan, chunk: int) -> list[dict[str, bytes]]:
    """The pictures of a chunk that belong to the set, each as `encode` makes it."""
    sample = make_chunk(plan.config, plan.seed, chunk)
    return [encode(sample, index) for index in range(min(len(sample), plan.count - chunk * plan.config.pictures))]


def _write(
    plan: Plan, missing: list[int], folder: Path, chunks: Iterator[list[dict[str, bytes]]]
) -> Iterator[tuple[int, Entry]]:
    """Write shards of the encoded chunks that come, one after the other."""
    for shard in missing:
        path = folder / plan.name(shard)
        with write_whole(path) as part, part.open("wb") as file:
            write_pictures(file, chain.from_iterable(islice(chunks, len(plan.chunks(shard)))))
        yield shard, _entry(path, plan.pictures(shard))


def _have_made(plan: Plan, missing: list[int], folder: Path, cluster: Cluster) -> Iterator[tuple[int, Entry]]:
    """Shards as the machines of a cluster finish them, in any order."""
    plan = _from_anywhere(plan)
    for shard, content in cluster.map(partial(_make_far, plan, surroundings(plan)), missing):
        path = folder / plan.name(shard)
        with write_whole(path) as part:
            part.write_bytes(content)
        yield shard, _entry(path, plan.pictures(shard))


def _from_anywhere(plan: Plan) -> Plan:
    """The plan as it holds in any working directory."""
    folders: dict[str, Any] = {name: folder.absolute() for name, folder in _folders(plan.config).items()}
    if plan.config.realism is not None:
        folders["realism"] = plan.config.realism.absolute()
    return replace(plan, config=replace(plan.config, **folders))


def _folders(config: SynthConfig) -> dict[str, Path]:
    """The folders of pictures that a config names, by its fields."""
    named = {"backgrounds": config.backgrounds, "panoramas": config.panoramas, "things": config.things}
    return {name: folder for name, folder in named.items() if folder is not None}


def _make_far(plan: Plan, wanted: dict[str, str], shard: int) -> bytes:
    """The content of a shard, made on another machine whose `surroundings` must be those `wanted`."""
    prepare_worker()
    try:
        for name, found in surroundings(plan).items():
            if found != wanted[name]:
                raise InputError(f"{name} differs ({found}) from where the set is written ({wanted[name]})")
        buffer = io.BytesIO()  # no file that a killed process would leave on that machine
        write_pictures(buffer, chain.from_iterable(_encoded(plan, chunk) for chunk in plan.chunks(shard)))
        return buffer.getvalue()
    except InputError as error:
        raise InputError(f"machine {platform.node()}: {error}") from error


def surroundings(plan: Plan) -> dict[str, str]:
    """What the bytes of a set depend on besides its plan, and what may differ between machines: versions, photographs, rig.

    Raises:
        InputError: a folder of photographs or panoramas, or the file of the rig is not there.
    """
    versions = {"phalanx": __version__, "torch": torch.__version__, "numpy": np.__version__, "opencv": cv2.__version__}
    found = {f"the version of {name}": version.split("+")[0] for name, version in versions.items()}
    found["the version of the engine"] = str(ENGINE)
    for name, folder in _folders(plan.config).items():
        if not folder.is_dir():
            raise InputError(f"{folder}: no such folder of {name}")
        files = sorted((p.relative_to(folder).as_posix(), p.stat().st_size) for p in folder.rglob("*") if p.is_file())
        found[f"the content of {folder.name}"] = _digest(files)
    if plan.config.poses is not None:
        found[f"the poses {plan.config.poses.name}"] = _checksum_of(plan.config.poses, "poses")
    if plan.config.realism is not None:
        found[f"the network {plan.config.realism.name}"] = _checksum_of(plan.config.realism, "weights")
    if plan.config.rig is not None:
        rig = {name: np.asarray(value).tolist() for name, value in vars(load_rig(plan.config.rig)).items()}
        if rig["person"] is None:
            del rig["person"]  # as in sets from before there was such a setting
        found[f"the rig {Path(plan.config.rig).name}"] = _digest(rig)
    return found


def _checksum_of(path: Path, what: str) -> str:
    if not path.is_file():
        raise InputError(f"{path}: there is no such file of {what}")
    return file_checksum(path)[:16]


def _of_engine(engine: int | None) -> str:
    return "a version of the engine that it does not name" if engine is None else f"version {engine} of the engine"


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:12]


def _open_manifest(path: Path, plan: Plan) -> Manifest:
    fresh: Manifest = {
        "schema": SCHEMA,
        "version": __version__,
        "engine": ENGINE,
        "licence": "CC0-1.0" + (" but for the photographs behind the hands" if _folders(plan.config) else ""),
        **plan.settings(),
        "surroundings": surroundings(plan),
        "complete": False,
        "shards": {},
    }
    if not path.exists():
        if any(path.parent.glob("shard_*.tar")):
            raise InputError(f"{path.parent}: holds shards without a manifest; choose another folder")
        return fresh
    found = _read(path)
    if (engine := found.get("engine")) != ENGINE:
        raise InputError(f"{path}: the set was begun by {_of_engine(engine)}, this is {ENGINE}; choose another folder")
    before = _choices(found)
    for name, value in _choices(fresh).items():
        if (then := before.get(name)) != value:
            raise InputError(
                f"{path}: {name} was {then} when the set was begun and is {value} now; choose another folder"
            )
    return {**found, "complete": False}


def _choices(manifest: Manifest) -> dict[str, object]:
    """Everything that the shards of a set have in common, by name."""
    single: dict[str, object] = {name: manifest.get(name) for name in ("version", "seed", "count")}
    return single | manifest["synth"] | manifest["surroundings"]


def _read(path: Path) -> Manifest:
    try:
        found: Manifest = json.loads(path.read_text(encoding="utf-8"))
        parts = (found["shards"], found["synth"], found["surroundings"])
        if found["schema"] != SCHEMA or not all(isinstance(part, dict) for part in parts):
            raise ValueError("another schema")
        return found
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: is not the manifest of a set") from error


def _entry(path: Path, pictures: int) -> Entry:
    return {"file": path.name, "pictures": pictures, "bytes": path.stat().st_size, "sha256": file_checksum(path)}


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{math.ceil(seconds)} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
