"""Hands out of photographs: which squares, which side, and what is left out and why."""

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.predict.looks import CROP_FACTOR
from phalanx.train.photographs import hand_crops


def hand(centre, reach, side="right"):
    turns = np.linspace(0, 2 * np.pi, 21, endpoint=False)
    return SimpleNamespace(joints_2d=np.array(centre) + reach * np.stack((np.cos(turns), np.sin(turns)), 1), side=side)


def photo(path, width=200, height=160, grey=False):
    random = np.random.default_rng(0)
    image = random.integers(0, 255, (height // 8, width // 8, 3), dtype=np.uint8)
    if grey:
        image[...] = image[..., :1]
    cv2.imwrite(str(path), cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST))
    return cv2.imread(str(path))[..., ::-1]


def seeing(*hands):
    return lambda image: list(hands)


def test_squares_are_cut_and_left_hands_mirrored(tmp_path):
    photo(tmp_path / "a.png")
    right = hand_crops(tmp_path, 32, print, seeing(hand((100, 80), 30)))
    left = hand_crops(tmp_path, 32, print, seeing(hand((100, 80), 30, "left")))
    assert right.shape == (1, 3, 32, 32) and str(right.dtype) == "torch.uint8"
    assert (right.flip(-1) == left).all() and not (right == left).all()
    both = hand_crops(tmp_path, 32, print, seeing(hand((60, 80), 30), hand((140, 80), 30)))
    assert len(both) == 2 and not (both[0] == both[1]).all()


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_crop_shows_its_square_in_the_files_colours(tmp_path, side):
    image = np.full((160, 200, 3), (110, 90, 80), np.uint8)
    image[60:68, 120:128] = (250, 120, 10)  # RGB
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    (crop,) = hand_crops(tmp_path, 64, print, seeing(hand((100, 80), 25, side))).numpy()
    square = CROP_FACTOR * 50
    marked = np.abs(crop.astype(int) - np.array([250, 120, 10])[:, None, None]).max(0) < 30
    y, x = (places.mean() for places in np.nonzero(marked))
    expected = (np.array([123.5, 63.5]) - [100, 80] + square / 2) * 64 / square
    assert [63 - x if side == "left" else x, y] == pytest.approx(expected, abs=1.0)
    assert np.sqrt(marked.sum()) == pytest.approx(8 * 64 / square, abs=1.5)


def test_pictures_come_in_the_order_of_names_and_of_folders_below(tmp_path):
    (tmp_path / "more").mkdir()
    for name, level in (("b.png", 60), ("a.png", 30), ("more/c.png", 120)):
        cv2.imwrite(str(tmp_path / name), np.broadcast_to(np.uint8([level, 0, 2 * level]), (64, 64, 3)).copy())
    crops = hand_crops(tmp_path, 32, print, seeing(hand((32, 32), 12)))
    assert crops[:, 2, 16, 16].tolist() == [30, 60, 120] and crops[:, 0, 16, 16].tolist() == [60, 120, 240]


def test_what_cannot_be_used_is_left_out_with_a_reason(tmp_path):
    photo(tmp_path / "good.png")
    photo(tmp_path / "grey.png", grey=True)
    (tmp_path / "not_a_picture.png").write_bytes(b"no")
    said = []
    crops = hand_crops(tmp_path, 32, said.append, seeing(hand((100, 80), 30)))
    assert len(crops) == 1 and len(said) == 2
    assert any("grey.png" in line and "is grey" in line for line in said)
    assert any("not_a_picture.png" in line for line in said)
    (tmp_path / "good.png").unlink()
    with pytest.raises(InputError, match=r"in none of its 2 pictures is a hand that can be learnt from"):
        hand_crops(tmp_path, 32, said.append, seeing(hand((100, 80), 30)))


def test_small_hands_and_none_are_named(tmp_path):
    photo(tmp_path / "a.png")
    said = []
    with pytest.raises(InputError):
        hand_crops(tmp_path, 128, said.append, seeing(hand((100, 80), 10)))
    assert "a.png: its hand is" in said[0] and "crops of 128 need 64" in said[0]
    with pytest.raises(InputError):
        hand_crops(tmp_path, 32, said.append, seeing())
    assert "a.png: no hand is seen in it" in said[1]


def test_a_folder_that_is_missing_or_empty_is_named(tmp_path):
    with pytest.raises(InputError, match="missing"):
        hand_crops(tmp_path / "missing", 32, print, seeing())
    with pytest.raises(InputError):
        hand_crops(tmp_path, 32, print, seeing())


def test_the_default_estimator_sees_a_hand_and_its_mirror_image_alike(tmp_path):
    image = cv2.imread(str(Path(__file__).parents[2] / "examples" / "open.jpg"))
    cv2.imwrite(str(tmp_path / "as_it_is.png"), image)
    cv2.imwrite(str(tmp_path / "mirrored.png"), image[:, ::-1])
    cv2.imwrite(str(tmp_path / "no_hand.png"), np.broadcast_to(np.uint8([40, 80, 200]), image.shape).copy())
    said = []
    one, other = hand_crops(tmp_path, 64, said.append).float()
    alike, mirrored = (float((one - image).abs().mean()) for image in (other, other.flip(-1)))
    assert 2 * alike < mirrored, (alike, mirrored)
    assert said == [f"left out: {tmp_path / 'no_hand.png'}: no hand is seen in it"]
