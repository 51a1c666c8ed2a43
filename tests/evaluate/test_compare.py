import csv
import json
import re
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


def colour(folder: Path, name: str, protocol: str = "stb") -> Path:
    run = {"mean_mm": 9.0, "missed": 0, "auc_0_50": 0.8, "joints_within": [t / 50 for t in range(51)]}
    path = folder / f"{name}.json"
    head = {"protocol": protocol, "whole": True, "thresholds_mm": list(range(51)), "hands": 6000, "runs": ["phalanx"]}
    path.write_text(json.dumps({**head, "phalanx": run}))
    return path


COLUMN = "\n".join(str(min(1.0, t / 40)) for t in range(51)) + "\n\n"
CURVES = [  # name of the file, its text, AUC 0-50 and 20-50
    ("rgb+2d", COLUMN, 0.6, 1 - 0.5 * 20 / 2 / 30),
    ("percent.txt", "\n".join(f"{min(100, 2.5 * t)}" for t in range(51)), 0.6, 1 - 0.5 * 20 / 2 / 30),
    ("zb.dat", "21.0526315789474, 0.87\n30, 0.94\n50, 0.98 \n", None, None),
    ("wacv", "22, 0.6;\n24, 0.8;\n48, 1.0;\n50, 1.0;\n\n", None, (0.7 * 2 + 0.9 * 24 + 2) / 28),
    ("far.csv", "threshold,PCK\n0,0\n40,1\n100,1\n", 0.6, 1 - 0.5 * 20 / 2 / 30),
    ("blank", "# t  share\n20.             0.50 \n30.   70e-2\n50.   0.9     \n", None, (0.6 * 10 + 0.8 * 20) / 30),
    ("short", "0\n" * 31, None, None),
    ("marked.tsv", "\ufeff0\t0\n40\t100\n50\t100\n", 0.6, 1 - 0.5 * 20 / 2 / 30),
]


@pytest.mark.parametrize(("name", "text", "whole", "upper"), CURVES, ids=[curve[0] for curve in CURVES])
def test_published_curves_stand_beside_scores(tmp_path, name, text, whole, upper):
    (tmp_path / name).write_text(text, encoding="utf-8")
    methods = compare([colour(tmp_path, "mine"), tmp_path / name], tmp_path / "out")
    assert [method.name for method in methods] == ["mine: phalanx", name.partition(".")[0]]
    curve = methods[1]
    assert curve.protocol == "stb" and curve.count is None and not curve.part and curve.shares.max() <= 1
    for key, expected in (("auc_0_50", whole), ("auc_20_50", upper)):
        if name == "zb.dat" and key == "auc_20_50":  # one step of 9 mm is more than it lacks
            expected = ((0.87 + 0.94) / 2 * (30 - 21.0526315789474) + 0.96 * 20) / (50 - 21.0526315789474)
        assert curve.figures.get(key) == (None if expected is None else pytest.approx(expected))
    assert f"| {curve.name} |  |" in (tmp_path / "out/comparison.md").read_text()
    assert (tmp_path / "out/comparison.png").exists()


