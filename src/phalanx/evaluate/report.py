"""A report of measured scores: Markdown and a plot, with published figures of the same set beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phalanx.core.errors import InputError
from phalanx.core.files import writable_folder, write_whole
from phalanx.evaluate import hgr
from phalanx.evaluate.compare import KINDS, Method, as_markdown, read_methods, table_rows
from phalanx.evaluate.published import beside_published, published
from phalanx.view.curves import draw_curves

OURS = "Ours learns from its own synthesis alone, at the size of the default estimator; it has seen no picture of this set."
DIFFERS = f"{OURS} Crops come from the true joints."
DIFFERS_OF = {"hgr": f"{OURS} Scored: {hgr.DIFFERS}."}
"""What differs on sets whose crops are others."""


def write_report(paths: Sequence[str | Path], out: str | Path, command: str = "") -> Path:
    """Write `<protocol>.md` and `<protocol>.png` into the folder `out` from the JSON that `phalanx evaluate` wrote; returns the former.

    Args:
        paths: JSON files of one protocol.
        out: a folder.
        command: what made the scores, to be repeated; is printed in the report.

    Raises:
        InputError: a file is at fault, the files are of several protocols, or `out` cannot be written.
    """
    methods = [method for path in paths for method in read_methods(path)]
    protocols = sorted({method.protocol for method in methods})
    if len(protocols) > 1:
        raise InputError(f"report: scores of several protocols ({', '.join(protocols)}) do not go into one report")
    (protocol,) = protocols
    kind, folder = KINDS[protocol], writable_folder(out)
    curves = {method.legend: (method.thresholds, method.shares) for method in methods}
    draw_curves(folder / f"{protocol}.png", curves, kind.x_label, kind.y_label)
    parts = [
        f"# {protocol}\n",
        f"![{kind.y_label} over {kind.x_label}]({protocol}.png)\n",
        as_markdown(table_rows(methods)),
    ]
    parts += _groups(methods)
    parts += _beside(methods, protocol)
    if command:
        parts.append(f"Made by `{command}`.\n")
    path = folder / f"{protocol}.md"
    with write_whole(path) as temporary:
        temporary.write_text("\n".join(parts), encoding="utf-8")
    return path


def _groups(methods: Sequence[Method]) -> list[str]:
    """Tables by view and by curled fingers, of scores that have them."""
    columns = (
        ("pictures", "photos", 0),
        ("2D (px of 256)", "epe_2d_px", 1),
        ("root-relative (mm)", "epe_3d_root_scaled_mm", 1),
    )
    parts = []
    for method in methods:
        for key, title in (("by_view", "by view"), ("by_curled", "by number of curled fingers")):
            groups: Mapping[str, Mapping[str, Any]] = method.figures.get(key) or {}
            if groups:
                rows = [["group", *(heading for heading, _, _ in columns)]]
                for name, figures in groups.items():
                    values = [figures.get(column) for _, column, _ in columns]
                    cells = ["" if v is None else f"{v:.{d}f}" for v, (_, _, d) in zip(values, columns, strict=True)]
                    rows.append([name, *cells])
                parts += [f"## {method.name}, {title}\n", as_markdown(rows)]
    return parts


def _beside(methods: Sequence[Method], protocol: str) -> list[str]:
    """Measured beside published, for every metric that some paper prints on this set."""
    dataset = protocol.removesuffix("_sk")
    parts = []
    for metric in dict.fromkeys(figure.metric.name for figure in published(dataset)):
        key = "auc_20_50" if metric == "auc" else metric  # papers that do not say the thresholds show 20 to 50 mm
        measured = {method.name: method.figures[key] for method in methods if method.figures.get(key) is not None}
        if measured:
            differs = dict.fromkeys(measured, DIFFERS_OF.get(protocol, DIFFERS)) if protocol != "nyu" else {}
            parts += [f"## {metric}, beside what papers print\n", beside_published(measured, dataset, metric, differs)]
    return parts
