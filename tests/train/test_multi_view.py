"""MVHM's training in miniature: its stages, a killed run that goes on exactly in each part, and stored predictions."""

import inspect
from itertools import islice, pairwise
from pathlib import Path

import pytest
import torch

import phalanx.train.multi_view
import phalanx.train.paired
import phalanx.train.run
from phalanx.core.errors import InputError
from phalanx.methods.multi_view import MultiViewConfig, load, mesh_of, to_cameras
from phalanx.synth import SynthConfig, stream
from phalanx.train.feed import stored_feed
from phalanx.train.multi_view import (
    WEIGHTS,
    MultiViewTraining,
    begun,
    figures,
    finish_single,
    framed,
    joined_views,
    keep_view,
    predicted_frames,
    prepare,
    run,
    train_on_frames,
    views_of,
)
from phalanx.train.paired import drawn_pictures
from phalanx.train.plan import LoopConfig

SYNTH = SynthConfig(size=64, chunk=8, tiles=2, skins=1, domain="field", rig="ring2")
TINY = MultiViewConfig(
    size=64, width=8, stacks=1, halvings=1, latent=8, mesh=(4, 4, 4, 4), reader=4, hidden=8, views=2, fusion=8
)


def loop(samples, **changes):
    settings = {"evaluate_every": 16, "warmup": 8, "average": 16, "precision": "float32", "kernel_precision": "float32"}
    return LoopConfig(minutes=None, samples=samples, **(settings | changes))


def config(**changes):
    budgets = {"loop": 16, "mesh": 16, "depth": 8, "single": 8, "fusion": 8, "whole": 8}
    loops = {name: loop(samples) for name, samples in budgets.items()}
    settings = {"synth": SYNTH, "meshes": SYNTH, "batch": 8, "frames": 4, "workers": 0, "buffer": 16, "held_out": 8}
    return MultiViewTraining(TINY, **(loops | settings | changes))


def silent(line):
    pass


@pytest.fixture(scope="module", autouse=True)
def quick_stream():
    """True pictures, but of every stream the same few: quick."""
    chunks = list(islice(stream(SYNTH, 3, 0), 3))

    def repeated(config, seed, workers=0, start=0):
        while True:
            yield chunks[(seed + start) % len(chunks)]
            start += 1

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(phalanx.train.paired, "stream", repeated)
        patch.setattr(phalanx.train.multi_view, "stream", repeated)
        yield


@pytest.fixture(scope="module")
def pictures(quick_stream):
    return drawn_pictures(SYNTH, 0, 16, 0, keep_view)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, quick_stream):
    folder = tmp_path_factory.mktemp("whole")
    run(config(), folder, report=silent)
    return folder


def same(first: Path, second: Path) -> bool:
    one, other = (load(folder / WEIGHTS).state_dict() for folder in (first, second))
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_a_run_has_all_stages_weights_and_a_card(whole):
    assert load(whole / WEIGHTS).config.views == 2
    assert (whole / "multi_view.json").is_file()
    rows = (whole / "curve.csv").read_text().splitlines()
    assert {row.split(",")[0] for row in rows[1:]} == {"1", "2", "3", "4", "5", "6"}
    assert "joints_mm" in rows[0] and "view_mm" in rows[0]
    names = [stage.name for stage in prepare(config()).stages]
    assert names == ["evidence", "mesh", "depth", "single", "fusion", "whole"]


@pytest.mark.parametrize("steps", [3, 8])
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


def test_kept_pictures_come_back(pictures):
    sample = next(stream(SYNTH, 3, 0))
    kept = keep_view(sample)
    batch = finish_single(kept, 64, torch.Generator().manual_seed(0))
    torch.testing.assert_close(batch.vertices, sample.vertices, atol=2e-4, rtol=0)
    assert mesh_of(batch).shape == (8, 1769, 3)
    views = views_of(framed(kept, 2))
    assert len(views) == 4
    found = to_cameras(views.joints, views.world_to_camera)  # both cameras see the same hand
    torch.testing.assert_close(found.flatten(0, 1), sample.joints, atol=1e-5, rtol=0)


def test_stored_predictions_are_those_of_the_network(pictures):
    network = begun(TINY, 0).eval()
    frames = framed(pictures, 2)
    stored = predicted_frames(network, frames, batch=3)
    with torch.no_grad():
        torch.testing.assert_close(stored["predicted"], network.of_each(views_of(frames)), atol=1e-5, rtol=1e-4)
    numbers = figures(network, frames)
    assert numbers.keys() == {"view_mm", "joints_mm"} and numbers["view_mm"] > 5


def test_views_are_learnt_to_be_joined_and_a_killed_run_goes_on(pictures, tmp_path, monkeypatch):
    kinds = [framed(pictures, 2)] * 2

    def joined(folder, resume=False):
        return train_on_frames(begun(TINY, 0), kinds, loop(16), loop(8), 4, folder, resume=resume, report=silent)

    done = joined(tmp_path / "whole").state_dict()
    before = begun(TINY, 0).state_dict()
    moved = {name.split(".")[0] for name, value in done.items() if not torch.equal(value, before[name])}
    assert moved == {"single", "fusion"}
    train = phalanx.train.multi_view.train
    for steps in (2, 5):  # in either stage
        with monkeypatch.context() as patch:
            patch.setattr(
                phalanx.train.multi_view, "train", lambda *a, steps=steps, **o: train(*a, **o, stop_after=steps)
            )
            joined(tmp_path / str(steps))
        again = joined(tmp_path / str(steps), resume=True).state_dict()
        assert all(torch.equal(value, again[name]) for name, value in done.items())


def test_batches_of_frames_have_as_many_of_each_kind(pictures):
    views = views_of(framed(pictures, 2))
    both = joined_views([views[:2], views[2:3]])
    assert len(both) == 3 and both.predicted is None
    torch.testing.assert_close(both.joints, views.joints[:3])
    assert len(stored_feed(pictures, 0, finish_single).next(4, 64, 1)) == 4


def test_stages_have_their_own_budgets():
    stages = prepare(config()).stages
    assert [stage.config.samples for stage in stages] == [16, 16, 8, 8, 8, 8]
    assert all(first is not second for first, second in pairwise(stages))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"synth": SynthConfig(size=64, domain="field")}, "synth: needs pictures of 64 pixels by a rig of 2 cameras"),
        ({"meshes": SynthConfig(size=64, rig="ring4")}, "meshes: needs pictures of 64 pixels by a rig of 2"),
        ({"meshes": SynthConfig(size=64, rig="ring2", dense=False)}, "meshes: needs pictures with vertices"),
        ({"batch": 7}, "batch: must be even"),
        ({"frames": 2}, "frames: must be even and 4"),
    ],
)
def test_settings_that_make_no_sense(bad, message):
    with pytest.raises(InputError, match=message):
        prepare(config(**bad))
