"""`phalanx fit`: 3D keypoints in, the posed hand model out."""

import argparse
from typing import Any

from phalanx.cli.common import add_quiet, add_side, add_verb, sayer

_HELP = """\
Joints come in the order wrist; thumb CMC, MCP, IP, tip; then MCP, PIP, DIP, tip of index, middle, ring and little finger
(as in MediaPipe, OpenPose and FreiHAND); --order mano is MANO's with the tips at the end, as in DexYCB. Each frame is
fitted by itself, within the limits of the joints.

NAME_fit.npz holds joints, vertices, faces, rotations, orientation, shape, angles_degrees (angle_names) and joint_error, in
metres and in the frame of the keypoints; NAME_fit.png shows some of the hands; NAME_fit.glb is the first.

examples:
  phalanx fit keypoints.npz --side left --out fitted
  phalanx fit recording.npz --one-hand --json figures.json
"""


def add(verbs: Any) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs, "fit", "pose the hand model on 3D keypoints: joints in, angles and surface out", _HELP, job
    )
    parser.add_argument("file", metavar="FILE", help="NPZ file with the array joints (frames, 21, 3) in metres, or NPY")
    parser.add_argument("--out", default="out", metavar="DIR", help="folder for the results (default: out)")
    add_side(parser)
    parser.add_argument(
        "--order", choices=("phalanx", "mano"), default="phalanx", help="joint order of the file (default: phalanx)"
    )
    parser.add_argument(
        "--one-hand", action="store_true", help="all frames show the same person's hand: one shape for all"
    )
    parser.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    add_quiet(parser)


def job(args: argparse.Namespace) -> int:
    """Fit and write."""
    from phalanx.core.files import writable_file, write_json

    if args.json:
        writable_file(args.json)
    from phalanx.predict.keypoints import fit_file

    figures = fit_file(args.file, args.out, args.side, args.one_hand, args.order, sayer(args.quiet))
    if args.json:
        write_json(args.json, figures, indent=1)
    return 0
