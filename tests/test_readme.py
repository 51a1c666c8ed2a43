"""What README and docs show as Python and as commands runs as it stands there."""

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from phalanx.cli import main
from phalanx.hand.model import HandModel

ROOT = Path(__file__).parents[1]


def blocks(page: str, language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )


def commands() -> dict[str, list[str]]:
    """The README's lines that begin with `phalanx`, by verb; of several the last."""
    lines = [line for block in blocks("README.md", "sh") for line in block.splitlines() if line.startswith("phalanx ")]
    found = [shlex.split(line, comments=True)[1:] for line in lines]
    return {" ".join(words[:1]): words for words in found} | {"predict": found[0]}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with what the examples name, as the working folder."""
    shutil.copy(ROOT / "examples" / "open.jpg", tmp_path / "photo.jpg")
    np.savez(tmp_path / "keypoints.npz", joints=HandModel.open_hand().rest_joints[None].numpy() * [-1, 1, 1])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python_of_the_readme(place):
    (block,) = blocks("README.md", "python")
    names: dict = {}
    exec(block, names)
    assert names["hand"].joints.shape == (21, 3) and (place / "hand.glb").stat().st_size > 1000


def test_python_of_the_schema_page_gives_the_surface_again(place):
    from phalanx.data.images import read_image

    (block,) = blocks("docs/prediction_schema.md", "python")
    names = {"image": read_image(place / "photo.jpg")}
    exec(block, names)
    np.testing.assert_allclose(names["vertices"].numpy(), names["hand"].vertices, atol=1e-6)


def test_python_of_the_hand_page():
    (block,) = blocks("docs/hand.md", "python")
    *lines, last = block.strip().splitlines()
    names: dict = {}
    exec("\n".join(lines), names)
    value, said = last.split("#")
    assert eval(value, names) == pytest.approx(float(said))


@pytest.mark.parametrize(
    ("verb", "leaves"),
    [
        ("predict", ["results/photo.json", "results/photo.glb", "results/photo_overlay.png"]),
        ("fit", ["fitted/keypoints_fit.npz", "fitted/keypoints_fit.png"]),
        ("synth", ["sheet.png"]),
    ],
)
def test_commands_of_the_readme(place, verb, leaves):
    assert main(commands()[verb]) == 0
    for name in leaves:
        assert (place / name).stat().st_size > 0


def test_every_verb_of_the_readme_has_help(capsys):
    for verb in commands():
        with pytest.raises(SystemExit) as caught:
            main([verb, "--help"])
        assert caught.value.code == 0 and verb in capsys.readouterr().out
