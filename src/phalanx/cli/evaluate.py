"""`phalanx evaluate`: predict and save, then score what was saved."""

import argparse
from collections.abc import Sequence
from typing import Any

from phalanx.cli.common import Parser, add_common, add_verb, complain, progress_bar, sayer
from phalanx.core.errors import InputError


def add_evaluate(verbs: Any) -> None:
    parser = add_verb(
        verbs, "evaluate", _evaluate_photos3d, "predict and save, then score against ground truth", _EVALUATE
    )
    protocols = parser.add_subparsers(dest="protocol", metavar="PROTOCOL", required=True, parser_class=Parser)
    _add_evaluate_photos3d(protocols)
    _add_evaluate_synth(protocols)
    _add_evaluate_nyu(protocols)
    for name, set_name in _SETS.items():
        _add_evaluate_set(protocols, name, set_name)
    _add_evaluate_hgr(protocols)
    _add_evaluate_gestures(protocols)


_SETS = {
    "rhd": "RHD, evaluation split",
    "stb": "STB, sequences B1, the stereo pair",
    "stb_sk": "STB, sequences B1, the depth camera's colour pictures",
    "mhp": "MHP, three sequences",
    "freihand": "FreiHAND, evaluation split",
    "dexter_object": "Dexter+Object, fingertips in colour pictures",
}


_EVALUATE = """\
phalanx evaluate PROTOCOL --help says more about each.

examples:
  phalanx evaluate photos3d path/to/photos --json scores.json --worst worst.png
  phalanx evaluate nyu --predictions method.txt --ground-truth test.txt --json method.json
  phalanx compare method.json other.json
"""


def _add_two_steps(parser: argparse.ArgumentParser) -> None:
    """The options that all protocols on pictures share: the figures' file, and the file between the two steps."""
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--save", metavar="FILE", help="write the predictions to this NPZ file")
    parser.add_argument("--predictions", metavar="FILE", help="score a file that --save wrote, and predict nothing")
    parser.add_argument("--weights", metavar="FILE", help="weights of the network (default: those in the package)")


def _predictor(args: argparse.Namespace) -> Any:
    """What predicts, None if saved predictions are scored. Raises InputError if they come with options for predicting."""
    if args.predictions and (args.weights or args.save):
        raise InputError("--predictions: saved predictions are scored as they are; give neither --weights nor --save")
    if args.predictions:
        return None
    from phalanx.evaluate.predictions import DefaultPredictor
    from phalanx.predict.predictor import Predictor

    return Predictor(args.weights, args.device) if args.weights else DefaultPredictor(args.device)


def _add_evaluate_photos3d(protocols: Any) -> None:
    short = "predict colour photos with 3D joints and score"
    parser = add_verb(protocols, "photos3d", _evaluate_photos3d, short, _PHOTOS3D)
    parser.add_argument("folder", metavar="DIR", help="folder of the data")
    _add_two_steps(parser)
    parser.add_argument("--worst", metavar="FILE", help="draw the worst photos on a sheet, as PNG")
    parser.add_argument(
        "--focal",
        choices=("given", "not-given", "both"),
        default="both",
        help="whether the camera is told (default: both)",
    )
    add_common(parser)


_PHOTOS3D = """\
Takes a folder with params.mat and pose_gt.mat in the layout of the real-world test set of Ge et al., CVPR 2019,
and prints 2D error, root-relative and aligned 3D error, AUC, misses and time, by view and by number of curled fingers.

example:
  phalanx evaluate photos3d path/to/photos --json scores.json --worst worst.png
"""


def _add_evaluate_synth(protocols: Any) -> None:
    parser = add_verb(
        protocols, "synth", _evaluate_synth, "predict synthetic pictures of a fixed seed and score", _EVALUATE_SYNTH
    )
    parser.add_argument("--count", type=int, default=512, help="pictures (default: 512)")
    parser.add_argument("--scene", default="hands", help="as in phalanx synth (default: hands)")
    parser.add_argument("--domain", default="any", help="as in phalanx synth (default: any)")
    _add_two_steps(parser)
    add_common(parser)


_EVALUATE_SYNTH = """\
The pictures are of a seed that no training uses, the same on every machine. Figures as for photos3d.

example:
  phalanx evaluate synth --domain field --json field.json
"""


