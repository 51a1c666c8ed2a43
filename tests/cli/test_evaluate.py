"""`phalanx evaluate`: protocols, their options and what they print."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from command_line import one_sentence
from PIL import Image

from phalanx.cli import main
from phalanx.cli.protocols import OPTIONS
from phalanx.evaluate import catalogue, predictions
from phalanx.evaluate.catalogue import PROTOCOLS

MINIMAL = {"gestures": ["folders", "DIR"], "synth": [], "nyu": ["--predictions", "FILE"]}


@pytest.fixture
def asked(monkeypatch):
    """Every protocol of the table, replaced by one that keeps what it is given."""
    kept = {}

    def pretend(name, evaluate):
        def run(**options):
            inspect.signature(evaluate).bind(**options)
            kept[name] = options
            return {"protocol": name}

        return run

    pretended = {
        name: replace(entry, evaluate=pretend(name, entry.evaluate), show=lambda report: print(report["protocol"]))
        for name, entry in PROTOCOLS.items()
    }
    monkeypatch.setattr(catalogue, "PROTOCOLS", pretended)
    monkeypatch.setattr(predictions, "DefaultPredictor", lambda device: f"predictor on {device}")
    return kept


def test_every_protocol_of_the_table_is_run_with_what_its_function_takes(run, asked):
    for name in PROTOCOLS:
        if name == "nyu":  # has a job of its own, below
            continue
        options = ["--json", "s.json", "--save", "p.npz", "--device", "cuda:1"]
        code, out, err = run(name, *MINIMAL.get(name, ["DIR"]), *options, verb="evaluate")
        assert (code, out, err) == (0, [name], [])
        steps = asked[name].pop("steps")
        assert (steps.predictor, steps.save, steps.json_path) == ("predictor on cuda:1", "p.npz", "s.json")
        code, out, err = run(name, *MINIMAL.get(name, ["DIR"]), "--predictions", "p.npz", "--quiet", verb="evaluate")
        assert (code, out, err) == (0, [], [])
        steps = asked[name].pop("steps")
        assert (steps.predictor, steps.predictions, steps.save) == (None, "p.npz", None)


def test_options_of_protocols_reach_their_functions(run, asked):
    def given(*words):
        assert run(*words, "--predictions", "p.npz", verb="evaluate")[0] == 0
        return {name: value for name, value in asked[words[0]].items() if name != "steps"}

    assert given("rhd", "DIR") == {"folder": "DIR", "whole": True}
    assert given("stb_sk", "DIR", "--part") == {"folder": "DIR", "whole": False}
    for text, known in (("given", True), ("not-given", False), ("both", None)):
        photos = given("photos3d", "DIR", "--focal", text, "--worst", "w.png")
        assert photos == {"folder": "DIR", "known_focal": known, "worst": "w.png"}
    assert given("synth", "--count", "3", "--domain", "field") == {"count": 3, "scene": "hands", "domain": "field"}
    for text, splits in (("hgr2", ("hgr2",)), ("all", ("hgr1", "hgr2"))):
        hgr = given("hgr", "DIR", "--split", text, "--tips", "END,TOP")
        assert hgr == {"folder": "DIR", "whole": True, "splits": splits, "tip_categories": ["END", "TOP"]}
    assert given("hgr", "DIR")["splits"] == ("hgr1", "hgr2") and given("hgr", "DIR")["tip_categories"] is None
    assert given("gestures", "rwth", "DIR") == {"name": "rwth", "folder": "DIR", "whole": True}


def test_options_are_those_of_protocols_in_the_table(run, capsys):
    assert OPTIONS.keys() < PROTOCOLS.keys()
    for words, says in (
        (["rhd", "DIR", "--focal", "given"], "--focal: there is no such option or argument; see phalanx evaluate rhd"),
        (["photos3d", "DIR", "--focal", "told"], "'told' is none of given, not-given, both"),
        (["hgr", "DIR", "--split", "hgr3"], "'hgr3' is none of hgr1, hgr2, all"),
        (["fantasy"], "argument PROTOCOL: invalid choice: 'fantasy'"),
        ([], "required: PROTOCOL; see phalanx evaluate --help"),
    ):
        code, out, err = run(*words, verb="evaluate")
        assert (code, out) == (2, [])
        one_sentence(err, says)
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert all(f"{name} {entry.about}" in shown for name, entry in PROTOCOLS.items())


def test_evaluate_refuses_options_that_saved_predictions_leave_no_room_for(run, tmp_path):
    for options, says in (
        (["--weights", "a.safetensors"], "--predictions: "),
        (["--focal", "given"], "--focal"),
    ):
        code, out, err = run("photos3d", tmp_path, "--predictions", "p.npz", *options, verb="evaluate")
        assert (code, out) == (2, [])
        one_sentence(err, says, "saved predictions are scored as they are")


def test_evaluate_hgr_prints_the_published_figures_beside(run, tmp_path):
    for kind in ("images/original_images", "skin/skin_masks", "feature_pts/feature_points"):
        (tmp_path / f"hgr1_{kind}").mkdir(parents=True)
    name = "5_P_hgr1_id01_1"
    Image.new("RGB", (60, 80), "tan").save(tmp_path / f"hgr1_images/original_images/{name}.jpg")
    skin = np.zeros((80, 60), bool)
    skin[10:, 20:50] = True
    Image.fromarray(~skin).save(tmp_path / f"hgr1_skin/skin_masks/{name}.bmp")
    points = "".join(f'<FeaturePoint category="End" x="{x}" y="12"/>' for x in (20, 30, 45))
    xml = tmp_path / f"hgr1_feature_pts/feature_points/{name}.xml"
    xml.write_text(f"<image><hand>{points}</hand></image>")
    options = ["--split", "hgr1", "--part"]
    code, out, err = run("hgr", tmp_path, *options, "--quiet", verb="evaluate")
    assert (code, out) == (2, [])
    one_sentence(err, "is a tip by its category; there are End")
    code, out, err = run("hgr", tmp_path, *options, "--tips", "End,Top", "--save", tmp_path / "p.npz", verb="evaluate")
    assert (code, err) == (0, []) and any("361.47" in line for line in out)
    options = ["--split", "hgr1", "--part", "--tips", "end", "--predictions", tmp_path / "p.npz"]
    code, again, err = run("hgr", tmp_path, *options, verb="evaluate")
    assert (code, again, err) == (0, out, [])
    code, out, err = run("hgr", tmp_path, *options, "--save", tmp_path / "q.npz", verb="evaluate")
    one_sentence(err, "--predictions: ")
    code, out, err = run("hgr", tmp_path, "--predictions", "p.npz", verb="evaluate")
    assert code == 2
    one_sentence(err, "899 pictures expected, 1 found")


def test_evaluate_nyu_says_what_is_a_part_of_the_set(run, tmp_path):
    (tmp_path / "true.txt").write_text((" ".join(["100 200 700"] * 14) + "\n") * 3)
    options = ["--predictions", tmp_path / "true.txt", "--ground-truth", tmp_path / "true.txt"]
    code, out, err = run("nyu", *options, verb="evaluate")
    assert (code, err) == (0, []) and "0.00 mm (median 0.00) over 3 frames, a part of the 8,252" in out[0]
    code, out, err = run("nyu", "--predictions", tmp_path / "true.txt", verb="evaluate")
    assert (code, out) == (2, [])
    one_sentence(err, "nyu: give --ground-truth to score, --frames")


def test_evaluate_gestures_and_synth_in_two_steps(run, weights, tmp_path):
    for gesture in ("fist", "open"):
        (tmp_path / "signs" / gesture).mkdir(parents=True)
        for i in range(5):
            noise = np.random.default_rng(i).integers(0, 255, (60, 60, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "signs" / gesture / f"{i}.png")
    for options in (["gestures", "folders", tmp_path / "signs"], ["synth", "--count", 2]):
        saved, scores = tmp_path / f"{options[0]}.npz", tmp_path / f"{options[0]}.json"
        code, out, err = run(*options, "--weights", weights, "--save", saved, verb="evaluate")
        assert (code, err) == (0, [])
        code, again, err = run(*options, "--predictions", saved, "--json", scores, verb="evaluate")
        assert (code, again, err) == (0, out, []) and scores.exists()
        code, out, err = run(*options, "--predictions", saved, "--save", saved, verb="evaluate")
        assert (code, out) == (2, [])
        one_sentence(err, "--predictions: ")
    code, out, err = run(tmp_path / "gestures.json", "--out", tmp_path / "pages", verb="report")
    assert (code, err) == (0, []) and (tmp_path / "pages/gestures_folders.md").exists()


def test_evaluate_without_data(run, tmp_path):
    code, out, err = run("photos3d", tmp_path / "none", "--predictions", "none.npz", verb="evaluate")
    assert (code, out) == (2, [])
    one_sentence(err, tmp_path / "none")
