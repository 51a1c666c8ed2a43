import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.evaluate.compare import compare, read_methods
from phalanx.evaluate.nyu import score_nyu


def scored(folder: Path, name: str, noise: float) -> Path:
    random = np.random.default_rng(1)
    true = np.concatenate([random.uniform(100, 400, (30, 14, 2)), random.uniform(600, 900, (30, 14, 1))], axis=-1)
    predicted = true + noise * random.standard_normal(true.shape)
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, **score_nyu(predicted, true)}))
    return path


def photos(folder: Path) -> Path:
    run = {"epe_2d_px": 8.0, "epe_3d_root_scaled_mm": 17.0, "auc_0_50": 0.6, "missed": 0, "auc_20_50": None}
    run["joints_within"] = [min(1.0, t / 40) for t in range(51)]
    path = folder / "photos.json"
    head = {"protocol": "photos3d", "thresholds_mm": list(range(51)), "runs": ["focal_given", "focal_not_given"]}
    path.write_text(json.dumps({**head, **run, "focal_given": run, "focal_not_given": run}))
    return path


def test_figure_and_tables_hold_every_method(tmp_path):
    files = [scored(tmp_path, "first_method", 2.0), scored(tmp_path, "second & last", 5.0)]
    methods = compare(files, tmp_path / "out")
    assert [method.name for method in methods] == ["first_method", "second & last"]
    with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, method in zip(rows, methods, strict=True):
        assert row["method"] == method.name
        assert float(row["mean (mm)"]) == pytest.approx(method.figures["mean_mm"], abs=0.006)
        share = method.figures["frames_with_max_error_within"][20]
        assert float(row["frames within 20 mm (%)"]) == pytest.approx(100 * share, abs=0.06)
        assert row["first subject (mm)"] == ""  # not the whole test set
    assert methods[0].figures["mean_mm"] < methods[1].figures["mean_mm"]
    assert "| first_method | " in (tmp_path / "out" / "comparison.md").read_text()
    assert r"second \& last & " in (tmp_path / "out" / "comparison.tex").read_text()
    picture = cv2.imread(str(tmp_path / "out" / "comparison.png"))
    assert picture.shape[0] > 300 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 10


def test_runs_of_one_file_are_methods_of_their_own(tmp_path):
    methods = compare([photos(tmp_path)], tmp_path / "out")
    assert [method.name for method in methods] == ["photos: focal_given", "photos: focal_not_given"]
    text = (tmp_path / "out" / "comparison.csv").read_text().splitlines()
    assert text[1] == "photos: focal_given,,8.0,17.0,,0.600,,0"


def test_methods_of_one_name_go_by_their_files(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        photos(tmp_path / name)
    methods = compare([tmp_path / name / "photos.json" for name in ("first", "second")], tmp_path / "out")
    assert [method.name for method in methods] == [
        f"photos: {run} ({name}/photos.json)" for name in ("first", "second") for run in ("focal_given", "focal_not_given")
    ]  # fmt: skip
    one, other = scored(tmp_path / "first", "same", 1.0), tmp_path / "other.json"
    other.write_text(one.read_text())
    assert [method.name for method in compare([one, other], tmp_path / "out")] == [
        "same (same.json)", "same (other.json)"
    ]  # fmt: skip


def test_a_part_of_a_set_is_said_to_be_one(tmp_path):
    methods = compare([scored(tmp_path, "few", 2.0)], tmp_path / "out")  # 30 frames of 8,252
    assert methods[0].count == 30 and methods[0].part and methods[0].legend.endswith("part of the set")
    assert "| few | 30 (part) |" in (tmp_path / "out" / "comparison.md").read_text()
    scores = json.loads(scored(tmp_path, "all", 2.0).read_text())
    (tmp_path / "all.json").write_text(json.dumps({**scores, "frames": 8252}))
    (method,) = compare([tmp_path / "all.json"], tmp_path / "out")
    assert method.scored == "8252" and not method.part


def test_what_cannot_be_compared_is_refused(tmp_path):
    nyu = scored(tmp_path, "a", 1.0)
    with pytest.raises(InputError, match="several protocols .nyu, photos3d"):
        compare([nyu, photos(tmp_path)], tmp_path / "out")
    with pytest.raises(InputError, match="a.json: is given twice"):
        compare([nyu, nyu], tmp_path / "out")
    for name, text in (
        ("x.json", "{"),
        ("y.json", "[]"),
        ("z.json", '{"protocol": "chess"}'),
        ("w.json", '{"protocol": []}'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=name):
            read_methods(tmp_path / name)
    with pytest.raises(InputError, match="none.json: cannot be read"):
        read_methods(tmp_path / "none.json")
    assert not (tmp_path / "out").exists()


def test_text_files_are_scored_first(tmp_path):
    lines = " ".join(["100 200 700"] * 14) + "\n"
    for name in ("true.txt", "mine.txt"):
        (tmp_path / name).write_text(lines * 3)
    (method,) = compare([tmp_path / "mine.txt"], tmp_path / "out", tmp_path / "true.txt")
    assert method.name == "mine" and method.figures["mean_mm"] == 0
    with pytest.raises(InputError, match="mine.txt: is no JSON of scores"):
        compare([tmp_path / "mine.txt"], tmp_path / "out")
