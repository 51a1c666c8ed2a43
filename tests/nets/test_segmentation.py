import pytest
import torch
from torch import nn
from torch.nn import functional

from phalanx.nets.segmentation import HandSegNet, SlimSegNet


def convolutions(network: nn.Module) -> int:
    return sum(isinstance(module, nn.Conv2d) for module in network.modules())


def test_layers_are_those_that_the_paper_leaves():
    """SegNet has 13 convolutions and five pools in its encoder, and as many in its decoder."""
    network = SlimSegNet(4)
    assert convolutions(network.down) == 13 - 2 and len(network.down) == 5 - 1
    assert convolutions(network.up) + 1 == 13 - 8 and len(network.up) == 5 - 1


@pytest.mark.parametrize("kind", [SlimSegNet, HandSegNet])
def test_a_square_is_found_in_noise(kind):
    torch.manual_seed(0)
    network = kind(4)
    descent = torch.optim.Adam(network.parameters(), 1e-2)

    def pictures() -> tuple[torch.Tensor, torch.Tensor]:
        mask = torch.zeros(4, 32, 32)
        for picture in mask:
            x, y = torch.randint(0, 16, (2,)).tolist()
            picture[y : y + 14, x : x + 14] = 1
        return mask[:, None] + 0.3 * torch.randn(4, 3, 32, 32), mask

    for _ in range(60):
        images, mask = pictures()
        descent.zero_grad()
        functional.binary_cross_entropy_with_logits(network(images), mask).backward()
        descent.step()
    images, mask = pictures()
    found = network.eval()(images) > 0
    assert found.shape == mask.shape and (found == (mask > 0.5)).float().mean() > 0.9
