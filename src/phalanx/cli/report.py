"""`phalanx report`: scores as a page, with published figures beside them."""

import argparse

from phalanx.cli.common import Verbs, add_quiet, add_verb, sayer

_HELP = """\
Writes <protocol>.md and, if the protocol has a curve, <protocol>.png. If the five papers behind Phalanx print figures on the same
set, the page shows them beside the measured ones, with what differs.

example:
  phalanx evaluate rhd path/to/RHD_published_v2 --json rhd.json && phalanx report rhd.json --out pages
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "report", "scores as a page: table, plot, published figures beside them", _HELP, job)
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="JSON that phalanx evaluate --json wrote, of one protocol"
    )
    parser.add_argument("--out", default="report", metavar="DIR", help="folder for the page (default: report/)")
    parser.add_argument("--command", default="", metavar="TEXT", help="the command that made the scores, for the page")
    add_quiet(parser)


def job(args: argparse.Namespace) -> int:
    """Write the page."""
    from phalanx.evaluate.report import write_report

    sayer(args.quiet)(f"-> {write_report(args.files, args.out, args.command)}")
    return 0
