"""Tables of texts as Markdown, CSV and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence

from phalanx.core.json_values import Json


def cell(value: float | None, decimals: int) -> str:
    """A figure as the text of a cell; empty if there is none."""
    return "" if value is None else f"{value:.{decimals}f}"


def cells(figures: Mapping[str, Json], columns: Sequence[tuple[str, str, int]]) -> list[str]:
    """Figures as one row; columns are heading, key and decimals."""
    found = [(figures.get(key), decimals) for _, key, decimals in columns]
    return [cell(value if isinstance(value, int | float) else None, decimals) for value, decimals in found]


def as_markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is the head and whose first column is text."""
    head, *body = ([text.replace("|", "\\|") for text in row] for row in rows)
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
    special |= {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"}
    return "".join(special.get(character, character) for character in text)
