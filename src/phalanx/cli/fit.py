"""`phalanx fit`: keypoints in, the posed hand model out."""

import argparse

from phalanx.cli.common import Verbs, add_quiet, add_verb, camera, numbers, sayer

_ORDERS = ("auto", "phalanx", "mano", "rhd", "interhand", "hands2017", "msra15", "stb")
"""Of `hand.skeleton.ORDERS`, which would load PyTorch; a test compares them."""

_HELP = """\
FILE holds one hand or two over any number of frames: NPZ with an array joints (frames, 21, 3), and perhaps confidence and times; NPY;
CSV with a row of 63 numbers a frame; JSON of MediaPipe. Metres, centimetres or millimetres, the side, the joint order and mirrored
axes are found by fitting what they may be, and the line that is printed names what was found. A joint that is NaN, exactly 0, or of
confidence 0 is filled in; one that is grossly misplaced does not count and is named. Frames follow their neighbours.

Joints in a picture (two columns; or 0 to 1, or pixels, as MediaPipe's image landmarks) need --image-size or --K. The size of the hand
is then the likeliest, or that of --hand-length.

For NAME it writes into the output folder
  NAME_fit.npz   joints, vertices, faces, rotations, orientation, shape, angles_degrees (angle_names), joint_error, filled, outliers
  NAME_fit.csv   time and joint angles of each frame
  NAME_fit.glb   the hand in motion, with its skeleton; NAME_fit.bvh the skeleton alone
  NAME_fit.png   some of the hands
docs/keypoints.md says what is in them and in the figures of --json.

examples:
  phalanx fit keypoints.npz --out fitted
  phalanx fit recording.csv --one-hand --json figures.json
  phalanx fit landmarks.json --image-size 1280,720
  phalanx fit keypoints.npz --mano MANO_LEFT.pkl
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "fit", "pose the hand model on keypoints: joints in, angles and surface out", _HELP, job)
    parser.add_argument("file", metavar="FILE", help="keypoints: NPZ, NPY, CSV or JSON")
    parser.add_argument("--out", default="out", metavar="DIR", help="folder for the results (default: out)")
    parser.add_argument(
        "--side",
        type=str.lower,
        choices=("left", "right", "auto"),
        default="auto",
        help="which hand it is (default: auto, the one that fits better); axes that make it the other one are turned round",
    )
    parser.add_argument(
        "--order",
        choices=_ORDERS,
        default="auto",
        help="joint order of the file (default: auto, phalanx unless another one fits clearly better)",
    )
    parser.add_argument(
        "--one-hand", action="store_true", help="all frames show the same person's hand: one shape for all"
    )
    parser.add_argument(
        "--image-size", type=numbers, metavar="W,H", help="pixels of the picture that the joints lie in"
    )
    parser.add_argument(
        "--K",
        type=camera,
        metavar="CAMERA",
        help="of that picture: FX,FY,CX,CY in pixels, nine numbers, or a file with its lens, as for phalanx predict (default: 60 "
        "degrees across the longer side)",
    )
    parser.add_argument(
        "--hand-length",
        type=float,
        metavar="METRES",
        help="from the wrist to the tip of the stretched middle finger; the scale of hands in pictures (default: the likeliest)",
    )
    parser.add_argument("--mano", metavar="FILE", help="a file of MANO of the same side: also write its pose and shape")
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    add_quiet(parser)


def job(args: argparse.Namespace) -> int:
    """Fit and write."""
    from phalanx.core.files import writable_file, write_json

    if args.json:
        writable_file(args.json)
    from phalanx.predict.keypoint_files import fit_file

    figures = fit_file(
        args.file,
        args.out,
        side=args.side,
        one_hand=args.one_hand,
        order=args.order,
        image_size=args.image_size,
        K=args.K,
        hand_length=args.hand_length,
        mano=args.mano,
        say=sayer(args.quiet),
    )
    if args.json:
        write_json(args.json, figures, indent=1)
    return 0
