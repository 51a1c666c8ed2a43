import json

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.evaluate.kinds import TRUE_CROPS
from phalanx.evaluate.nyu import score_nyu
from phalanx.evaluate.predictions import DEFAULT
from phalanx.evaluate.protocol import joint_figures
from phalanx.evaluate.report import OURS, write_report
from phalanx.metrics.curves import zimmermann_0_50, zimmermann_20_50


def write_scores(path, protocol="rhd", whole=True, run="phalanx", **more):
    """Figures of 50 made-up hands, rooted at the palm and, a little worse, at the wrist."""
    errors = np.abs(np.random.default_rng(0).normal(0, 20, (50, 21)))
    grids = {"0_50": zimmermann_0_50(), "20_50": zimmermann_20_50()}
    figures = joint_figures(errors, None, grids)
    figures |= {f"{key}_known_depth": value for key, value in joint_figures(errors + 3, None, grids).items()} | more
    head = {"protocol": protocol, "hands": 50, "whole": whole, "thresholds_mm": figures["thresholds_mm"], "runs": [run]}
    path.write_text(json.dumps({**head, run: {"missed": 0, **figures}}))
    return figures


def row(page, begins):
    """Cells of the one row of a page's tables that begins so."""
    (found,) = [line for line in page.splitlines() if line.startswith(f"| {begins} |")]
    return [cell.strip() for cell in found.split("|")[1:-1]]


def section(page, heading):
    return page.split(f"## {heading}, beside what papers print")[1].split("## ")[0]


def test_measured_stands_beside_published_with_what_differs(tmp_path):
    figures = write_scores(tmp_path / "rhd.json", made_by=DEFAULT)
    page = write_report([tmp_path / "rhd.json"], tmp_path / "out", "phalanx evaluate rhd DIR").read_text()
    assert (tmp_path / "out" / "rhd.png").stat().st_size > 1000 and "](rhd.png)" in page
    assert row(page, "rhd: phalanx")[1:3] == ["50", f"{figures['mean_mm']:.2f}"]
    palm, wrist = (row(section(page, "mean_mm"), f"rhd: phalanx, {name}") for name in ("palm", "wrist of known depth"))
    assert palm[1:3] == [f"{figures['mean_mm']:.2f}", "measured"] and "Zimmermann and Brox" in palm[4]
    assert wrist[1] == f"{figures['mean_mm_known_depth']:.2f}" and "Cai et al. 2018" in wrist[4]
    assert OURS in palm[4] and TRUE_CROPS in palm[4]
    assert "Cai" in page and "Chen" in page  # both print figures on RHD
    assert page.rstrip().endswith("Made by `phalanx evaluate rhd DIR`.")
    assert "None of the papers" not in page and "part" not in page.replace("part of the set they", "")


def test_areas_stand_beside_areas_of_their_own_range(tmp_path):
    figures = write_scores(tmp_path / "rhd.json")
    page = write_report([tmp_path / "rhd.json"], tmp_path / "out").read_text()
    known = section(page, "auc_0_50")
    assert "0.424" in row(known, "Hand3D trained on RHP")[4]
    assert row(known, "rhd: phalanx, palm")[1] == f"{figures['auc_0_50']:.3f}"
    unknown = section(page, "auc")
    assert "Hand3D" not in unknown and "| 0.675 |" in unknown
    assert row(unknown, "rhd: phalanx, palm, 0 to 50 mm")[1] == f"{figures['auc_0_50']:.3f}"
    assert row(unknown, "rhd: phalanx, palm, 20 to 50 mm")[1] == f"{figures['auc_20_50']:.3f}"


def test_what_is_said_of_stb_names_root_and_pictures(tmp_path):
    for protocol, pictures in (("stb", "stereo pair"), ("stb_sk", "depth camera")):
        write_scores(tmp_path / "s.json", protocol)
        page = write_report([tmp_path / "s.json"], tmp_path / "out").read_text()
        palm, wrist = (
            row(section(page, "mean_mm"), f"s: phalanx, {name}")[4] for name in ("palm", "wrist of known depth")
        )
        assert "the palm is the root" in palm and "the wrist is the root" in wrist
        assert pictures in palm and pictures in wrist


def test_nothing_is_said_of_how_others_learnt(tmp_path):
    write_scores(tmp_path / "rhd.json", run="theirs")
    page = write_report([tmp_path / "rhd.json"], tmp_path / "out").read_text()
    assert "theirs" in page and OURS not in page and TRUE_CROPS not in page


def test_a_part_of_a_set_is_said_to_be_one(tmp_path):
    write_scores(tmp_path / "rhd.json", whole=False)
    page = write_report([tmp_path / "rhd.json"], tmp_path / "out").read_text()
    assert row(page, "rhd: phalanx")[1] == "50 (part)" and "**part**: only some of the set" in page
    assert row(section(page, "mean_mm"), "rhd: phalanx, palm")[4].startswith("only 50 (part), which does not compare")


def test_sets_without_published_figures_say_so(tmp_path):
    figures = {"photos": 3, "missed": 0, "auc_0_50": 0.5, "joints_within": [0.0, 1.0]}
    head = {"protocol": "photos3d", "thresholds_mm": [0, 50], "runs": ["ours", "theirs"]}
    path = tmp_path / "p.json"
    path.write_text(json.dumps({**head, "ours": {**figures, "made_by": DEFAULT}, "theirs": figures}))
    page = write_report([path], tmp_path).read_text()
    assert "None of the papers whose figures are kept here" in page and "Cai 2018" in page and "rhd" in page
    assert f"- p: ours: {OURS}." in page and "p: theirs:" not in page and TRUE_CROPS not in page
    assert "one scale a photo" in page


def test_groups_have_tables_of_their_own(tmp_path):
    group = {"photos": 3, "epe_2d_px": 7.06, "epe_3d_root_scaled_mm": None}
    run = {"auc_0_50": 0.5, "missed": 0, "joints_within": [0.0, 1.0], "by_view": {"palm": group}, "by_curled": {}}
    (tmp_path / "s.json").write_text(
        json.dumps({"protocol": "synth", "thresholds_mm": [0, 50], "runs": ["focal_given"], "focal_given": run})
    )
    page = write_report([tmp_path / "s.json"], tmp_path).read_text()
    assert "## s: focal_given, by view" in page and "| palm | 3 | 7.1 |  |" in page
    assert "curled" not in page and "Made by" not in page


def test_scores_of_several_protocols_are_refused(tmp_path):
    write_scores(tmp_path / "rhd.json")
    true = np.full((3, 14, 3), 500.0)
    (tmp_path / "nyu.json").write_text(json.dumps({"name": "a", **score_nyu(true, true)}))
    with pytest.raises(InputError, match="several protocols .rhd, nyu"):
        write_report([tmp_path / "rhd.json", tmp_path / "nyu.json"], tmp_path / "out")
    page = write_report([tmp_path / "nyu.json"], tmp_path / "out").read_text()
    assert "Wan" in page
