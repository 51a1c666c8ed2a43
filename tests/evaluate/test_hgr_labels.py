from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from phalanx.core.errors import InputError
from phalanx.data.public.hgr import HGR
from phalanx.evaluate.hgr_labels import BEYOND, ROOM, SIZE, mask_in_square, read_hgr, square_around_skin, tip_finger

WIDTH, HEIGHT = 160, 120


def write_picture(folder: Path, name: str, skin: np.ndarray, hands: list[list[tuple[str, float, float]]]) -> None:
    """A picture of HGR1 with its mask (H, W) and marked hands, whose points are (category, x, y)."""
    for kind in ("images/original_images", "skin/skin_masks", "feature_pts/feature_points"):
        (folder / f"hgr1_{kind}").mkdir(parents=True, exist_ok=True)
    picture = np.full((*skin.shape, 3), 90, np.uint8)
    cv2.imwrite(str(folder / "hgr1_images/original_images" / f"{name}.jpg"), picture)
    Image.fromarray(~skin).save(folder / "hgr1_skin/skin_masks" / f"{name}.bmp")
    text = "".join(
        "<hand>" + "".join(f'<FeaturePoint category="{c}" x="{x}" y="{y}"/>' for c, x, y in hand) + "</hand>"
        for hand in hands
    )
    (folder / "hgr1_feature_pts/feature_points" / f"{name}.xml").write_text(f"<image>{text}</image>")


def block(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    skin = np.zeros((HEIGHT, WIDTH), bool)
    skin[top:bottom, left:right] = True
    return skin


WRIST = [("Wrist", 60.0, 100.0), ("Wrist", 80.0, 100.0)]


def read(folder: Path, tips=None, whole=False):
    return read_hgr([HGR(folder, "hgr1", whole)], tips, lambda sample, square: None)


@pytest.mark.parametrize(
    ("category", "finger"),
    [
        ("Wrist", None),
        ("Finger", None),
        ("tip", -1),
        ("FingerTip", -1),
        ("Fingertip3", -1),
        ("ThumbTip", 0),
        ("INDEX_TIP", 1),
        ("tip of the forefinger", 1),
        ("MiddleFingerTip", 2),
        ("ringTip", 3),
        ("LittleTip", 4),
        ("pinky tip", 4),
        ("IndexMiddleTip", -1),
    ],
)
def test_categories_that_are_tips(category, finger):
    assert tip_finger(category) == finger


def test_categories_of_tips_may_be_told():
    assert tip_finger("End", ["end"]) == -1 and tip_finger("Tip", ["end"]) is None
    assert tip_finger("thumb", ["Thumb", "index"]) == 0


def test_tips_lie_in_the_square_around_the_skin(tmp_path):
    points = [*WRIST, ("ThumbTip", 40.0, 50.0), ("Tip", 99.0, 20.0), ("Base", 60.0, 60.0)]
    write_picture(tmp_path, "1_P_hgr1_id07_2", block(40, 20, 100, 110), [points])
    truth = read(tmp_path)
    assert truth.keys == ("7_2_1",)
    assert truth.categories == {"Base": 1, "ThumbTip": 1, "Tip": 1, "Wrist": 2}
    assert truth.labelled.tolist() == [[True, True, False, False, False]]
    assert truth.fingers[0, :2].tolist() == [0, -1]
    # the skin is 90 pixels high: the square around it 99 wide, about (69.5, 64.5), as pixel centres are counted
    side = 90 * ROOM
    for place, pixel in zip(truth.tips[0], [(40.0, 50.0), (99.0, 20.0)], strict=False):
        shown = (np.array(pixel) - [69.5, 64.5]) * SIZE / side + (SIZE - 1) / 2
        np.testing.assert_allclose(place, shown)


def test_names_that_come_twice_name_no_finger(tmp_path):
    write_picture(tmp_path, "1_P_hgr1_id01_1", block(40, 20, 100, 110), [[("ThumbTip", 1, 1), ("ThumbTip", 2, 2)]])
    assert read(tmp_path).fingers[0, :2].tolist() == [-1, -1]


def test_labels_that_cannot_be_one_hands_have_no_tips(tmp_path):
    skin = block(40, 20, 100, 110)
    write_picture(tmp_path, "1_P_hgr1_id01_1", skin, [[("Tip", 50, 50)]])
    write_picture(tmp_path, "2_P_hgr1_id01_1", skin, [[("Tip", 50, 50)], [("Tip", 60, 50)]])
    write_picture(tmp_path, "3_P_hgr1_id01_1", skin, [[("Tip", 50 + i, 50) for i in range(6)]])
    write_picture(tmp_path, "4_P_hgr1_id01_1", skin, [[("Tip", 50, 50)], []])  # an empty mark is no second hand
    truth = read(tmp_path)
    assert truth.ambiguous == 2 and truth.labelled.sum(1).tolist() == [1, 0, 0, 1]


def test_the_largest_piece_of_skin_is_the_hand():
    skin = block(40, 20, 100, 60)
    skin[100:104, 0:4] = True
    square = square_around_skin(skin, "a")
    assert (square.centre_x, square.centre_y, square.side) == (69.5, 39.5, pytest.approx(60 * ROOM))
    with pytest.raises(InputError, match="a: its mask shows no skin"):
        square_around_skin(skin & False, "a")


def test_masks_tell_what_lies_beyond_the_picture():
    skin = block(0, 0, 60, 120)  # the square about (29.5, 59.5) has a side of 132: 36.5 pixels are left of the picture
    square = square_around_skin(skin, "a")
    mask = mask_in_square(skin, square)
    assert mask.shape == (SIZE, SIZE)
    middle = mask[SIZE // 2]
    scale = SIZE / square.side
    edges = [(0 - 30 + square.side / 2) * scale, (60 - 30 + square.side / 2) * scale]
    assert (middle == BEYOND).sum() == pytest.approx(edges[0], abs=1)
    assert (middle == 1).sum() == pytest.approx(edges[1] - edges[0], abs=1)
    assert middle[0] == BEYOND and middle[-1] == 0 and (mask[0] == BEYOND).all()


def test_what_has_no_tips_is_refused(tmp_path):
    write_picture(tmp_path, "1_P_hgr1_id01_1", block(40, 20, 100, 110), [WRIST])
    with pytest.raises(InputError, match="is a tip by its category; there are Wrist"):
        read(tmp_path)
    assert read(tmp_path, ["wrist"]).labelled.sum() == 2
    (tmp_path / "hgr1_feature_pts/feature_points/1_P_hgr1_id01_1.xml").write_text("<image><hand>")
    with pytest.raises(InputError, match="is cut short"):
        read(tmp_path)
    write_picture(tmp_path, "1_P_hgr1_id01_1", block(40, 20, 100, 110), [[("Tip", float("nan"), 1.0)]])
    with pytest.raises(InputError, match="1_1_1.*has a point that is not finite"):
        read(tmp_path)


def test_a_part_may_lack_files_of_points(tmp_path):
    for name in ("1_P_hgr1_id01_1", "2_P_hgr1_id01_1"):
        write_picture(tmp_path, name, block(40, 20, 100, 110), [[("Tip", 50, 50)]])
    (tmp_path / "hgr1_feature_pts/feature_points/1_P_hgr1_id01_1.xml").unlink()
    assert read(tmp_path).labelled.sum(1).tolist() == [0, 1]
