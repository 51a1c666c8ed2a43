import pytest
import torch
from torch import nn

from phalanx.nets.depth_decoder import DepthDecoder


@pytest.mark.parametrize("size", [32, 64, 96])
def test_shapes(size):
    decoder = DepthDecoder(63, size, width=32)
    assert decoder(torch.randn(2, 63)).shape == (2, size, size)


def test_six_transposed_convolutions_of_which_five_are_normalised():
    decoder = DepthDecoder(63, 64)
    kinds = [[type(part) for part in layer] for layer in decoder.layers]
    inner = [nn.ConvTranspose2d, nn.BatchNorm2d, nn.Dropout2d, nn.ReLU]
    assert kinds == [inner] * 5 + [[nn.ConvTranspose2d, nn.ReLU]]


@pytest.mark.parametrize(("inputs", "size", "width"), [(0, 64, 32), (63, 48, 32), (63, 64, 24)])
def test_refuses_what_cannot_be(inputs, size, width):
    with pytest.raises(ValueError, match="DepthDecoder"):
        DepthDecoder(inputs, size, width)


def test_learns_to_draw_a_disc_where_and_as_bright_as_it_is_described():
    torch.manual_seed(0)
    decoder = DepthDecoder(3, 32, width=64, dropout=0.0)
    line = (torch.arange(32) + 0.5) / 32

    def discs(described):
        x, y, near = described[:, :, None, None].unbind(1)
        inside = (line - x).square() + (line[:, None] - y).square() < 0.04
        return torch.where(inside, near, 0.0)

    descent = torch.optim.Adam(decoder.parameters(), 3e-3)
    for _ in range(300):
        described = 0.25 + 0.5 * torch.rand(32, 3)
        descent.zero_grad()
        (decoder(described) - discs(described)).abs().mean().backward()
        descent.step()
    decoder.eval()
    described = 0.25 + 0.5 * torch.rand(64, 3)
    with torch.no_grad():
        drawn, target = decoder(described).detach(), discs(described)
    assert float((drawn - target).abs().mean()) < 0.4 * float((target - target.mean(0)).abs().mean())
    assert float(drawn.min()) == 0.0
