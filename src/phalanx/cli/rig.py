"""`phalanx rig`: calibrations of several cameras: converted, checked by hands, and made from hands."""

import argparse
from pathlib import Path
from typing import Any

from phalanx.cli.common import (
    Parser,
    Verbs,
    add_quiet,
    add_side,
    add_verb,
    add_weights,
    camera,
    complain,
    progress_bar,
    sayer,
)
from phalanx.core.errors import InputError

_HELP = """\
A rig is two or more cameras whose places are known. With one, phalanx predict --rig gives a hand in metres, in one world, without
guessing how far away it is. docs/rigs.md has the file's format and what calibrations hold.

  phalanx rig calibrate left.mp4 right.mp4 --K 920,920,360,360 --out rig.json     no chessboard: move one hand where both see it
  phalanx rig convert camchain.yaml --out rig.json                                a calibration that you have
  phalanx rig check rig.json left.mp4 right.mp4                                   does it still hold?
  phalanx predict --rig rig.json left.mp4 right.mp4                               the hand

Views are videos, folders of pictures, or pictures, one for each camera and in the rig's order; frames of one moment have one time, pictures
one name or one number at its end.
"""

_CONVERT = """\
Understands
  OpenCV     YAML: camera matrices and lenses of two cameras (M1, D1, M2, D2; K1, cameraMatrix1, ...) with R and T, in one file or
             two (intrinsics.yml extrinsics.yml); or a list of cameras with K and R and T (or world_to_camera, 4 x 4)
  Kalibr     camchain.yaml (cam0, cam1, ... with T_cn_cnm1), whose unit is metres
  COLMAP     the folder of a model, cameras and images as .txt or .bin; each picture is a camera
  Phalanx    its own JSON, and rigs of phalanx synth
Where a format does not fix the unit of lengths, --unit does: mm, cm, m, metres as a number (0.025: squares of 25 mm), or hand, which finds
the scale from the first hands that the rig sees.

examples:
  phalanx rig convert intrinsics.yml extrinsics.yml --unit mm --out rig.json
  phalanx rig convert sparse/0 --unit hand --out rig.json
"""

_CHECK = """\
Looks for one hand in every view and says how far its joints are from the lines on which the other camera puts them (epipolar error),
and how large hands would be in this rig's metres. Where the error is more than the estimator's own (6 pixels of a picture 720 high) the
calibration does not hold, or the frames are not of one moment: the exit code is then 2.
"""

