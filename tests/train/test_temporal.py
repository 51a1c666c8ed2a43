"""TASSN's training in miniature: its stages, a killed run that goes on exactly, and what is kept of clips."""

import inspect
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

import phalanx.train.run
import phalanx.train.temporal
from phalanx.core.errors import InputError
from phalanx.data.flow import flow_between
from phalanx.methods.temporal import TemporalConfig, load
from phalanx.synth import SynthConfig, stream
from phalanx.train.plan import LoopConfig
from phalanx.train.temporal import (
    WEIGHTS,
    TemporalTraining,
    begun,
    clips_of,
    drawn_clips,
    figures,
    finish_clips,
    keep_clips,
    prepare,
    run,
    seen,
)

SYNTH = SynthConfig(size=64, chunk=8, scene="motion", frames=4, frame_rate=10, tiles=2, skins=1, domain="field")
TINY = TemporalConfig(
    size=64, width=8, stacks=1, halvings=1, latent=8, mesh=(4, 4, 4, 4), reader=4, hidden=8, order=1, window=3
)


def loop(samples, **changes):
    settings = {"evaluate_every": 8, "warmup": 4, "average": 8, "precision": "float32", "kernel_precision": "float32"}
    return LoopConfig(minutes=None, samples=samples, **(settings | changes))


def config(**changes):
    loops = {"loop": loop(8), "start": loop(8), "mesh": loop(8), "whole": loop(8)}
    settings = {"synth": SYNTH, "labelled": SYNTH, "batch": 4, "workers": 0, "buffer": 4, "held_out": 2}
    return TemporalTraining(TINY, **(loops | settings | changes))


def silent(line):
    pass


@pytest.fixture(scope="module", autouse=True)
def quick_stream():
    """True clips, but of every stream the same few: quick."""
    chunks = list(islice(stream(SYNTH, 3, 0), 2))

    def repeated(config, seed, workers=0, start=0):
        while True:
            sample = chunks[(seed + start) % len(chunks)]
            yield sample if config.dense else replace(sample, vertices=None)
            start += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phalanx.train.temporal, "stream", repeated)
        yield chunks


@pytest.fixture(scope="module")
def clips(quick_stream):
    return drawn_clips(SYNTH, 0, 4, 0, True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick_stream):
    folder = tmp_path_factory.mktemp("whole")
    run(config(), folder, report=silent)
    return folder


def same(first: Path, second: Path) -> bool:
    one, other = (load(folder / WEIGHTS).state_dict() for folder in (first, second))
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_run_has_all_stages_weights_and_a_card(whole):
    assert load(whole / WEIGHTS).config.width == 8
    assert (whole / "temporal.json").is_file()
    rows = (whole / "curve.csv").read_text().splitlines()
    assert {row.split(",")[0] for row in rows[1:]} == {"1", "2", "3", "4"}
    for name in ("joints_mm", "both_ways_mm", "mesh_depth", "loss_silhouette", "loss_mesh_consistency"):
        assert name in rows[0]
    assert [stage.name for stage in prepare(config()).stages] == ["evidence", "start", "mesh", "whole"]


