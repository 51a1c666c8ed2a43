"""`phalanx predict`: pictures, videos or depth frames in, hands out."""

import argparse
import sys
from typing import Any

from phalanx.cli.common import (
    add_box,
    add_depth_camera,
    add_device,
    add_quiet,
    add_verb,
    add_weights,
    camera,
    complain,
    sayer,
)
from phalanx.core.errors import InputError

_HELP = """\
For photo.jpg it writes into the output folder
  photo.json          joints in pixels and metres, angles in degrees, camera (docs/prediction_schema.md)
  photo_overlay.png   the surface and joints on the photo, and the hand from the side
  photo.glb           the surface, in metres
and for clip.mp4
  clip.json           the same of each frame, with its time; clip.csv time and angles as a table
  clip_overlay.mp4    the surface and joints on the frames
  clip.glb, clip.bvh  the hand in motion
Inputs that cannot be read, and pictures in which no hand is found, are named and skipped.
Results of another input of the same name stay: the new ones are photo_2.json and so on.

There is no hand detector yet: the hand should fill a third of the picture or more, or give its place with --box.

examples:
  phalanx predict photo.jpg --out results
  phalanx predict photos/ clip.mp4 --side left
  phalanx predict photo.jpg --box 310,120,260,300 --K 1400,1400,959.5,539.5
  phalanx predict clip.mp4 --K camera_info.yaml
  phalanx predict frame.png --depth --camera sr305
  phalanx predict selfie.jpg --mirrored --side right --hand-length 0.185
Write a list that begins with a minus sign as --box=-20,40,300,300.
"""


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "predict", "find the hand in pictures, folders of pictures and videos", _HELP, job)
    parser.add_argument("paths", nargs="+", metavar="PATH", help="picture, folder of pictures, or video file")
    parser.add_argument("--out", default="out", metavar="DIR", help="folder for the results (default: out)")
    parser.add_argument(
        "--side",
        type=str.lower,
        choices=("left", "right", "auto"),
        default="auto",
        help="which of the person's hands it is (default: auto, the one that the network is surer of; giving it is safer)",
    )
    parser.add_argument(
        "--mirrored", action="store_true", help="the picture is a mirror image, as many front cameras make"
    )
    add_box(parser)
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
    add_weights(parser)
    parser.add_argument(
        "--depth", action="store_true", help="inputs are depth frames, of a folder all of one hand; needs --camera"
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
    summary = _predict_depth(args) if args.depth else _predict_colour(args)
    if args.json:
        write_json(args.json, summary.to_json(), indent=1)
    if summary.skipped:
        total = len(summary.done) + len(summary.skipped)
        print(f"phalanx: {len(summary.skipped)} of {total} inputs were skipped", file=sys.stderr)
        return 2
    return 0


def _predict_colour(args: argparse.Namespace) -> Any:
    if args.camera or args.unit:
        raise InputError("--camera, --unit: are for depth frames (--depth); give a colour camera as --K")
    from phalanx.data.camera_files import as_calibration
    from phalanx.predict.files import predict_files
    from phalanx.predict.inputs import check_options
    from phalanx.predict.predictor import Predictor

    K = None if args.K is None else as_calibration(args.K)
    check_options(args.box, K, args.side, args.hand_length)
    return predict_files(
        args.paths,
        args.out,
        box=args.box,
        K=K,
        side=args.side,
        mirrored=args.mirrored,
        hand_length=args.hand_length,
        predictor=Predictor(args.weights, args.device),
        say=sayer(args.quiet),
        complain=complain,
    )


def _predict_depth(args: argparse.Namespace) -> Any:
    if args.K or args.mirrored or args.hand_length:
        raise InputError("--K, --mirrored, --hand-length: are for pictures; depth frames take --camera")
    if not args.camera:
        raise InputError("--depth: give the --camera that took the frames")
    from phalanx.predict.depth import DepthPredictor
    from phalanx.predict.depth_files import predict_depth_files

    predictor = DepthPredictor(args.weights, args.device)
    return predict_depth_files(
        args.paths, args.out, predictor, args.camera, args.unit, args.side, args.box, sayer(args.quiet), complain
    )
