"""`phalanx live`: hands before a camera, as they move."""

import argparse

from phalanx.cli.common import (
    Verbs,
    add_device,
    add_gestures,
    add_limits,
    add_quiet,
    add_verb,
    add_weights,
    camera,
    sayer,
)
from phalanx.core.errors import InputError

_HELP = """\
A window shows the newest frame with the surface and joints of each hand, how many frames are tracked in a second, and how old the
frame is when it is shown. Press q or Esc to end. Frames that come while one is at work are passed over, so that nothing piles up.

The OpenCV that Phalanx installs (opencv-python-headless) has no windows; to get one, put opencv-python in its place. Without a window,
or beside it, --out writes the pictures and --lines prints a line of JSON for each frame (docs/prediction_schema.md).

examples:
  phalanx live
  phalanx live --camera 1 --mirrored
  phalanx live --lines --quiet | your_program
  phalanx live --camera clip.mp4 --out frames        # a video file plays as if it were a camera
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "live", "track the hands before a camera, as they move", _HELP, job)
    parser.add_argument(
        "--camera",
        default="0",
        metavar="N",
        help="number of the camera, or a video file (default: 0, the first camera)",
    )
    parser.add_argument("--out", metavar="DIR", help="write the picture of each frame into this folder")
    parser.add_argument("--lines", action="store_true", help="print a line of JSON for each frame")
    parser.add_argument("--frames", type=int, metavar="N", help="stop after so many frames")
    parser.add_argument(
        "--side",
        type=str.lower,
        choices=("left", "right", "auto"),
        default="auto",
        help="which of the person's hands are wanted (default: auto, both)",
    )
    parser.add_argument(
        "--mirrored", action="store_true", help="the camera gives mirror images, as many front cameras do"
    )
    add_limits(parser)
    parser.add_argument("--K", type=camera, metavar="CAMERA", help="of the camera, as for phalanx predict")
    parser.add_argument(
        "--hand-length",
        type=float,
        metavar="METRES",
        help="from the wrist to the tip of the stretched middle finger; sets the scale (default: the likeliest for the model)",
    )
    add_weights(parser)
    add_gestures(parser)
    add_device(parser)
    add_quiet(parser)


def job(args: argparse.Namespace) -> int:
    """Track until the camera ends or the user does."""
    if args.frames is not None and args.frames < 1:
        raise InputError(f"--frames: must be at least 1, not {args.frames}")
    from phalanx.core.files import writable_folder
    from phalanx.data.camera_files import as_calibration
    from phalanx.data.live_camera import LiveCamera, open_window
    from phalanx.predict.inputs import MAX_HANDS, MIN_SCORE, check_limits, check_options

    K = None if args.K is None else as_calibration(args.K)
    max_hands = MAX_HANDS if args.max_hands is None else args.max_hands
    min_score = MIN_SCORE if args.min_score is None else args.min_score
    check_options(None, K, args.side, args.hand_length)
    check_limits(max_hands, min_score)
    out = None if args.out is None else writable_folder(args.out)
    source = int(args.camera) if args.camera.isdecimal() else args.camera
    with LiveCamera(source) as opened:
        show = open_window("phalanx live")
        if show is None and out is None and not args.lines:
            raise InputError(
                "live: there can be no window here (no display, or opencv-python-headless, which has none): give --out DIR or --lines"
            )
        from phalanx.predict.live import run_live
        from phalanx.predict.predictor import Predictor
        from phalanx.predict.tracker import Tracker

        predictor = Predictor(args.weights, args.device, gestures=args.gestures)
        predictor.load_detector()
        tracker = Tracker(predictor, None, K, args.side, args.mirrored, args.hand_length, max_hands, min_score)
        line = sayer(False) if args.lines else None
        report = run_live(tracker, opened, show, out, line, args.frames)
    say = sayer(args.quiet or args.lines)
    say(
        f"camera {args.camera}: {report.frames} frames tracked, {report.rate:.1f} a second, {report.latency:.0f} ms old when done; "
        f"{report.passed_over} passed over"
    )
    return 0
