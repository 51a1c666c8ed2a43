"""Several methods' scores side by side: one plot and one table, as papers print them.

Reads the JSON that `phalanx evaluate` writes, predictions for NYU in text files, which it scores first, and published PCK curves
(`pck_files.py`). The curve is the protocol's own: for NYU the share of frames whose largest error is at most t, for photos3d the share of
joints whose root-relative scaled error is at most t. A published curve does not say what it is of: beside scores it is taken for theirs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import reason, writable_folder, write_whole
from phalanx.evaluate.catalogue import KINDS, PCK
from phalanx.evaluate.kinds import Kind
from phalanx.evaluate.markup import as_csv, as_latex, as_markdown, cells
from phalanx.evaluate.nyu import evaluate_nyu
from phalanx.evaluate.pck_files import areas, is_curve_file, read_curves
from phalanx.view.curves import draw_curves

_COUNTS = ("hands", "pictures", "frames", "photos")


@dataclass(frozen=True)
class Method:
    """One row of the table and one line of the plot.

    Attributes:
        name, protocol, figures: of the method.
        thresholds: (T,) of the curve, in the protocol's unit; empty if the protocol has no curve.
        shares: (T,) in [0, 1].
        path: of the file.
        count: hands, frames or pictures that were scored; None: not known.
        part: only a part of the set was scored, so the figures do not compare with others.
    """

    name: str
    protocol: str
    figures: dict[str, Any]
    thresholds: np.ndarray
    shares: np.ndarray
    path: Path
    count: int | None = None
    part: bool = False

    @property
    def scored(self) -> str:
        """How many were scored, and whether that is a part of the set, as a cell of a table."""
        return ("" if self.count is None else str(self.count)) + (" (part)" if self.part else "")

    @property
    def legend(self) -> str:
        """What the plot calls it."""
        legend = KINDS[self.protocol].legend
        try:
            text = legend.format(name=self.name, **_numbers(self.figures))
        except KeyError:  # the figure is missing, as when half of the hands were missed
            text = self.name
        return f"{text}, part of the set" if self.part else text


def read_methods(path: str | Path) -> list[Method]:
    """The methods (runs) in a JSON file that `phalanx evaluate` wrote.

    Raises:
        InputError: the file is missing, holds no scores as JSON, or its protocol is not known.
    """
    path = Path(path)
    try:
        scores = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise InputError(f"{path}: is not the JSON that `phalanx evaluate --json` writes") from error
    return _from_scores(path, scores)


def read_files(paths: Sequence[str | Path], ground_truth: str | Path | None = None) -> list[Method]:
    """The methods of several files of one protocol, in their order, under names that tell them apart.

    Args:
        paths: JSON files of scores, text files of PCK curves, and with `ground_truth` text files of predictions for NYU.
        ground_truth: text file of the true joints of NYU's test set, as `evaluate_nyu` takes it.

    Raises:
        InputError: a file is bad or given twice, or the files are of several protocols.
    """
    methods = [method for path in paths for method in _methods(Path(path), ground_truth)]
    protocols = [name for name in dict.fromkeys(method.protocol for method in methods) if name != PCK] or [PCK]
    if len(protocols) > 1:
        raise InputError(f"scores of several protocols ({', '.join(protocols)}) do not go into one figure")
    kind = KINDS[protocols[0]]
    if (curve := next((m for m in methods if m.protocol == PCK), None)) and not (kind.curve and _is_in_mm(kind)):
        raise InputError(f"{curve.path}: a curve over millimetres does not go with scores of {protocols[0]}")
    return _told_apart([replace(method, protocol=protocols[0]) for method in methods])


def _is_in_mm(kind: Kind) -> bool:
    return kind.thresholds == "thresholds_mm"


def _told_apart(methods: Sequence[Method]) -> list[Method]:
    """The methods; those of the same name get as much of their files' paths as tells them apart."""
    named = list(methods)
    for name in dict.fromkeys(method.name for method in methods):
        same = [index for index, method in enumerate(methods) if method.name == name]
        paths = [methods[index].path.absolute() for index in same]
        if len(same) == 1:
            continue
        if len(set(paths)) < len(paths):
            raise InputError(f"{methods[same[0]].path}: is given twice")
        length = next(n for n in range(1, 1000) if len({path.parts[-n:] for path in paths}) == len(paths))
        for index, path in zip(same, paths, strict=True):
            named[index] = replace(methods[index], name=f"{name} ({Path(*path.parts[-length:])})")
    return named