def _evaluate_synth(args: argparse.Namespace, rest: Sequence[str]) -> int:
    predictor = _predictor(args)
    from phalanx.evaluate.synth import evaluate_synth

    with progress_bar(args.quiet) as progress:
        evaluate_synth(
            args.count,
            args.scene,
            args.domain,
            predictor,
            0,
            args.json,
            args.quiet,
            progress,
            args.predictions,
            args.save,
        )
    return 0


def _add_evaluate_nyu(protocols: Any) -> None:
    parser = add_verb(protocols, "nyu", _evaluate_nyu, "score predictions for the NYU hand pose test set", _NYU)
    parser.add_argument("--predictions", metavar="FILE", required=True, help="text file, or the same as .gz")
    parser.add_argument("--ground-truth", metavar="FILE", help="the same form; none: only predict")
    parser.add_argument("--frames", metavar="DIR", help="predict these depth frames first, into --predictions")
    parser.add_argument("--weights", metavar="FILE", help="of a depth network (default: those in the package)")
    parser.add_argument("--name", help="what the method is called in figures (default: the file's name)")
    parser.add_argument("--json", metavar="FILE", help="also write all figures and curves to a file")
    parser.add_argument("--quiet", action="store_true", help="say nothing but complaints")


_NYU = """\
Files are the depth community's: a line a frame, u v d of 14 joints (pixels, pixels, millimetres), in the order of the test frames.
Prints the mean joint error over all frames and the share of frames whose largest joint error is at most 20, 40 and 80 mm.

example:
  phalanx evaluate nyu --predictions method.txt.gz --ground-truth nyu_test_groundtruth_label.txt.gz --json method.json
  phalanx evaluate nyu --frames NYU/test --predictions ours.txt --ground-truth test.txt
"""


