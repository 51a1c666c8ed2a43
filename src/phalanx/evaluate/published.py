"""Figures that papers print, as cited data, and measured figures beside them.

`published_data/` has a JSON file for each paper: the paper, its metrics with their definitions, and its figures. A figure is one number
of a table or a sentence, as printed, with its place. Metrics have the names of this package's scores (`mean_mm`, `auc_20_50`); `auc` is
an area whose thresholds the paper does not give (if another source gives them, the note names it). Datasets have the names of protocols
(`rhd`, `stb`, ...), or `none`. If a paper contradicts itself, the note of the figure says so.

Only numbers in tables and sentences are here. These exist only as plots, or as words, and are absent:

- Cai et al., ECCV 2018: all curves of Figures 5-7 but the AUC values that section 4.3 repeats, so the AUC of full supervision on STB,
  of full supervision with the regularizer on RHD, and of all competitors on STB; Figure 6 (right), errors in z.
- Baek et al., CVPR 2019: Figure 5, all curves with their AUC (RHD, Dexter+Object, STB), the ablations and the iterations of refinement.
- Wan et al., CVPR 2019: Figures 5-8, shares of frames at other thresholds than the 20 mm of the text, and of all competitors.
- Dibra et al., CVPR Workshops 2018: Figure 7, ROC curves of angles and joints on STB; refinement on their own RGB-D recordings (Figure 6;
  "the error halves").
- Chen, dissertation 2020: Figures 2.8, 3.6, 4.6, 4.7 and 5.5, PCK curves and the AUC of competitors on STB, RHD and MHP beyond Tables
  3.2 and 5.3. Table 5.1 (sizes of datasets) measures nothing. Gains that the text computes from its tables are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from phalanx.core.errors import InputError
from phalanx.core.files import reason

SCHEMA = "phalanx.published/1"


@dataclass(frozen=True)
class Paper:
    """A paper; `key` is the name of its file."""

    key: str
    authors: str
    title: str
    venue: str
    year: int

    @property
    def citation(self) -> str:
        """One line: authors, title, venue, year."""
        return f'{self.authors}, "{self.title}", {self.venue} {self.year}'


@dataclass(frozen=True)
class Metric:
    """What a number of a paper means; papers that share the name may differ in `definition`."""

    name: str
    unit: str
    """`mm`, `px`, `px²`, `deg`, `ms`, `percent`, `fraction` (of 1) or `not stated`."""
    higher_is_better: bool
    definition: str
    """Alignment, root, scale and thresholds as far as the paper states them."""


@dataclass(frozen=True)
class PublishedFigure:
    """One number that a paper prints."""

    paper: Paper
    where: str
    """Table and row, or section."""
    method: str
    """As the paper calls it there."""
    quoted: str | None
    """The competitor whose method it is, by authors and year; None for a method of the paper's own."""
    dataset: str
    split: str
    metric: Metric
    value: float
    printed: str
    """The value with the digits that the paper prints."""
    note: str


def published(dataset: str | None = None, metric: str | None = None, paper: str | None = None) -> list[PublishedFigure]:
    """The figures of all papers, or those of a dataset, of a metric (by name) and of a paper (by key), in printed order.

    Raises InputError naming the file and the entry if one is malformed.
    """
    folder = resources.files("phalanx.evaluate") / "published_data"
    with resources.as_file(folder) as files:
        figures = [figure for path in sorted(files.glob("*.json")) for figure in read_published(path)]
    return [
        figure
        for figure in figures
        if dataset in (None, figure.dataset)
        and metric in (None, figure.metric.name)
        and paper in (None, figure.paper.key)
    ]


def read_published(path: str | Path) -> list[PublishedFigure]:
    """The figures of one paper's file.

    Raises InputError naming the file and the entry that is malformed, or that is there twice.
    """
    path = Path(path)
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise InputError(f"{path}: is no JSON: {error}") from error
    if not isinstance(contents, dict) or contents.get("schema") != SCHEMA:
        raise InputError(f"{path}: is not a file of published figures ({SCHEMA})")
    _check(contents, {"schema": str, "paper": dict, "metrics": dict, "figures": list}, str(path))
    _check(contents["paper"], {"key": str, "authors": str, "title": str, "venue": str, "year": int}, f"{path}: paper")
    paper = Paper(**contents["paper"])
    if paper.key != path.stem:
        raise InputError(f"{path}: the paper's key is {paper.key!r}, not the name of the file")
    metrics = {}
    for name, entry in contents["metrics"].items():
        _check(entry, {"unit": str, "higher_is_better": bool, "definition": str}, f"{path}: metric {name!r}")
        metrics[name] = Metric(name, **entry)
    figures: dict[tuple[str, ...], PublishedFigure] = {}
    for number, entry in enumerate(contents["figures"]):
        place = f"{path}: figure {number}"
        figure = _figure(entry, paper, metrics, place)
        key = (figure.where, figure.method, figure.dataset, figure.split, figure.metric.name)
        if key in figures:
            raise InputError(f"{place} ({figure.where}, {figure.method}): {figure.metric.name} is there twice")
        figures[key] = figure
    return list(figures.values())


