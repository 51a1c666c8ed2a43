"""`phalanx report`: scores in, a page out."""

import json

from command_line import one_sentence


def test_scores_make_a_page_that_names_its_command(run, tmp_path):
    figures = {"missed": 0, "mean_mm": 12.5, "joints_within": [0.0, 1.0]}
    head = {"protocol": "rhd", "hands": 5, "whole": True, "thresholds_mm": [0, 50], "runs": ["ours"]}
    (tmp_path / "s.json").write_text(json.dumps({**head, "ours": figures}))
    words = [tmp_path / "s.json", "--out", tmp_path / "pages", "--command", "phalanx evaluate rhd DIR"]
    assert run(*words, verb="report") == (0, [f"-> {tmp_path}/pages/rhd.md"], [])
    page = (tmp_path / "pages" / "rhd.md").read_text()
    assert "| s: ours | 5 | 12.50 |" in page and "Made by `phalanx evaluate rhd DIR`" in page
    code, out, err = run(tmp_path / "none.json", verb="report")
    assert (code, out) == (2, [])
    one_sentence(err, "none.json: cannot be read")
