"""Predict or load, save, score, write, on runs that are numbers."""

import json
from types import SimpleNamespace

import pytest

from phalanx.core.errors import InputError
from phalanx.evaluate.steps import SCHEMA, Steps, predict_or_load, score_and_write

TRUTH = SimpleNamespace(keys=("a", "b"))


def save(path, keys, runs):
    path.write_text(json.dumps([list(keys), dict(runs)]))


def load(path, keys):
    saved, runs = json.loads(path.read_text())
    assert saved == list(keys)
    return runs


def take(steps, predict=lambda: (TRUTH, {"ours": 3}), read=lambda: TRUTH):
    return predict_or_load(steps, predict, read, load, save)


def score(run):
    if run < 0:
        raise InputError("run: is negative")
    return {"error": 2 * run}


def never():
    raise AssertionError("nothing is predicted")


def test_what_is_predicted_is_saved_and_loaded_again(tmp_path):
    saved = tmp_path / "deep" / "p.json"
    assert take(Steps(save=saved)) == (TRUTH, {"ours": 3})
    assert take(Steps(predictions=saved), predict=never) == (TRUTH, {"ours": 3})


def test_without_save_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    take(Steps())
    score_and_write(Steps(), {"ours": 3}, score, lambda scores: {})
    assert list(tmp_path.iterdir()) == []


def test_targets_are_checked_before_anything_is_predicted(tmp_path):
    (tmp_path / "file").write_text("")
    for name in ("save", "json_path"):
        with pytest.raises(InputError, match="file: the output folder cannot be written"):
            take(Steps(**{name: tmp_path / "file" / "x"}), predict=never)


def test_saved_predictions_leave_nothing_to_predict_or_save(tmp_path):
    for more in ({"predictor": never}, {"save": tmp_path / "q.json"}):
        with pytest.raises(InputError, match="predictions: saved predictions are scored as they are"):
            take(Steps(predictions=tmp_path / "p.json", **more), predict=never, read=never)


def test_other_labels_have_their_own_keys(tmp_path):
    saved, photos = tmp_path / "p.json", SimpleNamespace(names=["x"])
    predict_or_load(Steps(save=saved), lambda: (photos, {"ours": 1}), never, load, save, lambda truth: truth.names)
    assert json.loads(saved.read_text()) == [["x"], {"ours": 1}]


def test_the_report_has_schema_head_names_and_figures(tmp_path):
    path = tmp_path / "s.json"
    steps = Steps(json_path=path)
    report = score_and_write(steps, {"a": 1, "b": 2}, score, lambda scores: {"protocol": "toy", "first": scores["a"]})
    assert report == {
        "schema": SCHEMA, "protocol": "toy", "first": {"error": 2}, "runs": ["a", "b"], "a": {"error": 2}, "b": {"error": 4}
    }  # fmt: skip
    assert json.loads(path.read_text()) == report


def test_a_file_whose_runs_cannot_be_scored_is_named(tmp_path):
    with pytest.raises(InputError, match="^run: is negative"):
        score_and_write(Steps(), {"a": -1}, score, lambda scores: {})
    with pytest.raises(InputError, match="^p.json: run: is negative"):
        score_and_write(Steps(predictions="p.json"), {"a": -1}, score, lambda scores: {})
