"""`phalanx data`, `compare`, `report`, `reproduce`: what sets hold, and scores beside each other and beside published ones."""

import argparse
from collections.abc import Sequence
from typing import Any

from phalanx.cli.common import Parser, add_verb, sayer
from phalanx.core.errors import InputError


def add_data(verbs: Any) -> None:
    parser = add_verb(verbs, "data", _data_check, "public data sets on disk", _DATA)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    check = add_verb(actions, "check", _data_check, "say which set a folder holds, and whether it is whole", _DATA)
    check.add_argument("folder", metavar="DIR", help="folder of the set, as its archives unpack")
    check.add_argument(
        "--sheet", metavar="FILE", help="picture of some hands with their labels (default: DIR's name, .png)"
    )
    check.add_argument("--count", type=int, default=24, help="hands on the sheet (default: 24)")
    check.add_argument("--quiet", action="store_true", help="say nothing but complaints")


_DATA = """\
Reads a folder as the authors of a set distribute it: counts pictures and labels, names what is missing or surplus, and
draws hands with their joints on top, left ones mirrored.

example:
  phalanx data check path/to/RHD_published_v2 --sheet rhd.png
"""


def _data_check(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from pathlib import Path

    from phalanx.data.check import check_splits, recognise, reprojection_error, some_samples
    from phalanx.data.public.catalogue import PLAIN_FOLDERS, PUBLIC_SETS
    from phalanx.view.samples import draw_sample, sheet, writable_sheet, write_sheet

    if args.count < 1:
        raise InputError(f"--count: must be 1 or more, got {args.count}")
    path = writable_sheet(args.sheet or f"{Path(args.folder).resolve().name}.png")
    say = sayer(args.quiet)
    kind = recognise(args.folder, PUBLIC_SETS, PLAIN_FOLDERS)
    say(f"{args.folder}: {kind.name} ({kind.licence})")
    reports = check_splits(args.folder, kind)
    for report in reports:
        hands = "nothing of it can be read" if report.dataset is None else f"{len(report.dataset)} hands"
        say(
            f"{report.split}: {hands}, {'no file is missing' if report.fault is None else f'not whole: {report.fault}'}"
        )
    readable = [report.dataset for report in reports if report.dataset is not None]
    if not readable:
        raise InputError(f"{args.folder}: no split can be read: {reports[0].fault}")
    samples = [sample for dataset in readable for sample in some_samples(dataset, -(-args.count // len(readable)))]
    error = reprojection_error(samples)
    if error is not None:
        say(f"3D joints fall on 2D joints within {error:.2f} px in {len(samples)} hands")
    write_sheet(path, sheet([draw_sample(sample) for sample in samples], 6))
    say(f"-> {path}")
    broken = [report for report in reports if report.fault is not None]
    if broken:  # one that is not there at all too: what is asked is whether the set is whole
        first = f"{broken[0].split}: {broken[0].fault}"
        raise InputError(f"{args.folder}: {len(broken)} of {len(reports)} splits not whole, the first: {first}")
    return 0


def add_report(verbs: Any) -> None:
    parser = add_verb(verbs, "report", _report, "scores as a page: table, plot, published figures beside them", _REPORT)
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="JSON that phalanx evaluate --json wrote, of one protocol"
    )
    parser.add_argument("--out", default="report", metavar="DIR", help="folder for the page (default: report/)")
    parser.add_argument("--command", default="", metavar="TEXT", help="what made the scores, to stand on the page")
    parser.add_argument("--quiet", action="store_true", help="say nothing but complaints")


_REPORT = """\
Writes <protocol>.md and, where the protocol has a curve, <protocol>.png. Where the five papers behind Phalanx print figures on the same
set, they stand beside the measured ones, with what differs.

example:
  phalanx evaluate rhd path/to/RHD_published_v2 --json rhd.json && phalanx report rhd.json --out pages
"""


def _report(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.evaluate.report import write_report

    sayer(args.quiet)(f"-> {write_report(args.files, args.out, args.command)}")
    return 0


def add_compare(verbs: Any) -> None:
    parser = add_verb(verbs, "compare", _compare, "several methods' scores in one figure and one table", _COMPARE)
    parser.add_argument("files", nargs="+", metavar="FILE", help="JSON that phalanx evaluate --json wrote")
    parser.add_argument(
        "--ground-truth", metavar="FILE", help="true joints of NYU: then files may be predictions (.txt, .gz)"
    )
    parser.add_argument(
        "--out", default="comparison", metavar="DIR", help="folder for the results (default: comparison/)"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but complaints")


_COMPARE = """\
Draws the curves of all methods (comparison.png) and writes their table as Markdown, CSV and LaTeX (comparison.md, .csv, .tex).
Methods of one name are told apart by their files.

example:
  phalanx compare v2v.json deepprior.json mine.json --out figures
  phalanx compare v2v.txt.gz mine.txt --ground-truth nyu_test_groundtruth_label.txt.gz
"""


def _compare(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.evaluate.compare import compare

    methods = compare(args.files, args.out, args.ground_truth)
    endings = [".md", ".csv", ".tex", *([".png"] if methods[0].thresholds.size else [])]
    sayer(args.quiet)(f"{len(methods)} methods -> {args.out}/comparison{', '.join(endings)}")
    return 0


def add_reproduce(verbs: Any) -> None:
    parser = add_verb(verbs, "reproduce", None, "make a paper's table again, measured beside published", "")
    papers = parser.add_subparsers(dest="paper", metavar="PAPER", required=True, parser_class=Parser)
    wan = add_verb(papers, "wan2019", _reproduce_wan2019, "training by fitting spheres to depth (Table 1)", _WAN2019)
    wan.add_argument("--out", required=True, metavar="DIR", help="folder of the run; started again it goes on")
    wan.add_argument("--scale", choices=("smoke", "cpu", "paper"), default="cpu", help="how much (default: cpu)")
    wan.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the main rows (default: 1 2 3)")
    wan.add_argument("--rows", nargs="+", metavar="ROW", help="names as in the table (default: all)")
    wan.add_argument("--quiet", action="store_true", help="say nothing but complaints")


_WAN2019 = """\
Trains on synthetic depth of the domain studio, fits to unlabelled depth of the domain field seen by three cameras, and tests there.
Writes wan2019.md (the table), wan2019.png (frames within an error) and wan2019.json. smoke takes seconds, cpu an evening.

example:
  phalanx reproduce wan2019 --out runs/wan2019
  phalanx reproduce wan2019 --out runs/few --seeds 1 --rows "synth(aug. with noise)" "100% single view"
"""


def _reproduce_wan2019(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.core.allocator import keep_freed_memory
    from phalanx.reproduce.wan2019 import ROWS, SCALES, reproduce

    keep_freed_memory()
    say = sayer(args.quiet)
    reproduce(args.out, SCALES[args.scale], args.seeds, args.rows or ROWS, say)
    say(f"-> {args.out}/wan2019.md, .png, .json")
    return 0
