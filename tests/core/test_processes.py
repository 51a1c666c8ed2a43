import torch

from phalanx.core.processes import mean_over_processes, process_count, sum_over_processes


def test_alone_nothing_changes():
    total = torch.tensor([3.0, 4.0], requires_grad=True)
    assert process_count() == 1
    assert mean_over_processes(total) is total and sum_over_processes(total) is total


def test_two_processes_share_their_sums(two_processes):
    code = """
from phalanx.core.processes import mean_over_processes, process_count, sum_over_processes
own = torch.tensor([1.0, 10.0]) * (rank + 1)
leaf = own.clone().requires_grad_()
mean = mean_over_processes(leaf)
total = sum_over_processes(leaf)
((rank + 1) * total.square()).sum().backward()
result = process_count(), mean, mean.requires_grad, total.detach(), leaf.grad, leaf.detach()
"""
    for rank, (count, mean, has_gradient, total, gradient, own) in enumerate(two_processes(code)):
        assert count == 2 and mean.tolist() == [1.5, 15.0] and not has_gradient
        assert total.tolist() == [3.0, 30.0]
        assert gradient.tolist() == [18.0, 180.0]  # of both losses, total^2 and 2 total^2
        assert own.tolist() == [1.0 * (rank + 1), 10.0 * (rank + 1)]  # is left as it was
