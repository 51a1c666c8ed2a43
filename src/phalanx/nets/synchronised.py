"""Batch normalisation over all processes that train together (`core.processes`), on any device: PyTorch's own refuses CPUs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.distributed import get_rank

from phalanx.core.processes import process_count, sum_over_processes


class SynchronisedBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose statistics in training are those of all processes' pictures, of which they may have unequal numbers.

    Alone, and in evaluation mode, it is `nn.BatchNorm2d`; its weights and buffers have the same names.
    """

    def forward(self, input: Tensor) -> Tensor:  # torch's name of the argument
        processes = process_count()
        if processes == 1 or not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        count = x.numel() // x.shape[1]
        variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)  # (C,)
        # Each process fills its row; the sum is all rows. Sums of squares would lose digits where the mean is large.
        own = x.new_zeros(processes, 1)
        own[get_rank()] = 1.0
        rows = own * torch.cat((mean, variance, mean.new_tensor([float(count)])))  # (P, 2 C + 1)
        means, variances, counts = sum_over_processes(rows).split((len(mean), len(mean), 1), dim=1)
        total = counts.sum().detach()
        share = counts.detach() / total  # (P, 1)
        mean = (share * means).sum(0)
        variance = (share * (variances + (means - mean).square())).sum(0)
        self._keep(mean.detach(), variance.detach() * (total / (total - 1)))
        scale = torch.rsqrt(variance + self.eps)
        if self.affine:
            scale = scale * self.weight
        normal = (x - mean[:, None, None]) * scale[:, None, None]
        return (normal if self.bias is None else normal + self.bias[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked += 1
        factor = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean), factor)
        self.running_var.lerp_(variance.to(self.running_var), factor)


def synchronise_batch_norm(module: nn.Module) -> None:
    """Make every `nn.BatchNorm2d` in `module`, in place, one whose statistics are those of all processes.

    Layers stay the objects that they are, with their parameters: optimisers and checkpoints do not notice.
    """
    for layer in module.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = SynchronisedBatchNorm2d
