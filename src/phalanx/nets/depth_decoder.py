"""A decoder from a few numbers that describe a hand, such as the depths of its joints, to its depth map.

Cai, Ge, Cai and Yuan, "Weakly-supervised 3D hand pose estimation from monocular RGB images", ECCV 2018, Sec. 3.4 and Fig. 4: six layers of
transposed convolution and ReLU; in the first five batch normalisation and dropout stand before the ReLU; the last combines all feature maps
into one picture. Kernels, channels and the rate of dropout are not printed. Here the first layer takes one cell to `size / 32` cells a side
and each other one doubles them; channels halve from layer to layer.
"""

from __future__ import annotations

from torch import Tensor, nn

LAYERS = 6

DROPOUT = 0.1
"""Share of feature maps that are dropped in training, of each layer; as few as these layers have, the customary half leaves blurs."""


class DepthDecoder(nn.Module):
    """Vectors (B, inputs) to depth maps (B, size, size), at least 0: near is large and background is 0 (Eq. 4 of Cai et al.).

    Args:
        inputs: numbers that go in.
        size: side of the maps, a multiple of 32.
        width: channels of the first layer's result, a multiple of 16.
        dropout: share of feature maps dropped in training.
    """

    def __init__(self, inputs: int, size: int, width: int = 256, dropout: float = DROPOUT) -> None:
        super().__init__()
        if inputs < 1 or size < 32 or size % 32 or width < 16 or width % 16 or not 0 <= dropout < 1:
            raise ValueError(
                f"DepthDecoder: inputs, a size in multiples of 32 and a width of 16 expected, not {inputs=} {size=} {width=} {dropout=}"
            )
        channels = [inputs, *(width // 2**layer for layer in range(LAYERS - 1))]
        units: list[nn.Module] = [_unit(channels[0], channels[1], size // 32, 1, 0, dropout)]
        units += [_unit(channels[k], channels[k + 1], 4, 2, 1, dropout) for k in range(1, LAYERS - 1)]
        last = nn.ConvTranspose2d(channels[-1], 1, 4, 2, 1)
        assert last.bias is not None
        nn.init.constant_(last.bias, 0.1)  # a picture that is 0 everywhere would stay so behind the last ReLU
        self.layers = nn.Sequential(*units, nn.Sequential(last, nn.ReLU()))

    def forward(self, vector: Tensor) -> Tensor:
        return self.layers(vector[:, :, None, None])[:, 0]  # (B, size, size)


def _unit(inputs: int, outputs: int, kernel: int, stride: int, padding: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.Dropout2d(dropout),
        nn.ReLU(),
    )
