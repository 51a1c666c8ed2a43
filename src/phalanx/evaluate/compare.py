"""Several methods' scores side by side: one plot and one table, as papers print them.

Reads the JSON that `phalanx evaluate` writes, or predictions for NYU in text files, which are scored first. The curve is the
protocol's own: for NYU the share of frames whose largest error is at most t, for photos3d the share of joints whose root-relative
scaled error is at most t.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import reason, writable_folder, write_whole
from phalanx.evaluate.nyu import evaluate_nyu
from phalanx.view.curves import draw_curves


@dataclass(frozen=True)
class Kind:
    """How scores of one protocol are shown: columns of the table (heading, key, decimals) and the curve's axes and legend."""

    columns: tuple[tuple[str, str, int], ...]
    curve: str
    x_label: str
    y_label: str
    legend: str  # of the figures, by key
    thresholds: str = "thresholds_mm"  # key of the curve's thresholds


_COLOUR_SET = Kind(
    (
        ("mean (mm)", "mean_mm", 2),
        ("median (mm)", "median_mm", 2),
        ("AUC 0-50", "auc_0_50", 3),
        ("AUC 20-50", "auc_20_50", 3),
        ("missed", "missed", 0),
    ),
    "joints_within",
    "error threshold (mm)",
    "joints within (%)",
    "{name} (AUC 0-50 {auc_0_50:.3f})",
)

_PHOTOS = Kind(
    (
        ("2D (px of 256)", "epe_2d_px", 1),
        ("root-relative, scaled (mm)", "epe_3d_root_scaled_mm", 1),
        ("Procrustes (mm)", "epe_3d_procrustes_mm", 1),
        ("AUC 0-50", "auc_0_50", 3),
        ("AUC 20-50", "auc_20_50", 3),
        ("missed", "missed", 0),
    ),
    "joints_within",
    "error threshold (mm), root-relative and scaled",
    "joints within (%)",
    "{name} (AUC 0-50 {auc_0_50:.3f})",
)

_TIPS = Kind(
    (
        ("mean (mm)", "mean_mm", 2),
        ("median (mm)", "median_mm", 2),
        ("AUC 20-50", "auc_20_50", 3),
        ("missed", "missed", 0),
    ),
    "joints_within",
    "error threshold (mm)",
    "fingertips within (%)",
    "{name} (AUC 20-50 {auc_20_50:.3f})",
)

KINDS = {
    "dexter_object": _TIPS,
    "rhd": _COLOUR_SET,
    "stb": _COLOUR_SET,
    "mhp": _COLOUR_SET,
    "stb_sk": _COLOUR_SET,
    "freihand": replace(
        _COLOUR_SET,
        columns=(
            ("mean (mm)", "mean_mm", 2),
            ("scaled (mm)", "mean_mm_scaled", 2),
            ("aligned (mm)", "mean_mm_aligned", 2),
            ("AUC 0-50", "auc_0_50", 3),
            ("AUC scaled", "auc_0_50_scaled", 3),
            ("AUC aligned", "auc_0_50_aligned", 3),
            ("mesh (mm)", "mesh_mean_mm", 2),
            ("mesh aligned (mm)", "mesh_mean_mm_aligned", 2),
            ("F@5", "f_5_mm", 3),
            ("F@15", "f_15_mm", 3),
            ("F@5 aligned by joints", "f_5_mm_aligned_by_joints", 3),
            ("F@15 aligned by joints", "f_15_mm_aligned_by_joints", 3),
            ("missed", "missed", 0),
        ),
    ),
    "nyu": Kind(
        (
            ("mean (mm)", "mean_mm", 2),
            ("median (mm)", "median_mm", 2),
            ("first subject (mm)", "mean_first_subject_mm", 2),
            ("second subject (mm)", "mean_second_subject_mm", 2),
            ("frames within 20 mm (%)", "within_20_percent", 1),
            ("frames within 40 mm (%)", "within_40_percent", 1),
        ),
        "frames_with_max_error_within",
        "error threshold (mm)",
        "frames with all joints within (%)",
        "{name} ({mean_mm:.2f} mm)",
    ),
    "hgr": Kind(
        (
            ("tips, fitted (px² of 225x225)", "fingertip_squared_error_px2", 1),
            ("tips as seen (px²)", "fingertip_squared_error_px2_as_seen", 1),
            ("mask IoU", "mask_iou", 3),
            ("mask F1", "mask_f1", 3),
            ("missed", "missed", 0),
        ),
        "tips_within",
        "error threshold (pixels of 225)",
        "labelled fingertips within (%)",
        "{name} ({fingertip_median_px_as_seen:.1f} px median)",
        "thresholds_px",
    ),
    "photos3d": _PHOTOS,
    "synth": _PHOTOS,
}


