import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.data.hand_depth import scale_of
from phalanx.data.sample import Sample
from phalanx.methods.lifted_pose import (
    LiftedPose,
    LiftedPoseConfig,
    LiftedPoseWeights,
    load,
    relative_joints,
    save_weights,
)
from phalanx.nets.pose_lifting import canonical_joints

CONFIG = LiftedPoseConfig(size=32, stages=2, width=8, lifting=8, hidden=16)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return LiftedPose(CONFIG)


def batch(seed=0, count=3):
    random = torch.Generator().manual_seed(seed)
    joints = 0.05 * torch.randn(count, 21, 3, generator=random) + torch.tensor([0.0, 0.0, 0.5])
    return Sample(
        image=torch.rand(count, 3, 32, 32, generator=random),
        joints=joints,
        joints_2d=4 + 24 * torch.rand(count, 21, 2, generator=random),
    )


def test_joints_are_those_of_the_canonical_frame_turned_to_the_camera(network):
    network.eval()
    images = batch().image
    places, relative = network(images)
    assert places.shape == (3, 21, 2) and relative.shape == (3, 21, 3)
    assert (places >= 0).all() and (places <= 1).all() and not relative[:, 0].any()
    canonical, turn = network.lift(network.machine(images)[1])
    expected = torch.stack([torch.stack([turn[b] @ canonical[b, j] for j in range(21)]) for b in range(3)])
    torch.testing.assert_close(relative, expected)


def test_losses_against_their_equations(network):
    sample = batch()
    network.eval().requires_grad_(False)
    terms = network.losses(sample)
    canonical, turn = network.lift(network.machine(sample.image)[1])
    true, true_turn = canonical_joints((sample.joints - sample.joints[:, :1]) / scale_of(sample.joints)[:, None, None])
    off = [float((canonical[b, j] - true[b, j]).square().sum()) for b in range(3) for j in range(21)]
    assert float(terms["canonical"]) == pytest.approx(10 * sum(off) / (3 * 21 * 3), rel=1e-5)
    turned = [float((turn[b] - true_turn[b]).square().sum()) for b in range(3)]
    assert float(terms["viewpoint"]) == pytest.approx(3 * sum(turned) / 27, rel=1e-5)
    assert float(terms["heat_maps"]) > 0


def test_losses_of_the_lifting_vanish_at_the_truth(network, monkeypatch):
    sample = batch()
    assert sample.joints is not None
    truth = canonical_joints(relative_joints(sample.joints))
    monkeypatch.setattr(network, "lift", lambda logits: truth)
    terms = network.requires_grad_(False).losses(sample)
    assert float(terms["canonical"]) == 0 and float(terms["viewpoint"]) == 0


def test_lifting_teaches_the_pose_machine_nothing(network):
    sample = batch()
    terms = network.losses(sample)
    (terms["canonical"] + terms["viewpoint"]).backward()
    assert all(p.grad is None for p in network.machine.parameters())
    assert all(
        p.grad is not None and p.grad.any() for name, p in network.lifting.named_parameters() if "linear" in name
    )
    terms["heat_maps"].backward()
    assert all(p.grad is not None for p in network.machine.parameters())


def test_weights_go_to_a_file_and_back(network, tmp_path):
    save_weights(network, tmp_path / "w.safetensors")
    images = batch().image
    torch.testing.assert_close(load(tmp_path / "w.safetensors")(images), network.eval()(images))
    assert load(tmp_path / "w.safetensors", trainable=True).training
    (tmp_path / "w.safetensors").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"w\.safetensors"):
        load(tmp_path / "w.safetensors")


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="multiple of 32"):
        LiftedPoseConfig(size=40)
    assert LiftedPoseWeights().heat_maps == 1.0