def test_curves_go_alone_and_beside_predictions_and_further_columns_are_curves(tmp_path):
    (tmp_path / "gan.txt").write_text("0 0 0\n25 0.5 0.6\n50 0.9 1\n")
    methods = compare([tmp_path / "gan.txt"], tmp_path / "out")
    assert [method.name for method in methods] == ["gan, column 2", "gan, column 3"]
    assert methods[1].figures == pytest.approx(
        {"auc_0_50": 0.55, "auc_20_50": (0.54 * 5 + 0.8 * 25) / 30, "within_20_percent": 48, "within_40_percent": 84}
    )
    assert methods[0].legend == "gan, column 2 (AUC 0-50 0.475)"
    assert "| AUC 0-50 |" in (tmp_path / "out/comparison.md").read_text()
    for name in ("true.txt", "mine.txt"):
        (tmp_path / name).write_text((" ".join(["100 200 700"] * 14) + "\n") * 3)
    methods = compare([tmp_path / "gan.txt", tmp_path / "mine.txt"], tmp_path / "out", tmp_path / "true.txt")
    assert [method.protocol for method in methods] == ["nyu"] * 3 and methods[2].figures["mean_mm"] == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0.1\nabc\n0.3\n", "line 2: one number expected, has 'abc'"),
        ("0, 0.1\n5 0.2 0.3\n", "line 2: 2 numbers expected, has '5 0.2 0.3'"),
        ("0, 0.1\n5, nan\n20, 1\n", "line 2: 2 numbers expected"),
        ("0 0.1 x\n1 0.2\n", "line 1: a share, or a threshold and shares, expected"),
        ("0, 0.1\n20, 0.5\n20, 0.6\n", "line 3: the threshold does not rise, 20"),
        ("0, 0.1\n0.02, 0.5\n0.05, 0.6\n", "thresholds run from 0 to 0.05; millimetres, of at least 10, expected"),
        ("-5, 0.1\n50, 0.6\n", "thresholds run from -5 to 50"),
        ("0, 0.1\n20, 0.9\n50, 0.4\n", "line 3: the share falls from 0.9 to 0.4"),
        ("0, 10\n20, 90\n50, 140\n", "line 3: 140 is neither a share nor a percentage"),
        ("0, -0.2\n50, 0.9\n", "line 1: -0.2 is neither"),
        ("0.5\n", "holds no curve: two or more lines of numbers expected, has 1"),
        ("plot 'pso' using ($1):($2)\n", "is no JSON of scores and no PCK curve"),
        ("", "the file is empty"),
    ],
)
def test_damaged_curves_are_named(tmp_path, text, message):
    (tmp_path / "curve").write_text(text)
    with pytest.raises(InputError, match=f"curve: .*{re.escape(message)}"):
        compare([tmp_path / "curve"], tmp_path / "out")


def test_curves_of_joints_do_not_go_with_scores_of_another_kind(tmp_path):
    (tmp_path / "curve").write_text(COLUMN)
    scores = {"protocol": "hgr", "thresholds_px": [0, 9], "runs": ["ours"], "ours": {"tips_within": [0, 1]}}
    (tmp_path / "hgr.json").write_text(json.dumps(scores))
    with pytest.raises(InputError, match="curve: a curve over millimetres does not go with scores of hgr"):
        compare([tmp_path / "curve", tmp_path / "hgr.json"], tmp_path / "out")
    with pytest.raises(InputError, match="curve: is given twice"):
        compare([tmp_path / "curve", tmp_path / "curve"], tmp_path / "out")


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        ({"phalanx": "x"}, "its scores of stb are damaged"),
        ({"phalanx": {"joints_within": [0.1, 1]}}, "joints_within is no curve over thresholds_mm"),
        ({"thresholds_mm": 3}, "joints_within is no curve over thresholds_mm"),
        ({"thresholds_mm": None}, "its scores of stb are damaged"),
        ({"phalanx": {"joints_within": [t / 50 for t in range(51)], "mean_mm": {}}}, "mean_mm is no number"),
        ({"hands": float("inf")}, "its scores of stb are damaged"),
        ({"runs": []}, "holds the scores of no run"),
        ({"protocol": "chess"}, "holds no scores of a known protocol .*, stb, "),
    ],
)
def test_damaged_scores_are_named(tmp_path, edit, message):
    path = colour(tmp_path, "mine")
    path.write_text(json.dumps(json.loads(path.read_text()) | edit))
    with pytest.raises(InputError, match=f"mine.json: {message}|mine.json: .*{message}"):
        compare([path], tmp_path / "out")


def test_text_files_are_scored_first(tmp_path):
    lines = " ".join(["100 200 700"] * 14) + "\n"
    for name in ("true.txt", "mine.txt"):
        (tmp_path / name).write_text(lines * 3)
    (method,) = compare([tmp_path / "mine.txt"], tmp_path / "out", tmp_path / "true.txt")
    assert method.name == "mine" and method.figures["mean_mm"] == 0
    with pytest.raises(InputError, match="mine.txt: is no JSON of scores"):
        compare([tmp_path / "mine.txt"], tmp_path / "out")