_CALIBRATE = """\
Move one hand slowly, open and closed, near and far, where the cameras see it together, for ten seconds or more. Its joints in every frame
place the cameras by each other (essential matrix, then a bundle adjustment in which bones keep their lengths). The hand's size sets the
scale: a hand of likely size, or --hand-length. The first camera is the world. Lenses come with the camera's file (--K calibration.yaml).
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "rig", "calibrations of several cameras that see one hand", _HELP)
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    convert = add_verb(actions, "convert", "bring a calibration to a rig's own format", _CONVERT, job_convert)
    convert.add_argument(
        "files", nargs="+", metavar="FILE", help="calibration: a file, several of OpenCV's, or COLMAP's folder"
    )
    _add_unit(convert)
    convert.add_argument("--out", default="rig.json", metavar="FILE", help="the file to write (default: rig.json)")
    add_quiet(convert)
    check = add_verb(actions, "check", "see from hands whether a calibration holds", _CHECK, job_check)
    check.add_argument("rig", metavar="RIG", help="the rig's file")
    check.add_argument(
        "views", nargs="+", metavar="VIEW", help="a video, folder or picture for each camera, in the rig's order"
    )
    _add_unit(check)
    _add_looking(check)
    check.add_argument("--json", metavar="FILE", help="also write the figures to a file")
    calibrate = add_verb(
        actions, "calibrate", "place cameras by a hand that moves before them", _CALIBRATE, job_calibrate
    )
    calibrate.add_argument("views", nargs="+", metavar="VIEW", help="a video or folder for each camera")
    calibrate.add_argument(
        "--K",
        type=camera,
        action="append",
        required=True,
        metavar="CAMERA",
        help="FX,FY,CX,CY in pixels, nine numbers, or a file with its lens (docs/cameras.md); once for all cameras, or once for each",
    )
    calibrate.add_argument("--out", default="rig.json", metavar="FILE", help="the file to write (default: rig.json)")
    _add_looking(calibrate)


def _add_unit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--unit",
        metavar="UNIT",
        help="of the lengths in the file: mm, cm, m, metres as a number, or hand (default: as the file states)",
    )


def _add_looking(parser: argparse.ArgumentParser) -> None:
    add_side(parser)
    parser.add_argument(
        "--hand-length",
        type=float,
        metavar="METRES",
        help="from the wrist to the tip of the stretched middle finger; sets the scale (default: the likeliest)",
    )
    add_weights(parser)
    add_quiet(parser)


def job_convert(args: argparse.Namespace) -> int:
    """Convert."""
    from phalanx.core.files import writable_file
    from phalanx.data.rig_files import read_rig

    writable_file(args.out)
    rig = read_rig(args.files, args.unit)
    rig.save(args.out)
    scale = "metres" if rig.metric else "a unit to be found from the hands"
    sayer(args.quiet)(f"{args.out}: {len(rig)} cameras ({', '.join(c.name for c in rig.cameras)}), lengths in {scale}")
    return 0


def job_check(args: argparse.Namespace) -> int:
    """Check; 2 where the calibration does not hold."""
    from phalanx.core.files import writable_file, write_json
    from phalanx.data.rig_files import read_rig
    from phalanx.predict.predictor import Predictor
    from phalanx.predict.rig_calibrate import UnplacedPredictor, check_rig, look_at_all

    if args.json:
        writable_file(args.json)
    rig = read_rig(args.rig, args.unit)
    predictor = UnplacedPredictor(rig, Predictor(args.weights), args.side, args.hand_length)
    with progress_bar(args.quiet) as progress:
        frames = look_at_all(predictor, [Path(view) for view in args.views], complain, progress)
    found = check_rig(predictor, frames)
    say = sayer(args.quiet)
    for pair in found.pairs:
        say(f"{pair.first}, {pair.second}: epipolar error {pair.error:.2f} px in the median, {pair.moments} moments")
    if found.scale is not None:
        unit = (
            f"hands have {100 / found.scale:.0f} % of their likeliest size"
            if rig.metric
            else f"its unit is {1e3 * found.scale:.4g} mm"
        )
        say(
            f"{args.rig}: {unit}"
            + ("; people differ by about 10 %" if rig.metric else ", by the hands' likeliest size")
        )
    if args.json:
        listed: list[dict[str, Any]] = [vars(pair) for pair in found.pairs]
        write_json(args.json, {"pairs": listed, "scale": found.scale, "holds": found.holds}, indent=1)
    if not found.holds:
        worst = max(found.pairs, key=lambda pair: pair.error)
        return complain(
            f"{args.rig}: the calibration does not hold between {worst.first} and {worst.second} ({worst.error:.1f} px); did one move, "
            "are the views in the rig's order and of one moment?"
        )
    say(f"{args.rig}: the calibration holds")
    return 0


def job_calibrate(args: argparse.Namespace) -> int:
    """Calibrate and write."""
    from phalanx.core.files import writable_file
    from phalanx.data.camera_files import as_calibration
    from phalanx.predict.predictor import Predictor
    from phalanx.predict.rig_calibrate import calibrate_rig, check_rig, frames_for_calibration

    writable_file(args.out)
    if len(args.views) < 2:
        raise InputError(f"{args.views[0]}: is one view, and cameras are placed by two or more")
    if len(args.K) not in (1, len(args.views)):
        raise InputError(
            f"--K: is given {len(args.K)} times for {len(args.views)} views; give it once for all or once for each"
        )
    calibrations = [as_calibration(K) for K in args.K] * (len(args.views) if len(args.K) == 1 else 1)
    paths = [Path(view) for view in args.views]
    with progress_bar(args.quiet) as progress:
        predictor, frames = frames_for_calibration(
            calibrations, paths, Predictor(args.weights), args.side, args.hand_length, complain, progress
        )
    rig = calibrate_rig(predictor, frames)
    rig.save(args.out)
    predictor.rig = rig
    say = sayer(args.quiet)
    for pair in check_rig(predictor, frames).pairs:
        say(f"{pair.first}, {pair.second}: epipolar error {pair.error:.2f} px in the median, {pair.moments} moments")
    size = "a hand of the likeliest size" if args.hand_length is None else f"a hand of {args.hand_length:g} m"
    say(f"{args.out}: {len(rig)} cameras, in metres for {size}; the world is {rig.cameras[0].name}")
    return 0
