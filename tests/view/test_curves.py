import re

import numpy as np
import pytest

from phalanx.view.curves import draw_curves, legend_text


def curve(level=1.0):
    return np.arange(51.0), level * np.linspace(0, 1, 51)


def texts(path):
    """What stands in an SVG: Matplotlib leaves each text as a comment beside its outlines."""
    return [text.strip() for text in re.findall(r"<!-- (.*?) -->", path.read_text(), re.DOTALL)]


def size(path):
    width, height = re.search(r'width="([\d.]+)pt" height="([\d.]+)pt"', path.read_text()).groups()
    return float(width), float(height)


@pytest.mark.parametrize("label", ["_hidden", "a$b$c_{2}", "x" * 100, "a method of many words " * 5])
def test_every_method_stands_in_the_legend(tmp_path, label):
    path = tmp_path / "plot.svg"
    draw_curves(path, {label: curve(), "other": curve(0.5)}, "mm", "%")
    found = " ".join(texts(path)).replace(" ", "")
    assert label.replace(" ", "") in found and "other" in found


def axes_box(path):
    """Corners of the plot's frame in points: the first filled path after the figure's own."""
    numbers = re.search(r'id="patch_2">\s*<path d="([^"]+)"', path.read_text()).group(1)
    points = np.array([float(n) for n in re.findall(r"-?[\d.]+", numbers)]).reshape(-1, 2)
    return points.min(0), points.max(0)


@pytest.mark.parametrize(
    "labels", [[f"method {i}" for i in range(14)], ["a name that is far longer than the plot is wide " * 2, "b"]]
)
def test_long_legends_stand_below_the_plot_and_leave_it_its_room(tmp_path, labels):
    path = tmp_path / "plot.svg"
    draw_curves(path, {label: curve(0.9**i) for i, label in enumerate(labels)}, "mm", "%")
    low, high = axes_box(path)
    legend = re.search(r'id="legend_1">.*?<path d="M ([\d.]+) ([\d.]+)', path.read_text(), re.DOTALL)
    assert float(legend.group(2)) > high[1]  # y grows downwards
    assert (high - low)[1] > 200 and (high - low)[0] > 300
    width, height = size(path)
    assert width == 432 and height > 324


def test_few_short_methods_have_their_legend_inside(tmp_path):
    path = tmp_path / "plot.svg"
    draw_curves(path, {"a": curve(), "b": curve(0.5)}, "mm", "%")
    assert size(path) == (432, 324)
    low, high = axes_box(path)
    legend = re.search(r'id="legend_1">.*?<path d="M ([\d.]+) ([\d.]+)', path.read_text(), re.DOTALL)
    assert low[1] < float(legend.group(2)) < high[1]


def test_texts_of_legends():
    assert legend_text("plain (AUC 0.5)") == "plain (AUC 0.5)"
    assert legend_text("_a") == " _a" and legend_text("$x$") == r"\$x\$"
    assert max(map(len, legend_text("word " * 60).splitlines())) <= 64
