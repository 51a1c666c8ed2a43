"""The curve of a run: a CSV table and a picture of it."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from phalanx.core.files import write_whole

CURVE = "curve.csv"
"""Name of the table in a run's folder."""


def write_curve(folder: Path, rows: Sequence[dict[str, float]]) -> None:
    """Write `curve.csv` (one row an evaluation) and `curve.png` (every held-out figure over the pictures seen)."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    with write_whole(folder / CURVE) as path, path.open("w", newline="") as file:
        table = csv.DictWriter(file, names, restval="")
        table.writeheader()
        table.writerows({name: f"{value:.6g}" for name, value in row.items()} for row in rows)
    plot_curve(folder / "curve.png", rows)


def plot_curve(path: Path, rows: Sequence[dict[str, float]]) -> None:
    """Draw held-out figures and the sum of the losses against pictures seen; a panel each; dotted where the picture size changes."""
    from matplotlib.figure import Figure  # slow to import, needed by no other part of training

    aside = {"stage", "seen", "minutes", "size", "rate"}
    names = [name for name in rows[-1] if name not in aside and not name.startswith("loss_")]
    figure = Figure(figsize=(4.0 * (len(names) + 1), 3.2), layout="constrained")
    panels = figure.subplots(1, len(names) + 1, squeeze=False)[0]
    seen = [row["seen"] / 1000 for row in rows]
    for panel, name in zip(panels, names, strict=False):
        panel.plot(seen, [row.get(name, float("nan")) for row in rows], marker=".")
        panel.set_title(f"held-out {name.replace('_', ' ')}")
    total = [sum(value for name, value in row.items() if name.startswith("loss_")) for row in rows]
    panels[-1].plot(seen, total, marker=".", color="tab:orange")
    panels[-1].set_title("training loss (sum)")
    sizes = [row.get("size") for row in rows]
    changes = [seen[i - 1] for i in range(1, len(rows)) if sizes[i] != sizes[i - 1]]
    for panel in panels:
        for change in changes:  # larger pictures from here on
            panel.axvline(change, color="0.7", linestyle=":")
        panel.set_xlabel("thousand pictures seen")
        panel.grid(alpha=0.3)
    with write_whole(path) as temporary:
        figure.savefig(temporary, dpi=100)
