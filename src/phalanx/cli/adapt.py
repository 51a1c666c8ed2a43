"""`phalanx adapt`: fit a network to your own recordings, without labels."""

import argparse

from phalanx.cli.common import (
    Parser,
    Verbs,
    add_box,
    add_depth_camera,
    add_device,
    add_quiet,
    add_side,
    add_verb,
    add_weights,
    complain,
    progress_bar,
    sayer,
)

_DEPTH = """\
Learns from the frames alone: draws spheres where the network finds the hand and compares them with the measured depth (Wan et al. 2019).
It looks for the hand everywhere, or where --box or --mask say, and learns only from frames in which it is sure of it. If the folder has a
rig.json and a subfolder for each of three or more calibrated cameras, it also compares their views with each other, which helps most:

  {"width": 640, "height": 480, "cameras": [{"name": "left", "K": [476, 476, 320, 240], "world_to_camera": [[...] x 4]}, ...]}

Lengths are in metres; files of the same name in the cameras' folders are one frame. Frames are named and skipped if they have no hand,
are empty, have another size, or are missing for a camera. The fit error is printed during training, and adapted.png in --out shows some
frames with the joints before and after. One frame in eight is not trained on: at the end, a line and adapted.json say whether the error
was lowered on these, and if not, why.

example:
  phalanx adapt depth --data recordings/ --camera sr305 --out mine
  phalanx predict frame.png --depth --camera sr305 --weights mine/sphere_fitting.safetensors
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "adapt", "fit a network to recordings of your own camera, without labels")
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True, parser_class=Parser)
    depth = add_verb(kinds, "depth", "fit the sphere network to depth frames", _DEPTH, job)
    depth.add_argument("--data", required=True, metavar="DIR", help="folder of depth frames (PNG, PGM, TIFF, EXR, NPY)")
    add_depth_camera(depth, required=True)
    depth.add_argument("--out", required=True, metavar="DIR", help="folder for weights, picture and figures")
    add_weights(depth)
    add_side(depth)
    add_box(depth)
    depth.add_argument("--mask", metavar="FILE", help="picture that is black outside the hand's place, for all frames")
    depth.add_argument(
        "--minutes",
        type=float,
        default=10.0,
        help="for everything, at most a quarter of them for reading frames (default: 10)",
    )
    depth.add_argument("--workers", type=int, default=1, help="processes that make synthetic frames (default: 1)")
    depth.add_argument("--resume", action="store_true", help="continue a run that was killed")
    add_device(depth)
    add_quiet(depth)


def job(args: argparse.Namespace) -> int:
    """Adapt; 2 if frames were skipped."""
    from phalanx.adapt.depth import Adaptation, adapt_depth
    from phalanx.adapt.recordings import RecordingFiles
    from phalanx.core.allocator import keep_freed_memory

    keep_freed_memory()
    config = Adaptation(workers=args.workers)
    config.loop.minutes, config.loop.device = args.minutes, args.device
    with progress_bar(args.quiet) as progress:
        figures = adapt_depth(
            RecordingFiles(args.data, args.camera, args.unit, args.side, args.box, args.mask),
            args.out,
            args.weights,
            config,
            resume=args.resume,
            say=sayer(args.quiet),
            complain=complain,
            progress=progress,
        )
    return 2 if figures["skipped"] else 0
