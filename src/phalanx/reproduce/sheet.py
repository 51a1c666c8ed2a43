"""A table written down: measured beside published, spread over seeds, intervals over test frames, and shares of a gap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from phalanx.core.files import write_json, write_whole
from phalanx.core.json_values import Json
from phalanx.evaluate.published import published
from phalanx.metrics.bootstrap import Interval, bootstrap_sequences
from phalanx.reproduce.plan import Figure, Outcome, Paper, Row, World
from phalanx.view.curves import draw_curves

LEVEL = 0.95
"""Of intervals."""

_EXPLAINED = """\
± is the standard deviation over seeds. The interval ({level:.0f} %) is the bootstrap's over test frames, all views of a frame together:
it says what other frames of this kind would change, not what other seeds would. "Gain" is how much less the error is than that of
"{begin}", with its interval, both on the same frames. The share of the gap is that gain over the one of "{end}", both means of the
seeds that all three have; its ± is the deviation of the seeds' own shares, of those that have a gap.
"""


@dataclass(frozen=True)
class Result:
    """A row of a seed that is done."""

    seed: int
    figures: Mapping[str, float]
    """By their keys."""
    curve: Sequence[float]
    outcome: Outcome

    def scores(self, row: str) -> dict[str, Json]:
        """As JSON holds them: `row`, `seed`, every figure, `curve`."""
        return {"row": row, "seed": self.seed, **self.figures, "curve": self.curve}


Done = Mapping[str, Sequence[Result]]
"""Results by row."""


@dataclass(frozen=True)
class Share:
    """Of a gap, that a row closes."""

    mean: float
    spread: float | None
    """Standard deviation of the seeds' own; None: there is one."""
    by_seed: dict[int, float]


def result_of(paper: Paper[World], seed: int, outcome: Outcome) -> Result:
    """The figures of a row of a seed."""
    figures = {figure.key: figure.measure(outcome.errors) for figure in paper.figures}
    curve = [float(value) for value in paper.curve.values(outcome.errors, paper.curve.thresholds)]
    return Result(seed, figures, curve, outcome)


def closed(paper: Paper[World], done: Done) -> dict[str, Share]:
    """Share of the gap between the paper's ends that rows close, by row: the quotient of mean gains over the seeds in common.

    The first figure is an error. A seed whose end is no better than its start has no share of its own.
    """
    key = paper.figures[0].key
    reached = {row: {result.seed: result.figures[key] for result in results} for row, results in done.items()}
    begin, end = (reached.get(name, {}) for name in paper.ends)
    shares = {}
    for row in paper.rows:
        if not row.gap or row.name in paper.ends:
            continue
        common = sorted(reached.get(row.name, {}).keys() & begin.keys() & end.keys())
        by_seed = {
            seed: (begin[seed] - reached[row.name][seed]) / (begin[seed] - end[seed])
            for seed in common
            if begin[seed] > end[seed]
        }
        gap = sum(begin[seed] - end[seed] for seed in common)
        if by_seed and gap > 0:
            gain = sum(begin[seed] - reached[row.name][seed] for seed in common)
            shares[row.name] = Share(gain / gap, mean_and_spread(list(by_seed.values()))[1], by_seed)
    return shares


def gains(paper: Paper[World], done: Done, figure: Figure | None = None) -> dict[str, Interval]:
    """By how much a figure (the first) is less than the start's, by row that has a part in the gap: on the same frames, over the seeds in
    common."""
    figure = figure or paper.figures[0]
    starts = {result.seed: result.outcome for result in done.get(paper.ends[0], ())}
    found = {}
    for row in paper.rows:
        pairs = [(starts[result.seed], result.outcome) for result in done.get(row.name, ()) if result.seed in starts]
        if not row.gap or row.name == paper.ends[0] or not pairs:
            continue
        frames = pairs[0][0].frames
        alike = all(np.array_equal(frames, outcome.frames) for pair in pairs for outcome in pair)
        if alike and len(np.unique(frames)) > 1:
            measure = partial(_mean_gain, figure, pairs)
            found[row.name] = bootstrap_sequences(measure, frames, seed=0, level=LEVEL)
    return found


def _mean_gain(figure: Figure, pairs: Sequence[tuple[Outcome, Outcome]], drawn: np.ndarray) -> float:
    return float(np.mean([figure.measure(one.errors[drawn]) - figure.measure(two.errors[drawn]) for one, two in pairs]))


def mean_and_spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean and standard deviation; of one value there is none."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def interval(figure: Figure, results: Sequence[Result]) -> Interval | None:
    """Of the mean of a figure over seeds, when test frames are drawn again; None where there is but one frame."""
    frames = results[0].outcome.frames
    if len(np.unique(frames)) < 2:
        return None

    def measure(drawn: np.ndarray) -> float:
        return float(np.mean([figure.measure(result.outcome.errors[drawn]) for result in results]))

    return bootstrap_sequences(measure, frames, seed=0, level=LEVEL)


