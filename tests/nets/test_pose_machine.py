import pytest
import torch

from phalanx.nets.pose_machine import PoseMachine
from phalanx.nets.readout import soft_argmax


@pytest.mark.parametrize(("stages", "inputs", "stride"), [(1, 3, 4), (3, 1, 8)])
def test_shapes(stages, inputs, stride):
    machine = PoseMachine(stages, width=16, inputs=inputs, stride=stride)
    features, maps = machine(torch.rand(2, inputs, 64, 96))
    assert features.shape == (2, 16, 64 // stride, 96 // stride)
    assert [one.shape for one in maps] == [(2, 21, 64 // stride, 96 // stride)] * stages


def test_refuses_what_cannot_be():
    with pytest.raises(ValueError, match=r"sides \(64, 40\) are no multiples of 16"):
        PoseMachine(1, width=8)(torch.rand(1, 3, 64, 40))
    with pytest.raises(ValueError, match="stages=0"):
        PoseMachine(0)
    with pytest.raises(ValueError, match="stride=2"):
        PoseMachine(1, stride=2)


def test_a_fresh_machine_points_at_the_middle():
    torch.manual_seed(0)
    with torch.no_grad():
        _, maps = PoseMachine(2, width=16)(torch.rand(2, 3, 64, 64))
    points, _ = soft_argmax(maps[-1])
    assert float((points - 0.5).abs().max()) < 0.1


def test_later_stages_see_what_earlier_ones_said_and_the_features():
    torch.manual_seed(0)
    machine = PoseMachine(2, joints=3, width=8)
    with torch.no_grad():
        machine.stages[0][-1].weight.zero_()
    features, (first, second) = machine(torch.rand(2, 3, 32, 32))
    gradients = torch.autograd.grad(second[:, 0].sum(), [features, first])
    assert all(float(gradient.abs().max()) > 0 for gradient in gradients)


def test_every_weight_is_trained_by_a_loss_on_all_stages():
    torch.manual_seed(0)
    machine = PoseMachine(3, width=8)
    for (
        unit
    ) in machine.modules():  # the second halves of fresh residual blocks have no gain, and so their first no gradient
        if isinstance(unit, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(unit.weight)
    _, maps = machine(torch.rand(2, 3, 32, 32))
    sum(one.square().sum() for one in maps).backward()
    assert [name for name, p in machine.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []
