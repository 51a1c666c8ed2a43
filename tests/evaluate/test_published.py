import json
import re
from collections import Counter
from importlib import resources

import pytest

from phalanx.core.errors import InputError
from phalanx.evaluate.published import beside_published, published, read_published

RANGES = {
    "mm": (0.5, 100),
    "px": (1, 100),
    "px²": (100, 1000),
    "deg": (1, 100),
    "ms": (1, 1000),
    "percent": (5, 100),
    "fraction": (0.3, 1),
    "not stated": (0, 1),
}
DATASETS = {
    *("rhd", "stb", "mhp", "nyu", "hgr", "rwth", "senz3d", "panoptic_hands"),
    *("wan_2019_synthetic", "dibra_2018_synthetic", "none"),
}


def value(paper, dataset, metric, method, where):
    """The printed value of the one figure that is meant."""
    (figure,) = [f for f in published(dataset, metric, paper) if f.method == method and where in f.where]
    return figure.printed


def test_five_papers_with_all_rows_of_their_tables():
    count = Counter(figure.paper.key for figure in published())
    tables = Counter(
        (f.paper.key, *re.findall(r"Tables? ([\d.]+)", f.where)) for f in published() if "Table" in f.where
    )
    assert set(count) == {"baek_2019", "cai_2018", "chen_2020", "dibra_2018", "wan_2019"}
    assert tables == {
        ("baek_2019", "2"): 3 * 4,
        ("chen_2020", "2.1"): 8 * 2,
        ("chen_2020", "2.2"): 6 * 2,
        ("chen_2020", "2.3"): 3 * 2,
        ("chen_2020", "3.1"): 8 * 3,  # one of them also stands in Table 3.2
        ("chen_2020", "3.2"): 1,
        ("chen_2020", "4.1"): 6 * 3,
        ("chen_2020", "5.2"): 6 * 3,
        ("chen_2020", "5.3"): 4,
        ("dibra_2018", "1"): 3 * 4,
        ("dibra_2018", "2"): 3 * 2 - 1,
        ("dibra_2018", "3"): 3,
        ("dibra_2018", "4"): 2 * 2,
        ("wan_2019", "1"): 12,  # two rows of the fourteen are there twice
        ("wan_2019", "2"): 14,
    }


def test_every_figure_is_plausible_in_its_unit_and_cites_its_place():
    for figure in published():
        low, high = RANGES[figure.metric.unit]
        if "gain" in figure.metric.name:
            low = 0
        assert low < figure.value <= high, figure
        assert figure.dataset in DATASETS, figure
        assert re.search(r"Tables? \d|Section \d", figure.where), figure
        assert figure.quoted is None or re.search(r"[A-Z][a-z]+.* 20\d\d", figure.quoted), figure
        assert float(figure.printed) == figure.value and 2018 <= figure.paper.year <= 2020


def test_a_metric_is_one_thing_in_all_papers():
    kinds = {}
    for figure in published():
        metric = figure.metric
        assert kinds.setdefault(metric.name, (metric.unit, metric.higher_is_better)) == (
            metric.unit,
            metric.higher_is_better,
        )
        for ending, unit in (("_mm", "mm"), ("_px", "px"), ("_px2", "px²"), ("_percent", "percent")):
            assert not metric.name.endswith(ending) or metric.unit == unit
    assert not any(up for unit, up in (kinds["mean_mm"], kinds["median_mm"], kinds["mean_2d_px"]))
    assert kinds["auc_20_50"] == ("fraction", True)


def test_what_only_one_figure_can_be_holds_within_a_row():
    rows = {}
    for figure in published():
        rows.setdefault((figure.paper.key, figure.where, figure.method, figure.dataset), {})[figure.metric.name] = (
            figure
        )
    for row in rows.values():
        if {"mean_mm", "median_mm"} <= set(row):
            assert row["median_mm"].value < row["mean_mm"].value
        if {"auc_0_50", "auc_20_50"} <= set(row):
            assert row["auc_0_50"].value < row["auc_20_50"].value
        if {"auc_0_50", "mean_mm"} <= set(row):  # but for the sum over a grid of 20
            assert row["auc_0_50"].value > 1 - row["mean_mm"].value / 50 - 0.03
        if {"auc", "mean_mm"} <= set(row):  # why these are not taken for areas from 0 to 50 mm
            assert row["auc"].value < 1 - row["mean_mm"].value / 50 and "hardly 0 to 50 mm" in row["auc"].note
        if "mask_f1_percent" in row:
            precision, recall = row["mask_precision_percent"].value, row["mask_recall_percent"].value
            f1 = 2 * precision * recall / (precision + recall)
            assert row["mask_f1_percent"].value == pytest.approx(f1, abs=0.011)
            # over one picture IoU = F1 / (2 - F1); means over pictures stay near
            assert row["mask_iou_percent"].value == pytest.approx(100 * f1 / (200 - f1), abs=0.5)


