"""`phalanx predict`: pictures, videos or depth frames in, hands out."""

import argparse
import sys
from pathlib import Path
from typing import Any

from phalanx.cli.common import (
    add_depth_camera,
    add_device,
    add_gestures,
    add_limits,
    add_quiet,
    add_verb,
    add_weights,
    box,
    camera,
    complain,
    progress_bar,
    sayer,
)
from phalanx.core.errors import InputError

_HELP = """\
For photo.jpg it writes into the output folder
  photo.json          joints in pixels and metres, angles in degrees, camera (docs/prediction_schema.md)
  photo_overlay.png   the surface and joints of each hand on the photo, and the hand from the side; right hands are blue, left orange
  photo.glb           the surfaces of all hands in the camera's frame, in metres: nodes right_1, left_1, ...
and for clip.mp4
  clip.json           the same of each frame, with its time, and each hand with an id that stays with it
  clip.csv            a row for each hand and frame: time, id, angles in degrees, joints in metres
  clip_overlay.mp4    the surface and joints on the frames
  clip.glb            all hands in motion; clip_hand0.bvh, clip_hand1.bvh, ... each by itself
Inputs that cannot be read are named and skipped. A picture without hands gives a line, an empty list and no GLB.
Results of another input of the same name stay: the new ones are photo_2.json and so on.

With --rig FILE, several cameras see one hand: it is found once, in the rig's world and in metres, by all views together. For videos
whose first is left.mp4 it writes left_rig.json, left_rig.csv, left_rig_overlay.mp4 (all views, each with its reprojection error),
left_rig.glb and left_rig.bvh; for pictures left_rig.json, left_rig_overlay.png and left_rig.glb of each moment.

All hands are found. With --box, one hand is taken to be there, and should fill a third of it or more.

examples:
  phalanx predict photo.jpg --out results
  phalanx predict photos/ clip.mp4 --side left
  phalanx predict crowd.jpg --max-hands 20 --min-score 0.3
  phalanx predict photo.jpg --box 310,120,260,300 --K 1400,1400,959.5,539.5
  phalanx predict clip.mp4 --K camera_info.yaml
  phalanx predict photo.jpg --gestures signs.onnx                  # phalanx gestures train makes the file
  phalanx predict frame.png --depth --camera sr305
  phalanx predict colour/ --depth-frames depth/ --K 615,615,319.5,239.5 --unit 0.001
  phalanx predict selfie.jpg --mirrored --side right --hand-length 0.185
  phalanx predict --rig rig.json left.mp4 right.mp4
Write a list that begins with a minus sign as --box=-20,40,300,300.
"""


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "predict", "find the hands in pictures, folders of pictures and videos", _HELP, job)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="picture, folder of pictures, or video file")
    parser.add_argument("--out", default="out", metavar="DIR", help="folder for the results (default: out)")
    parser.add_argument(
        "--side",
        type=str.lower,
        choices=("left", "right", "auto"),
        default="auto",
        help="which of the person's hands are wanted (default: auto, both, each judged by itself; giving it is safer)",
    )
    parser.add_argument(
        "--mirrored", action="store_true", help="the picture is a mirror image, as many front cameras make"
    )
    parser.add_argument(
        "--box",
        type=box,
        metavar="X,Y,W,H",
        help="where one hand is, in pixels, or the word whole for the whole picture (default: all hands are found)",
    )
    add_limits(parser)
    parser.add_argument(
        "--K",
        type=camera,
        metavar="CAMERA",
        help="of the whole picture: FX,FY,CX,CY in pixels, the nine numbers of its matrix, or a file of RealSense, ROS or OpenCV "
        "with its lens (docs/cameras.md; default: focal length in the picture's file, else 60 degrees across the longer side)",
    )
    parser.add_argument(
        "--hand-length",
        type=float,
        metavar="METRES",
        help="from the wrist to the tip of the stretched middle finger; sets the scale (default: the likeliest for the model)",
    )
    parser.add_argument(
        "--offline",
        action="store_true",
        help="smooth videos as a whole, without any lag, instead of filtering frame by frame",
    )
    parser.add_argument(
        "--same-person",
        action="store_true",
        help="all hands are one person's: they get one shape and length, the mean of what all pictures say; pictures are looked at twice",
    )
    parser.add_argument(
        "--refine",
        action="store_true",
        help="fit hands to the estimator's mask, too: better on hands by themselves, worse on hands that hold things (docs/refinement.md)",
    )
    add_weights(parser)
    add_gestures(parser)
    parser.add_argument(
        "--rig",
        metavar="FILE",
        help="several calibrated cameras that see one hand: name a video, folder or picture for each (docs/rigs.md, phalanx rig --help)",
    )
    parser.add_argument(
        "--rig-unit",
        metavar="UNIT",
        help="of the lengths in the rig's file: mm, cm, m, metres as a number, or hand to find it from the hands (default: as it states)",
    )
    parser.add_argument(
        "--depth", action="store_true", help="inputs are depth frames, of a folder all of one hand; needs --camera"
    )
    parser.add_argument(
        "--depth-frames",
        metavar="FOLDER",
        help="depth frames of the same names, registered to the pictures: joints come from colour, distance and size from depth "
        "(--camera and --unit, or an intrinsics.json in the folder; docs/rgbd.md)",
    )
    add_depth_camera(parser)
    parser.add_argument("--json", metavar="FILE", help="also write what was found and what was skipped to one file")
    add_device(parser)
    add_quiet(parser)


