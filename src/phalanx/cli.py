"""The `phalanx` command: argument parsing only. Every verb is a Python call, imported when it is wanted.

Exit codes: 0 done; 2 bad input or use, said in one sentence on stderr; 1 a fault of the program (with a traceback);
130 interrupted.
"""

import argparse
import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from phalanx import __version__
from phalanx.core.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: those of the process); returns the exit code."""
    parser = _parser()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold what the terminal cannot show
    try:
        args, rest = parser.parse_known_args(argv)
        if rest and args.verb != "train":
            raise InputError(f"{rest[0]}: there is no such option or argument; see phalanx {args.verb} --help")
        return args.job(args, rest)
    except InputError as error:
        return _complain(error)
    except KeyboardInterrupt:
        print("phalanx: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `phalanx ... | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence, as all others."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="phalanx",
        description="Hands in pictures: 3D pose and surface. Trained on its own synthesis alone.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"phalanx {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=_Parser)
    _add_predict(verbs)
    _add_fit(verbs)
    _add_synth(verbs)
    _add_train(verbs)
    _add_data(verbs)
    _add_evaluate(verbs)
    _add_compare(verbs)
    _add_report(verbs)
    return parser


_EXAMPLES = """\
examples:
  phalanx predict photo.jpg                     the hand in a photo, into out/
  phalanx predict photos/ --side left           every photo in a folder, left hands
  phalanx fit keypoints.npz --side left         the hand in the pose of given 3D joints
  phalanx synth --preview sheet.png --seed 3    what the training pictures look like
  phalanx evaluate photos3d DIR --json s.json   score on real photos with 3D joints

phalanx VERB --help says more about each. Exit codes: 0 done, 2 bad input, 1 a fault of the program.
"""


def _add_verb(verbs: Any, name: str, job: Any, short: str, long: str, add_help: bool = True) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=short,
        description=short[0].upper() + short[1:] + ".",
        epilog=long,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=add_help,
    )
    parser.set_defaults(job=job)
    return parser


def _add_predict(verbs: Any) -> None:
    parser = _add_verb(
        verbs, "predict", _predict, "find the hand in pictures, folders of pictures and videos", _PREDICT
    )
    parser.add_argument("paths", nargs="+", metavar="PATH", help="picture, folder of pictures, or video file")
    parser.add_argument("--out", default="out", metavar="DIR", help="folder for the results (default: out)")
    parser.add_argument(
        "--side",
        type=str.lower,
        choices=("left", "right", "auto"),
        default="auto",
        help="which of the person's hands it is (default: auto, the one that the network is surer of; saying it is safer)",
    )
    parser.add_argument(
        "--mirrored", action="store_true", help="the picture is a mirror image, as many front cameras make"
    )
    parser.add_argument(
        "--box", type=_numbers, metavar="X,Y,W,H", help="where the hand is, in pixels (default: looks for itself)"
    )
    parser.add_argument(
        "--K",
        type=_numbers,
        metavar="FX,FY,CX,CY",
        help="camera of the whole picture, in pixels (default: 60 degrees across the longer side)",
    )
    parser.add_argument(
        "--hand-length",
        type=float,
        metavar="METRES",
        help="wrist to tip of the stretched middle finger; settles the size (default: what the model finds likely)",
    )
    parser.add_argument("--weights", metavar="FILE", help="weights of the network (default: those in the package)")
    parser.add_argument("--json", metavar="FILE", help="also write what was found and what was skipped to one file")
    _add_common(parser)


_PREDICT = """\
For photo.jpg it writes into the output folder
  photo.json          joints in pixels and metres, angles in degrees, camera (docs/prediction_schema.md)
  photo_overlay.png   the surface and joints on the photo, and the hand from the side
  photo.glb           the surface, in metres
and for clip.mp4 clip.json and clip_overlay.mp4, frame by frame. Inputs that cannot be read are named and passed over.

There is no hand detector yet: the hand should fill a third of the picture or more, or --box say where it is.

examples:
  phalanx predict photo.jpg --out results
  phalanx predict photos/ clip.mp4 --side left
  phalanx predict photo.jpg --box 310,120,260,300 --K 1400,1400,959.5,539.5
  phalanx predict selfie.jpg --mirrored --side right --hand-length 0.185
