"""What tables share, made once and kept in a cache folder: sets of pictures, cubes of depth, starts trained on synthesis.

Everything there is named by what it is made of (settings, seed, version of the engine), so that the rows of a table, and tables, differ
in nothing but themselves. Several runs may use a cache at a time: one makes a thing, the others wait for it. What is read is compared
with its checksum.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import safetensors.torch
from filelock import FileLock, Timeout
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.files import file_checksum, read_json, writable_folder, write_json, write_whole
from phalanx.core.json_values import Json
from phalanx.data.cube_views import CubeViews
from phalanx.data.loading import ShardIndex, index_shards
from phalanx.synth import SynthConfig
from phalanx.synth.sets.sets import Plan, make_set, verify_set
from phalanx.synth.version import ENGINE
from phalanx.train.cubes import draw_views
from phalanx.train.plan import Settings
from phalanx.train.run import Config, Prepared
from phalanx.train.run import run as carry_out

Say = Callable[[str], None]

PLACE = "PHALANX_CACHE"
"""The environment variable that names the cache folder."""

SETS = {
    "studio": Plan(SynthConfig(size=96, domain="studio", depth_sensor="domain"), 900_011, 40_000),
    "field": Plan(SynthConfig(size=96, domain="field", depth_sensor="domain"), 900_012, 12_000),
    "field_holding": Plan(SynthConfig(size=96, scene="holding", domain="field"), 900_013, 4_000),
    "any": Plan(SynthConfig(size=96, domain="any"), 900_014, 4_000),
}
"""Sets of pictures that tables share, by name: a labelled source, a world that stands for reality, also with things in hands, and a third
that is neither."""

FREE = ("device", "processes", "workers", "checkpoint_minutes", "evaluate_every", "held_out")
"""Settings that decide where and how a start is trained, and nothing of its weights."""


def cache_folder(given: str | Path | None = None) -> Path:
    """The cache: the folder `given`, else that of `PHALANX_CACHE`, else `phalanx` in the user's folder of caches on this system.

    Raises:
        InputError: it cannot be made or written.
    """
    if given is None:
        home = Path.home()
        usual = {"darwin": home / "Library" / "Caches", "win32": Path(os.environ.get("LOCALAPPDATA", home))}
        other = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
        given = os.environ.get(PLACE) or usual.get(sys.platform, other) / "phalanx"
    return writable_folder(Path(given).expanduser())


def frozen_set(
    name: str, cache: Path, frames: int | None = None, size: int | None = None, workers: int = 1, say: Say = print
) -> ShardIndex:
    """The pictures of a set in `SETS`, for `data.loading.load_batches`; made where they are not there yet.

    Args:
        name: of the set.
        cache: as `cache_folder` gives it.
        frames: how many pictures, if not as many as the set has; they are the set's first.
        size: side of the pictures in pixels, if not the set's.
        workers: processes that make them.
        say: is given a line on the time and disk that it takes.

    Raises:
        InputError: there is no such set; or its files are damaged, or cannot be written, or the disk is too small.
    """
    if name not in SETS:
        raise InputError(f"sets: {name!r} is none of {', '.join(SETS)}")
    plan = SETS[name]
    plan = replace(plan, config=replace(plan.config, size=size or plan.config.size), count=frames or plan.count)
    title = f"{name}-{plan.config.size}px-{plan.count}"
    folder = cache / "sets" / f"{title}-engine{ENGINE}-{_digest(plan.settings())}"
    with _alone(folder, say):
        manifest = folder / "manifest.json"
        if not (manifest.exists() and read_json(manifest).get("complete")):
            say(f"making the set {title}, which tables share, in {folder}")
            make_set(plan, folder, workers, say)
        verify_set(folder)
    return index_shards(sorted(folder.glob("shard_*.tar")))


def frozen_views(
    config: SynthConfig, seed: int, frames: int, size: int, cache: Path, workers: int = 0, say: Say = print
) -> CubeViews:
    """What `train.cubes.draw_views` draws of the same arguments, to the bit; drawn where it is not in the cache yet.

    Raises:
        InputError: the file is damaged or cannot be written, or the disk is too small.
    """
    settings = {"engine": ENGINE, "synth": asdict(config), "seed": seed, "frames": frames, "size": size}
    name = f"{config.domain}-{config.views}views-{size}cells-{frames}-engine{ENGINE}-{_digest(settings)}"
    views = config.views * config.times
    bytes_each = views * (2 * size**2 + 4 * (16 + 3 + 63))  # maps in half precision; motions, middles, joints

    def draw() -> dict[str, Tensor]:
        drawn = draw_views(config, seed, frames, size, workers)
        return {key: value for key, value in vars(drawn).items() if value is not None}

    path = cache / "views" / f"{name}.safetensors"
    return CubeViews(**kept_tensors(path, draw, frames * bytes_each, settings, say))


def kept_tensors(
    path: Path, make: Callable[[], Mapping[str, Tensor]], size: int, about: Mapping[str, object], say: Say = print
) -> dict[str, Tensor]:
    """Tensors by name in the file `path`; made, and written there, where they are not there yet.

    Args:
        path: of a safetensors file; its manifest lies beside it.
        make: gives the tensors.
        size: bytes that they will take, about.
        about: what they are made of, for the manifest.
        say: is given a line where they must be made.

    Raises:
        InputError: the file is damaged or cannot be written, or the disk is too small.
    """
    with _alone(path, say):
        manifest = path.with_suffix(".json")
        if not manifest.exists():
            check_disk(path.parent, size)
            say(f"making {path.name}, {amount(size)}, in {path.parent}")
            tensors = {name: value.contiguous() for name, value in make().items()}
            with write_whole(path) as temporary:
                mode = temporary.stat().st_mode
                safetensors.torch.save_file(tensors, temporary)
                temporary.chmod(mode)  # the library leaves files that their owner alone can read
            about = json.loads(json.dumps(about, default=str))
            write_json(manifest, {**about, "file": path.name, "sha256": file_checksum(path)}, indent=1)
        elif not path.is_file() or file_checksum(path) != read_json(manifest).get("sha256"):
            raise InputError(
                f"{path}: is missing or damaged (its checksum differs); delete {manifest.name} to make it again"
            )
    return safetensors.torch.load_file(path)


def start_folder(name: str, config: Settings, cache: Path) -> Path:
    """Where `cached_start` trains with these settings."""
    recipe = _without_free(json.loads(json.dumps(asdict(config), default=str)))
    return cache / "starts" / f"{name}-seed{config.loop.seed}-engine{ENGINE}-{_digest(recipe)}"


def start_is_there(folder: Path) -> bool:
    """Whether `cached_start` has finished the start in its `start_folder`."""
    return (folder / "start.json").exists()


def cached_start(
    name: str, prepare: Callable[[Config], Prepared], config: Config, cache: Path, report: Say = print
) -> Path:
    """Weights trained on synthesis; trained, or trained on where they were stopped, if they are not in the cache yet.

    Args:
        name: of the method.
        prepare: as `train.run.run` takes it, of `config`.
        config: dataclass of the training's settings, with a `loop`.
        cache: as `cache_folder` gives it.
        report: is given a line at every evaluation.

    Raises:
        InputError: the weights are damaged or cannot be written, or see `train.loop.train`.
    """
    folder = start_folder(name, config, cache)
    with _alone(folder, report):
        if not start_is_there(folder):
            weights = carry_out(prepare, config, folder, True, report)
            write_json(folder / "start.json", {"file": weights.name, "sha256": file_checksum(weights)})
            (folder / "checkpoint.pt").unlink(missing_ok=True)
        kept = read_json(folder / "start.json")
        weights = folder / kept["file"]
        if not weights.is_file() or file_checksum(weights) != kept["sha256"]:
            raise InputError(f"{weights}: is missing or damaged (its checksum differs); delete {folder}")
    return weights


def amount(size: float) -> str:
    """Bytes as people read them."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def check_disk(folder: Path, size: float) -> int:
    """Bytes that are free for `folder`. Raises InputError if they are fewer than `size`."""
    free = shutil.disk_usage(writable_folder(folder)).free
    if size > free:
        raise InputError(f"{folder}: about {amount(size)} are needed and {amount(free)} are free")
    return free


@contextmanager
def _alone(path: Path, say: Say) -> Iterator[None]:
    """Only one process at a time is within, of those that make the same `path`; a killed one lets the next in."""
    locks = writable_folder(path.parent / ".locks")
    lock = FileLock(locks / f"{path.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"waiting for another run, which makes {path}")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _without_free(recipe: Json) -> Json:
    if isinstance(recipe, dict):
        return {name: _without_free(value) for name, value in recipe.items() if name not in FREE}
    return recipe


def _digest(settings: object) -> str:
    text = json.dumps(settings, default=str, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
