"""`phalanx reproduce`: a paper's table, measured beside published."""

import argparse
from typing import Any

from phalanx.cli.common import Parser, add_device, add_quiet, add_verb, sayer

_WAN2019 = """\
Trains on synthetic depth of the domain studio, fits to unlabelled depth of the domain field seen by three cameras, and tests there.
Writes wan2019.md (the table), wan2019.png (frames within an error) and wan2019.json. smoke takes seconds, cpu an evening.

example:
  phalanx reproduce wan2019 --out runs/wan2019
  phalanx reproduce wan2019 --out runs/few --seeds 1 --rows "synth(aug. with noise)" "100% single view"
"""


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "reproduce", "make a paper's table again, measured beside published")
    tables = parser.add_subparsers(dest="table", metavar="TABLE", required=True, parser_class=Parser)
    wan = add_verb(tables, "wan2019", "training by fitting spheres to depth (Table 1)", _WAN2019, job)
    wan.add_argument("--out", required=True, metavar="DIR", help="folder of the run; started again, it continues")
    wan.add_argument("--scale", choices=("smoke", "cpu", "paper"), default="cpu", help="how much (default: cpu)")
    wan.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the main rows (default: 1 2 3)")
    wan.add_argument("--rows", nargs="+", metavar="ROW", help="names as in the table (default: all)")
    add_device(wan)
    add_quiet(wan)


def job(args: argparse.Namespace) -> int:
    """Make the table."""
    from phalanx.core.allocator import keep_freed_memory
    from phalanx.reproduce.wan2019 import ROWS, SCALES, reproduce

    keep_freed_memory()
    say = sayer(args.quiet)
    reproduce(args.out, SCALES[args.scale], args.seeds, args.rows or ROWS, say, device=args.device)
    say(f"-> {args.out}/wan2019.md, .png, .json")
    return 0