def _methods(path: Path, ground_truth: str | Path | None) -> list[Method]:
    if path.suffix == ".json":
        return read_methods(path)
    if is_curve_file(path):
        return [_published(name, *curve, path) for name, curve in read_curves(path).items()]
    if ground_truth is None:
        raise InputError(
            f"{path}: is no JSON of scores and no PCK curve; predictions in text files need the ground truth to be scored"
        )
    return _from_scores(path, evaluate_nyu(path, ground_truth))


def _published(name: str, thresholds: np.ndarray, shares: np.ndarray, path: Path) -> Method:
    """A curve of a file, with the figures that can be had from it."""
    figures = {**areas(thresholds, shares), **_within(thresholds, shares)}
    return Method(name, PCK, figures, thresholds, shares, path)


def _within(thresholds: np.ndarray, shares: np.ndarray) -> dict[str, float]:
    """Shares at 20 and 40 in percent, as far as the curve reaches."""
    reached = [t for t in (20, 40) if thresholds[0] <= t <= thresholds[-1]]
    return {f"within_{t}_percent": 100 * float(np.interp(t, thresholds, shares)) for t in reached}


def _from_scores(path: Path, scores: Any) -> list[Method]:
    try:
        protocol = scores["protocol"]
        kind = KINDS[protocol]
    except (KeyError, TypeError) as error:
        raise InputError(f"{path}: holds no scores of a known protocol ({', '.join(KINDS)})") from error
    try:
        runs = (
            {scores["name"]: scores} if "name" in scores else {f"{path.stem}: {k}": scores[k] for k in scores["runs"]}
        )
        methods = []
        for name, figures in runs.items():
            thresholds, shares = np.zeros(0), np.zeros(0)
            within: dict[str, float] = {}
            if kind.curve:
                thresholds, shares = np.array(scores[kind.thresholds], float), np.array(figures[kind.curve], float)
                if thresholds.ndim != 1 or not thresholds.size or shares.shape != thresholds.shape:
                    raise ValueError(f"{kind.curve} is no curve over {kind.thresholds}")
                within = _within(thresholds, shares)
            counts = [source[key] for key in _COUNTS for source in (scores, figures) if key in source]
            count = int(counts[0]) if counts else None
            part = scores.get("whole") is False or kind.expected not in (None, count)
            if wrong := [key for _, key, _ in kind.columns if not isinstance(figures.get(key), int | float | None)]:
                raise ValueError(f"{wrong[0]} is no number")
            methods.append(Method(name, protocol, {**figures, **within}, thresholds, shares, path, count, part))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its scores of {protocol} are damaged ({error!r})") from error
    if not methods:
        raise InputError(f"{path}: holds the scores of no run")
    return methods


def compare(paths: Sequence[str | Path], out: str | Path, ground_truth: str | Path | None = None) -> list[Method]:
    """Write `comparison.md`, `.csv`, `.tex` and, where the protocol has a curve, `.png` into the folder `out`; returns the methods.

    Args:
        paths, ground_truth: as for `read_files`.
        out: a folder.

    Raises:
        InputError: as `read_files`, or `out` cannot be written.
    """
    methods = read_files(paths, ground_truth)
    folder = writable_folder(out)
    draw_methods(methods, folder / "comparison.png")
    rows = table_rows(methods)
    for ending, text in (("md", as_markdown(rows)), ("csv", as_csv(rows)), ("tex", as_latex(rows))):
        with write_whole(folder / f"comparison.{ending}") as temporary:
            temporary.write_text(text, encoding="utf-8")
    return methods


def draw_methods(methods: Sequence[Method], path: Path) -> bool:
    """Draw the curves of methods of one protocol; returns whether the protocol has a curve."""
    kind = KINDS[methods[0].protocol]
    if kind.curve:
        curves = {method.legend: (method.thresholds, method.shares) for method in methods}
        draw_curves(path, curves, kind.x_label, kind.y_label)
    return bool(kind.curve)


def table_rows(methods: Sequence[Method]) -> list[list[str]]:
    """Head and one row a method, all of one protocol, as texts."""
    columns = KINDS[methods[0].protocol].columns
    head = ["method", "scored", *(heading for heading, _, _ in columns)]
    return [head, *([method.name, method.scored, *cells(method.figures, columns)] for method in methods)]


def _numbers(figures: dict[str, Any]) -> dict[str, float]:
    return {key: value for key, value in figures.items() if isinstance(value, int | float)}
