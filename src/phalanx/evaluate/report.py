"""A report of measured scores: Markdown and a plot, with published figures of the same set beside them, and what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from phalanx.core.files import writable_folder, write_whole
from phalanx.evaluate import hgr
from phalanx.evaluate.compare import Method, as_markdown, draw_methods, read_files, table_rows
from phalanx.evaluate.kinds import KINDS
from phalanx.evaluate.predictions import DEFAULT
from phalanx.evaluate.published import beside_published, published

OURS = "learnt from synthesis alone, at the size of the default estimator; has seen no picture of this set"
"""Of runs of the default estimator, and of no others."""

CROPS = "crops come from the true joints"
"""Of the same runs, where that is so."""

CROPPED = ("rhd", "stb", "stb_sk", "mhp", "freihand", "dexter_object")

PALM = "the palm is the root, the length of a bone known, as Zimmermann and Brox 2017 score"
DEPTH = "the wrist is the root, its depth and the length of a bone known, joints in the camera's frame, as Cai et al. 2018 score"

VARIANTS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "rhd": {
        "": ("palm", f"{PALM}; visible joints"),
        "_known_depth": ("wrist of known depth", f"{DEPTH}; visible joints"),
    },
    "stb": {
        "": ("palm", f"{PALM}; both pictures of the stereo pair (BB), sequences B1"),
        "_known_depth": ("wrist of known depth", f"{DEPTH}; both pictures of the stereo pair (BB), sequences B1"),
    },
    "stb_sk": {
        "": ("palm", f"{PALM}; colour pictures of the depth camera (SK), sequences B1"),
        "_known_depth": ("wrist of known depth", f"{DEPTH}; colour pictures of the depth camera (SK), sequences B1"),
    },
    "mhp": {
        "": ("palm", f"{PALM}; sequences data_1, data_10 and data_20"),
        "_known_depth": ("wrist of known depth", f"{DEPTH}; sequences data_1, data_10 and data_20"),
    },
    "nyu": {"": ("", "14 joints of the first camera's frames, nothing aligned")},
    "hgr": {"": ("", hgr.DIFFERS)},
    "gestures_rwth": {"": ("", "nearest neighbour on angles, one picture a sequence; not refined on this set")},
    "gestures_senz3d": {"": ("", "nearest neighbour on angles; not refined on this set")},
}
"""How figures with an ending are scored, by protocol: a word that tells them apart in a table, and a sentence."""

RANGES = {"auc": {"auc_0_50": "0 to 50 mm", "auc_20_50": "20 to 50 mm"}}
"""What stands beside areas whose thresholds a paper does not give: ours of both, named by their range."""

ALONE = {
    "photos3d": "root-relative errors after one scale a photo that takes the hand's size out; the box is the whole photo, the side is told",
    "synth": (
        "root-relative errors after one scale a picture that takes the hand's size out, on pictures of the synthesis that the default "
        "estimator learns from, of a seed that no training uses: they say how well that was learnt, not what it does on photographs"
    ),
}
"""How sets are scored on which no paper prints figures."""


def write_report(paths: Sequence[str | Path], out: str | Path, command: str = "") -> Path:
    """Write `<protocol>.md` and, where the protocol has a curve, `<protocol>.png` into the folder `out`; returns the former.

    Args:
        paths: JSON files of one protocol that `phalanx evaluate` wrote.
        out: a folder.
        command: what made the scores, to be repeated; is printed in the report.

    Raises:
        InputError: a file is at fault, the files are of several protocols, or `out` cannot be written.
    """
    methods = read_files(paths)
    protocol = methods[0].protocol
    kind, folder = KINDS[protocol], writable_folder(out)
    parts = [f"# {protocol}\n"]
    if draw_methods(methods, folder / f"{protocol}.png"):
        parts.append(f"![{kind.y_label} over {kind.x_label}]({protocol}.png)\n")
    parts.append(as_markdown(table_rows(methods)))
    if any(method.part for method in methods):
        parts.append("**part**: only some of the set was scored; such figures compare with no others.\n")
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
    """Keys of the figures that go beside a published metric, each with the words that name it and how it is scored."""
    found = []
    for ending, (word, scored) in VARIANTS.get(protocol, {"": ("", "")}).items():
        for key, span in RANGES.get(metric, {metric: ""}).items():
            found.append((f"{key}{ending}", ", ".join(text for text in (word, span) if text), scored))
    return found


def _part(method: Method) -> str:
    return f"only {method.scored}, which compares with no other figure" if method.part else ""


def _learnt(method: Method) -> str:
    """What is known of how a run was made, where it is the default estimator's."""
    if method.figures.get("made_by") != DEFAULT or method.protocol == "synth":
        return ""
    return f"{OURS}; {CROPS}" if method.protocol in CROPPED else OURS


def _alone(methods: Sequence[Method], protocol: str) -> list[str]:
    """What is said where no paper prints figures that could stand beside the measured ones."""
    papers = {f"{f.paper.authors.split(',')[0].split()[-1]} {f.paper.year}": None for f in published()}
    shown = {kind.dataset or name for name, kind in KINDS.items()}
    sets = [name for name in dict.fromkeys(figure.dataset for figure in published()) if name in shown]
    lines = [
        "## Beside published figures\n",
        f"None of the papers whose figures are kept here ({', '.join(papers)}) prints figures on this set that these could stand beside.",
        f"What differs from the figures that they print on others ({', '.join(sets)}):\n",
        "- most of theirs are of networks that learnt from the training part of the set they are tested on;",
        "- root, scale and thresholds are each paper's own (`phalanx report` of a set on which they print figures shows them).",
    ]
    if protocol in ALONE:
        lines.append(f"- here: {ALONE[protocol]}.")
    if own := [method for method in methods if _learnt(method)]:
        lines.append(f"- {', '.join(method.name for method in own)}: {_learnt(own[0])}.")
    return ["\n".join(lines) + "\n"]
