"""Which names results get: never one that something else has."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from phalanx.predict.outputs import PICTURE_SCHEMA, describe, heading, output_stems, write_png


@pytest.fixture
def stems(tmp_path):
    return lambda *names: output_stems([Path(name) for name in names], tmp_path)


def test_own_names_where_they_are_free(stems):
    assert stems("a.png", "b.png") == ["a", "b"]
    assert stems("a.png", "a.jpg", "x/a.png") == ["a", "a_2", "a_3"]
    assert stems("a.png", "a.jpg", "a_2.png") == ["a", "a_3", "a_2"]
    assert stems("A.png", "a.png") == ["A", "a_2"]


def results(folder, stem, of):
    (folder / f"{stem}.json").write_text(json.dumps({**heading(PICTURE_SCHEMA, Path(of)), "width": 3, "hands": []}))
    (folder / f"{stem}.glb").write_bytes(b"mesh")


def test_results_of_another_input_stay(stems, tmp_path):
    results(tmp_path, "a", "one/a.png")
    assert stems("one/a.png") == ["a"]  # again
    assert stems("two/a.png") == ["a_2"]
    results(tmp_path, "a_2", "two/a.png")
    assert stems("two/a.png") == ["a_2"]
    assert stems("three/a.png", "two/a.png", "one/a.png") == ["a_3", "a_2", "a"]


def test_the_input_is_known_from_another_folder(stems, tmp_path, monkeypatch):
    """Under whatever name it was given; and the same name elsewhere is another input."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    monkeypatch.chdir(one)
    results(tmp_path, "a", "a.png")
    assert stems("a.png") == stems(str(one / "a.png")) == ["a"]
    monkeypatch.chdir(two)
    assert stems("a.png") == ["a_2"]
    assert stems("../one/a.png") == ["a"]


def test_results_without_the_absolute_path_are_compared_by_the_given_one(stems, tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"schema": "phalanx.video/1", "input": 'x/"a".mp4', "frames": []}))
    assert output_stems([Path('x/"a".mp4')], tmp_path) == ['"a"'] and stems("y/a.mp4") == ["a_2"]
    assert stems('x/"a".mp4', "a.mp4") == ['"a"', "a_2"]


@pytest.mark.parametrize("name", ["a.json", "a.glb", "a_overlay.png", "a_overlay.mp4", "a.csv"])
@pytest.mark.parametrize("content", [b"", b"mine", b"[1, 2]", b'{"joints": 3}', b"\xff\xfe{"])
def test_files_of_unknown_origin_stay(stems, tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert stems("a.png") == ["a_2"]


def test_names_with_dots(stems, tmp_path):
    results(tmp_path, "a.b", "one/a.b.png")
    assert stems("two/a.b.png", "a.png") == ["a.b_2", "a"]


def test_pictures_are_written_whole(tmp_path):
    import numpy as np

    from phalanx.data.images import read_image

    picture = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)
    write_png(tmp_path / "a.png", picture)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), picture)
    assert os.listdir(tmp_path) == ["a.png"]


def test_the_line_names_the_gesture(oracle, claims):
    truth = oracle.truth()
    claims.append(oracle.claim(truth))
    (hand,) = oracle.predictor(truth)(oracle.picture())
    assert "gesture" not in describe(hand)
    named = replace(hand, gesture="fist", gesture_probability=0.97)
    assert describe(named).startswith("right hand, gesture fist (97 %), detected with")
    unsure = replace(hand, gesture="none", gesture_probability=0.3)
    assert ", gesture none (the likeliest has 30 %), " in describe(unsure)