Write a list that begins with a minus sign as --box=-20,40,300,300.
"""


def _predict(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.core.files import writable_file, writable_folder, write_json

    # Every complaint about the options comes before the seconds that loading the network takes.
    writable_folder(args.out)
    if args.json:
        writable_file(args.json)
    from phalanx.predict.files import predict_files
    from phalanx.predict.predictor import Predictor, check_options

    check_options(args.box, args.K, args.side, args.hand_length)
    summary = predict_files(
        args.paths,
        args.out,
        box=args.box,
        K=args.K,
        side=args.side,
        mirrored=args.mirrored,
        hand_length=args.hand_length,
        predictor=Predictor(args.weights, args.device),
        say=_say(args.quiet),
        complain=_complain,
    )
    if args.json:
        write_json(args.json, {"done": summary.done, "skipped": summary.skipped}, indent=1)
    if summary.skipped:
        total = len(summary.done) + len(summary.skipped)
        print(f"phalanx: {len(summary.skipped)} of {total} inputs were passed over", file=sys.stderr)
        return 2
    return 0


def _add_fit(verbs: Any) -> None:
    parser = _add_verb(
        verbs, "fit", _fit, "pose the hand model on 3D keypoints: joints in, angles and surface out", _FIT
    )
    parser.add_argument("file", metavar="FILE", help="NPZ file with the array joints (frames, 21, 3) in metres, or NPY")
    parser.add_argument("--out", default="out", metavar="DIR", help="folder for the results (default: out)")
    parser.add_argument(
        "--side", type=str.lower, choices=("left", "right"), default="right", help="which hand it is (default: right)"
    )
    parser.add_argument(
        "--order", choices=("phalanx", "mano"), default="phalanx", help="joint order of the file (default: phalanx)"
    )
    parser.add_argument(
        "--one-hand", action="store_true", help="all frames show the same person's hand: one shape for all"
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures here, too")
    parser.add_argument("--quiet", action="store_true", help="say nothing but complaints")


_FIT = """\
Joints come in the order wrist; thumb CMC, MCP, IP, tip; then MCP, PIP, DIP, tip of index, middle, ring and little finger
(as MediaPipe, OpenPose and FreiHAND have them); --order mano is MANO's with the tips at the end, as in DexYCB. Each frame is
fitted by itself, within the limits of the joints.

NAME_fit.npz holds joints, vertices, faces, rotations, orientation, shape, angles_degrees (angle_names) and joint_error, in
metres and in the frame of the keypoints; NAME_fit.png shows some of the hands; NAME_fit.glb is the first.

examples:
  phalanx fit keypoints.npz --side left --out fitted
  phalanx fit recording.npz --one-hand --json figures.json
"""


def _fit(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.core.files import writable_file, write_json

    if args.json:
        writable_file(args.json)
    from phalanx.predict.keypoints import fit_file

    figures = fit_file(args.file, args.out, args.side, args.one_hand, args.order, _say(args.quiet))
    if args.json:
        write_json(args.json, figures, indent=1)
    return 0


def _add_synth(verbs: Any) -> None:
    parser = _add_verb(verbs, "synth", _synth, "make labelled pictures of hands out of nothing", _SYNTH)
    parser.add_argument(
        "--preview", metavar="FILE", help="write a sheet of pictures, half with joints drawn on, as PNG or JPEG"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="write a set of pictures with labels into this folder, or go on with the one there"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: 0)")
    parser.add_argument("--count", type=int, help="how many pictures (default: 60 in a sheet, 1024 in a set)")
    parser.add_argument("--views", type=int, metavar="N", help="the same as --rig ringN: N cameras round each hand")
    parser.add_argument(
        "--rig",
        metavar="NAME",
        help="cameras that see each hand at once: ring8 (or another number), stereo, five_views, or a JSON file of your own",
    )
    parser.add_argument(
        "--scene",
        default="hands",
        metavar="NAME",
        help="hands, egocentric, third_person, holding (things), people or arms (full frames with boxes and masks of both hands), "
        "or motion (clips) (default: hands)",
    )
    parser.add_argument("--frames", type=int, default=16, help="pictures of a clip, with --scene motion (default: 16)")
    parser.add_argument("--frame-rate", type=float, default=30.0, help="pictures a second of a clip (default: 30)")
    parser.add_argument(
        "--domain",
        default="any",
        metavar="NAME",
        help="any, studio (clean), or field (harsh, and disjoint) (default: any)",
    )
    parser.add_argument(
        "--camera", metavar="NAME", help="colour camera: ideal, webcam, phone, machine_vision (default: by domain)"
    )
    parser.add_argument(
        "--depth-sensor",
        metavar="NAME",
        help="add what it senses: ideal, kinect1, sr300, sr305, d415, d435, kinect2, azure, or domain: one of the domain's",
    )
    parser.add_argument("--size", type=int, default=128, help="side of the pictures in pixels (default: 128)")
    parser.add_argument("--workers", type=int, default=1, help="processes that make pictures (default: 1)")
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="make the set on a Ray cluster: host:port, auto, or local with --workers processors (pip install 'phalanx[ray]')",
    )
    parser.add_argument(
        "--backgrounds", metavar="DIR", help="photographs to put behind hands (default: made-up clutter)"
    )
    parser.add_argument("--quiet", action="store_true", help="say nothing but complaints")


_SYNTH = """\
A set is WebDataset shards (tar files) and manifest.json with settings, counts and checksums. Each picture has image.png, depth.png
(uint16, 0.1 mm), mask.png, parts.png and labels.npz: joints (metres, camera frame), joints_2d (pixels), vertices,
rotations, shape, orientation, translation, K and ids, as phalanx.data.sample.Sample describes them; with a depth sensor also
sensed_depth.png, with cameras round the hand world_to_camera, in clips time (seconds), of people and arms boxes and hand_masks.png. Then
ids are (hand or person, frame, view), else (seed, chunk, number). Killed and started again, it goes on. docs/synthesis.md shows
what there is.