def _evaluate_nyu(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.evaluate.nyu import TEST_FRAMES, evaluate_nyu, predict_nyu

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
    within = dict(zip(scores["thresholds_mm"], scores["frames_with_max_error_within"], strict=True))
    sayer(args.quiet)(
        f"{scores['name']}: mean joint error {scores['mean_mm']:.2f} mm (median {scores['median_mm']:.2f}) over {scores['frames']} frames"
        + ("; " if scores["frames"] == TEST_FRAMES else f", a part of the {TEST_FRAMES:,} of the test set; ")
        + "frames with all joints within "
        + ", ".join(f"{t} mm: {100 * within[t]:.1f} %" for t in (20, 40, 80))
    )
    return 0


def _add_evaluate_set(protocols: Any, name: str, set_name: str) -> None:
    parser = add_verb(protocols, name, _evaluate_set, f"predict and score {set_name}", _SET)
    parser.add_argument("folder", metavar="DIR", help="folder of the set, as its archives unpack")
    _add_two_steps(parser)
    parser.add_argument(
        "--part", action="store_true", help="take a set that is not whole; its figures compare with no others"
    )
    add_common(parser)


_SET = """\
Split, joints, root, scale, crop, alignment and thresholds stand in the head of phalanx/evaluate/<protocol>.py, with their source.
Prints mean and median error in millimetres and the area under the PCK curve.
"""


def _evaluate_set(args: argparse.Namespace, rest: Sequence[str]) -> int:
    predictor = _predictor(args)
    from phalanx.evaluate import dexter_object, freihand, mhp, rhd, stb
    from phalanx.evaluate.protocol import evaluate_set

    modules = (rhd, stb, mhp, freihand, dexter_object)
    known = {p.name: p for p in (*(module.PROTOCOL for module in modules), stb.PROTOCOL_SK)}
    with progress_bar(args.quiet) as progress:
        report = evaluate_set(
            known[args.protocol],
            args.folder,
            predictor,
            args.predictions,
            args.save,
            args.json,
            not args.part,
            progress,
        )
    for run in report["runs"]:
        figures = {name: value for name, value in report[run].items() if isinstance(value, int | float)}
        text = ", ".join(
            f"{name} {value:.3f}" if "auc" in name else f"{name} {value:.4g}" for name, value in figures.items()
        )
        part = "" if report["whole"] else ", a part of the set"
        sayer(args.quiet)(f"{args.protocol} ({report['hands']} hands{part}), {run}: {text}")
    return 0


def _add_evaluate_hgr(protocols: Any) -> None:
    parser = add_verb(protocols, "hgr", _evaluate_hgr, "predict and score HGR, fingertips and masks", _HGR)
    parser.add_argument("folder", metavar="DIR", help="folder that holds hgr1_images, hgr1_skin, ...")
    parser.add_argument(
        "--split", choices=("hgr1", "hgr2", "all"), default="all", help="which pictures (default: all 1,558)"
    )
    parser.add_argument(
        "--tips",
        type=lambda text: text.split(","),
        metavar="NAMES",
        help="categories of feature points that are fingertips, with commas between (default: those with tip in their name)",
    )
    _add_two_steps(parser)
    parser.add_argument("--part", action="store_true", help="take a set that is not whole")
    add_common(parser)


_HGR = """\
Squared errors of visible fingertips in pictures of 225x225 pixels, and the predicted silhouette against the skin's mask. Boxes are those of
the skin; nobody says which hand it is. Prints them beside what Dibra et al., CVPRW 2018, Table 3, print. The protocol, and what it
leaves open, stands in the head of phalanx/evaluate/hgr.py.

example:
  phalanx evaluate hgr path/to/HGR --json hgr.json && phalanx report hgr.json --out pages
"""


def _evaluate_hgr(args: argparse.Namespace, rest: Sequence[str]) -> int:
    predictor = _predictor(args)
    from phalanx.data.public.hgr import OFFICIAL
    from phalanx.evaluate.hgr import evaluate_hgr, hgr_table

    with progress_bar(args.quiet) as progress:
        report = evaluate_hgr(
            args.folder,
            predictor,
            args.predictions,
            args.save,
            args.json,
            not args.part,
            tuple(OFFICIAL) if args.split == "all" else (args.split,),
            args.tips,
            progress,
        )
    sayer(args.quiet)(hgr_table(report))
    return 0


def _add_evaluate_gestures(protocols: Any) -> None:
    short = "how well predicted poses tell gestures apart"
    parser = add_verb(protocols, "gestures", _evaluate_gestures, short, _GESTURES)
    parser.add_argument(
        "set",
        choices=("rwth", "senz3d", "folders"),
        metavar="SET",
        help="rwth, senz3d, or folders: a subfolder for each gesture",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of the set")
    _add_two_steps(parser)
    parser.add_argument("--part", action="store_true", help="take a set that is not whole")
    add_common(parser)


_GESTURES = """\
Predicts every picture and classifies the predicted angles by nearest neighbour, ten-fold cross-validated, and with persons left out
where they are known. The protocol stands in the head of phalanx/evaluate/gestures.py.

example:
  phalanx evaluate gestures folders my_signs/ --json signs.json
"""


def _evaluate_gestures(args: argparse.Namespace, rest: Sequence[str]) -> int:
    predictor = _predictor(args)
    from phalanx.evaluate.gestures import evaluate_gestures

    with progress_bar(args.quiet) as progress:
        report = evaluate_gestures(
            args.set,
            args.folder,
            predictor,
            args.json,
            not args.part,
            progress,
            args.predictions,
            args.save,
        )
    for run in report["runs"]:
        figures = report[run]
        name = "classification_accuracy_percent"
        parts = [
            f"{text}: {figures[key]:.1f} % right ({figures[f'{key}_low']:.1f} to {figures[f'{key}_high']:.1f})"
            for text, key in (("ten folds", name), ("persons left out", f"{name}_persons_left_out"))
            if key in figures
        ]
        part = "" if report["whole"] else ", a part of the set"
        sayer(args.quiet)(
            f"{report['pictures']} pictures of {report['gestures']} gestures{part}, {run}: {figures['missed']} missed; "
            f"{'; '.join(parts)}; by chance {figures['chance_percent']:.1f} %"
        )
    return 0


def _evaluate_photos3d(args: argparse.Namespace, rest: Sequence[str]) -> int:
    if args.predictions and args.focal != "both":
        raise InputError("--predictions: saved predictions are scored as they are; do not give --focal")
    predictor = _predictor(args)
    from phalanx.evaluate.photos3d import evaluate_photos3d

    evaluate_photos3d(
        args.folder,
        predictor=predictor,
        predictions=args.predictions,
        known_focal={"given": True, "not-given": False, "both": None}[args.focal],
        save=args.save,
        json_path=args.json,
        worst=args.worst,
        quiet=args.quiet,
    )
    return 0
