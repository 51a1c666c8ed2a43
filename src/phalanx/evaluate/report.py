"""A report of measured scores: Markdown and a plot, with published figures of the same set beside them and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from phalanx.core.files import writable_folder, write_whole
from phalanx.core.json_values import Json
from phalanx.evaluate.catalogue import KINDS
from phalanx.evaluate.compare import Method, draw_methods, read_files, table_rows
from phalanx.evaluate.markup import as_markdown, cells
from phalanx.evaluate.predictions import DEFAULT
from phalanx.evaluate.published import beside_published, published

OURS = (
    "trained on synthetic hands alone, some of them in front of photographs, at the size of the default estimator; "
    "has seen no picture of this set"
)
"""How the default estimator was trained: stands beside its runs, and beside no others."""

RANGES = {"auc": {"auc_0_50": "0 to 50 mm", "auc_20_50": "20 to 50 mm"}}
"""Our areas that stand beside an area whose thresholds the paper does not give, each named by its range."""


def write_report(paths: Sequence[str | Path], out: str | Path, command: str = "") -> Path:
    """Write `<protocol>.md` and, where the protocol has a curve, `<protocol>.png` into the folder `out`; returns the former.

    Args:
        paths: JSON files of one protocol that `phalanx evaluate` wrote.
        out: a folder.
        command: the command that made the scores; the report prints it.

    Raises:
        InputError: a file is bad, the files are of several protocols, or `out` cannot be written.
    """
    methods = read_files(paths)
    protocol = methods[0].protocol
    kind, folder = KINDS[protocol], writable_folder(out)
    parts = [f"# {protocol}\n"]
    if draw_methods(methods, folder / f"{protocol}.png"):
        parts.append(f"![{kind.y_label} over {kind.x_label}]({protocol}.png)\n")
    parts.append(as_markdown(table_rows(methods)))
    if any(method.part for method in methods):
        parts.append("**part**: only some of the set was scored; such figures do not compare with others.\n")
    parts += _groups(methods)
    parts += _beside(methods, protocol) or _alone(methods, protocol)
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
            groups: Mapping[str, Mapping[str, Json]] = method.figures.get(key) or {}
            if groups:
                rows = [["group", *(heading for heading, _, _ in columns)]]
                rows += [[name, *cells(figures, columns)] for name, figures in groups.items()]
                parts += [f"## {method.name}, {title}\n", as_markdown(rows)]
    return parts


def _beside(methods: Sequence[Method], protocol: str) -> list[str]:
    """Measured figures beside published ones, for every metric that a paper prints on this set."""
    dataset, parts = KINDS[protocol].dataset or protocol, []
    for metric in dict.fromkeys(figure.metric.name for figure in published(dataset)):
        measured, differs = {}, {}
        for method in methods:
            for key, name, scored in _keys(metric, protocol):
                if method.figures.get(key) is not None:
                    row = f"{method.name}, {name}" if name else method.name
                    measured[row] = method.figures[key]
                    differs[row] = "; ".join(text for text in (_part(method), _learnt(method), scored) if text)
        if measured:
            parts += [f"## {metric}, beside what papers print\n", beside_published(measured, dataset, metric, differs)]
    return parts


def _keys(metric: str, protocol: str) -> list[tuple[str, str, str]]:
    """Keys of the figures that stand beside a published metric, each with a name for the table and how it is scored."""
    found = []
    for ending, (word, scored) in KINDS[protocol].variants.items():
        for key, span in RANGES.get(metric, {metric: ""}).items():
            found.append((f"{key}{ending}", ", ".join(text for text in (word, span) if text), scored))
    return found


def _part(method: Method) -> str:
    return f"only {method.scored}, which does not compare with other figures" if method.part else ""


def _learnt(method: Method) -> str:
    """How the default estimator was trained, and where its crops come from; empty for other runs."""
    kind = KINDS[method.protocol]
    if method.figures.get("made_by") != DEFAULT or kind.own_synthesis:
        return ""
    return f"{OURS}; {kind.crops}" if kind.crops else OURS


def _alone(methods: Sequence[Method], protocol: str) -> list[str]:
    """What the page says if no paper prints figures that could stand beside the measured ones."""
    papers = {f"{f.paper.authors.split(',')[0].split()[-1]} {f.paper.year}": None for f in published()}
    shown = {kind.dataset or name for name, kind in KINDS.items()}
    sets = [name for name in dict.fromkeys(figure.dataset for figure in published()) if name in shown]
    lines = [
        "## Beside published figures\n",
        f"None of the papers whose figures are kept here ({', '.join(papers)}) prints figures on this set that compare with these.",
        f"What differs from the figures that they print on other sets ({', '.join(sets)}):\n",
        "- most of their networks were trained on the training part of the set that they are tested on;",
        "- root, scale and thresholds are each paper's own (`phalanx report` shows them for sets on which they print figures).",
    ]
    if remark := KINDS[protocol].remark:
        lines.append(f"- here: {remark}.")
    if own := [method for method in methods if _learnt(method)]:
        lines.append(f"- {', '.join(method.name for method in own)}: {_learnt(own[0])}.")
    return ["\n".join(lines) + "\n"]
