import json

import numpy as np
import pytest

from phalanx.core.errors import InputError
from phalanx.evaluate.nyu import score_nyu
from phalanx.evaluate.protocol import joint_figures
from phalanx.evaluate.report import DIFFERS, write_report
from phalanx.metrics.curves import zimmermann_0_50, zimmermann_20_50


def rhd_scores(path):
    errors = np.abs(np.random.default_rng(0).normal(0, 20, (50, 21)))
    run = joint_figures(errors, None, {"0_50": zimmermann_0_50(), "20_50": zimmermann_20_50()})
    head = {"protocol": "rhd", "thresholds_mm": run["thresholds_mm"], "runs": ["phalanx"]}
    path.write_text(json.dumps({**head, "phalanx": {"missed": 0, **run}}))
    return run


def test_measured_stands_beside_published_with_what_differs(tmp_path):
    run = rhd_scores(tmp_path / "rhd.json")
    page = write_report([tmp_path / "rhd.json"], tmp_path / "out", "phalanx evaluate rhd DIR").read_text()
    assert (tmp_path / "out" / "rhd.png").stat().st_size > 1000 and "](rhd.png)" in page
    assert f"| rhd: phalanx | {run['mean_mm']:.2f} |" in page
    assert "auc_20_50, beside what papers print" in page and DIFFERS in page
    assert "Cai" in page and "Chen" in page  # both print figures on RHD
    assert page.rstrip().endswith("Made by `phalanx evaluate rhd DIR`.")


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
    rhd_scores(tmp_path / "rhd.json")
    true = np.full((3, 14, 3), 500.0)
    (tmp_path / "nyu.json").write_text(json.dumps({"name": "a", **score_nyu(true, true)}))
    with pytest.raises(InputError, match="several protocols .nyu, rhd"):
        write_report([tmp_path / "rhd.json", tmp_path / "nyu.json"], tmp_path / "out")
    page = write_report([tmp_path / "nyu.json"], tmp_path / "out").read_text()
    assert "Wan" in page
