"""`phalanx data`, `evaluate`, `compare`, `report`, `reproduce`: what sets hold and how good predictions are."""

import argparse
from collections.abc import Sequence
from typing import Any

from phalanx.cli.common import Parser, add_common, add_verb, complain, progress_bar, sayer
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

    from phalanx.data.catalogue import PLAIN_FOLDERS, PUBLIC_SETS
    from phalanx.data.check import check_splits, recognise, reprojection_error, some_samples
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
        say(f"{report.split}: {hands}, {'whole' if report.fault is None else f'not whole: {report.fault}'}")
    readable = [report.dataset for report in reports if report.dataset is not None]
    if not readable:
        raise InputError(f"{args.folder}: no split can be read: {reports[0].fault}")
    samples = [sample for dataset in readable for sample in some_samples(dataset, -(-args.count // len(readable)))]
    error = reprojection_error(samples)
    if error is not None:
        say(f"3D joints fall on 2D joints within {error:.2f} px in {len(samples)} hands")
    write_sheet(path, sheet([draw_sample(sample) for sample in samples], 6))
    say(f"-> {path}")
    return 0 if any(report.fault is None for report in reports) else 2


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


def _add_evaluate_photos3d(protocols: Any) -> None:
    short = "predict colour photos with 3D joints and score"
    parser = add_verb(protocols, "photos3d", _evaluate_photos3d, short, _PHOTOS3D)
    parser.add_argument("folder", metavar="DIR", help="folder of the data")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--save", metavar="FILE", help="write the predictions to this NPZ file")
    parser.add_argument("--predictions", metavar="FILE", help="score a file that --save wrote, and predict nothing")
    parser.add_argument("--worst", metavar="FILE", help="draw the worst photos on a sheet, as PNG")
    parser.add_argument(
        "--focal",
        choices=("given", "not-given", "both"),
        default="both",
        help="whether the camera is told (default: both)",
    )
    parser.add_argument("--weights", metavar="FILE", help="weights of the network (default: those in the package)")
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
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--weights", metavar="FILE", help="weights of the network (default: those in the package)")
    add_common(parser)


_EVALUATE_SYNTH = """\
The pictures are of a seed that no training uses, the same on every machine. Figures as for photos3d.

example:
  phalanx evaluate synth --domain field --json field.json
"""


def _evaluate_synth(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.evaluate.synth import evaluate_synth
    from phalanx.predict.predictor import Predictor

    with progress_bar(args.quiet) as progress:
        evaluate_synth(
            args.count,
            args.scene,
            args.domain,
            Predictor(args.weights, args.device),
            0,
            args.json,
            args.quiet,
            progress,
        )
    return 0


def _add_evaluate_nyu(protocols: Any) -> None:
    parser = add_verb(protocols, "nyu", _evaluate_nyu, "score predictions for the NYU hand pose test set", _NYU)
    parser.add_argument("--predictions", metavar="FILE", required=True, help="text file, or the same as .gz")
    parser.add_argument("--ground-truth", metavar="FILE", help="the same form; none: only predict")
    parser.add_argument(
        "--frames", metavar="DIR", help="predict these depth frames first, into --predictions; needs --weights"
    )
    parser.add_argument("--weights", metavar="FILE", help="of a depth network")
    parser.add_argument("--name", help="what the method is called in figures (default: the file's name)")
    parser.add_argument("--json", metavar="FILE", help="also write all figures and curves to a file")
    parser.add_argument("--quiet", action="store_true", help="say nothing but complaints")


_NYU = """\
Files are the depth community's: a line a frame, u v d of 14 joints (pixels, pixels, millimetres), in the order of the test frames.
Prints the mean joint error over all frames and the share of frames whose largest joint error is at most 20, 40 and 80 mm.

example:
  phalanx evaluate nyu --predictions method.txt.gz --ground-truth nyu_test_groundtruth_label.txt.gz --json method.json
  phalanx evaluate nyu --frames NYU/test --weights spheres.safetensors --predictions ours.txt --ground-truth test.txt
"""


def _evaluate_nyu(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.evaluate.nyu import evaluate_nyu, predict_nyu

    if (args.frames is None) != (args.weights is None) or not (args.frames or args.ground_truth):
        raise InputError("nyu: give --ground-truth to score, --frames with --weights to predict, or all of them")
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
        f"{scores['name']}: mean joint error {scores['mean_mm']:.2f} mm (median {scores['median_mm']:.2f}) over {scores['frames']} frames; "
        + "frames with all joints within "
        + ", ".join(f"{t} mm: {100 * within[t]:.1f} %" for t in (20, 40, 80))
    )
    return 0


def _add_evaluate_set(protocols: Any, name: str, set_name: str) -> None:
    parser = add_verb(protocols, name, _evaluate_set, f"predict and score {set_name}", _SET)
    parser.add_argument("folder", metavar="DIR", help="folder of the set, as its archives unpack")
    parser.add_argument("--json", metavar="FILE", help="also write the figures and the curve to a file")
    parser.add_argument("--save", metavar="FILE", help="write the predictions to this NPZ file")
    parser.add_argument("--predictions", metavar="FILE", help="score a file that --save wrote, and predict nothing")
    parser.add_argument(
        "--part", action="store_true", help="take a set that is not whole; its figures compare with no others"
    )
    parser.add_argument("--weights", metavar="FILE", help="weights of the network (default: those in the package)")
    add_common(parser)


_SET = """\
Split, joints, root, scale, crop, alignment and thresholds stand in the head of phalanx/evaluate/<protocol>.py, with their source.
Prints mean and median error in millimetres and the area under the PCK curve.
"""


def _evaluate_set(args: argparse.Namespace, rest: Sequence[str]) -> int:
    if args.predictions and (args.weights or args.save):
        raise InputError("--predictions: saved predictions are scored as they are; give neither --weights nor --save")
    from phalanx.evaluate import dexter_object, freihand, mhp, rhd, stb
    from phalanx.evaluate.protocol import evaluate_set
    from phalanx.predict.predictor import Predictor

    modules = (rhd, stb, mhp, freihand, dexter_object)
    known = {p.name: p for p in (*(module.PROTOCOL for module in modules), stb.PROTOCOL_SK)}
    predictor = None if args.predictions else Predictor(args.weights, args.device)
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
        sayer(args.quiet)(f"{args.protocol} ({report['hands']} hands), {run}: {text}")
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
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--save", metavar="FILE", help="write the predictions to this NPZ file")
    parser.add_argument("--predictions", metavar="FILE", help="score a file that --save wrote, and predict nothing")
    parser.add_argument("--part", action="store_true", help="take a set that is not whole")
    parser.add_argument("--weights", metavar="FILE", help="weights of the network (default: those in the package)")
    add_common(parser)


_HGR = """\
Squared errors of visible fingertips in pictures of 225x225 pixels, and the predicted silhouette against the skin's mask. Boxes are those of
the skin; nobody says which hand it is. Prints them beside what Dibra et al., CVPRW 2018, Table 3, print. The protocol, and what it
leaves open, stands in the head of phalanx/evaluate/hgr.py.

example:
  phalanx evaluate hgr path/to/HGR --json hgr.json && phalanx report hgr.json --out pages
"""


def _evaluate_hgr(args: argparse.Namespace, rest: Sequence[str]) -> int:
    if args.predictions and (args.weights or args.save):
        raise InputError("--predictions: saved predictions are scored as they are; give neither --weights nor --save")
    from phalanx.data.hgr import OFFICIAL
    from phalanx.evaluate.hgr import evaluate_hgr, hgr_table
    from phalanx.predict.predictor import Predictor

    predictor = None if args.predictions else Predictor(args.weights, args.device)
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


def add_report(verbs: Any) -> None:
    parser = add_verb(verbs, "report", _report, "scores as a page: table, plot, published figures beside them", _REPORT)
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="JSON that phalanx evaluate --json wrote, of one protocol"
    )
    parser.add_argument("--out", default="report", metavar="DIR", help="folder for the page (default: report/)")
    parser.add_argument("--command", default="", metavar="TEXT", help="what made the scores, to stand on the page")
    parser.add_argument("--quiet", action="store_true", help="say nothing but complaints")


_REPORT = """\
Writes <protocol>.md and <protocol>.png. Where the five papers behind Phalanx print figures on the same set, they stand beside the
measured ones, with what differs.

example:
  phalanx evaluate rhd path/to/RHD_published_v2 --json rhd.json && phalanx report rhd.json --out pages
"""


def _report(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.evaluate.report import write_report

    sayer(args.quiet)(f"-> {write_report(args.files, args.out, args.command)}")
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
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--part", action="store_true", help="take a set that is not whole")
    parser.add_argument("--weights", metavar="FILE", help="weights of the network (default: those in the package)")
    add_common(parser)


_GESTURES = """\
Predicts every picture and classifies the predicted angles by nearest neighbour, ten-fold cross-validated, and with persons left out
where they are known. The protocol stands in the head of phalanx/evaluate/gestures.py.

example:
  phalanx evaluate gestures folders my_signs/ --json signs.json
"""


def _evaluate_gestures(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.evaluate.gestures import evaluate_gestures
    from phalanx.predict.predictor import Predictor

    with progress_bar(args.quiet) as progress:
        scores = evaluate_gestures(
            args.set, args.folder, Predictor(args.weights, args.device), args.json, not args.part, progress
        )
    parts = [
        f"{name.replace('_', ' ')}: {100 * part['accuracy']:.1f} % right ({100 * part['low']:.1f} to {100 * part['high']:.1f})"
        for name, part in scores.items()
        if isinstance(part, dict)
    ]
    sayer(args.quiet)(
        f"{scores['pictures']} pictures of {scores['gestures']} gestures, {scores['missed']} missed; {'; '.join(parts)}; "
        f"by chance {100 * scores['chance']:.1f} %"
    )
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

example:
  phalanx compare v2v.json deepprior.json mine.json --out figures
  phalanx compare v2v.txt.gz mine.txt --ground-truth nyu_test_groundtruth_label.txt.gz
"""


def _compare(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.evaluate.compare import compare

    methods = compare(args.files, args.out, args.ground_truth)
    sayer(args.quiet)(f"{len(methods)} methods -> {args.out}/comparison.png, .md, .csv, .tex")
    return 0


def _evaluate_photos3d(args: argparse.Namespace, rest: Sequence[str]) -> int:
    if args.predictions and (args.weights or args.focal != "both"):
        raise InputError("--predictions: saved predictions are scored as they are; give neither --weights nor --focal")
    from phalanx.evaluate.photos3d import evaluate_photos3d
    from phalanx.predict.predictor import Predictor

    evaluate_photos3d(
        args.folder,
        predictor=None if args.predictions else Predictor(args.weights, args.device),
        predictions=args.predictions,
        known_focal={"given": True, "not-given": False, "both": None}[args.focal],
        save=args.save,
        json_path=args.json,
        worst=args.worst,
        quiet=args.quiet,
    )
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
    from phalanx.evaluate.wan2019 import ROWS, SCALES, reproduce

    keep_freed_memory()
    say = sayer(args.quiet)
    reproduce(args.out, SCALES[args.scale], args.seeds, args.rows or ROWS, say)
    say(f"-> {args.out}/wan2019.md, .png, .json")
    return 0