def beside_published(
    measured: Mapping[str, float], dataset: str, metric: str, differs: Mapping[str, str] | None = None
) -> str:
    """A Markdown table: measured figures, then the published ones of the same dataset and metric, the best first.

    Args:
        measured: value by name, in the unit of the published metric.
        dataset: as in `published`; so is `metric`.
        differs: what differs (data, scale, protocol) by name of a measured figure or key of a paper; published rows also show
            their own notes.

    Returns:
        The table, followed by the papers with their definitions of the metric. Ends in a line break.

    Raises:
        InputError: `measured` is empty or has a value that is not finite, or `differs` has a name that no row has.
    """
    differs = dict(differs or {})
    figures = published(dataset, metric)
    if not measured:
        raise InputError("measured: at least one figure expected")
    for name, value in measured.items():
        if not math.isfinite(value):
            raise InputError(f"measured: {name!r} is {value}")
    papers = {figure.paper.key: figure.paper for figure in figures}
    if unknown := sorted(set(differs) - set(measured) - set(papers)):
        raise InputError(f"differs: {unknown[0]!r} is neither a measured figure nor a paper with {metric} on {dataset}")
    kind = figures[0].metric if figures else None
    heading = f"{metric} ({kind.unit}, {'higher' if kind.higher_is_better else 'lower'} is better)" if kind else metric
    digits = 3 if kind is None or kind.unit == "fraction" else 2
    rows = [(f"figure, {dataset}", heading, "source", "data", "what differs"), ("---", "---:", "---", "---", "---")]
    rows += [(name, f"{value:.{digits}f}", "measured", "", differs.get(name, "")) for name, value in measured.items()]
    sign = -1.0 if kind and kind.higher_is_better else 1.0
    for figure in sorted(figures, key=lambda figure: sign * figure.value):
        method = f"{figure.method}, of {figure.quoted}" if figure.quoted else figure.method
        texts = [text for text in (differs.get(figure.paper.key, ""), figure.note) if text]
        rows.append((method, figure.printed, f"{figure.paper.key}, {figure.where}", figure.split, "; ".join(texts)))
    lines = ["| " + " | ".join(_cell(text) for text in row) + " |" for row in rows]
    lines.append("")
    if not figures:
        lines.append(f"No paper that is kept here prints {metric} on {dataset}.")
    definitions = {figure.paper.key: figure.metric.definition for figure in figures}
    lines += [f"- {key}: {paper.citation}. {metric}: {definitions[key]}" for key, paper in papers.items()]
    return "\n".join(lines) + "\n"


_FIGURE: Mapping[str, type | tuple[type, ...]] = {
    "where": str,
    "method": str,
    "quoted": (str, type(None)),
    "dataset": str,
    "split": str,
    "metric": str,
    "value": str,
    "note": str,
}
_MAY_BE_EMPTY = {"note"}


def _figure(entry: Any, paper: Paper, metrics: Mapping[str, Metric], place: str) -> PublishedFigure:
    _check(entry, _FIGURE, place)
    place = f"{place} ({entry['where']}, {entry['method']})"
    if entry["metric"] not in metrics:
        raise InputError(f"{place}: the metric {entry['metric']!r} is not among those that the file defines")
    try:
        value = float(entry["value"])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"{place}: the value {entry['value']!r} is no number")
    own = {name: entry[name] for name in (field.name for field in fields(PublishedFigure)) if name in entry}
    own.update(paper=paper, metric=metrics[entry["metric"]], value=value, printed=entry["value"])
    return PublishedFigure(**own)


def _check(entry: object, kinds: Mapping[str, type | tuple[type, ...]], place: str) -> None:
    """Make sure that `entry` is an object with exactly these keys, of these types, and no empty texts."""
    if not isinstance(entry, dict):
        raise InputError(f"{place}: is not an object")
    if missing := sorted(set(kinds) - set(entry)):
        raise InputError(f"{place}: {missing[0]!r} is missing")
    if surplus := sorted(set(entry) - set(kinds)):
        raise InputError(f"{place}: {surplus[0]!r} is not known")
    for name, kind in kinds.items():
        value = entry[name]
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise InputError(f"{place}: {name!r} is of the wrong type: {value!r}")
        if value == "" and name not in _MAY_BE_EMPTY:
            raise InputError(f"{place}: {name!r} is empty")


def _cell(text: str) -> str:
    """Text that keeps to one cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())
