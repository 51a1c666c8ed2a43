from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from phalanx.core.errors import InputError
from phalanx.data.public import hgr
from phalanx.data.public.hgr import HGR

XML = """<?xml version="1.0"?>
<image><hand><FeaturePoint category="Wrist" x="3" y="40.5"/><FeaturePoint category="Wrist" x="12" y="41"/>
<FeaturePoint category="Tip" x="7" y="2"/></hand></image>"""


def write_item(folder: Path, part: str, name: str, suffix: str = ".jpg") -> None:
    paths = []
    for place in (f"{part}_images/original_images", f"{part}_skin/skin_masks", f"{part}_feature_pts/feature_points"):
        (folder / place).mkdir(parents=True, exist_ok=True)
        paths.append(folder / place / name)
    picture = np.zeros((48, 32, 3), np.uint8)
    picture[:, :16] = 0, 0, 255  # red, as OpenCV writes it
    cv2.imwrite(f"{paths[0]}{suffix}", picture)
    background = np.ones((48, 32), bool)
    background[10:, :16] = False  # skin is 0
    Image.fromarray(background).save(f"{paths[1]}.bmp")
    Path(f"{paths[2]}.xml").write_text(XML)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setattr(hgr, "OFFICIAL", {"hgr1": 2, "hgr2": 2})
    write_item(tmp_path, "hgr1", "1_P_hgr1_id01_2")
    write_item(tmp_path, "hgr1", "A_P_hgr1_id13_1", ".JPG")
    write_item(tmp_path, "hgr2a", "C_P_hgr2A_id02_1")
    write_item(tmp_path, "hgr2b", "Z_P_hgr2B_id02_1")
    return tmp_path


def test_pictures_masks_and_labels(folder):
    pictures = HGR(folder, "hgr1")
    assert len(pictures) == 2
    first, second = pictures[0], pictures[1]
    assert (first.ids.tolist(), first.gesture.tolist()) == ([[1, 2, 1]], [1])
    assert (second.ids.tolist(), second.gesture.tolist()) == ([[13, 1, 10]], [10])
    expected = np.zeros((48, 32))
    expected[10:, :16] = 1
    np.testing.assert_array_equal(first.mask[0].numpy(), expected)
    assert first.image[0, 0, 20, 4] > 0.9 and first.image[0, 2, 20, 4] < 0.1
    assert (first.joints_2d, first.left) == (None, None)


def test_both_parts_of_the_second_set(folder):
    pictures = HGR(folder, "hgr2")
    assert [pictures[index].ids[0].tolist() for index in range(2)] == [[102, 1, 12], [202, 1, 35]]


def test_feature_points_are_given_as_they_are(folder):
    assert HGR(folder, "hgr1").feature_points(0) == [[("Wrist", 3, 40.5), ("Wrist", 12, 41), ("Tip", 7, 2)]]


def test_recognises(folder):
    assert HGR.recognises(folder) and not HGR.recognises(folder / "hgr1_images")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "hgr1_skin/skin_masks/1_P_hgr1_id01_2.bmp").unlink(), r"1_P_hgr1_id01_2\.bmp: is missing"),
        (lambda f: (f / "hgr1_images/original_images/A_P_hgr1_id13_1.JPG").unlink(), r"id13_1\.jpg: is missing"),
        (lambda f: (f / "hgr1_feature_pts/feature_points/A_P_hgr1_id13_1.xml").unlink(), r"id13_1\.xml: is missing"),
        (lambda f: write_item(f, "hgr1", "2_P_hgr1_id01_1"), "2 pictures expected, 3 found"),
        (lambda f: (f / "hgr1_skin").rename(f / "skin"), r"skin_masks: no such folder"),
        (lambda f: write_item(f, "hgr1", "photo"), r"2 pictures expected, 3 found"),
    ],
)
def test_faults_are_named_when_opened(folder, spoil, message):
    spoil(folder)
    with pytest.raises(InputError, match=message):
        HGR(folder, "hgr1")


def test_a_partial_copy_opens_when_asked(folder):
    (folder / "hgr1_skin/skin_masks/1_P_hgr1_id01_2.bmp").unlink()
    assert HGR(folder, "hgr1", whole=False)[0].ids.tolist() == [[13, 1, 10]]
    (folder / "hgr2a_images").rename(folder / "elsewhere")
    assert len(HGR(folder, "hgr2", whole=False)) == 1
    write_item(folder, "hgr1", "photo")
    with pytest.raises(InputError, match=r"photo\.jpg: its name is not <gesture>"):
        HGR(folder, "hgr1", whole=False)


def test_files_at_fault_are_named(folder):
    pictures = HGR(folder, "hgr1")
    mask = folder / "hgr1_skin/skin_masks/1_P_hgr1_id01_2.bmp"
    mask.write_bytes(mask.read_bytes()[:70])
    with pytest.raises(InputError, match=r"1_P_hgr1_id01_2\.bmp: "):
        pictures[0]
    Image.fromarray(np.ones((40, 32), bool)).save(mask)
    with pytest.raises(InputError, match=r"id01_2\.bmp: is not the size of its picture, 32x48"):
        pictures[0]
    points = folder / "hgr1_feature_pts/feature_points/1_P_hgr1_id01_2.xml"
    points.write_text(XML[:80])
    with pytest.raises(InputError, match=r"id01_2\.xml: is cut short or not XML"):
        pictures.feature_points(0)
    points.write_text(XML.replace("40.5", "high"))
    with pytest.raises(InputError, match=r"id01_2\.xml: has a FeaturePoint without"):
        pictures.feature_points(0)
    with pytest.raises(IndexError):
        pictures[2]
