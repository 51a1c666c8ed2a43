"""`phalanx data`: data sets on disk."""

import argparse

from phalanx.cli.common import Parser, Verbs, add_quiet, add_verb, sayer
from phalanx.core.errors import InputError

_HELP = """\
Reads a folder as the authors of a set distribute it: counts pictures and labels, names files that are missing or surplus, and
draws hands with their joints on top, left ones mirrored.

example:
  phalanx data check path/to/RHD_published_v2 --sheet rhd.png
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "data", "public data sets on disk", _HELP)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    check = add_verb(actions, "check", "name the set in a folder and check that it is complete", _HELP, job)
    check.add_argument("folder", metavar="DIR", help="folder of the set, as its archives unpack")
    check.add_argument(
        "--sheet", metavar="FILE", help="picture of some hands with their labels (default: DIR's name, .png)"
    )
    check.add_argument("--count", type=int, default=24, help="hands on the sheet (default: 24)")
    add_quiet(check)


def job(args: argparse.Namespace) -> int:
    """Check a folder and draw its sheet."""
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
        hands = "none of it can be read" if report.dataset is None else f"{len(report.dataset)} hands"
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
    if broken:  # a split that is missing altogether counts, too: the question is whether the set is whole
        first = f"{broken[0].split}: {broken[0].fault}"
        raise InputError(f"{args.folder}: {len(broken)} of {len(reports)} splits not whole, the first: {first}")
    return 0
