import torch

from phalanx.synth.paint.canvas import Canvas
from phalanx.synth.paint.compose import Layer


def square(side: int, depth: float, colour: float) -> Layer:
    return Layer(torch.full((1, 3, side, side), colour), torch.ones(1, side, side), torch.full((1, side, side), depth))


def test_the_nearest_is_seen_whatever_the_order():
    parts = [(square(6, 1.0, 0.2), 2, 2, 1), (square(6, 0.5, 0.8), 5, 5, 2), (square(4, 0.7, 0.5), 6, 0, 0)]
    pictures = []
    for order in (parts, parts[::-1]):
        canvas = Canvas.empty(2, 10, 12, torch.device("cpu"))
        for part, left, top, number in order:
            canvas.put(1, part, left, top, number, part.coverage[0] > 0 if number else None)
        pictures.append(canvas)
    first, second = pictures
    assert torch.equal(first.owner, second.owner)
    torch.testing.assert_close(first.layer.colour, second.layer.colour)
    assert first.owner[0].abs().sum() == 0 and first.layer.coverage[0].sum() == 0
    assert first.owner[1, 6, 6] == 2 and first.owner[1, 3, 3] == 1 and first.owner[1, 2, 7] == 0
    assert first.owner[1, 9, 11] == 0 and first.layer.depth[1, 6, 6] == 0.5


def test_parts_may_lie_beyond_the_frame():
    canvas = Canvas.empty(1, 8, 8, torch.device("cpu"))
    for left, top in ((-4, -4), (6, 6), (20, 0), (-9, 0)):
        canvas.put(0, square(6, 1.0, 1.0), left, top, 3, torch.ones(6, 6, dtype=torch.bool))
    assert (canvas.owner == 3).sum() == 4 + 4
    assert canvas.owner[0, 1, 1] == 3 and canvas.owner[0, 7, 7] == 3 and canvas.owner[0, 3, 3] == 0
