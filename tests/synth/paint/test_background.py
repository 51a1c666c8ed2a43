"""Backgrounds: a bank that is the same everywhere, and folders that may be wrong."""

import cv2
import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator
from phalanx.synth.paint import background
from phalanx.synth.paint.background import backgrounds, draw_backgrounds, tile_bank
from phalanx.synth.paint.clutter import PAINTERS


@pytest.mark.parametrize("painter", [painter for painter, _ in PAINTERS], ids=lambda painter: painter.__name__)
def test_painters_paint(painter):
    spread = []
    for i in range(3):
        tile = painter(generator(i), 64)
        assert tile.shape == (64, 64, 3) and np.isfinite(tile).all()
        assert tile.min() >= 0 and tile.max() <= 255
        spread.append(float(np.std(tile)))
    assert max(spread) > 1
    assert np.array_equal(painter(generator(9), 64), painter(generator(9), 64))


def test_backgrounds_repeat_and_vary():
    bank = tile_bank(4, None, 0.5, "cpu")
    first = backgrounds(draw_backgrounds(generator(0), 8, 4), bank, 48)
    assert first.shape == (8, 3, 48, 48) and first.min() >= 0 and first.max() <= 1
    assert torch.equal(first, backgrounds(draw_backgrounds(generator(0), 8, 4), bank, 48))
    assert (first[0] - first[1]).abs().mean() > 0.01


def test_photographs_are_used(tmp_path):
    colour = np.full((300, 400, 3), (10, 200, 30), np.uint8)
    cv2.imwrite(str(tmp_path / "green.png"), colour)
    bank = tile_bank(4, tmp_path, 0.5, "cpu")
    mean = bank.tiles(np.arange(4)).float().mean((2, 3))
    assert torch.allclose(mean[:2], torch.tensor([30.0, 200.0, 10.0]), atol=1)  # RGB
    assert not torch.allclose(mean[2:], torch.tensor([30.0, 200.0, 10.0]), atol=1)


def test_wrong_folders_are_named(tmp_path):
    with pytest.raises(InputError, match="gone: no such folder"):
        tile_bank(2, tmp_path / "gone", 0.5, "cpu")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "._photo.jpg").write_bytes(b"what a Mac leaves")
    with pytest.raises(InputError, match="holds no pictures"):
        tile_bank(2, tmp_path, 0.5, "cpu")
    (tmp_path / "broken.jpg").write_text("no picture")
    with pytest.raises(InputError, match="none of its pictures"):
        tile_bank(2, tmp_path, 0.5, "cpu")


def test_broken_photographs_are_named_once_and_the_rest_is_used(tmp_path, capsys):
    cv2.imwrite(str(tmp_path / "green.png"), np.full((300, 400, 3), (10, 200, 30), np.uint8))
    (tmp_path / "broken.jpg").write_text("no picture")
    (tmp_path / "empty.png").write_bytes(b"")
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (100_000).to_bytes(4, "big") * 2 + b"\x08\2\0\0\0"
    (tmp_path / "huge.png").write_bytes(head + b"\0" * 40)
    tiles = tile_bank(16, tmp_path, 1.0, "cpu").tiles(np.arange(16))
    said = sorted(capsys.readouterr().err.splitlines())
    names = ("broken.jpg: ", "empty.png: ", "huge.png: ")
    assert len(said) == len(names) and all(name in line for name, line in zip(names, said, strict=True))
    green = torch.tensor([30.0, 200.0, 10.0])
    assert torch.allclose(tiles.float().mean((2, 3)), green.expand(16, 3), atol=1)


def test_photographs_are_decoded_once(tmp_path, monkeypatch):
    cv2.imwrite(str(tmp_path / "green.png"), np.full((600, 800, 3), (10, 200, 30), np.uint8))
    read, count = background.read_image, []
    monkeypatch.setattr(background, "read_image", lambda path: count.append(path) or read(path))
    tiles = tile_bank(9, tmp_path, 1.0, "cpu").tiles(np.arange(9))
    assert len(count) == 1 and tiles.shape == (9, 3, 256, 256)


def test_tiles_are_the_same_in_whatever_order_they_are_asked_for(tmp_path):
    for i in range(4):
        cv2.imwrite(str(tmp_path / f"{i}.png"), generator(i).integers(0, 255, (40, 60, 3), np.uint8))
    (tmp_path / "broken.jpg").write_text("no picture")
    first, second = (tile_bank.__wrapped__(6, tmp_path, 0.5, "cpu") for _ in range(2))
    some = second.tiles(np.array([5, 1]), 2)
    assert torch.equal(first.tiles(np.arange(6)), second.tiles(np.arange(6)))
    assert some.shape == (2, 3, 64, 64) and torch.equal(first.tiles(np.array([5, 1]), 2), some)


def test_tiles_are_painted_when_they_are_needed(monkeypatch):
    painted = []
    monkeypatch.setattr(
        background, "paint", lambda generator, side, painters: painted.append(1) or np.zeros((side, side, 3), np.uint8)
    )
    bank = tile_bank.__wrapped__(50, None, 0.5, "cpu")
    assert len(bank) == 50 and not painted
    backgrounds(draw_backgrounds(generator(0), 3, 50), bank, 16)
    assert 2 <= len(painted) <= 6
