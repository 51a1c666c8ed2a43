"""Training on a folder of gestures: one file, the same for the same seed; what is passed over; what is refused."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.hand.angles import ANGLE_NAMES
from phalanx.nets.gestures import Calibration, GestureConfig
from phalanx.predict.gestures import load_gestures
from phalanx.train.gestures import (
    confusion_lines,
    find_pictures,
    folds_of,
    held_out_figures,
    read_persons,
    train_gestures,
)

QUICK = GestureConfig(hidden=16, steps=60)
BRIGHTNESS = {"fist": 60, "open": 120, "point": 180}


def see(path, box=None):
    """Stands in for a predictor: how bright a picture is says how its fingers are bent; black pictures show no hand."""
    image = cv2.imread(str(path))
    if image is None:
        raise InputError(f"{path}: is not a picture")
    bright = float(image.mean())
    if bright < 10 and box is None:
        return []
    noise = np.random.default_rng(int(10 * bright)).normal(size=23) * 5
    bends = {"thumb": bright < 100, "index": bright < 90, "middle": bright < 90 or bright > 160}
    degrees = {
        name: 70.0 * bends.get(name.split("_")[0], bright < 90 or bright > 160) + step
        for name, step in zip(ANGLE_NAMES, noise, strict=True)
    }
    return [SimpleNamespace(angles_degrees=degrees, orientation=np.eye(3) * np.sign(bright - 100))]


@pytest.fixture
def folder(tmp_path):
    for name, bright in BRIGHTNESS.items():
        for i in range(4):
            picture(tmp_path / "signs" / name / f"{i}.png", bright + i)
    return tmp_path / "signs"


def picture(path, bright):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((20, 24, 3), bright, np.uint8))


def taught(folder, name="signs", **options):
    lines, complaints = [], []
    out = folder.parent / name
    report = train_gestures(
        folder, out, predictor=see, config=QUICK, say=lines.append, complain=complaints.append, **options
    )
    return report, lines, complaints


def test_a_folder_becomes_one_file_that_names_hands(folder):
    steps = []
    path = folder.parent / "report.json"
    report, lines, complaints = taught(folder, json_path=path, progress=lambda *step: steps.append(step))
    assert report["gestures"] == ["fist", "open", "point"] and report["pictures"] == report["hands"] == 12
    assert report["folds"] == 4 and report["accuracy_percent"] == 100 and report["persons"] is None
    assert complaints == [] and json.loads(path.read_text()) == report
    assert steps[0][0] == 1 and steps[-1][0] == steps[-1][1]
    assert lines[-1] == f"-> {folder.parent / 'signs.onnx'}" and any("held out in 4 folds" in line for line in lines)
    classifier = load_gestures(folder.parent / "signs.onnx")
    assert (folder.parent / "signs.onnx").stat().st_size < 300_000
    assert classifier.threshold == report["calibration"]["threshold"]
    assert classifier.session.about["card"]["confusion"] == report["confusion"]
    hands = [see(folder / name / "2.png")[0] for name in BRIGHTNESS]
    assert classifier.probabilities(hands)[:, :3].argmax(1).tolist() == [0, 1, 2]


def test_the_same_seed_gives_the_same_bytes(folder):
    taught(folder, "a", seed=4)
    taught(folder, "b.onnx", seed=4)
    taught(folder, "c", seed=5)
    a, b, c = ((folder.parent / f"{name}.onnx").read_bytes() for name in "abc")
    assert a == b != c


def test_what_is_passed_over_is_named_and_the_rest_is_learnt(folder):
    picture(folder / "open" / "dark.png", 0)
    (folder / "open" / "broken.png").write_bytes(b"no picture")
    (folder / "open" / "notes.txt").write_text("no picture by its name")
    picture(folder / "open" / "1_overlay.png", 0)
    picture(folder / "loose.png", 120)
    (folder / "empty").mkdir()
    report, lines, complaints = taught(folder)
    broken, dark = folder / "open" / "broken.png", folder / "open" / "dark.png"
    assert report["skipped"] == {str(broken): f"{broken}: is not a picture"} and report["no_hand"] == [str(dark)]
    assert complaints == [
        f"{folder / 'empty'}: holds no pictures, so there is no such gesture",
        f"{folder}: 1 pictures lie in no subfolder and are not used, such as loose.png",
        f"{broken}: is not a picture",
    ]
    assert lines[0] == f"{dark}: no hand was found" and report["hands"] == 12


def test_hands_that_show_none_are_learnt_as_none(folder):
    for i in range(4):
        picture(folder / "none" / f"{i}.png", 95 + i)
    report, lines, _ = taught(folder)
    assert report["gestures"] == ["fist", "open", "point"] and np.array(report["confusion"]).shape == (4, 4)
    assert sum(report["confusion"][3]) == 4 and "none_named_percent" in report
    assert any(line.startswith("hands that show none of them: ") for line in lines)


def test_the_palm_counts_where_it_is_asked_for(folder):
    taught(folder, palm=True)
    classifier = load_gestures(folder.parent / "signs.onnx")
    assert classifier.palm and classifier.session.about["config"]["features"][-1] == "orientation"


def test_persons_are_kept_apart(folder):
    rows = [f"{name}/{i}.png,p{i % 3}" for name in BRIGHTNESS for i in range(4)]
    path = folder / "persons.csv"
    path.write_text("\n".join(["photo,person", *rows]))
    report, lines, _ = taught(folder, persons=path)
    assert report["persons"] == report["folds"] == 3 and any("3 persons apart" in line for line in lines)
    persons = np.array(["a", "b", "a", "c"])
    folds = folds_of(np.zeros(4, int), persons, 0)
    assert folds[0] == folds[2] and sorted(set(folds.tolist())) == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "the file is empty"),
        ("picture,who\na,b", "must have columns photo and person"),
        ("photo,person\nfist/0.png,a", "does not say who is in 11 of the pictures, such as fist/1.png"),
    ],
)
def test_bad_persons(folder, text, says):
    path = folder / "persons.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=says):
        read_persons(path, folder, find_pictures(folder).paths)


def test_all_pictures_of_one_person(folder):
    path = folder / "persons.csv"
    path.write_text("photo,person\n" + "\n".join(f"{name}/{i}.png,me" for name in BRIGHTNESS for i in range(4)))
    with pytest.raises(InputError, match="all pictures are of one person, me; leave the file out"):
        read_persons(path, folder, find_pictures(folder).paths)


def test_folders_that_cannot_be_learnt(tmp_path):
    with pytest.raises(InputError, match="there is no such folder"):
        find_pictures(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no subfolders"):
        find_pictures(tmp_path / "empty")
    with pytest.raises(InputError, match="has no pictures in its subfolders"):
        find_pictures(tmp_path)
    picture(tmp_path / "fist" / "a.png", 60)
    with pytest.raises(InputError, match="has pictures of one gesture only, fist"):
        find_pictures(tmp_path)


def test_a_gesture_without_hands_is_refused(folder):
    for i in range(3):
        picture(folder / "fist" / f"{i}.png", 0)
    with pytest.raises(InputError, match="a hand was found in 1 of 4 pictures, and 2 are needed; .* --box whole"):
        taught(folder)
    assert not (folder.parent / "signs.onnx").exists()


def test_bad_arguments(folder):
    with pytest.raises(InputError, match="seed: must be a whole number"):
        taught(folder, seed=-1)
    with pytest.raises(InputError, match="cannot be written: it is a folder"):
        taught(folder, json_path=folder)


def test_figures_of_hands_held_out():
    logits = np.log(np.array([[0.9, 0.05, 0.05], [0.3, 0.6, 0.1], [0.4, 0.3, 0.3], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1]]))
    figures = held_out_figures(logits, np.array([0, 0, 0, 1, 2]), Calibration(1.0, 0.0, 0.5))
    assert figures == {
        "accuracy_percent": 75.0,
        "named_right_percent": 25.0,
        "named_wrong_percent": 25.0,
        "none_percent": 50.0,
        "none_named_percent": 100.0,
        "confusion": [[1, 1, 1], [0, 0, 1], [1, 0, 0]],
    }


def test_the_table_of_confusions():
    assert confusion_lines(["fist", "open"], [[5, 0, 1], [0, 6, 0], [0, 0, 0]]) == [
        "shown / named  fist open none",
        "         fist     5    .    1",
        "         open     .    6    .",
    ]