@pytest.mark.parametrize("steps", [1, 5])
def test_a_killed_run_goes_on_exactly(whole, tmp_path, steps, monkeypatch):
    train = phalanx.train.run.train

    def killed(*arguments, **options):
        call = inspect.signature(train).bind(*arguments, **options)
        call.arguments["stop_after"] = steps
        train(*call.args, **call.kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(phalanx.train.run, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        run(config(), tmp_path, report=silent)
    monkeypatch.setattr(phalanx.train.run, "train", train)
    run(config(), tmp_path, resume=True, report=silent)
    assert same(whole, tmp_path)


def test_kept_clips_come_back(clips, quick_stream):
    sample = quick_stream[0]
    assert clips["image"].shape == (4, 4, 3, 64, 64) and clips["forward"].shape == (4, 3, 2, 64, 64)
    found = clips_of(clips)
    torch.testing.assert_close(found.images[1, 2], sample.image[6], atol=0.003, rtol=0)
    torch.testing.assert_close(found.joints_2d[1, 2], sample.joints_2d[6])
    picture = [clips["image"][1, t].permute(1, 2, 0).numpy() for t in (2, 3)]
    wanted = torch.from_numpy(flow_between(*picture)).permute(2, 0, 1)
    torch.testing.assert_close(found.forward[1, 2], wanted, atol=0.02, rtol=0.01)
    wanted = torch.from_numpy(flow_between(*reversed(picture))).permute(2, 0, 1)
    torch.testing.assert_close(found.backward[1, 2], wanted, atol=0.02, rtol=0.01)
    joints = found.pose * found.scale[..., None, None] + sample.joints.unflatten(0, (2, 4))[:, :, :1].repeat(2, 1, 1, 1)
    torch.testing.assert_close(joints[0], sample.joints[:4])
    torch.testing.assert_close(found.roots()[0], sample.joints[:4, 0], atol=1e-5, rtol=0)
    mesh = found.mesh[0] * found.scale[0, :, None, None] + sample.joints[:4, :1]
    torch.testing.assert_close(mesh, sample.vertices[:4], atol=2e-4, rtol=0)


def test_silhouettes_are_the_hand(clips, quick_stream):
    mask = quick_stream[0].mask.unflatten(0, (2, 4)) > 0.5
    found = clips_of(clips).silhouettes[:2] > 0.5
    share = (mask & found).sum((1, 2, 3)) / (mask | found).sum((1, 2, 3))
    assert (share > 0.3).all() and share.mean() > 0.5


def test_batches_are_neighbours_changed_alike(clips):
    drawn = [finish_clips(2, clips, 64, torch.Generator().manual_seed(seed)) for seed in range(8)]
    plain = clips_of(clips)
    firsts = set()
    for batch in drawn:
        (first,) = (t for t in range(3) if torch.equal(batch.joints_2d, plain.joints_2d[:, t : t + 2]))
        torch.testing.assert_close(batch.forward[:, 0], plain.forward[:, first])
        torch.testing.assert_close(batch.mesh, plain.mesh[:, first : first + 2])
        firsts.add(first)
    assert len(firsts) > 1
    still = {n: v[:, :1].expand(-1, v.shape[1], *v.shape[2:]) for n, v in clips.items()}
    batch = finish_clips(3, still, 64, torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch.images[:, 0], batch.images[:, 2])
    assert not torch.equal(batch.images[:, 0], plain.images[:, 0])


def test_3d_labels_are_there_where_vertices_are(clips):
    weak = {name: value for name, value in clips.items() if name != "vertices"}
    assert clips_of(weak).pose is None and clips_of(weak).mesh is None
    assert "vertices" not in keep_clips(4, False, replace(next(stream(SYNTH, 3, 0)), vertices=None))


def test_figures_are_of_both_orders(clips):
    network = begun(TINY, 0)
    found = seen(network, clips, 3)
    whole = network(clips_of(clips))
    torch.testing.assert_close(found.forward, whole, atol=1e-4, rtol=1e-3)
    values = figures(network, clips)
    off = np.linalg.norm((found.forward - clips["joints"]).numpy(), axis=-1)
    assert values["joints_mm"] == pytest.approx(1000 * off.mean(), rel=1e-4)
    assert values["both_ways_mm"] > 0 and values["relative_mm"] > 0


def test_bad_settings(tmp_path):
    cases = {
        "synth: needs clips of the scene motion": {"synth": replace(SYNTH, scene="hands")},
        "labelled: needs clips of 3 frames": {"labelled": replace(SYNTH, frames=2)},
        "labelled: needs clips with vertices": {"labelled": replace(SYNTH, dense=False)},
        "batch: must be even": {"batch": 5},
    }
    for message, changes in cases.items():
        with pytest.raises(InputError, match=message):
            prepare(config(**changes))


def test_begins_from_given_weights(whole):
    again = begun(TINY, 3, whole / WEIGHTS)
    kept = load(whole / WEIGHTS)
    assert torch.equal(again.reader.linear[0].weight, kept.reader.linear[0].weight)
