"""Photometric augmentation of batches: what may change in a picture without changing its labels.

Turning, scaling or shifting a crop would need another camera; that is the generator's work.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def augment(images: Tensor, random: torch.Generator) -> Tensor:
    """Random gain, tint, saturation, gamma, grey, loss of resolution, noise and patches: (B, 3, H, W) in [0, 1] to the same.

    Each picture draws its own; about a third of them stay nearly as they are. The result depends on `images` and the
    generator only.
    """
    count = len(images)
    images = degrade(images, random)
    strength = _uniform(random, count, 1, 1)  # (B, 1, 1) how far colours move
    mix = torch.eye(3) + 0.1 * strength * torch.randn(count, 3, 3, generator=random)
    mix = mix * torch.exp(0.15 * strength * torch.randn(count, 3, 1, generator=random))  # white balance
    mix = mix * torch.exp(0.25 * strength * torch.randn(count, 1, 1, generator=random))  # gain
    # Much of it without colour: what networks learn from the colour of painted skin fails on photographs.
    fade = strength * (1.2 * _uniform(random, count, 1, 1) - 0.4)
    fade = torch.where(_uniform(random, count, 1, 1) < 0.15, 1.0, fade)
    mix = (1 - fade) * mix + fade * mix.mean(1, keepdim=True)
    images = torch.einsum("bij,bjhw->bihw", mix, images)
    images = images + 0.06 * strength[..., None] * torch.randn(count, 1, 1, 1, generator=random)
    gamma = torch.exp(0.25 * strength * torch.randn(count, 1, 1, generator=random))[..., None]
    images = images.clamp(1e-4, 1).pow(gamma)
    noise = 0.04 * _uniform(random, count, 1, 1, 1).square()
    images = images + noise * torch.randn(images.shape, generator=random)
    return erase(images.clamp_(0, 1), random)


def degrade(images: Tensor, random: torch.Generator, share: float = 0.15) -> Tensor:
    """A share of the pictures loses resolution: shrunk to 35-80 % and enlarged again."""
    chosen = (_uniform(random, len(images)) < share).nonzero()[:, 0]
    size = images.shape[-1]
    small = max(8, int(size * (0.35 + 0.45 * float(_uniform(random, 1)))))
    if not len(chosen):
        return images
    coarse = functional.interpolate(images[chosen], size=(small, small), mode="area")
    return images.index_copy(
        0, chosen, functional.interpolate(coarse, size=(size, size), mode="bilinear", align_corners=False)
    )


def erase(images: Tensor, random: torch.Generator, share: float = 0.2) -> Tensor:
    """A share of the pictures is covered in part by a rectangle of one colour, sides 8-30 % of the picture."""
    count, _, height, width = images.shape
    sides = 0.08 + 0.22 * _uniform(random, count, 2)
    centre = _uniform(random, count, 2)
    x = (torch.arange(width) + 0.5) / width
    y = (torch.arange(height) + 0.5) / height
    across = (x - centre[:, :1]).abs() < sides[:, :1] / 2  # (B, W)
    down = (y - centre[:, 1:]).abs() < sides[:, 1:] / 2  # (B, H)
    hit = (_uniform(random, count) < share)[:, None, None]
    covered = (down[:, :, None] & across[:, None, :] & hit)[:, None]  # (B, 1, H, W)
    return torch.where(covered, _uniform(random, count, 3, 1, 1), images)


def _uniform(random: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=random)
