import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.sample import Sample, concatenate
from phalanx.data.shards import read_shard
from phalanx.synth import SynthConfig, make_chunk
from phalanx.synth.scene.rigs import load_rig
from phalanx.synth.sets import sets
from phalanx.synth.sets.sets import Estimate, Plan, make_set, read_manifest, surroundings, verify_set
from phalanx.synth.version import ENGINE


def made(config: SynthConfig, seed: int, index: int) -> Sample:
    """A quick chunk whose joints say which it is."""
    count = config.pictures
    ids = torch.tensor([[seed, index, i] for i in range(count)])
    return Sample(joints=ids[:, None].expand(-1, 21, -1).float(), ids=ids)


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(sets, "make_chunk", made)
    monkeypatch.setattr(sets, "CHUNKS", 2)


def plan(count: int = 22, **changes) -> Plan:
    return Plan(SynthConfig(size=32, chunk=4, **changes), 3, count)


def pictures(folder: Path) -> list[tuple[int, ...]]:
    return [tuple(s.ids[0].tolist()) for path in sorted(folder.glob("*.tar")) for s in read_shard(path)]


def test_exactly_the_pictures_asked_for(quick, tmp_path):
    lines, steps = [], []
    path = make_set(plan(), tmp_path / "a", say=lines.append, progress=lambda *step: steps.append(step))
    assert pictures(tmp_path / "a") == [(3, i // 4, i % 4) for i in range(22)]
    manifest = json.loads(path.read_text())
    assert (manifest["schema"], manifest["seed"], manifest["count"], manifest["complete"]) == (
        "phalanx.set/2",
        3,
        22,
        True,
    )
    assert [entry["pictures"] for entry in manifest["shards"].values()] == [8, 8, 6]
    assert manifest["licence"] == "CC0-1.0" and manifest["version"] and manifest["synth"]["size"] == 32
    assert manifest["engine"] == ENGINE
    assert steps == [(8, 22), (16, 22), (22, 22)]
    assert len(lines) == 1 and "22 of 22 pictures to make: about" in lines[0] and "GB are free" in lines[0]
    assert verify_set(tmp_path / "a") == 22
    assert sorted(os.listdir(tmp_path / "a")) == ["manifest.json", *(f"shard_00000{i}.tar" for i in range(3))]


def test_goes_on_where_it_was(quick, tmp_path):
    make_set(plan(), tmp_path / "whole", say=lambda line: None)
    folder = tmp_path / "parts"
    make_set(plan(), folder, say=lambda line: None)
    (folder / "shard_000001.tar").unlink()
    (folder / ".shard_000001.abcd.part.tar").write_bytes(b"half")
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["shards"]["1"], manifest["shards"]["2"]  # killed between a shard and its entry
    (folder / "manifest.json").write_text(json.dumps(manifest))
    lines = []
    make_set(plan(), folder, say=lines.append)
    assert "8 of 22 pictures to make" in lines[0]
    for name in os.listdir(tmp_path / "whole"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert sorted(os.listdir(folder)) == sorted(os.listdir(tmp_path / "whole"))
    make_set(plan(), folder, say=lines.append)  # all there: nothing to do, nothing to say
    assert len(lines) == 1


def test_another_set_in_the_folder_is_refused_and_kept(quick, tmp_path):
    make_set(plan(), tmp_path, say=lambda line: None)
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    for other, says in [
        (plan(23), "count was 22 when the set was begun and is 23 now"),
        (Plan(plan().config, 4, 22), "seed was 3 when the set was begun and is 4 now"),
        (plan(effects=0.5), "effects was 1.0 when the set was begun and is 0.5 now"),
    ]:
        with pytest.raises(InputError, match=says):
            make_set(other, tmp_path, say=lambda line: None)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match=r"manifest\.json: is not the manifest of a set"):
        make_set(plan(), tmp_path, say=lambda line: None)
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(InputError, match="holds shards without a manifest"):
        make_set(plan(), tmp_path, say=lambda line: None)
    assert all((tmp_path / name).read_bytes() == before[name] for name in os.listdir(tmp_path))


@pytest.mark.parametrize(("engine", "named"), [(ENGINE - 1, f"version {ENGINE - 1} of the engine"), (None, "does not")])
def test_sets_of_another_engine_are_named_and_not_gone_on_with(quick, tmp_path, engine, named):
    path = make_set(plan(), tmp_path, say=lambda line: None)
    lines = []
    assert verify_set(tmp_path, lines.append) == 22 and lines == []
    manifest = json.loads(path.read_text()) | {"engine": engine}
    path.write_text(json.dumps(manifest))
    (tmp_path / "shard_000001.tar").rename(tmp_path / "kept")
    with pytest.raises(InputError, match=f"the set was begun by .*{named}.* this is {ENGINE}; choose another folder"):
        make_set(plan(), tmp_path, say=lambda line: None)
    assert json.loads(path.read_text()) == manifest and not (tmp_path / "shard_000001.tar").exists()
    (tmp_path / "kept").rename(tmp_path / "shard_000001.tar")
    assert read_manifest(tmp_path, lines.append) == manifest and verify_set(tmp_path, lines.append) == 22
    assert len(lines) == 2 and named in lines[0] and lines[0] == lines[1]


def test_surroundings_that_changed_are_refused(quick, tmp_path):
    rig = {"width": 64, "height": 48, "spot": [0, 0, 0.6]}
    rig["cameras"] = [{"K": [60, 60, 32, 24], "world_to_camera": np.eye(4).tolist()}]
    (tmp_path / "rig.json").write_text(json.dumps(rig))
    chosen = plan(rig=str(tmp_path / "rig.json"))
    make_set(chosen, tmp_path / "set", say=lambda line: None)
    (tmp_path / "set" / "shard_000001.tar").unlink()
    (tmp_path / "rig.json").write_text(json.dumps(rig | {"spot": [0, 0, 0.9]}))
    load_rig.cache_clear()  # as in another process
    with pytest.raises(InputError, match=r"the rig rig.json was \w+ when the set was begun and is \w+ now"):
        make_set(chosen, tmp_path / "set", say=lambda line: None)
    (tmp_path / "rig.json").write_text(json.dumps(rig))
    load_rig.cache_clear()
    make_set(chosen, tmp_path / "set", say=lambda line: None)
    verify_set(tmp_path / "set")


def test_damaged_shards_are_not_taken_for_made_ones(quick, tmp_path):
    make_set(plan(), tmp_path, say=lambda line: None)
    shard = tmp_path / "shard_000001.tar"
    shard.write_bytes(shard.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"shard_000001.tar: is damaged .its size"):
        make_set(plan(), tmp_path, say=lambda line: None)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    del manifest["shards"]["1"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match=r"shard_000001.tar: "):
        make_set(plan(), tmp_path, say=lambda line: None)
    shard.unlink()
    make_set(plan(), tmp_path, say=lambda line: None)
    assert verify_set(tmp_path) == 22


def test_too_small_a_disk_is_said_before_anything_is_made(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "estimate_set", lambda *_: Estimate(10.0, 5_000_000_000, 1_000_000_000))
    with pytest.raises(InputError, match="needs about 5.00 GB and 1.00 GB are free"):
        make_set(plan(), tmp_path, say=lambda line: None)
    assert list(tmp_path.glob("*.tar")) == []


def test_damage_is_found(quick, tmp_path):
    make_set(plan(), tmp_path, say=lambda line: None)
    shard = tmp_path / "shard_000001.tar"
    content = shard.read_bytes()
    shard.write_bytes(content[:-1] + b"x")
    with pytest.raises(InputError, match=r"shard_000001\.tar: is damaged"):
        verify_set(tmp_path)
    shard.unlink()
    with pytest.raises(InputError, match=r"shard_000001\.tar: is missing"):
        verify_set(tmp_path)
    shard.write_bytes(content)
    (tmp_path / "more.tar").write_bytes(b"")
    with pytest.raises(InputError, match=r"more\.tar: is not in the manifest"):
        verify_set(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        verify_set(tmp_path / "none")


def test_senseless_plans():
    for seed, count in ((-1, 5), (0, 0), (2**63, 5)):
        with pytest.raises(InputError, match="needs a seed of 0 to 2.63 - 1 and a count of 1 to 1000000000"):
            Plan(SynthConfig(), seed, count)


TINY = SynthConfig(size=16, chunk=2, tiles=2, skins=1, rig="ring2")


def test_real_pictures_make_the_round_trip(tmp_path):
    path = make_set(Plan(TINY, 1, 3), tmp_path, say=lambda line: None)
    entry = json.loads(path.read_text())["shards"]["0"]
    assert entry["pictures"] == 3 and entry["file"] == "shard_000000.tar"
    found = concatenate(list(read_shard(tmp_path / "shard_000000.tar"))).check()
    want = concatenate([make_chunk(TINY, 1, 0), make_chunk(TINY, 1, 1)])[:3]
    for name, value in want.present().items():
        tolerance = {"depth": 6e-5, "mask": 0.002}.get(name, 1e-6)
        torch.testing.assert_close(found.present()[name], value, atol=tolerance, rtol=0, msg=name)


def test_made_elsewhere_a_shard_has_the_same_bytes(tmp_path):
    plan = Plan(TINY, 1, 3)
    make_set(plan, tmp_path, say=lambda line: None)
    assert sets._make_far(plan, surroundings(plan), 0) == (tmp_path / "shard_000000.tar").read_bytes()


def test_machines_that_would_make_other_bytes_are_refused(tmp_path):
    """One sentence says which machine it is and what differs; nothing is made."""
    folder, rig = tmp_path / "photographs", tmp_path / "rig.json"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"12")
    cameras = {"K": [100, 100, 50, 50], "world_to_camera": np.eye(4).tolist()}
    rig.write_text(json.dumps({"width": 100, "height": 100, "spot": [0, 0, 0.5], "cameras": [cameras]}))
    plan = Plan(replace(TINY, backgrounds=folder, rig=str(rig)), 1, 3)
    wanted = surroundings(plan)
    assert surroundings(plan) == wanted and len(wanted) == 7
    with pytest.raises(InputError, match=r"^machine \S+: the version of torch differs \(\d\S+\) from .* \(1.0\)$"):
        sets._make_far(plan, wanted | {"the version of torch": "1.0"}, 0)
    (folder / "a.png").write_bytes(b"123")
    with pytest.raises(InputError, match=f"the content of {folder.name} differs"):
        sets._make_far(plan, wanted, 0)
    (folder / "a.png").unlink()
    folder.rmdir()
    with pytest.raises(InputError, match=rf"^machine \S+: {folder}: no such folder of backgrounds$"):
        sets._make_far(plan, wanted, 0)


def test_relative_folders_mean_the_same_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    near = Plan(replace(TINY, backgrounds=Path("photographs")), 1, 3)
    assert sets._from_anywhere(near).config.backgrounds == tmp_path / "photographs"
    assert sets._from_anywhere(near).settings() == near.settings()
    assert sets._from_anywhere(Plan(TINY, 1, 3)) == Plan(TINY, 1, 3)


def test_without_a_cluster_nothing_is_begun(quick, tmp_path, monkeypatch):
    """Ray may be missing: that is said before anything is made, and not at all when there is nothing to make."""
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"ray: is not installed here; pip install 'phalanx\[ray\]'"):
        make_set(plan(), tmp_path, ray="local")
    assert list(tmp_path.iterdir()) == []
    make_set(plan(), tmp_path, say=lambda line: None)
    make_set(plan(), tmp_path, ray="local")


def test_several_processes_share_a_shard(tmp_path):
    """A set of one shard has the same bytes whoever made its chunks."""
    plan = Plan(SynthConfig(size=16, chunk=2, tiles=2, skins=1), 2, 23)
    for workers in (1, 3):
        lines = []
        make_set(plan, tmp_path / str(workers), workers, lines.append)
        assert f"with {workers} worker" in lines[0]
    names = sorted(os.listdir(tmp_path / "1"))
    assert names == ["manifest.json", "shard_000000.tar"] == sorted(os.listdir(tmp_path / "3"))
    for name in names:
        assert (tmp_path / "3" / name).read_bytes() == (tmp_path / "1" / name).read_bytes(), name


_CODE = """
import sys
from phalanx.synth import SynthConfig
from phalanx.synth.sets.sets import Plan, make_set
make_set(Plan(SynthConfig(size=16, chunk=8, tiles=2, skins=1), 2, 1100), sys.argv[1], workers=2)
"""


def test_killed_and_started_again_it_is_whole(tmp_path):
    """Two processes, killed (SIGKILL) after the first shard, give the bytes of one undisturbed process."""
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    command = [sys.executable, "-c", _CODE, str(killed)]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
    while not list(killed.glob("shard_*.tar")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    there = len(list(killed.glob("shard_*.tar")))
    assert there < 5
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert verify_set(killed) == 1100
    assert len(set(pictures(killed))) == 1100
    make_set(Plan(SynthConfig(size=16, chunk=8, tiles=2, skins=1), 2, 1100), whole, say=lambda line: None)
    for path in whole.iterdir():
        assert path.read_bytes() == (killed / path.name).read_bytes(), path.name
