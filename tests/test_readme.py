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
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
PACKAGE_FILE = re.compile(r"`((?:\w+/)+\w+\.(?:py|yaml|json|png|safetensors))`")


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


def headings(page: Path) -> set[str]:
    """The page's headings as links have them."""
    lines = re.findall(r"^#+ (.*)", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        path, _, heading = target.partition("#")
        if not target.startswith("http"):
            aim = page.parent / path if path else page
            assert aim.exists(), target
            assert not heading or heading in headings(aim), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_that_a_page_names_are_there(page):
    if page.name == "CHANGELOG.md":  # tells of files that are gone
        return
    for name in PACKAGE_FILE.findall(page.read_text(encoding="utf-8")):
        if not {"NAME", "PAPER", "mine", "runs"} & set(re.split(r"[/._]", name)):
            assert any((place / name).exists() for place in (ROOT, ROOT / "src", ROOT / "src" / "phalanx")), name
