"""Every table that `phalanx reproduce` makes: a paper adds its module and its line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from phalanx.core.json_values import Json
from phalanx.reproduce import baek2019, cai2018, dggan, dibra2018, mvhm, tagan, tassn, wan2019


@dataclass(frozen=True)
class Table:
    """How a paper's tables are made again."""

    about: str
    """One line for the command's help."""
    help: str
    """What it trains and tests, and examples."""
    reproduce: Callable[..., dict[str, Json]]
    """`reproduce(out, scale, seeds, rows, data, device, cache, say)`, as `wan2019.reproduce` has it."""
    rows: Sequence[str]
    """Names of its rows."""
    sets: Sequence[str] = ()
    """Public sets that its rows can run on."""


TABLES: Mapping[str, Table] = {
    "baek2019": Table(
        "dense hands by rendering, and refinement at test time (Fig. 5d to 5f, Table 2)",
        baek2019.HELP,
        baek2019.reproduce,
        [row.name for row in (*baek2019.ROWS, *baek2019.MASK_ROWS)],
    ),
    "cai2018": Table(
        "weak supervision by depth maps, with the depth regularizer (Section 4.3; Fig. 5, 6, 8)",
        cai2018.HELP,
        cai2018.reproduce,
        [row.name for row in cai2018.ROWS],
    ),
    "dggan": Table(
        "pose from colour, taught by drawn depth maps (Chen 2020, Table 3.1)",
        dggan.HELP,
        dggan.reproduce,
        [row.name for row in dggan.ROWS],
    ),
    "dibra2018": Table(
        "pose from colour, refined on depth without labels (Tables 1 and 4, Fig. 7, Section 5.3)",
        dibra2018.HELP,
        dibra2018.reproduce,
        [row.name for row in dibra2018.ALL_ROWS],
    ),
    "mvhm": Table(
        "joints from several calibrated views, with a multi-view set of meshes (Chen 2020, Table 5.2)",
        mvhm.HELP,
        mvhm.reproduce,
        [row.name for row in mvhm.ROWS],
    ),
    "tagan": Table(
        "pose from colour, taught by rendered hands that a network blends into pictures (Chen 2020, Tables 2.1 to 2.3)",
        tagan.HELP,
        tagan.reproduce,
        [row.name for row in tagan.ROWS],
    ),
    "tassn": Table(
        "pose and mesh from clips with 2D labels, by consistency forward and backward (Chen 2020, Table 4.1)",
        tassn.HELP,
        tassn.reproduce,
        [row.name for row in tassn.ROWS],
    ),
    "wan2019": Table(
        "training by fitting spheres to depth (Tables 1 and 2)",
        wan2019.HELP,
        wan2019.reproduce,
        [row.name for row in wan2019.ROWS],
        wan2019.SETS,
    ),
}
