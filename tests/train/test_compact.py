import json

import pytest
import torch

import phalanx.train.compact as training
from phalanx.core.errors import InputError
from phalanx.data.sample import Sample
from phalanx.geometry.rotations import rotvec_to_rotmat
from phalanx.hand.model import HandModel, HandPose
from phalanx.methods.compact import CompactConfig, load
from phalanx.synth import SynthConfig
from phalanx.train.compact import CompactTraining, figures, run
from phalanx.train.plan import LoopConfig, Phase


def made(config: SynthConfig, seed: int, index: int) -> Sample:
    """A labelled chunk whose pictures say nothing: quick, and in the form of the true ones."""
    random = torch.Generator().manual_seed(1000 * (seed % 1000) + index)
    batch, size = config.chunk, config.size
    pose = HandPose.zero(batch)
    pose.rotations = rotvec_to_rotmat(0.2 * torch.randn(batch, 16, 3, generator=random))
    pose.orientation = rotvec_to_rotmat(torch.randn(batch, 3, generator=random))
    pose.translation = torch.tensor([0.0, 0.0, 0.6]).expand(batch, 3)
    joints = HandModel.open_hand().joints(pose)
    K = torch.tensor([[2.0 * size, 0, size / 2], [0, 2.0 * size, size / 2], [0, 0, 1]]).expand(batch, 3, 3)
    pixels = joints @ K.mT
    return Sample(
        image=torch.rand(batch, 3, size, size, generator=random),
        mask=torch.ones(batch, size, size),
        joints=joints,
        joints_2d=pixels[..., :2] / pixels[..., 2:],
        vertices=joints,
        rotations=pose.rotations,
        shape=pose.shape,
        orientation=pose.orientation,
        translation=pose.translation,
        K=K,
    )


@pytest.fixture(autouse=True)
def quick_stream(monkeypatch):
    def stream(config, seed, workers=0, start=0):
        while True:
            yield made(config, seed, start)
            start += 1

    monkeypatch.setattr(training, "stream", stream)


def tiny(**loop) -> CompactTraining:
    return CompactTraining(
        model=CompactConfig(size=64, widths=(8, 8, 8, 8), depths=(0, 1, 1, 1), top_down=(8, 8, 8), hidden=8),
        loop=LoopConfig(**({"samples": 48, "evaluate_every": 24, "warmup": 8} | loop)),
        synth=SynthConfig(size=64, chunk=4),
        phases=[Phase(0.5, 32, 8, 2), Phase(1.0, 64, 8, 1)],
        buffer=16,
        held_out=8,
    )


def test_a_run_ends_in_weights_with_a_card(tmp_path):
    weights = run(tiny(), tmp_path)
    network = load(weights)
    assert network.config == tiny().model
    card = json.loads((tmp_path / "compact.json").read_text())
    assert card["curve"]["seen"] == 48
    assert card["config"]["synth"]["size"] == 64
    assert [source["kind"] for source in card["data"]] == ["own synthesis"] and card["start"] is None
    assert len((tmp_path / "curve.csv").read_text().splitlines()) == 3
    # going on with a finished run changes nothing
    before = weights.read_bytes()
    assert run(tiny(), tmp_path, resume=True).read_bytes() == before


def test_the_folder_says_how_the_run_is_set_and_another_setting_is_refused(tmp_path):
    run(tiny(), tmp_path)
    before = (tmp_path / "config.json").read_text()
    settings = json.loads(before)
    assert (settings["seed"], settings["synth"]["size"], settings["loop"]["samples"]) == (1, 64, 48)
    for name, value in (("seed", 2), ("buffer", 20), ("synth", SynthConfig(size=64, chunk=8))):
        other = tiny()
        setattr(other, name, value)
        with pytest.raises(InputError, match=rf"another configuration \({name}\)"):
            run(other, tmp_path, resume=True)
    longer = tiny(samples=56)
    run(longer, tmp_path, resume=True)  # a budget may grow
    assert (tmp_path / "config.json").read_text() == before


def test_figures_are_zero_for_the_truth():
    sample = made(SynthConfig(size=64, chunk=6), 1, 2)

    class Knowing(torch.nn.Module):
        def forward(self, images):
            return training.targets(sample)

    knowing = Knowing()
    knowing.anything = torch.nn.Parameter(torch.zeros(1))
    for name, value in figures(knowing, sample).items():
        assert value == pytest.approx(0.0, abs=0.1), name


def test_refuses_a_buffer_smaller_than_a_chunk(tmp_path):
    config = tiny()
    config.buffer = 3
    with pytest.raises(InputError, match="a buffer of at least one chunk"):
        run(config, tmp_path)


def test_the_card_names_the_weights_that_the_run_began_from(tmp_path):
    first = run(tiny(), tmp_path / "first")
    config = tiny(samples=16, precision="auto")
    config.start_from = tmp_path / "start.safetensors"
    config.start_from.write_bytes(first.read_bytes())
    run(config, tmp_path / "second")
    began = json.loads((tmp_path / "second" / "compact.json").read_text())
    config.start_from.write_bytes(
        run(tiny(samples=16), tmp_path / "third").read_bytes()
    )  # replaced before it is resumed
    config.loop.samples = 32
    run(config, tmp_path / "second", resume=True)
    again = json.loads((tmp_path / "second" / "compact.json").read_text())
    assert again["start"] == began["start"] and again["start"]["file"] == "start.safetensors"
    assert again["config"]["loop"]["precision"] in ("float32", "bfloat16")


def test_scenes_share_the_steps():
    config = tiny()
    config.scenes = {"hands": 6, "holding": 2}
    feed = training.synthetic_feed(config)
    batch = feed.next(8, 32, 1)
    state = feed.state()
    after = feed.next(8, 32, 1)
    feed.close()
    assert len(batch) == 8
    again = training.synthetic_feed(config)
    again.restore(state)
    assert torch.equal(again.next(8, 32, 1).image, after.image)
    again.close()
    data = training.prepare(config).data
    assert [source["scene"] for source in data[:2]] == ["hands", "holding"]
    assert len(training.held_out(config)) == 8
