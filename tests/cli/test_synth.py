"""`phalanx synth`: what it asks synthesis for."""

import pytest
from command_line import one_sentence, python


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "nothing to make"),
        (["--preview", "a.png", "--seed", "-1"], "--seed: must be 0 or more"),
        (["--out", "a", "--count", "0"], "--count: must be 1 or more"),
        (["--out", "a", "--workers", "0"], "--workers: must be 1 or more"),
        (["--out", "a", "--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--preview", "a.png", "--ray", "local"], "--ray: is for sets"),
        (["--out", "a", "--scene", "hand"], "scene: hand is none of hands"),
        (["--out", "a", "--domain", "real"], "domain: real is none of any, studio, field"),
        (["--out", "a", "--depth-sensor", "sonar"], "depth_sensor: sonar is none of domain, ideal"),
        (["--out", "a", "--camera", "sonar"], "camera: sonar is none of ideal"),
    ],
)
def test_bad_options_of_synth(run, options, says):
    code, out, err = run(*options, verb="synth")
    assert (code, out) == (2, [])
    one_sentence(err, says)


def test_the_help_of_synth_names_all_there_is():
    from phalanx.synth.config import SCENES
    from phalanx.synth.scene.domains import DOMAINS
    from phalanx.synth.sense.sensors import COLOUR_CAMERAS, DEPTH_SENSORS

    text = python("-m", "phalanx", "synth", "--help").stdout
    for name in (*SCENES, *DOMAINS, *(sensor.name for sensor in (*COLOUR_CAMERAS, *DEPTH_SENSORS))):
        assert name in text, name


def test_synth_makes_the_set_that_is_asked_for(run, tmp_path, monkeypatch):
    import phalanx.synth.sets.sets

    asked = []
    monkeypatch.setattr(
        phalanx.synth.sets.sets,
        "make_set",
        lambda plan, out, workers, say, progress, ray: (
            asked.append((plan, out, workers, ray)) or f"{out}/manifest.json"
        ),
    )
    options = [
        "--seed",
        "5",
        "--count",
        "33",
        "--size",
        "32",
        "--workers",
        "2",
        "--backgrounds",
        tmp_path,
        "--panoramas",
        tmp_path,
        "--views",
        "4",
        "--ray",
        "head:6379",
    ]
    code, out, err = run("--out", tmp_path / "samples", *options, verb="synth")
    assert (code, err, len(out)) == (0, [], 2)
    assert out[0] == "36 pictures instead of 33, so that every hand has all of its 4"
    ((plan, folder, workers, ray),) = asked
    assert (plan.seed, plan.count, workers, folder, ray) == (5, 36, 2, str(tmp_path / "samples"), "head:6379")
    assert (plan.config.size, plan.config.rig, plan.config.backgrounds) == (32, "ring4", tmp_path)
    assert plan.config.panoramas == tmp_path
    for options, says in [
        (["--backgrounds", tmp_path / "none"], tmp_path / "none"),
        (["--panoramas", tmp_path / "none"], tmp_path / "none"),
        (["--rig", tmp_path / "none.json"], tmp_path / "none.json"),
        (["--rig", "stereo", "--views", "2"], "--rig and --views both set the cameras"),
        (["--views", "0"], "--views: must be 1 or more, got 0"),
        (["--views", "65"], "views: must lie between 1 and 64, not 65"),
        (["--count", "0"], "--count: must be 1 or more, got 0"),
    ]:
        code, _, err = run("--out", tmp_path / "samples", *options, verb="synth")
        assert code == 2
        one_sentence(err, says)
    assert len(asked) == 1


def test_synth_preview_has_the_asked_pictures(run, tmp_path, monkeypatch):
    import phalanx.synth.preview

    asked = []
    monkeypatch.setattr(
        phalanx.synth.preview, "save_sheet", lambda path, seed, **options: asked.append((path, seed, options))
    )
    code, out, err = run("--preview", "sheet.png", "--seed", "3", "--count", "24", "--size", "64", verb="synth")
    assert (code, err, len(out)) == (0, [], 1)
    ((path, seed, options),) = asked
    assert (path, seed, options["rows"], options["columns"], options["size"]) == ("sheet.png", 3, 3, 10, 64)


def test_synth_preview_of_frames_is_of_the_asked_world(run, tmp_path, monkeypatch):
    import phalanx.synth.preview

    asked = []
    monkeypatch.setattr(phalanx.synth.preview, "save_frames_sheet", lambda *arguments: asked.append(arguments))
    options = ["--seed", "3", "--domain", "field", "--depth-sensor", "azure", "--backgrounds", tmp_path]
    code, out, err = run("--preview-frames", "frames.jpg", *options, verb="synth")
    assert (code, err, len(out)) == (0, [], 1)
    ((path, seed, count, config),) = asked
    assert (path, seed, count) == ("frames.jpg", 3, 24)
    assert (config.domain, config.depth_sensor, config.backgrounds) == ("field", "azure", tmp_path)


def test_realism_redraws_the_sheet_and_is_checked_first(run, tmp_path):
    import torch

    from phalanx.methods.tonality_gan import TonalityConfig, TonalityGan, save_weights

    torch.manual_seed(0)
    save_weights(TonalityGan(TonalityConfig(size=32, generator=4, discriminator=4)), tmp_path / "net.safetensors")
    network, sheet = ["--realism", tmp_path / "net.safetensors"], ["--count", "2", "--size", "32", "--preview"]
    assert run(*sheet, tmp_path / "plain.png", verb="synth")[0] == 0
    assert run(*sheet, tmp_path / "drawn.png", *network, verb="synth")[0] == 0
    assert (tmp_path / "plain.png").read_bytes() != (tmp_path / "drawn.png").read_bytes()
    (tmp_path / "no.safetensors").write_bytes(b"no")
    for options, says in (
        (["--preview", tmp_path / "a.png", *network], "net.safetensors: redraws pictures of 32 pixels, not of 128"),
        (["--preview", tmp_path / "a.png", "--realism", tmp_path / "no.safetensors"], "no.safetensors"),
        (["--preview", tmp_path / "a.png", "--realism", tmp_path / "none.safetensors"], "none.safetensors"),
        (["--preview-frames", tmp_path / "a.png", "--size", "32", *network], "shows whole frames"),
        (["--out", tmp_path / "a", "--scene", "arms", "--size", "32", *network], "shows whole frames"),
    ):
        code, out, err = run(*options, verb="synth")
        assert (code, out) == (2, [])
        one_sentence(err, says)
    assert not (tmp_path / "a.png").exists() and not (tmp_path / "a").exists()