@dataclass(frozen=True)
class Method:
    """One row of the table and one line of the plot."""

    name: str
    protocol: str
    figures: dict[str, Any]
    thresholds: np.ndarray  # (T,) millimetres, or as the protocol has them
    shares: np.ndarray  # (T,) in [0, 1]

    @property
    def legend(self) -> str:
        """What the plot says of it."""
        return KINDS[self.protocol].legend.format(name=self.name, **_numbers(self.figures))


def read_methods(path: str | Path) -> list[Method]:
    """The methods (runs) in a JSON file that `phalanx evaluate` wrote.

    Raises:
        InputError: the file is missing, is no JSON of scores, or is of a protocol that is not known.
    """
    path = Path(path)
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise InputError(f"{path}: is not the JSON that `phalanx evaluate --json` writes") from error
    return _from_scores(path, scores)


def _methods(path: Path, ground_truth: str | Path | None) -> list[Method]:
    if path.suffix == ".json":
        return read_methods(path)
    if ground_truth is None:
        raise InputError(f"{path}: is no JSON of scores; predictions in text files need the ground truth to be scored")
    return _from_scores(path, evaluate_nyu(path, ground_truth))


def _from_scores(path: Path, scores: Any) -> list[Method]:
    try:
        protocol = scores["protocol"]
        kind = KINDS[protocol]
        runs = (
            {scores["name"]: scores} if "name" in scores else {f"{path.stem}: {k}": scores[k] for k in scores["runs"]}
        )
        methods = []
        for name, figures in runs.items():
            thresholds, shares = np.array(scores[kind.thresholds], float), np.array(figures[kind.curve], float)
            within = {f"within_{t}_percent": 100 * float(np.interp(t, thresholds, shares)) for t in (20, 40)}
            methods.append(Method(name, protocol, {**figures, **within}, thresholds, shares))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: holds no scores of a known protocol ({', '.join(KINDS)})") from error
    return methods


def compare(paths: Sequence[str | Path], out: str | Path, ground_truth: str | Path | None = None) -> list[Method]:
    """Write `comparison.png`, `.md`, `.csv` and `.tex` into the folder `out`; returns the methods, in the order of the files.

    Args:
        paths: JSON files of scores; with `ground_truth` also text files of predictions for NYU.
        out: a folder.
        ground_truth: text file of the true joints of NYU's test set, as `evaluate_nyu` takes it.

    Raises:
        InputError: a file is at fault, the files are of several protocols, two methods have one name, or `out` cannot be written.
    """
    methods = [method for path in paths for method in _methods(Path(path), ground_truth)]
    protocols = list(dict.fromkeys(method.protocol for method in methods))
    if len(protocols) > 1:
        raise InputError(f"compare: scores of several protocols ({', '.join(protocols)}) do not go into one figure")
    names = [method.name for method in methods]
    if doubled := [name for name in names if names.count(name) > 1]:
        raise InputError(f"compare: two methods are called {doubled[0]}; score one again with another --name")
    folder, kind = writable_folder(out), KINDS[protocols[0]]
    curves = {method.legend: (method.thresholds, method.shares) for method in methods}
    draw_curves(folder / "comparison.png", curves, kind.x_label, kind.y_label)
    rows = table_rows(methods)
    for ending, text in (("md", as_markdown(rows)), ("csv", as_csv(rows)), ("tex", as_latex(rows))):
        with write_whole(folder / f"comparison.{ending}") as temporary:
            temporary.write_text(text, encoding="utf-8")
    return methods


def table_rows(methods: Sequence[Method]) -> list[list[str]]:
    """Head and one row a method, all of one protocol, as texts."""
    columns = KINDS[methods[0].protocol].columns
    head = ["method", *(heading for heading, _, _ in columns)]
    return [head, *([m.name, *(_cell(m.figures.get(key), decimals) for _, key, decimals in columns)] for m in methods)]


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is the head and whose first column is text."""
    head, *body = ([cell.replace("|", "\\|") for cell in row] for row in rows)
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *body]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def as_csv(rows: Sequence[Sequence[str]]) -> str:
    """The same with commas."""
    with io.StringIO(newline="") as buffer:
        csv.writer(buffer, lineterminator="\n").writerows(rows)
        return buffer.getvalue()


def as_latex(rows: Sequence[Sequence[str]]) -> str:
    """The same as a `tabular` with rules of the package booktabs."""
    head, *body = (" & ".join(map(_latex, row)) + r" \\" for row in rows)
    form = "l" + "r" * (len(rows[0]) - 1)
    lines = [rf"\begin{{tabular}}{{{form}}}", r"\toprule", head, r"\midrule", *body, r"\bottomrule", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _latex(text: str) -> str:
    special = {character: f"\\{character}" for character in "&%$#_{}"}
    return "".join(
        special.get(c, {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}.get(c, c))
        for c in text
    )


def _cell(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def _numbers(figures: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in figures.items() if isinstance(value, int | float)}