A rig file is JSON: width, height, spot [x, y, z], cameras [{K: 3x3, world_to_camera: 4x4}, ...], in metres.

examples:
  phalanx synth --preview sheet.png --seed 3
  phalanx synth --out samples --count 10000 --workers 2
  phalanx synth --out multi_view --count 320000 --views 8 --size 256 --workers 2
  phalanx synth --out multi_view --count 320000 --views 8 --size 256 --ray head:6379
  phalanx synth --rig stereo --size 256 --preview pairs.png
  phalanx synth --scene motion --depth-sensor azure --preview clips.png
"""


def _synth(args: argparse.Namespace, rest: Sequence[str]) -> int:
    if not args.preview and not args.out:
        raise InputError("synth: say what to make, with --preview FILE or --out DIR")
    for name, least in (("seed", 0), ("count", 1), ("views", 1), ("workers", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise InputError(f"--{name}: must be {least} or more, got {value}")
    from pathlib import Path

    from phalanx.core.allocator import keep_freed_memory
    from phalanx.synth import SynthConfig

    keep_freed_memory()
    if args.backgrounds and not Path(args.backgrounds).is_dir():
        raise InputError(f"{args.backgrounds}: there is no such folder of backgrounds")
    if args.ray is not None and not args.out:
        raise InputError("--ray: is for sets; say where to with --out DIR")
    if args.rig is not None and args.views is not None:
        raise InputError("synth: --rig and --views say the same; give one of them")
    rig = args.rig if args.views is None else f"ring{args.views}"
    if rig is not None:
        from phalanx.synth.rigs import load_rig

        load_rig(rig)
    config = SynthConfig(
        size=args.size,
        scene=args.scene,
        frames=args.frames,
        frame_rate=args.frame_rate,
        rig=rig,
        domain=args.domain,
        camera=args.camera,
        depth_sensor=args.depth_sensor,
        backgrounds=Path(args.backgrounds) if args.backgrounds else None,
    )
    say = _say(args.quiet)
    if args.preview:
        from phalanx.synth.preview import save_sheet

        count = args.count or 60
        columns = min(10, count)
        save_sheet(args.preview, args.seed, rows=-(-count // columns), columns=columns, size=args.size, config=config)
        say(f"sheet of seed {args.seed} -> {args.preview}")
    if args.out:
        from phalanx.synth.sets import Plan, make_set

        of_a_hand = config.views * config.times
        asked = args.count or 1024
        plan = Plan(config, args.seed, -(-asked // of_a_hand) * of_a_hand)
        if args.count and plan.count != asked:
            say(f"{plan.count} pictures instead of {asked}, so that every hand has all of its {of_a_hand}")
        with _progress(args.quiet) as progress:
            manifest = make_set(plan, args.out, args.workers, say, progress, args.ray)
        say(f"{plan.count} pictures of seed {args.seed} in {plan.shards} shards -> {manifest}")
    return 0


def _add_train(verbs: Any) -> None:
    _add_verb(
        verbs, "train", _train, "train the default estimator on synthesis; --resume after being killed", "", False
    )


_TRAIN = """\
Trains in the folder --out: checkpoints, the curve (table and picture), and in the end weights for --weights of predict.
Every setting below can stand in a YAML file, given with --config; those on the command line win.

With --resume a run that was killed goes on from its last checkpoint, as if nothing had happened.

examples:
  phalanx train --out runs/a --loop.minutes 60
  phalanx train --out runs/a --resume
  phalanx train --out runs/b --config recipes/compact_1.yaml --seed 2
