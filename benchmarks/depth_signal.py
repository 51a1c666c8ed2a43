"""What a hand's depth map says of the depths of its joints: they are moved down the depth loss alone, by regularizers of two kinds.

    python benchmarks/depth_signal.py WEIGHTS [--cache DIR] [--steps 4000] [--pairs 6000] [--test 400]

WEIGHTS are of `methods.depth_gan`, such as those of a start of `phalanx reproduce dggan` (DIR/starts/depth_gan-*/depth_gan.safetensors).
Regularizers (Chen 2020, Eq. 3.5) are trained on `studio`, from true depths of joints, jittered, to the depth maps that the sensor read: one
from depths alone, as printed, one with true 2D joints beside. Then, on pictures of `field`, depths that the network estimates are moved
down the distance between the regularizer's map and a true one, or a drawn one, and nothing else.

It prints, for each regularizer and kind of map: the cosine between the way down the loss and the way to the true depths (1 leads there, 0
says nothing); the loss at estimated, moved and true depths; and the mean error of depths before and after, mm.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from phalanx.data.hand_depth import scale_of
from phalanx.data.sample import Sample
from phalanx.methods.depth_gan import DepthGAN, depths_of, joints_2d_of, load, relative_map
from phalanx.nets.depth_decoder import DepthDecoder
from phalanx.reproduce.frozen import cache_folder
from phalanx.reproduce.pairs import frozen_pictures
from phalanx.train.depth_gan import drawn_maps
from phalanx.train.paired import restored

JITTER = 0.3
"""Standard deviation of what is added to true depths in training, at most, bone lengths."""

MOVES = 40
"""Steps down the depth loss."""


def seen(depths: Tensor, places: Tensor, with_places: bool) -> Tensor:
    """What a regularizer gets of depths (B, 21) and places (B, 21, 2), 0 to 1."""
    return torch.cat((depths, 2 * places.flatten(1) - 1), dim=1) if with_places else depths


def trained(pairs: Sample, with_places: bool, steps: int, width: int = 128, batch: int = 32) -> DepthDecoder:
    """A regularizer that was shown true depths of joints."""
    torch.manual_seed(0)
    assert pairs.depth is not None
    depths, places, maps = depths_of(pairs), joints_2d_of(pairs), relative_map(pairs.depth)
    decoder = DepthDecoder(63 if with_places else 21, maps.shape[-1], width).train()
    descent = torch.optim.AdamW(decoder.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(descent, 1.0, 0.0, steps)
    for _ in range(steps):
        drawn = torch.randint(len(depths), (batch,))
        jittered = depths[drawn] + JITTER * torch.rand(batch, 1) * torch.randn(batch, 21)
        loss = (decoder(seen(jittered, places[drawn], with_places)) - maps[drawn]).abs().mean()  # Eq. 3.5
        descent.zero_grad()
        loss.backward()
        descent.step()
        schedule.step()
    return decoder.eval().requires_grad_(False)


def moved(
    decoder: DepthDecoder, depths: Tensor, places: Tensor, maps: Tensor, with_places: bool
) -> tuple[Tensor, Tensor]:
    """Depths (B, 21) after `MOVES` steps down the depth loss, and its gradient (B, 21) at the first."""
    depths = depths.clone().requires_grad_()
    descent = torch.optim.Adam([depths], lr=0.03)
    first = torch.zeros_like(depths)
    for step in range(MOVES):
        loss = (decoder(seen(depths, places, with_places)) - maps).abs().mean(dim=(1, 2)).sum()
        descent.zero_grad()
        loss.backward()
        if step == 0 and depths.grad is not None:
            first = depths.grad.clone()
        descent.step()
    return depths.detach(), first


@torch.no_grad()
def estimated(network: DepthGAN, images: Tensor) -> Tensor:
    """Relative depths (B, 21)."""
    return torch.cat([network(part)[1] for part in images.split(64)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--pairs", type=int, default=6000)
    parser.add_argument("--field", type=int, default=4800, help="pictures of the set; the last are tested on")
    parser.add_argument("--test", type=int, default=400)
    args = parser.parse_args()
    network, cache = load(args.weights), cache_folder(args.cache)
    size = network.config.size
    pairs = restored(frozen_pictures("studio", cache, args.pairs, size, 1, print))
    kept = frozen_pictures("field", cache, args.field, size, 1, print)
    test = restored({name: value[-args.test :] for name, value in kept.items()})
    assert test.image is not None and test.depth is not None and test.joints is not None
    truth, places, begun = depths_of(test), joints_2d_of(test), estimated(network, test.image)
    unit = 1000 * scale_of(test.joints)[:, None]

    def off(depths: Tensor) -> float:
        return float(((depths - truth).abs() * unit)[:, 1:].mean())

    print(f"depths are off by {off(begun):.1f} mm as estimated, by {off(0 * truth):.1f} mm if all are the wrist's")
    targets = {"true": relative_map(test.depth), "drawn": drawn_maps(network, test.image)}
    for with_places in (False, True):
        decoder = trained(pairs, with_places, args.steps)
        for kind, maps in targets.items():
            after, gradient = moved(decoder, begun, places, maps, with_places)
            cosine = torch.cosine_similarity(-gradient, truth - begun, dim=1).mean()
            losses = [
                float((decoder(seen(depths, places, with_places)) - maps).abs().mean())
                for depths in (begun, after, truth)
            ]
            print(
                f"{'with' if with_places else 'without'} places, {kind} maps: cosine {cosine:.3f}; loss as estimated, moved, at "
                f"true depths: {', '.join(f'{value:.4f}' for value in losses)}; depths off by {off(after):.1f} mm after",
                flush=True,
            )


if __name__ == "__main__":
    main()
