"""`phalanx compare`: scores of several methods beside each other."""

import argparse

from phalanx.cli.common import Verbs, add_quiet, add_verb, sayer

_HELP = """\
Draws the curves of all methods (comparison.png) and writes their table as Markdown, CSV and LaTeX (comparison.md, .csv, .tex).
Methods of the same name go by their files.

example:
  phalanx compare v2v.json deepprior.json mine.json --out figures
  phalanx compare mine.json zb.txt rgb.txt
  phalanx compare v2v.txt.gz mine.txt --ground-truth nyu_test_groundtruth_label.txt.gz
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "compare", "several methods' scores in one figure and one table", _HELP, job)
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="JSON that phalanx evaluate --json wrote, or a text file with a published PCK curve",
    )
    parser.add_argument(
        "--ground-truth", metavar="FILE", help="true joints of NYU: then files may be predictions (.txt, .gz)"
    )
    parser.add_argument(
        "--out", default="comparison", metavar="DIR", help="folder for the results (default: comparison/)"
    )
    add_quiet(parser)


def job(args: argparse.Namespace) -> int:
    """Compare and write."""
    from phalanx.evaluate.compare import compare

    methods = compare(args.files, args.out, args.ground_truth)
    endings = [".md", ".csv", ".tex", *([".png"] if methods[0].thresholds.size else [])]
    sayer(args.quiet)(f"{len(methods)} methods -> {args.out}/comparison{', '.join(endings)}")
    return 0
