"""Curves of several methods in one plot, as papers print them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from phalanx.core.files import write_whole

INSIDE = 6
"""Methods that a legend inside the plot has room for, if their texts are short."""

SHORT, WIDE = 40, 64
"""Characters that fit a legend inside the plot, or one of two columns below it; and a line of one column below it."""


def draw_curves(
    path: str | Path, curves: Mapping[str, tuple[np.ndarray, np.ndarray]], x_label: str, y_label: str, title: str = ""
) -> None:
    """Write a picture (PNG, PDF or SVG by its ending) of curves by legend: thresholds `(T,)` and shares `(T,)` in [0, 1].

    A legend of many methods, or of long names, stands below the plot and makes the picture higher; names are broken, never cut.
    Raises InputError if the file cannot be written.
    """
    from matplotlib.figure import Figure  # slow to import

    longest = max(len(label) for label in curves)
    labels = [legend_text(label) for label in curves]
    inside = len(curves) <= INSIDE and longest <= SHORT
    columns = 2 if longest <= SHORT and not inside else 1
    lines = sum(label.count("\n") + 1 for label in labels)
    figure = Figure(figsize=(6.0, 4.5 if inside else 4.7 + 0.18 * -(-lines // columns)), layout="constrained")
    axes = figure.subplots()
    for number, (label, (thresholds, shares)) in enumerate(zip(labels, curves.values(), strict=True)):
        style = ("-", "--", "-.", ":")[number // 10 % 4]  # ten colours, then other strokes
        axes.plot(thresholds, 100.0 * np.asarray(shares), style, label=label, linewidth=1.6)
    axes.set(xlabel=x_label, ylabel=y_label, title=title, ylim=(0, 100))
    axes.set_xlim(min(float(t[0]) for t, _ in curves.values()), max(float(t[-1]) for t, _ in curves.values()))
    axes.grid(alpha=0.3)
    if inside:
        axes.legend(loc="lower right", fontsize=9)
    else:
        figure.legend(loc="outside lower center", fontsize=8, ncols=columns)
    with write_whole(path) as temporary:
        figure.savefig(temporary, dpi=150)


def legend_text(label: str) -> str:
    """A label as Matplotlib shows it: broken into lines, dollars meant as such, and shown though it begins with an underscore."""
    text = "\n".join(textwrap.wrap(label, WIDE)).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text
