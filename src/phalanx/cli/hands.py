"""`phalanx predict` and `phalanx fit`: pictures or keypoints in, hands out."""

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from phalanx.cli.common import add_common, add_verb, complain, numbers, sayer
from phalanx.core.errors import InputError


def add_predict(verbs: Any) -> None:
    parser = add_verb(verbs, "predict", _predict, "find the hand in pictures, folders of pictures and videos", _PREDICT)
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
        "--box", type=numbers, metavar="X,Y,W,H", help="where the hand is, in pixels (default: looks for itself)"
    )
    parser.add_argument(
        "--K",
        type=numbers,
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
    parser.add_argument("--depth", action="store_true", help="inputs are 16-bit depth frames; needs --camera")
    parser.add_argument(
        "--camera",
        metavar="NAME",
        help="depth camera: kinect1, kinect2, azure, sr300, sr305, d415, d435, nyu, or fx,fy,cx,cy with --unit",
    )
    parser.add_argument(
        "--unit", type=float, metavar="METRES", help="what 1 stands for in depth frames (default: the camera's)"
    )
    parser.add_argument("--json", metavar="FILE", help="also write what was found and what was skipped to one file")
    add_common(parser)


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
  phalanx predict frame.png --depth --camera sr305
  phalanx predict selfie.jpg --mirrored --side right --hand-length 0.185
Write a list that begins with a minus sign as --box=-20,40,300,300.
"""


def _predict(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.core.files import writable_file, writable_folder, write_json

    # Every complaint about the options comes before the seconds that loading the network takes.
    writable_folder(args.out)
    if args.json:
        writable_file(args.json)
    summary = _predict_depth(args) if args.depth else _predict_colour(args)
    if args.json:
        write_json(args.json, summary.to_json(), indent=1)
    if summary.skipped:
        total = len(summary.done) + len(summary.skipped)
        print(f"phalanx: {len(summary.skipped)} of {total} inputs were passed over", file=sys.stderr)
        return 2
    return 0


def _predict_colour(args: argparse.Namespace) -> Any:
    if args.camera or args.unit:
        raise InputError("--camera, --unit: are for depth frames (--depth); a colour camera is given as --K")
    from phalanx.predict.files import predict_files
    from phalanx.predict.predictor import Predictor, check_options

    check_options(args.box, args.K, args.side, args.hand_length)
    return predict_files(
        args.paths,
        args.out,
        box=args.box,
        K=args.K,
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
        raise InputError("--depth: say which --camera took the frames")
    from phalanx.predict.depth import DepthPredictor
    from phalanx.predict.files import predict_depth_files

    predictor = DepthPredictor(args.weights, args.device)
    return predict_depth_files(
        args.paths, args.out, predictor, args.camera, args.unit, args.side, args.box, sayer(args.quiet), complain
    )


def add_fit(verbs: Any) -> None:
    parser = add_verb(
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

    figures = fit_file(args.file, args.out, args.side, args.one_hand, args.order, sayer(args.quiet))
    if args.json:
        write_json(args.json, figures, indent=1)
    return 0
