"""The detector of hands: its maps, its losses against slow twins, and that it learns to find what is there."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from phalanx.core.errors import InputError
from phalanx.hand.model import HandModel
from phalanx.methods import detector as module
from phalanx.methods.detector import (
    CHANNELS,
    STRIDE,
    UNIT,
    Detector,
    DetectorConfig,
    Scenes,
    boxes_of,
    export,
    load,
    middles,
    save_weights,
    split,
    squares_of,
)
from phalanx.predict.detection import find_hands, overlap
from phalanx.predict.runtime import load_detector

SMALL = DetectorConfig(widths=(8, 12, 12, 12), depths=(0, 1, 1, 1), top_down=(12, 12, 12))


def scenes(boxes: list[list[tuple[float, float, float, float]]], size: int = 64) -> Scenes:
    """Pictures with bright rectangles for hands: right ones red, left ones blue, by turns."""
    count, most = len(boxes), max(map(len, boxes))
    batch = Scenes(
        image=torch.full((count, 3, size, size), 0.2),
        present=torch.zeros((count, most), dtype=torch.bool),
        unclear=torch.zeros((count, most), dtype=torch.bool),
        right=torch.zeros(count, most),
        boxes=torch.zeros(count, most, 4),
        squares=torch.ones(count, most, 3),
        turns=torch.zeros(count, most, 2),
        palms=torch.zeros(count, most, 3),
        mask=torch.zeros(count, size // STRIDE, size // STRIDE),
    )
    for i, of_picture in enumerate(boxes):
        for n, (left, top, right, lower) in enumerate(of_picture):
            batch.image[i, 0 if n % 2 == 0 else 2, int(top) : int(lower), int(left) : int(right)] = 1.0
            batch.present[i, n] = True
            batch.right[i, n] = float(n % 2 == 0)
            batch.boxes[i, n] = torch.tensor([left, top, right, lower])
            batch.squares[i, n] = torch.tensor(
                [(left + right) / 2, (top + lower) / 2, 1.5 * max(right - left, lower - top)]
            )
            batch.turns[i, n] = torch.tensor([math.cos(0.3), math.sin(0.3)])
            batch.palms[i, n] = torch.tensor([0.0, 0.6, -0.8])
    return batch


class Perfect(Detector):
    """Says exactly what is in a batch."""

    def __init__(self, batch: Scenes) -> None:
        super().__init__(SMALL)
        self.batch = batch

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        batch, size = self.batch, images.shape[-1] // STRIDE
        heat = middles(batch.boxes, size, size) * batch.present[..., None, None]
        owner = heat.argmax(1)  # (B, h, w)
        row = torch.arange(len(images))[:, None, None]
        centre = (torch.arange(size) + 0.5) * STRIDE
        x, y = centre[None, None].expand_as(owner), centre[None, :, None].expand_as(owner)
        box, square = batch.boxes[row, owner], batch.squares[row, owner]
        distances = torch.stack([x - box[..., 0], y - box[..., 1], box[..., 2] - x, box[..., 3] - y], 1)
        return torch.cat(
            [
                torch.where(heat.amax(1) > 0.999, 9.0, -9.0)[:, None],
                (18 * batch.right[row, owner] - 9)[:, None],
                (distances.clamp_min(0.1) / UNIT).log(),
                ((square[..., 0] - x) / UNIT)[:, None],
                ((square[..., 1] - y) / UNIT)[:, None],
                (square[..., 2] / UNIT).log()[:, None],
                batch.turns[row, owner].movedim(-1, 1),
                batch.palms[row, owner].movedim(-1, 1),
                (18 * batch.mask - 9)[:, None],
            ],
            1,
        )


TWO = [[(8.0, 12.0, 30.0, 40.0), (36.0, 20.0, 60.0, 44.0)], [(20.0, 20.0, 44.0, 50.0)]]


def test_maps_have_a_quarter_of_the_side_whatever_the_shape():
    network = Detector(SMALL).eval()
    maps = network(torch.rand(2, 3, 64, 96))
    assert maps.shape == (2, sum(CHANNELS.values()), 16, 24)
    assert {name: part.shape[1] for name, part in split(maps).items()} == CHANNELS
    assert np.allclose(
        network.maps(np.full((1, 3, 64, 96), 0.5, np.float32)),
        network(torch.full((1, 3, 64, 96), 0.5)).detach(),
        atol=1e-5,
    )


def test_bells_have_their_top_in_the_cell_of_the_middle():
    boxes = torch.tensor([[[9.0, 3.0, 31.0, 27.0]]])
    bell = middles(boxes, 16, 16)[0, 0]
    assert (bell == 1).sum() == 1 and bell[15 // STRIDE, 20 // STRIDE] == 1
    assert bell[15 // STRIDE, 20 // STRIDE + 1] > bell[15 // STRIDE, 20 // STRIDE + 2] > 0


def test_what_is_said_perfectly_costs_nothing_and_what_is_not_does():
    batch = scenes(TWO)
    perfect = {name: float(value) for name, value in Perfect(batch).losses(batch).items()}
    assert perfect.keys() == {"middle", "side", "box", "square", "turn", "palm", "mask"}
    assert all(value < 0.01 for value in perfect.values()), perfect
    ordinary = Detector(SMALL).losses(batch)
    assert all(float(ordinary[name].detach()) > 10 * max(perfect[name], 1e-3) for name in perfect if name != "mask")


def test_boxes_and_squares_are_read_where_they_lie():
    batch = scenes([[(8.0, 12.0, 30.0, 40.0)]])
    said = split(Perfect(batch)(batch.image))
    row, column = 26 // STRIDE, 19 // STRIDE
    assert torch.allclose(boxes_of(said["box"])[0, row, column], batch.boxes[0, 0], atol=1e-3)
    assert torch.allclose(squares_of(said["square"])[0, row, column], batch.squares[0, 0], atol=1e-3)


def test_unclear_hands_neither_reward_nor_cost():
    batch = scenes(TWO)
    batch.unclear[0, 1], batch.present[0, 1] = True, False
    maps = Perfect(batch)(batch.image).requires_grad_()
    heat = middles(batch.boxes, 16, 16)
    module._focal(maps[:, 0], heat, batch.present, batch.unclear).backward()
    assert maps.grad is not None
    assert not maps.grad[0, 0][heat[0, 1] > 0.5].any()
    assert maps.grad[0, 0][heat[0, 0] > 0.5].any() and maps.grad[1, 0].any()


def test_overlap_loss_agrees_with_a_slow_twin():
    draw = torch.Generator().manual_seed(3)
    a, b = (torch.rand(50, 4, generator=draw) for _ in range(2))
    a, b = (torch.cat([box[:, :2], box[:, :2] + box[:, 2:]], 1) for box in (a, b))
    for mine, one, other in zip(module._giou(a, b), a.tolist(), b.tolist(), strict=True):
        both = max(min(one[2], other[2]) - max(one[0], other[0]), 0) * max(
            min(one[3], other[3]) - max(one[1], other[1]), 0
        )
        area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)) - both
        hull = (max(one[2], other[2]) - min(one[0], other[0])) * (max(one[3], other[3]) - min(one[1], other[1]))
        assert float(mine) == pytest.approx(both / area - (hull - area) / hull, abs=1e-5)


def test_it_learns_to_find_what_is_there_and_which_it_is():
    torch.manual_seed(1)
    draw = np.random.default_rng(1)
    network = Detector(SMALL)
    optimiser = torch.optim.AdamW(network.parameters(), lr=8e-3)

    def drawn(count: int) -> Scenes:
        boxes = []
        for _ in range(count):
            left, top = draw.uniform(2, 12, 2)
            boxes.append([(left, top, left + 16, top + 20), (left + 28, top + 10, left + 44, top + 34)])
        return scenes(boxes)

    for _ in range(110):
        optimiser.zero_grad()
        sum(network.losses(drawn(6)).values()).backward()
        optimiser.step()
    network.eval()
    batch = drawn(4)
    for i in range(4):
        image = batch.image[i].permute(1, 2, 0).numpy()
        found = find_hands(network, image, min_score=0.3)
        assert len(found) == 2
        for n in range(2):
            left, top, right, lower = batch.boxes[i, n].tolist()
            best = max(found, key=lambda each: overlap(each.box, (left, top, right - left, lower - top)))
            assert overlap(best.box, (left, top, right - left, lower - top)) > 0.6
            assert (best.right > 0.5) == (n == 0)


def test_weights_survive_and_are_named_for_what_they_are(tmp_path):
    torch.manual_seed(2)
    network = Detector(DetectorConfig(SMALL.widths, SMALL.depths, SMALL.top_down, calibration=(0.7, -0.2))).eval()
    for unit in network.modules():
        if isinstance(unit, nn.BatchNorm2d):
            nn.init.uniform_(unit.running_mean)
            nn.init.uniform_(unit.running_var, 0.5, 1.5)
    save_weights(network, tmp_path / "detector.safetensors", HandModel.open_hand())
    again = load(tmp_path / "detector.safetensors")
    assert again.config == network.config
    images = torch.rand(1, 3, 64, 64)
    assert torch.allclose(again(images), network(images), atol=0.02)  # half precision
    with pytest.raises(InputError, match="there is no such weights file"):
        load(tmp_path / "none.safetensors")


def test_the_model_file_says_what_the_network_says_whatever_the_size(tmp_path):
    torch.manual_seed(3)
    network = Detector(DetectorConfig(SMALL.widths, SMALL.depths, SMALL.top_down, calibration=(0.7, -0.2))).eval()
    export(network, tmp_path / "detector.onnx", HandModel.open_hand(), "float32")
    opened = load_detector(tmp_path / "detector.onnx", threads=1)
    assert opened.config.calibration == network.config.calibration
    for shape in ((1, 3, 64, 96), (2, 3, 96, 32)):
        images = np.random.default_rng(1).random(shape, dtype=np.float32)
        assert np.allclose(opened.maps(images), network.maps(images), atol=1e-4)
