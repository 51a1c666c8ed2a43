"""The cache that tables share: where it is, that it holds what would be made anew, that it is made once and that damage is seen."""

import threading
import time
from dataclasses import replace

import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.loading import load_batches
from phalanx.reproduce import frozen
from phalanx.reproduce.frozen import cache_folder, cached_start, frozen_set, frozen_views, kept_tensors, start_folder
from phalanx.synth import SynthConfig
from phalanx.train.cubes import draw_views
from phalanx.train.plan import LoopConfig
from phalanx.train.run import Prepared
from phalanx.train.sphere_fitting import SphereFittingTraining, prepare

FIELD = SynthConfig(size=64, chunk=6, rig="ring3", domain="field", depth_sensor="domain", tiles=2, skins=1)


def silent(line: str) -> None:
    pass


def test_the_cache_is_where_it_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("PHALANX_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "phalanx"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "phalanx"
    monkeypatch.setenv("PHALANX_CACHE", str(tmp_path / "named"))
    assert cache_folder() == tmp_path / "named"
    assert cache_folder(tmp_path / "given") == tmp_path / "given" and (tmp_path / "given").is_dir()


def test_views_are_those_that_would_be_drawn(tmp_path, monkeypatch):
    lines = []
    first = frozen_views(FIELD, 5, 3, 64, tmp_path, say=lines.append)
    drawn = draw_views(FIELD, 5, 3, 64)
    monkeypatch.setattr(frozen, "draw_views", None)  # the second time nothing is drawn
    for found in (first, frozen_views(FIELD, 5, 3, 64, tmp_path, say=lines.append)):
        for name, value in vars(drawn).items():
            torch.testing.assert_close(getattr(found, name), value, rtol=0, atol=0)
    (file,) = (tmp_path / "views").glob("*.safetensors")
    assert len(lines) == 1 and file.name in lines[0] and "0.1 MB" in lines[0]
    assert abs(file.stat().st_size / 1e6 - 0.1) < 0.05  # as was said
    assert file.stat().st_mode == file.with_suffix(".json").stat().st_mode  # others may read both or neither
    file.write_bytes(file.read_bytes()[:-1] + b"\1")
    with pytest.raises(InputError, match="missing or damaged"):
        frozen_views(FIELD, 5, 3, 64, tmp_path, say=silent)


def test_other_settings_are_other_files(tmp_path, monkeypatch):
    monkeypatch.setattr(frozen, "draw_views", lambda *given: draw_views(FIELD, 5, 1, 64))
    for change in ({}, {"tiles": 3}, {"skins": 2}):
        frozen_views(replace(FIELD, **change), 5, 1, 64, tmp_path, say=silent)
    frozen_views(FIELD, 6, 1, 64, tmp_path, say=silent)
    monkeypatch.setattr(frozen, "ENGINE", frozen.ENGINE + 1)
    frozen_views(FIELD, 5, 1, 64, tmp_path, say=silent)
    assert len(list((tmp_path / "views").glob("*.safetensors"))) == 5


def test_of_two_runs_at_once_one_makes_and_one_waits(tmp_path):
    made, lines = [], []

    def make():
        made.append(1)
        time.sleep(0.3)
        return {"x": torch.arange(3)}

    def read():
        found.append(kept_tensors(tmp_path / "a" / "x.safetensors", make, 24, {}, lines.append)["x"].tolist())

    found: list[list[int]] = []
    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1] and found == [[0, 1, 2]] * 3
    assert sum("waiting for another run" in line for line in lines) == 2


def test_what_failed_is_made_anew_and_too_small_a_disk_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"

    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kept_tensors(path, fail, 24, {}, silent)
    assert kept_tensors(path, lambda: {"x": torch.ones(2)}, 24, {}, silent)["x"].tolist() == [1, 1]
    with pytest.raises(InputError, match="are needed and .* are free"):
        kept_tensors(tmp_path / "y.safetensors", fail, 10**18, {}, silent)


def test_sets_are_made_once_and_verified(tmp_path, monkeypatch):
    small = {name: replace(plan, config=replace(plan.config, tiles=2, skins=1)) for name, plan in frozen.SETS.items()}
    assert all(plan.config.size == 96 for plan in small.values())
    assert [plan.count for plan in small.values()] == [40_000, 12_000, 4_000, 4_000]
    monkeypatch.setattr(frozen, "SETS", small)
    lines = []
    index = frozen_set("field", tmp_path, 3, 32, say=lines.append)
    assert len(index) == 3 and any("to make: about" in line and "MB" in line for line in lines)
    (batch,) = load_batches(index, 3, fields=("image", "sensed_depth", "joints"))
    assert batch.image.shape == (3, 3, 32, 32)
    monkeypatch.setattr(frozen, "make_set", None)  # the second time nothing is made
    assert len(frozen_set("field", tmp_path, 3, 32, say=silent)) == 3
    (shard,) = tmp_path.glob("sets/field-32px-3-engine*/shard_000000.tar")
    shard.write_bytes(shard.read_bytes()[:-1] + b"\1")
    with pytest.raises(InputError, match="is damaged"):
        frozen_set("field", tmp_path, 3, 32, say=silent)
    with pytest.raises(InputError, match="'cellar' is none of studio, field"):
        frozen_set("cellar", tmp_path)


def test_starts_are_trained_once_and_named_by_their_recipe(tmp_path):
    trained = []

    def prepared(config: SphereFittingTraining) -> Prepared:
        trained.append(config.loop.seed)
        return prepare(config)

    def config(seed: int = 1, **changes: object) -> SphereFittingTraining:
        loop = LoopConfig(samples=4, minutes=None, seed=seed, precision="float32", kernel_precision="float32")
        synth = SynthConfig(size=64, chunk=4, domain="studio", depth_sensor="ideal", tiles=2, skins=1)
        start = SphereFittingTraining(loop=loop, synth=synth, batch=4, buffer=4, workers=0, prior_steps=1, held_out=2)
        return replace(start, model=replace(start.model, size=64, width=16), **changes)

    weights = cached_start("spheres", prepared, config(), tmp_path, silent)
    assert (
        weights.exists() and weights.with_suffix(".json").exists() and not (weights.parent / "checkpoint.pt").exists()
    )
    assert cached_start("spheres", prepared, config(held_out=3, workers=1), tmp_path, silent) == weights
    assert trained == [1]
    other = {start_folder("spheres", found, tmp_path) for found in (config(), config(2), config(noise=False))}
    assert len(other) == 3
    weights.write_bytes(b"spoilt")
    with pytest.raises(InputError, match="missing or damaged"):
        cached_start("spheres", prepared, config(), tmp_path, silent)
