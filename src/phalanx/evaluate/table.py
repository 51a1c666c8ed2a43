"""The table that people read: runs beside each other, over all photos and by group."""

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from phalanx.core.json_values import Json


def print_table(scores: Mapping[str, Mapping[str, Json]], console: Console | None = None) -> None:
    """Print the figures of several runs, as `score_photos3d` returns them; rows of groups without photos are left out.

    Cells with two numbers: raw, then under the definition map. The AUC is raw.
    """
    table = Table(
        title="joint errors: raw / under the definition map", box=box.SIMPLE_HEAD, pad_edge=False, title_justify="left"
    )
    table.add_column("photos", no_wrap=True)
    table.add_column("run", no_wrap=True)
    for heading in ("n", "missed", "2D\npx", "root-rel.\nmm", "aligned\nmm", "AUC\n0-50", "AUC\n20-50", "ms"):
        table.add_column(heading, justify="right", no_wrap=True)
    for title, groups, kind_ends in _groups(scores):
        for name, figures in groups.items():
            table.add_row(title, name.replace("_", " "), *_cells(figures))
            title = ""
        if len(scores) > 1 or kind_ends:
            table.add_section()
    console = console or Console()
    console.width = max(console.width, 112)  # in a narrow terminal lines that run over are better than cut numbers
    console.print(table)


def _groups(scores: Mapping[str, Mapping[str, Json]]) -> list[tuple[str, dict[str, Mapping[str, Json]], bool]]:
    """Title, figures of each run, and whether the group is the last of its kind."""
    first = next(iter(scores.values()))
    groups = [("all", dict(scores), True)]
    for key, label in (("by_view", "{}"), ("by_curled", "{} curled")):
        filled = [value for value, figures in _parts(first, key).items() if figures["photos"]]
        for value in filled:
            figures = {name: _parts(score, key)[value] for name, score in scores.items()}
            groups.append((label.format(value), figures, value == filled[-1]))
    return groups


def _parts(figures: Mapping[str, Json], key: str) -> dict[str, Mapping[str, Json]]:
    """The figures of each group."""
    groups = figures[key]
    assert isinstance(groups, dict)
    return groups


def _cells(figures: Mapping[str, Json]) -> list[str]:
    def number(key: str, digits: int) -> str:
        return "-" if figures[key] is None else f"{figures[key]:.{digits}f}"

    def pair(key: str, digits: int) -> str:
        return f"{number(key, digits)} / {number(key + '_mapped', digits)}"

    return [
        str(figures["photos"]),
        str(figures["missed"]),
        pair("epe_2d_px", 1),
        pair("epe_3d_root_scaled_mm", 1),
        pair("epe_3d_procrustes_mm", 1),
        number("auc_0_50", 2),
        number("auc_20_50", 2),
        number("ms_per_image", 1),
    ]
