"""Curves of several methods in one plot, as papers print them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from phalanx.core.files import write_whole


def draw_curves(
    path: str | Path, curves: Mapping[str, tuple[np.ndarray, np.ndarray]], x_label: str, y_label: str, title: str = ""
) -> None:
    """Write a picture (PNG, PDF or SVG by its ending) of curves by legend: thresholds `(T,)` and shares `(T,)` in [0, 1].

    Raises InputError if the file cannot be written.
    """
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(6.0, 4.5), layout="constrained")
    axes = figure.subplots()
    for number, (label, (thresholds, shares)) in enumerate(curves.items()):
        style = ("-", "--", "-.", ":")[number // 10 % 4]  # ten colours, then other strokes
        axes.plot(thresholds, 100.0 * np.asarray(shares), style, label=label, linewidth=1.6)
    axes.set(xlabel=x_label, ylabel=y_label, title=title, ylim=(0, 100))
    axes.set_xlim(min(float(t[0]) for t, _ in curves.values()), max(float(t[-1]) for t, _ in curves.values()))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=9)
    with write_whole(path) as temporary:
        figure.savefig(temporary, dpi=150)
