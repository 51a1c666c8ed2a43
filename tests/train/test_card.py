"""Cards say what weights were really trained on."""

import json

import pytest

from phalanx.synth import SynthConfig
from phalanx.synth.version import ENGINE
from phalanx.train.card import NO_LICENCE, begun_from, panoramas, photographs, recordings, synthesis, things, write_card


def test_photographs_are_named_where_they_stood(tmp_path):
    folder = tmp_path / "walls"
    (folder / "deep").mkdir(parents=True)
    for name in ("a.jpg", "deep/b.PNG", "notes.txt"):
        (folder / name).write_bytes(b"x")
    config = SynthConfig(backgrounds=folder)
    (source,) = photographs(config, "CC0")
    assert source == {
        "kind": "photographs behind synthetic hands",
        "folder": "walls",
        "pictures": 2,
        "licence": "CC0",
        "labels": "none",
    }
    assert photographs(config, "")[0]["licence"] == NO_LICENCE
    assert photographs(SynthConfig(), "CC0") == []
    assert photographs(SynthConfig(backgrounds=folder, photograph_share=0.0), "CC0") == []


def test_panoramas_of_the_user_are_named(tmp_path):
    folder = tmp_path / "places"
    folder.mkdir()
    for name in ("a.hdr", "b.exr", "notes.txt"):
        (folder / name).touch()
    (source,) = panoramas(SynthConfig(panoramas=folder), "CC0")
    assert source["folder"] == "places" and source["pictures"] == 2 and source["licence"] == "CC0"
    assert panoramas(SynthConfig(panoramas=folder), "")[0]["licence"] == NO_LICENCE
    assert panoramas(SynthConfig(), "CC0") == []
    assert panoramas(SynthConfig(panoramas=folder, panorama_share=0.0), "CC0") == []


def test_models_of_things_of_the_user_are_named(tmp_path):
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in ("a.obj", "b.glb", "a.mtl"):
        (folder / name).touch()
    (source,) = things(SynthConfig(things=folder), "CC0")
    assert source["folder"] == "tools" and source["models"] == 2 and source["licence"] == "CC0"
    assert things(SynthConfig(things=folder), "")[0]["licence"] == NO_LICENCE
    assert things(SynthConfig(), "CC0") == []


def test_synthesis_and_recordings_say_their_labels():
    made = synthesis(SynthConfig(domain="field", depth_sensor="sr305"), "joints")
    assert (made["engine"], made["domain"], made["depth_sensor"], made["labels"]) == (
        ENGINE,
        "field",
        "sr305",
        "joints",
    )
    taken = recordings("somewhere/desk", 19, 1)
    assert taken["folder"] == "desk" and taken["labels"] == "none" and taken["licence"] == NO_LICENCE


def test_the_start_hands_on_the_data_of_its_card(tmp_path):
    weights = tmp_path / "first.safetensors"
    weights.write_bytes(b"weights")
    assert begun_from(None) is None
    assert begun_from(weights)["data"].startswith("unknown")
    write_card(weights.with_suffix(".json"), [synthesis(SynthConfig(), "all")], None, {"seed": 1})
    start = begun_from(weights)
    assert start["data"] == [synthesis(SynthConfig(), "all")] and len(start["sha256"]) == 64
    write_card(tmp_path / "second.json", [recordings("desk", 3, 2)], start, {"seed": 2})
    card = json.loads((tmp_path / "second.json").read_text())
    assert card["start"]["file"] == "first.safetensors" and card["data"][0]["kind"] == "recordings"
    assert card["command"].split()[0] == "phalanx"
    (tmp_path / "second.safetensors").write_bytes(b"more weights")
    assert begun_from(tmp_path / "second.safetensors")["start"] == start  # and so on, back to the first


@pytest.mark.parametrize("text", ["not JSON", "[]", "{}"])
def test_an_odd_card_beside_the_start_is_no_card(tmp_path, text):
    (tmp_path / "w.safetensors").write_bytes(b"x")
    (tmp_path / "w.json").write_text(text)
    assert begun_from(tmp_path / "w.safetensors")["data"].startswith("unknown")