def write_table(
    paper: Paper[World], done: Done, folder: Path, head: Sequence[str], settings: Mapping[str, Json]
) -> dict[str, Json]:
    """Write NAME.md, NAME.json and NAME.png in `folder`; returns what is in the JSON."""
    rows = [row for row in paper.rows if row.name in done]
    intervals = {row.name: interval(paper.figures[0], done[row.name]) for row in rows}
    shares = closed(paper, done)
    gained = {figure.key: gains(paper, done, figure) for figure in paper.figures if _gains(paper, figure)}
    report = {
        "rows": {row.name: [result.scores(row.name) for result in done[row.name]] for row in rows},
        "intervals": {name: found and {"low": found.low, "high": found.high} for name, found in intervals.items()},
        "closed": {name: vars(share) for name, share in shares.items()},
        "gains": {name: found._asdict() for name, found in gained[paper.figures[0].key].items()},
        "other_gains": {
            key: {name: found._asdict() for name, found in by_row.items()}
            for key, by_row in gained.items()
            if key != paper.figures[0].key
        },
        "thresholds": paper.curve.thresholds.tolist(),
        "about": list(head),
        **settings,
    }
    write_json(folder / f"{paper.name}.json", report)
    begin, end = paper.ends
    explained = _EXPLAINED.format(level=100 * LEVEL, begin=begin, end=end)
    with write_whole(folder / f"{paper.name}.md") as temporary:
        lines = [
            *(f"- {line}" for line in head),
            "",
            *table_lines(paper, rows, done, intervals, gained, shares),
            "",
            explained,
        ]
        temporary.write_text("\n".join(lines), encoding="utf-8")
    curves = {
        f"{row.name} ({_cell(paper.figures[0], done[row.name], False)})": (
            paper.curve.thresholds,
            np.mean([result.curve for result in done[row.name]], 0),
        )
        for row in rows
    }
    draw_curves(folder / f"{paper.name}.png", curves, paper.curve.x, paper.curve.y)
    return report


def table_lines(
    paper: Paper[World],
    rows: Sequence[Row[World]],
    done: Done,
    intervals: Mapping[str, Interval | None],
    gained: Mapping[str, Mapping[str, Interval]],
    shares: Mapping[str, Share],
) -> list[str]:
    """The table in Markdown; a published column follows each figure that the paper prints."""
    printed: dict[tuple[str | None, str | None, str], str] = {}
    for found in published(paper=paper.key):
        for dataset in (None, found.dataset):
            printed.setdefault((found.method, dataset, found.metric.name), found.printed)
    main, *others = paper.figures
    columns = {"row": lambda row: row.name, main.title: lambda row: _cell(main, done[row.name])}
    columns |= {
        f"{100 * LEVEL:.0f} %": lambda row: _interval(intervals[row.name], main.digits),
        "seeds": lambda row: str(len(done[row.name])),
    }
    for figure in (main, *others):
        columns[figure.title] = partial(lambda figure, row: _cell(figure, done[row.name]), figure)
        if figure.published:
            columns[f"published, {figure.title}"] = partial(_published, printed, figure)
    columns["gain"] = lambda row: _gain(gained[main.key].get(row.name), main.digits)
    for figure in others:
        if figure.gains:
            columns[f"gain, {figure.title}"] = partial(
                lambda figure, row: _gain(gained[figure.key].get(row.name), figure.digits), figure
            )
    columns["gap closed"] = lambda row: _share(shares.get(row.name))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    return lines + ["| " + " | ".join(cell(row) for cell in columns.values()) + " |" for row in rows]


def _gains(paper: Paper[World], figure: Figure) -> bool:
    """Whether the table says what rows gain in a figure."""
    return figure.gains or figure is paper.figures[0]


def _published(printed: Mapping[tuple[str | None, str | None, str], str], figure: Figure, row: Row[World]) -> str:
    """What the paper prints of a figure of a row, or nothing."""
    method = row.published.get(figure.key) if isinstance(row.published, Mapping) else row.published
    return printed.get((method, figure.dataset or row.dataset, figure.published or ""), "")


def _cell(figure: Figure, results: Sequence[Result], spread: bool = True) -> str:
    mean, deviation = mean_and_spread([result.figures[figure.key] for result in results])
    return f"{mean:.{figure.digits}f}" + (
        "" if deviation is None or not spread else f" ± {deviation:.{figure.digits}f}"
    )


def _interval(found: Interval | None, digits: int) -> str:
    return "" if found is None else f"{found.low:.{digits}f} to {found.high:.{digits}f}"


def _gain(found: Interval | None, digits: int) -> str:
    return "" if found is None else f"{found.value:.{digits}f} ({_interval(found, digits)})"


def _share(share: Share | None) -> str:
    if share is None:
        return ""
    return f"{100 * share.mean:.0f}" + ("" if share.spread is None else f" ± {100 * share.spread:.0f}") + " %"
