import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.methods.lifted_pose import LiftedPoseConfig
from phalanx.train.lifted_pose import begun, feed_of, figures, finish, joint_errors, train_on_pictures
from phalanx.train.plan import LoopConfig

CONFIG = LiftedPoseConfig(size=32, stages=1, width=8, lifting=4, hidden=8)
LOOP = LoopConfig(samples=48, minutes=None, warmup=8, average=8, evaluate_every=24, precision="float32")


def kept(count, seed):
    random = torch.Generator().manual_seed(seed)
    return {
        "image": torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=random),
        "joints": 0.05 * torch.randn(count, 21, 3, generator=random) + torch.tensor([0.0, 0.0, 0.5]),
        "joints_2d": 32 * torch.rand(count, 21, 2, generator=random),
    }


def silent(line):
    pass


def test_steps_have_as_many_pictures_of_each_set_unchanged():
    sets = {"a": kept(6, 0), "b": kept(4, 1)}
    feed = feed_of(sets, 4, 0)
    try:
        for _ in range(3):
            batch = feed.next(4, 32, 1)
            for rows, name in ((slice(0, 2), "a"), (slice(2, 4), "b")):
                images = (255 * batch.image[rows]).round().to(torch.uint8)
                assert all((sets[name]["image"] == image).flatten(1).all(1).any() for image in images)
    finally:
        feed.close()


def test_errors_are_those_of_the_description():
    network = begun(CONFIG, 0).eval().requires_grad_(False)
    sample = finish(kept(3, 2), 32, torch.Generator())
    in_3d, in_2d = joint_errors(network, sample)
    places, relative = network(sample.image)
    for b in range(3):
        bone = (sample.joints[b, 9] - sample.joints[b, 0]).norm()
        scale = _scale(sample.joints[b])
        assert bone > 0
        for j in range(21):
            true = sample.joints[b, j] - sample.joints[b, 0]
            assert float(in_3d[b, j]) == pytest.approx(1000 * float((relative[b, j] * scale - true).norm()), rel=1e-4)
            at = (sample.joints_2d[b, j] + 0.5) / 32
            assert float(in_2d[b, j]) == pytest.approx(float((places[b, j] - at).norm()), rel=1e-4)
    found = figures(network, sample)
    assert found["joints_mm"] == pytest.approx(float(in_3d.mean()))
    assert found["joints_percent"] == pytest.approx(100 * float(in_2d.mean()))


def _scale(joints):
    return (joints[10] - joints[9]).norm()


def test_a_stopped_training_ends_with_the_same_weights(tmp_path, monkeypatch):
    sets = {"a": kept(16, 0), "b": kept(16, 1)}
    whole = train_on_pictures(begun(CONFIG, 1), sets, LOOP, 8, tmp_path / "whole", report=silent)
    import phalanx.train.lifted_pose as module

    train = module.train
    monkeypatch.setattr(module, "train", lambda *a, **k: train(*a, **k, stop_after=2))
    train_on_pictures(begun(CONFIG, 1), sets, LOOP, 8, tmp_path / "run", report=silent)
    monkeypatch.setattr(module, "train", train)
    said: list[str] = []
    again = train_on_pictures(begun(CONFIG, 1), sets, LOOP, 8, tmp_path / "run", report=said.append)
    assert any(line.startswith("resumed at 16 pictures") for line in said)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    with pytest.raises(InputError, match="cannot share a batch of 7"):
        train_on_pictures(begun(CONFIG, 1), sets, LOOP, 7, tmp_path / "other", report=silent)
    with pytest.raises(InputError):  # a run with other pictures goes on in no folder
        train_on_pictures(begun(CONFIG, 1), {"a": sets["a"]}, LOOP, 8, tmp_path / "run", report=silent)
