"""Recipes of tables: those in the package are whole, and what is wrong in one's own is one sentence."""

import pytest
import yaml

from phalanx.core.errors import InputError
from phalanx.reproduce.catalogue import TABLES
from phalanx.reproduce.scales import read_scale, scale_names
from phalanx.reproduce.wan2019_world import Scale


@pytest.fixture
def recipe(tmp_path):
    """Writes the smoke recipe of wan2019 with changes; None takes a setting out."""

    def write(**changes):
        from importlib import resources

        text = (resources.files("phalanx.reproduce") / "recipes" / "wan2019_smoke.yaml").read_text()
        settings = yaml.safe_load(text) | changes
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({name: value for name, value in settings.items() if value is not None}))
        return path

    return write


def test_every_table_has_recipes():
    assert all(scale_names(table) == ["cpu", "paper", "smoke"] for table in TABLES)


def test_trainings_are_in_float32_and_end_after_so_many_samples():
    for name in scale_names("wan2019"):
        scale = read_scale(Scale, "wan2019", name)
        for loop in (scale.start, scale.fit):
            assert (loop.precision, loop.kernel_precision) == ("float32", "float32")
            assert loop.samples and loop.minutes is None


def test_one_of_ones_own(recipe):
    assert read_scale(Scale, "wan2019", recipe(width=24)).width == 24
    assert read_scale(Scale, "wan2019", str(recipe())) == read_scale(Scale, "wan2019", "smoke")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"colour": 3}, "colour"),
        ({"width": None}, "width"),
        ({"width": "wide"}, "width.*wide"),
        ({"start": {"samples": 10, "learning_rat": 1.0}}, "learning_rat"),
        ({"start": {"samples": 10}}, "start: precision and kernel_precision must be"),
        ({"fit": {"samples": 10, "precision": "float32"}}, "fit: precision and kernel_precision must be"),
        (
            {"fit": {"minutes": 3, "precision": "float32", "kernel_precision": "float32"}},
            "fit: a table's trainings need a budget in samples",
        ),
    ],
)
def test_faults_name_file_and_setting(recipe, changes, says):
    with pytest.raises(InputError, match=f"^.*mine.yaml: .*{says}") as caught:
        read_scale(Scale, "wan2019", recipe(**changes))
    assert "\n" not in str(caught.value)


def test_what_is_no_recipe(tmp_path):
    with pytest.raises(InputError, match="scale: 'huge' is no file, nor one of cpu, paper, smoke"):
        read_scale(Scale, "wan2019", "huge")
    for text in ("size: [", "- a", "just words"):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(InputError, match="a.yaml: "):
            read_scale(Scale, "wan2019", tmp_path / "a.yaml")
    (tmp_path / "a.yaml").write_text("")
    with pytest.raises(InputError, match="a.yaml: the file is empty"):
        read_scale(Scale, "wan2019", tmp_path / "a.yaml")