def test_values_as_they_stand_in_the_papers():
    assert value("cai_2018", "stb", "auc", "w/ 2D + w/ depth regularizer", "Section 4.3") == "0.889"
    assert value("cai_2018", "rhd", "auc", "[46]", "Section 4.3") == "0.675"
    assert value("baek_2019", "rhd", "mask_iou_percent", "Ours", "Table 2") == "65.13"
    assert value("baek_2019", "rhd", "mask_recall_percent", "[68]", "Table 2") == "92.06"
    assert value("wan_2019", "nyu", "mean_mm", "ours (100% multiple view)", "Table 1") == "12.62"
    assert value("wan_2019", "nyu", "mean_mm", "V2V [20]", "Table 2") == "8.4"
    assert value("wan_2019", "nyu", "within_20_percent", "train on test + train", "Section 4.2") == "44.3"
    assert value("dibra_2018", "rwth", "classification_accuracy_percent", "Ours", "Table 2") == "73.6"
    assert value("dibra_2018", "hgr", "fingertip_squared_error_px2", "Ours (oracle segmentation)", "3") == "361.47"
    assert value("chen_2020", "stb", "mean_mm", "Regression + DR + DGGAN", "3.2") == "9.11"
    assert value("chen_2020", "mhp", "auc_20_50", "Our multi-view method", "5.3") == "0.991"
    assert value("chen_2020", "rhd", "auc_0_50", "Hand3D trained on RHP+AR Hand w/ TAGAN", "2.1") == "0.60"
    assert value("chen_2020", "stb", "auc_0_50", "TASSN", "4.1") == "0.773"


def test_competitors_are_marked():
    assert {f.quoted for f in published("nyu", "mean_mm") if f.quoted} >= {"Moon et al. 2018", "Zhou et al. 2016"}
    assert all(f.quoted is None for f in published() if f.method.lower().startswith(("ours", "tassn", "regression")))
    # a reference in brackets is somebody else's work
    assert all(f.quoted for f in published() if re.search(r"\[\d+\]$", f.method) and "instead of" not in f.method)


def test_filters_leave_what_fits_all_of_them():
    some = published(dataset="stb", metric="auc_20_50", paper="chen_2020")
    assert some and all((f.dataset, f.metric.name, f.paper.key) == ("stb", "auc_20_50", "chen_2020") for f in some)
    assert len(some) < len(published("stb", paper="chen_2020")) < len(published("stb")) < len(published())
    assert published(dataset="photos3d") == []


@pytest.fixture
def contents():
    file = resources.files("phalanx.evaluate") / "published_data" / "baek_2019.json"
    return json.loads(file.read_text(encoding="utf-8"))


