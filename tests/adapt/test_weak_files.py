"""Finding pictures, labels and depth in a folder, and what is said of those that do not belong together."""

import json

import numpy as np
import pytest

from phalanx.adapt.weak_files import Tally, WeakFiles, depth_files, key_of, labelled_hands, pictures_in
from phalanx.core.errors import InputError


def write_labels(path, names, moved=None):
    """COCO labels of one hand in each of the pictures, moved by so many pixels."""
    points = np.random.default_rng(0).uniform(10, 90, (21, 2))
    moved = [0] * len(names) if moved is None else moved
    keypoints = [np.c_[points + by, np.ones(21)].ravel().tolist() for by in moved]
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    annotations = [{"image_id": number, "keypoints": keypoints[number]} for number in range(len(names))]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations}, indent=1))


@pytest.fixture
def folder(tmp_path):
    for name in (
        "a.jpg",
        "color/b.png",
        "more/images/a.jpg",
        "depth/a.png",
        "more/depth/a.png",
        "depth/b.exr",
        ".c.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "d_overlay.png").touch()
    return tmp_path


def find(folder, tally, *labels):
    return labelled_hands(WeakFiles(folder, labels), folder, pictures_in(folder), tally)


def test_pictures_and_their_depth(folder):
    pictures = pictures_in(folder)
    assert [path.relative_to(folder).as_posix() for path in pictures] == ["a.jpg", "color/b.png", "more/images/a.jpg"]
    depths = depth_files(folder)
    found = [depths[key_of(path.relative_to(folder))].relative_to(folder).as_posix() for path in pictures]
    assert found == ["depth/a.png", "depth/b.exr", "more/depth/a.png"]


def test_labels_find_their_pictures(folder):
    write_labels(folder / "annotations" / "l.json", ["color/b.png", "images/a.jpg", "b.png"], moved=[0, 0, 5])
    (folder / "intrinsics.json").write_text("{}")
    said = []
    labelled = find(folder, Tally(said.append))
    assert {path.relative_to(folder).as_posix(): len(hands) for path, hands in labelled.items()} == {
        "color/b.png": 2,
        "more/images/a.jpg": 1,
    }
    assert said == []


def test_pictures_that_are_not_there_are_named_with_file_and_line(folder):
    write_labels(folder / "l.json", ["gone.jpg", "b.png", "gone too.jpg"])
    said, tally = [], None
    tally = Tally(said.append)
    assert len(find(folder, tally)) == 1
    (sentence,) = said
    assert sentence.startswith(f"{folder}/l.json: line ") and "its picture gone.jpg is not in" in sentence
    assert "nor are those of 1 more labels" in sentence and len(tally.skipped) == 2
    line = int(sentence.split("line ")[1].split(",")[0])
    assert (folder / "l.json").read_text().splitlines()[line].strip() == '"image_id": 0,'


def test_names_that_tools_give_pictures(tmp_path):
    """CVAT's of frames of videos, and Label Studio's of uploads."""
    for name in ("frame_000007.PNG", "my hand (2).jpg"):
        (tmp_path / name).touch()
    write_labels(tmp_path / "l.json", ["frame_000007", "/data/upload/1/0a1b2c3d-my_hand_2.jpg", "frame_000007.jpg"])
    said = []
    labelled = find(tmp_path, Tally(said.append))
    assert {path.name for path in labelled} == {"frame_000007.PNG", "my hand (2).jpg"}
    assert len(said) == 1 and "frame_000007.jpg is not in" in said[0]  # whose suffix is another


def test_a_hand_labelled_twice_counts_once(folder):
    write_labels(folder / "l.json", ["b.png", "images/a.jpg"])
    write_labels(folder / "m.json", ["color/b.png", "more/images/a.jpg"])
    said = []
    tally = Tally(said.append)
    assert [len(hands) for hands in find(folder, tally).values()] == [1, 1]
    (sentence,) = said
    assert sentence.startswith(f"{folder}/m.json: line ") and f"labels the hand of {folder}/l.json: line " in sentence
    assert sentence.endswith(" again (so do 1 more)") and len(tally.skipped) == 2


def test_a_file_at_fault_does_not_stop_others(folder):
    write_labels(folder / "l.json", ["b.png"])
    (folder / "bad.json").write_text("{")
    (folder / "bad.xml").write_text("<annotations/>")
    said = []
    assert len(find(folder, Tally(said.append))) == 1
    assert [sentence.split("bad")[1] for sentence in said] == [
        ".json: line 1: is cut short or not JSON",
        ".xml: holds no labelled hands",
    ]
    assert len(find(folder, Tally(said.append), folder / "l.json")) == 1 and len(said) == 2


def test_a_folder_needs_labels(folder):
    with pytest.raises(InputError, match=r"has no label files; 2D joints are COCO or Label Studio JSON, or CVAT XML"):
        find(folder, Tally(print))


def test_a_name_that_several_pictures_have_needs_its_folder(folder):
    write_labels(folder / "l.json", ["elsewhere/a.jpg", "a.jpg"])
    said = []
    labelled = find(folder, Tally(said.append))
    assert list(labelled) == [folder / "a.jpg"] and "elsewhere/a.jpg is not in" in said[0]