"""


def _train(args: argparse.Namespace, rest: Sequence[str]) -> int:
    import dataclasses

    import jsonargparse

    from phalanx.core.allocator import keep_freed_memory
    from phalanx.train.compact import TrainConfig, run

    class Formatter(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
        pass

    class Parser(jsonargparse.ArgumentParser):
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            raise InputError(" ".join(f"{message.rstrip('.')}; see phalanx train --help".split()))

    parser = Parser(prog="phalanx train", description=_TRAIN, formatter_class=Formatter)
    parser.add_argument("--config", action="config", help="YAML file of settings")
    parser.add_argument("--out", type=str, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_class_arguments(TrainConfig, nested_key=None)
    _describe(parser, TrainConfig)
    settings = parser.parse_args(list(rest))
    # jsonargparse renamed the method; the old name warns in new releases and the new one is missing in old.
    values = parser.instantiate(settings) if hasattr(parser, "instantiate") else parser.instantiate_classes(settings)
    config = TrainConfig(**{field.name: values[field.name] for field in dataclasses.fields(TrainConfig)})
    keep_freed_memory()
    print(f"weights -> {run(config, values['out'], resume=values['resume'])}")
    return 0


def _describe(parser: argparse.ArgumentParser, config: type) -> None:
    """Say in a parser's help what a dataclass says of its fields: jsonargparse would need one more package for it."""
    from phalanx.core.settings import field_descriptions, nested_settings

    actions = {action.dest: action for action in parser._actions}
    groups = {group.title: group for group in parser._action_groups}
    for prefix, part in nested_settings(config).items():
        groups[str(part)].title = prefix or "the run"
        for name, text in field_descriptions(part).items():
            # argparse takes a % for a format, in some releases of jsonargparse only
            actions[f"{prefix}.{name}".lstrip(".")].help = text.replace("%", "per cent")


def _add_data(verbs: Any) -> None:
    parser = _add_verb(verbs, "data", _data_check, "public data sets on disk", _DATA)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Parser)
    check = _add_verb(actions, "check", _data_check, "say which set a folder holds, and whether it is whole", _DATA)
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
    say = _say(args.quiet)
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


def _add_evaluate(verbs: Any) -> None:
    parser = _add_verb(
        verbs, "evaluate", _evaluate_photos3d, "predict and save, then score against ground truth", _EVALUATE
    )
    protocols = parser.add_subparsers(dest="protocol", metavar="PROTOCOL", required=True, parser_class=_Parser)
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
    parser = _add_verb(protocols, "photos3d", _evaluate_photos3d, short, _PHOTOS3D)
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
    _add_common(parser)


_PHOTOS3D = """\
Takes a folder with params.mat and pose_gt.mat in the layout of the real-world test set of Ge et al., CVPR 2019,
and prints 2D error, root-relative and aligned 3D error, AUC, misses and time, by view and by number of curled fingers.

example:
  phalanx evaluate photos3d path/to/photos --json scores.json --worst worst.png
"""


def _add_evaluate_synth(protocols: Any) -> None:
    parser = _add_verb(
        protocols, "synth", _evaluate_synth, "predict synthetic pictures of a fixed seed and score", _EVALUATE_SYNTH
    )
    parser.add_argument("--count", type=int, default=512, help="pictures (default: 512)")
    parser.add_argument("--scene", default="hands", help="as in phalanx synth (default: hands)")
    parser.add_argument("--domain", default="any", help="as in phalanx synth (default: any)")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    parser.add_argument("--weights", metavar="FILE", help="weights of the network (default: those in the package)")
    _add_common(parser)


_EVALUATE_SYNTH = """\
The pictures are of a seed that no training uses, the same on every machine. Figures as for photos3d.

example:
  phalanx evaluate synth --domain field --json field.json
"""


