"""A finder of hands for tests of what comes after it: whatever surface is in a cube is a hand, and its middle is the hand's."""

import torch

from phalanx.methods.hand_finder import EXTENTS, JOINTS, LEFT, NOTHING, RIGHT, HandFinderConfig

LEAST = 8  # cells


class Surface:
    """Says `side` of every cube that shows something in its middle; a search asks six times, every other time of mirror images."""

    def __init__(self, side="right"):
        self.config = HandFinderConfig(size=32)
        self.side, self.calls = side, 0

    def to(self, device):
        return self

    def __call__(self, maps):
        self.calls += 1
        right = (self.side == "right") != (self.calls % 2 == 0)
        near = maps[:, 0].cpu()
        shown = (near < EXTENTS[0] / 2).float()
        count = shown.sum((1, 2))
        axis = EXTENTS[0] * ((torch.arange(32) + 0.5) / 32 - 0.5)
        weights = shown / count.clamp_min(1)[:, None, None]
        middle = torch.stack(
            [(weights * axis).sum((1, 2)), (weights * axis[:, None]).sum((1, 2)), (weights * near).sum((1, 2))], 1
        )
        logits = torch.full((len(maps), 3), -5.0)
        logits[torch.arange(len(maps)), torch.where(count > LEAST, RIGHT if right else LEFT, NOTHING)] = 5.0
        return logits.to(maps.device), middle[:, None].expand(-1, JOINTS, -1).to(maps.device)