def job(args: argparse.Namespace) -> int:
    """Predict and write; 2 if inputs were skipped."""
    from phalanx.core.files import writable_file, writable_folder, write_json

    # Complaints about options must come before the seconds that loading the network takes.
    writable_folder(args.out)
    if args.json:
        writable_file(args.json)
    if args.depth:
        summary = _predict_depth(args)
    else:
        summary = _predict_colour(args) if args.rig is None else _predict_rig(args)
    if args.json:
        write_json(args.json, summary.to_json(), indent=1)
    if summary.skipped:
        total = len(summary.done) + len(summary.skipped)
        print(f"phalanx: {len(summary.skipped)} of {total} inputs were skipped", file=sys.stderr)
        return 2
    return 0


def _predict_colour(args: argparse.Namespace) -> Any:
    if (args.camera or args.unit) and not args.depth_frames:
        raise InputError(
            "--camera, --unit: are for depth frames (--depth, --depth-frames); give a colour camera as --K"
        )
    if args.depth_frames and args.hand_length:
        raise InputError("--hand-length: does not go with --depth-frames, by which the size is measured")
    if args.rig_unit:
        raise InputError("--rig-unit: is the unit of a rig's file; give that as --rig")
    if args.box is not None and (args.max_hands is not None or args.min_score is not None):
        raise InputError("--max-hands, --min-score: are for finding hands; with --box there is one, where it says")
    from phalanx.data.camera_files import as_calibration
    from phalanx.data.images import is_video
    from phalanx.predict.files import predict_files
    from phalanx.predict.inputs import MAX_HANDS, MIN_SCORE, check_limits, check_options
    from phalanx.predict.paired_depth import open_paired_folder
    from phalanx.predict.predictor import Predictor

    depth = open_paired_folder(args.depth_frames, args.camera, args.unit) if args.depth_frames else None
    K = None if args.K is None else as_calibration(args.K)
    max_hands = MAX_HANDS if args.max_hands is None else args.max_hands
    min_score = MIN_SCORE if args.min_score is None else args.min_score
    check_options(args.box, K, args.side, args.hand_length)
    check_limits(max_hands, min_score)
    videos = any(is_video(Path(path)) for path in args.paths)
    with progress_bar(args.quiet or not videos) as progress:
        return predict_files(
            args.paths,
            args.out,
            box=args.box,
            K=K,
            side=args.side,
            mirrored=args.mirrored,
            hand_length=args.hand_length,
            max_hands=max_hands,
            min_score=min_score,
            predictor=Predictor(args.weights, args.device, gestures=args.gestures, refine=args.refine),
            say=sayer(args.quiet),
            complain=complain,
            offline=args.offline,
            progress=progress,
            depth=depth,
            same_person=args.same_person,
        )


def _predict_rig(args: argparse.Namespace) -> Any:
    for name in (
        "K",
        "box",
        "max_hands",
        "gestures",
        "mirrored",
        "offline",
        "refine",
        "camera",
        "unit",
        "depth_frames",
    ):
        if getattr(args, name):
            raise InputError(
                f"--{name.replace('_', '-')}: does not go with --rig, whose file has the cameras and which finds one hand"
            )
    from phalanx.data.rig_files import read_rig
    from phalanx.predict.inputs import MIN_SCORE
    from phalanx.predict.predictor import Predictor
    from phalanx.predict.rig_files import predict_rig

    rig = read_rig(args.rig, args.rig_unit)
    with progress_bar(args.quiet) as progress:
        return predict_rig(
            rig,
            args.paths,
            args.out,
            side=args.side,
            hand_length=args.hand_length,
            min_score=MIN_SCORE if args.min_score is None else args.min_score,
            predictor=Predictor(args.weights, args.device),
            say=sayer(args.quiet),
            complain=complain,
            progress=progress,
            same_person=args.same_person,
        )


def _predict_depth(args: argparse.Namespace) -> Any:
    if args.gestures:
        raise InputError("--gestures: is for pictures and videos; it was learnt on hands in colour")
    if args.depth_frames:
        raise InputError("--depth-frames: go with pictures in colour; with --depth, name the frames as inputs")
    if args.rig or args.rig_unit:
        raise InputError("--rig: is for colour cameras, and --depth for a depth camera; give one of them")
    if args.same_person:
        raise InputError("--same-person: is for pictures and videos; depth says how large each hand is")
    if args.refine:
        raise InputError("--refine: is for pictures and videos; depth frames are fitted to their depth as it is")
    if args.K or args.mirrored or args.hand_length:
        raise InputError("--K, --mirrored, --hand-length: are for pictures; depth frames take --camera")
    if args.max_hands is not None or args.min_score is not None or isinstance(args.box, str):
        raise InputError("--max-hands, --min-score, --box whole: are for pictures; a depth frame shows one hand")
    if not args.camera:
        raise InputError("--depth: give the --camera that took the frames")
    from phalanx.predict.depth import DepthPredictor
    from phalanx.predict.depth_files import predict_depth_files

    predictor = DepthPredictor(args.weights, args.device)
    return predict_depth_files(
        args.paths, args.out, predictor, args.camera, args.unit, args.side, args.box, sayer(args.quiet), complain
    )