def _evaluate_synth(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.evaluate.synth import evaluate_synth
    from phalanx.predict.predictor import Predictor

    with _progress(args.quiet) as progress:
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
    parser = _add_verb(protocols, "nyu", _evaluate_nyu, "score predictions for the NYU hand pose test set", _NYU)
    parser.add_argument("--predictions", metavar="FILE", required=True, help="text file, or the same as .gz")
    parser.add_argument("--ground-truth", metavar="FILE", required=True, help="the same form")
    parser.add_argument("--name", help="what the method is called in figures (default: the file's name)")
    parser.add_argument("--json", metavar="FILE", help="also write all figures and curves to a file")
    parser.add_argument("--quiet", action="store_true", help="say nothing but complaints")


_NYU = """\
Files are the depth community's: a line a frame, u v d of 14 joints (pixels, pixels, millimetres), in the order of the test frames.
Prints the mean joint error over all frames and the share of frames whose largest joint error is at most 20, 40 and 80 mm.

example:
  phalanx evaluate nyu --predictions method.txt.gz --ground-truth nyu_test_groundtruth_label.txt.gz --json method.json
"""


def _evaluate_nyu(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.evaluate.nyu import evaluate_nyu

    scores = evaluate_nyu(args.predictions, args.ground_truth, args.json, args.name)
    within = dict(zip(scores["thresholds_mm"], scores["frames_with_max_error_within"], strict=True))
    _say(args.quiet)(
        f"{scores['name']}: mean joint error {scores['mean_mm']:.2f} mm (median {scores['median_mm']:.2f}) over {scores['frames']} frames; "
        + "frames with all joints within "
        + ", ".join(f"{t} mm: {100 * within[t]:.1f} %" for t in (20, 40, 80))
    )
    return 0


def _add_evaluate_set(protocols: Any, name: str, set_name: str) -> None:
    parser = _add_verb(protocols, name, _evaluate_set, f"predict and score {set_name}", _SET)
    parser.add_argument("folder", metavar="DIR", help="folder of the set, as its archives unpack")
    parser.add_argument("--json", metavar="FILE", help="also write the figures and the curve to a file")
    parser.add_argument("--save", metavar="FILE", help="write the predictions to this NPZ file")
    parser.add_argument("--predictions", metavar="FILE", help="score a file that --save wrote, and predict nothing")
    parser.add_argument(
        "--part", action="store_true", help="take a set that is not whole; its figures compare with no others"
    )
    parser.add_argument("--weights", metavar="FILE", help="weights of the network (default: those in the package)")
    _add_common(parser)


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
    with _progress(args.quiet) as progress:
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
        _say(args.quiet)(f"{args.protocol} ({report['hands']} hands), {run}: {text}")
    return 0


def _add_evaluate_hgr(protocols: Any) -> None:
    parser = _add_verb(protocols, "hgr", _evaluate_hgr, "predict and score HGR, fingertips and masks", _HGR)
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
    _add_common(parser)


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
    with _progress(args.quiet) as progress:
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
    _say(args.quiet)(hgr_table(report))
    return 0


def _add_report(verbs: Any) -> None:
    parser = _add_verb(
        verbs, "report", _report, "scores as a page: table, plot, published figures beside them", _REPORT
    )
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

    _say(args.quiet)(f"-> {write_report(args.files, args.out, args.command)}")
    return 0


def _add_evaluate_gestures(protocols: Any) -> None:
    short = "how well predicted poses tell gestures apart"
    parser = _add_verb(protocols, "gestures", _evaluate_gestures, short, _GESTURES)
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
    _add_common(parser)


_GESTURES = """\
Predicts every picture and classifies the predicted angles by nearest neighbour, ten-fold cross-validated, and with persons left out
where they are known. The protocol stands in the head of phalanx/evaluate/gestures.py.

example:
  phalanx evaluate gestures folders my_signs/ --json signs.json
"""


def _evaluate_gestures(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.evaluate.gestures import evaluate_gestures
    from phalanx.predict.predictor import Predictor

    with _progress(args.quiet) as progress:
        scores = evaluate_gestures(
            args.set, args.folder, Predictor(args.weights, args.device), args.json, not args.part, progress
        )
    parts = [
        f"{name.replace('_', ' ')}: {100 * part['accuracy']:.1f} % right ({100 * part['low']:.1f} to {100 * part['high']:.1f})"
        for name, part in scores.items()
        if isinstance(part, dict)
    ]
    _say(args.quiet)(
        f"{scores['pictures']} pictures of {scores['gestures']} gestures, {scores['missed']} missed; {'; '.join(parts)}; "
        f"by chance {100 * scores['chance']:.1f} %"
    )
    return 0


def _add_compare(verbs: Any) -> None:
    parser = _add_verb(verbs, "compare", _compare, "several methods' scores in one figure and one table", _COMPARE)
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
    _say(args.quiet)(f"{len(methods)} methods -> {args.out}/comparison.png, .md, .csv, .tex")
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


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, cuda:1, ... (default: cpu)")
    parser.add_argument("--quiet", action="store_true", help="say nothing but complaints")


def _say(quiet: bool) -> Any:
    return (lambda line: None) if quiet else (lambda line: print(line, flush=True))


@contextlib.contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal's standard error, nothing elsewhere; what is yielded takes how many are done and how many there are."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _complain(sentence: str | InputError) -> int:
    print(f"phalanx: {sentence}", file=sys.stderr, flush=True)
    return 2


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers with commas between") from None


if __name__ == "__main__":
    sys.exit(main())
