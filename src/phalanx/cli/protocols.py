"""Options of the protocols of `phalanx evaluate`: names of options are those of their functions' arguments.

A protocol whose function takes a folder of a public set needs nothing here; others have their line in `OPTIONS`.
"""

import argparse
from collections.abc import Callable, Mapping

from phalanx.cli.common import add_device, add_quiet, add_weights, complain, progress_bar, sayer
from phalanx.core.errors import InputError


def add_set(parser: argparse.ArgumentParser) -> None:
    """The options of public sets."""
    parser.add_argument("folder", metavar="DIR", help="folder of the set, as its archives unpack")
    _add_steps(parser)
    _add_part(parser)


def _add_steps(parser: argparse.ArgumentParser) -> None:
    """What all protocols on pictures share: the file of figures, the file between the two steps, what predicts."""
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--save", metavar="FILE", help="write the predictions to this NPZ file")
    parser.add_argument("--predictions", metavar="FILE", help="score a file that --save wrote, and predict nothing")
    add_weights(parser)
    add_device(parser)
    add_quiet(parser)


def _add_part(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--part",
        dest="whole",
        action="store_false",
        help="accept a set that is not whole; its figures do not compare with others",
    )


def _photos3d(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder of the photos")
    _add_steps(parser)
    parser.add_argument("--worst", metavar="FILE", help="draw the worst photos on a sheet, as PNG")
    parser.add_argument(
        "--focal",
        dest="known_focal",
        type=_known_focal,
        metavar="{given,not-given,both}",
        help="whether the predictor gets the camera (default: both, in turn)",
    )


def _known_focal(text: str) -> bool | None:
    ways = {"given": True, "not-given": False, "both": None}
    if text not in ways:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(ways)}")
    return ways[text]


def _synth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=512, help="pictures (default: 512)")
    parser.add_argument("--scene", default="hands", help="as in phalanx synth (default: hands)")
    parser.add_argument("--domain", default="any", help="as in phalanx synth (default: any)")
    _add_steps(parser)


def _hgr(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder that holds hgr1_images, hgr1_skin, ...")
    parser.add_argument(
        "--split",
        dest="splits",
        type=_splits,
        default=("hgr1", "hgr2"),
        metavar="{hgr1,hgr2,all}",
        help="which pictures (default: all 1,558)",
    )
    parser.add_argument(
        "--tips",
        dest="tip_categories",
        type=lambda text: text.split(","),
        metavar="NAMES",
        help="categories of feature points that are fingertips, with commas between (default: those with tip in their name)",
    )
    _add_steps(parser)
    _add_part(parser)


def _splits(text: str) -> tuple[str, ...]:
    both = ("hgr1", "hgr2")
    if text not in (*both, "all"):
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(both)}, all")
    return both if text == "all" else (text,)


def _gestures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name",
        choices=("rwth", "senz3d", "folders"),
        metavar="SET",
        help="rwth, senz3d, or folders: a subfolder for each gesture",
    )
    add_set(parser)


def _nyu(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--predictions", metavar="FILE", required=True, help="text file, or the same as .gz")
    parser.add_argument("--ground-truth", metavar="FILE", help="the same form; without it, only predict")
    parser.add_argument("--frames", metavar="DIR", help="predict these depth frames first, into --predictions")
    add_weights(parser)
    parser.add_argument("--name", help="the method's name in figures (default: the file's name)")
    parser.add_argument("--json", metavar="FILE", help="also write all figures and curves to a file")
    add_quiet(parser)
    parser.set_defaults(job=_evaluate_nyu)


def _evaluate_nyu(args: argparse.Namespace) -> int:
    """Its predictions are a text file of the depth community, from depth frames."""
    from phalanx.evaluate.nyu import evaluate_nyu, predict_nyu, show

    if (args.weights and not args.frames) or not (args.frames or args.ground_truth):
        raise InputError("nyu: give --ground-truth to score, --frames (and --weights) to predict, or both")
    if args.frames:
        from phalanx.predict.depth import DepthPredictor

        with progress_bar(args.quiet) as progress:
            count = predict_nyu(args.frames, args.predictions, DepthPredictor(args.weights), complain, progress)
        sayer(args.quiet)(f"{count} frames -> {args.predictions}")
        if args.ground_truth is None:
            return 0
    scores = evaluate_nyu(args.predictions, args.ground_truth, args.json, args.name)
    if not args.quiet:
        show(scores)
    return 0


OPTIONS: Mapping[str, Callable[[argparse.ArgumentParser], None]] = {
    "photos3d": _photos3d,
    "synth": _synth,
    "nyu": _nyu,
    "hgr": _hgr,
    "gestures": _gestures,
}
"""Adds the options of a protocol to its parser, and its own job if it needs one."""
