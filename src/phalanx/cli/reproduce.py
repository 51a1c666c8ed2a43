"""`phalanx reproduce`: a paper's table, measured beside published."""

import argparse
from collections.abc import Sequence

from phalanx.cli.common import Parser, Verbs, add_device, add_late_verb, add_quiet, add_verb, late_parser, parse, sayer
from phalanx.core.errors import InputError

_ABOUT = "make a paper's table again, measured beside published"

_HELP = """\
phalanx reproduce TABLE --help describes each. Before it starts it says how many trainings there are and about how long they take. Started
again into the same folder it continues. What tables share (frozen data, networks to start from) is kept in the cache folder.

example:
  phalanx reproduce wan2019 --out runs/wan2019
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    add_late_verb(verbs, "reproduce", _ABOUT, job)


def job(args: argparse.Namespace) -> int:
    """Parse the table's arguments and make it."""
    from phalanx.reproduce.catalogue import TABLES
    from phalanx.reproduce.scales import scale_names

    parser = late_parser("reproduce", _ABOUT, _HELP)
    tables = parser.add_subparsers(dest="table", metavar="TABLE", required=True, parser_class=Parser)
    for name, table in TABLES.items():
        rows = "rows:\n" + "\n".join(f"  {row}" for row in table.rows)
        _add_options(add_verb(tables, name, table.about, f"{table.help}\n{rows}"), scale_names(name), table.sets)
    return _reproduce(parse(parser, args.arguments))


def _add_options(parser: argparse.ArgumentParser, scales: list[str], sets: Sequence[str]) -> None:
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the run; started again, it continues")
    parser.add_argument(
        "--scale", default="cpu", metavar="NAME", help=f"how much: {', '.join(scales)}, or a YAML file (default: cpu)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the main rows (default: 1 2 3)")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="names as in the table (default: all)")
    parser.add_argument(
        "--data",
        type=_folders,
        default={},
        metavar="SET=DIR,...",
        help=f"folders of the paper's own sets, to fit to and test on their splits: {', '.join(sets) or 'none here'}",
    )
    parser.add_argument(
        "--cache",
        metavar="DIR",
        help="folder of what tables share (default: PHALANX_CACHE, else the user's cache folder)",
    )
    add_device(parser)
    add_quiet(parser)


def _folders(text: str) -> dict[str, str]:
    """`nyu=DIR,rhd=DIR` as folders by name."""
    found: dict[str, str] = {}
    for part in text.split(","):
        name, equals, folder = part.partition("=")
        if not name or not equals or not folder or name in found:
            raise argparse.ArgumentTypeError(f"{text!r} is not SET=DIR with commas between, each set once")
        found[name] = folder
    return found


def _reproduce(args: argparse.Namespace) -> int:
    from phalanx.core.allocator import keep_freed_memory
    from phalanx.reproduce.catalogue import TABLES

    if any(seed < 0 for seed in args.seeds):
        raise InputError(f"--seeds: must be 0 or more, got {min(args.seeds)}")
    keep_freed_memory()
    say = sayer(args.quiet)
    TABLES[args.table].reproduce(args.out, args.scale, args.seeds, args.rows, args.data, args.device, args.cache, say)
    say(f"-> {args.out}/{args.table}.md, .png, .json")
    return 0