def set_in(keys, new):
    def change(contents):
        for key in keys[:-1]:
            contents = contents[key]
        contents[keys[-1]] = new

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (set_in(["schema"], "other"), "is not a file of published figures"),
        (lambda c: c.pop("metrics"), "'metrics' is missing"),
        (set_in(["paper", "key"], "other"), "the paper's key is 'other', not the name of the file"),
        (set_in(["paper", "year"], "2019"), "paper: 'year' is of the wrong type: '2019'"),
        (set_in(["paper", "year"], True), "paper: 'year' is of the wrong type: True"),
        (set_in(["metrics", "mask_iou_percent", "higher_is_better"], "yes"), "metric 'mask_iou_percent': 'higher_is"),
        (set_in(["metrics", "mask_iou_percent"], 3), "metric 'mask_iou_percent': is not an object"),
        (lambda c: c["figures"][2].pop("where"), "figure 2: 'where' is missing"),
        (set_in(["figures", 2, "page"], 3), "figure 2: 'page' is not known"),
        (set_in(["figures", 2, "split"], ""), "figure 2: 'split' is empty"),
        (set_in(["figures", 2, "value"], 65.13), "figure 2: 'value' is of the wrong type: 65.13"),
        (set_in(["figures", 2, "value"], "nan"), r"figure 2 \(Table 2, row Ours, Ours\): the value 'nan' is no number"),
        (set_in(["figures", 2, "value"], "7 mm"), "the value '7 mm' is no number"),
        (set_in(["figures", 2, "metric"], "iou"), "the metric 'iou' is not among those"),
        (lambda c: c["figures"].append(c["figures"][0]), "mask_iou_percent is there twice"),
    ],
)
def test_what_is_malformed_is_named(tmp_path, contents, change, sentence):
    change(contents)
    path = tmp_path / "baek_2019.json"
    path.write_text(json.dumps(contents), encoding="utf-8")
    with pytest.raises(InputError, match=rf"baek_2019\.json: .*{sentence}"):
        read_published(path)


def test_files_that_are_none_are_named(tmp_path):
    path = tmp_path / "paper.json"
    with pytest.raises(InputError, match="paper.json: cannot be read"):
        read_published(path)
    path.write_text('{"schema": ')
    with pytest.raises(InputError, match="paper.json: is no JSON"):
        read_published(path)
    path.write_text("[]")
    with pytest.raises(InputError, match="paper.json: is not a file of published figures"):
        read_published(path)


def test_table_has_measured_rows_first_and_published_ones_by_value():
    text = beside_published(
        {"compact | v1": 7.5, "small": 21.0}, "stb", "mean_mm", {"small": "photos\nonly", "chen_2020": "trained on STB"}
    )
    table, _, sources = text.partition("\n\n")
    lines = table.split("\n")
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    assert all(len(row) == 5 for row in cells)
    assert cells[0] == ["figure, stb", "mean_mm (mm, lower is better)", "source", "data", "what differs"]
    assert cells[1] == ["---", "---:", "---", "---", "---"]
    assert cells[2] == [r"compact \| v1", "7.50", "measured", "", ""]
    assert cells[3] == ["small", "21.00", "measured", "", "photos only"]
    shown = cells[4:]
    assert [row[1] for row in shown] == [f.printed for f in sorted(published("stb", "mean_mm"), key=lambda f: f.value)]
    assert all(row[4].startswith("trained on STB") for row in shown)
    (quoted,) = [row for row in shown if "Boukhayma" in row[0]]
    assert quoted[:2] == ["Boukhayma et al [6], of Boukhayma et al. 2019", "9.76"] and "Table 3.2" in quoted[2]
    assert sources.startswith('- chen_2020: Liangjian Chen, "Deep Learning in 3D') and sources.endswith(" stated.\n")


def test_table_puts_high_areas_first_and_gives_each_papers_definition():
    text = beside_published({"compact": 0.8}, "stb", "auc")
    values = [float(line.split("|")[2]) for line in text.split("\n")[3:] if line.startswith("|")]  # published rows
    assert values == sorted(values, reverse=True) and len(values) == len(published("stb", "auc"))
    assert "auc (fraction, higher is better)" in text and "| compact | 0.800 | measured |" in text
    assert text.count("\n- cai_2018: ") == 1 and text.count("\n- chen_2020: ") == 1


def test_table_without_published_figures_says_so():
    text = beside_published({"compact": 0.8}, "photos3d", "auc_20_50")
    assert "| compact | 0.800 | measured |" in text
    assert text.endswith("No paper that is kept here prints auc_20_50 on photos3d.\n")


def test_table_refuses_what_no_row_can_show():
    with pytest.raises(InputError, match="measured: at least one"):
        beside_published({}, "stb", "mean_mm")
    with pytest.raises(InputError, match="measured: 'compact' is nan"):
        beside_published({"compact": float("nan")}, "stb", "mean_mm")
    with pytest.raises(InputError, match="differs: 'compcat' is neither"):
        beside_published({"compact": 3.0}, "stb", "mean_mm", {"compcat": "scale"})
