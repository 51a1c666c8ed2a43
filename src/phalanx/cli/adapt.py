"""`phalanx adapt`: fit a network to your own recordings, without labels or with weak ones."""

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
    camera,
    complain,
    progress_bar,
    sayer,
)
from phalanx.core.errors import InputError

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

_WEAK = """\
Fits the network that phalanx predict uses to your own pictures. They need 2D joints, which take a minute a hand to click; no 3D labels.
Depth maps beside them teach how deep joints lie (Cai et al. 2018). Half of every step is synthesis, so that little is forgotten. In the
folder:

  FOLDER/a.jpg, more/b.png   pictures; those that have nothing else are counted and not used
  FOLDER/labels.json         2D joints: COCO keypoints or Label Studio (JSON), or CVAT for images 1.1 (XML); any number of files
  FOLDER/depth/a.png         depth of the picture of that name, registered to it and of its size (PNG, PGM, TIFF, EXR, NPY)
  FOLDER/intrinsics.json     {"K": [fx, fy, cx, cy], "depth_unit": metres that a depth of 1 stands for}; or --camera and --unit

Joints have names (wrist, thumb_cmc, index_mcp, ring_tip, pinky4, ...) or are in the --order of a data set; joints in another order are
refused, and the order that they seem to be in is named. A joint that cannot be seen may be left out. 3D joints in a COCO file ("joints_3d",
21 x 3) are learnt, too. Depth counts where there is a reading at the middle knuckle; metres come from the focal length, or, where nobody
gives a camera, from --hand-length. Depth frames of other hands, by any sensor (--unpaired-depth), teach a network that draws depth for
pictures without (DGGAN). Everything that is passed over is named, with file and line.

For --out mine it writes mine.onnx, the model for phalanx predict; mine.safetensors, weights to go on from (--weights); mine.json, their
card; and a folder mine: adapted.png (hands with their labels, and the joints before and after) and adapted.json (figures, before and
after, and what was left out). One hand in eight, the last ones, is not learnt from: these say whether the error was lowered. More stands
in docs/weak.md.

examples:
  phalanx adapt weak --data pictures/ --out mine --minutes 10
  phalanx predict photo.jpg --weights mine.onnx
  phalanx adapt weak --data pictures/ --labels points.json --order mano --side right --out mine
  phalanx adapt weak --data recording/ --camera 615,615,319.5,239.5 --unit 0.001 --out mine
  phalanx adapt weak --data pictures/ --unpaired-depth frames/ --unpaired-camera sr305 --out mine
"""

_RGBD = """\
Fits the network that phalanx predict uses to pairs of colour and depth from your own camera, without any labels (Dibra et al. 2018): the
hand that it sees is drawn as depth and compared with what the sensor read. In the folder:

  FOLDER/a.jpg, more/b.png   pictures
  FOLDER/depth/a.png         depth of the picture of that name, registered to it and of its size (PNG, PGM, TIFF, EXR, NPY)
  FOLDER/intrinsics.json     {"K": [fx, fy, cx, cy], "depth_unit": metres that a depth of 1 stands for}; or --camera and --unit

Without a camera nothing is learnt of the hand's size in metres, but of its pose. Half of every step is synthesis. One hand in eight, the
last ones, is not learnt from and decides: if depth does not come nearer on these, or joints that the network was sure of move, the
model is the one that it began with, and the last line says so. Everything that is passed over is named. Files come out as with weak, and
surface.obj, the hand as it was learnt. More stands in docs/rgbd.md.

examples:
  phalanx adapt rgbd --data recording/ --camera 615,615,319.5,239.5 --unit 0.001 --out mine
  phalanx predict photo.jpg --weights mine.onnx
"""

_VIDEO = """\
Fits the network that phalanx predict uses to your own clips, without 3D labels: what it says of neighbouring frames must go together
(TASSN, Chen 2020). 2D keypoints come from files or, where there are none, are the network's own surest ones. Half of every step is
synthesis, so that little is forgotten. In the folder:

  FOLDER/a.mp4               videos, in the folder and below
  FOLDER/b/0001.png, ...     folders of frames; with b/times.txt, a second a line, if they do not follow evenly (or --rate)
  FOLDER/a.json              keypoints of a.mp4: COCO, MediaPipe's landmarks in the picture, or a.npz, .npy, .csv (N, 21, 2), a.xml (CVAT)
  FOLDER/a_json/             or OpenPose's files, one a frame; for b also b/keypoints.json, b/labels.json

Clips are divided where they are cut, which optical flow notices. Clips that are too short, keypoints of other frames, and what else is
passed over are named. One frame in eight, the last ones, is not learnt from: these say whether joints became steadier. Files come out as
with weak. More stands in docs/video_adaptation.md.

examples:
  phalanx adapt video --data clips/ --out mine
  phalanx predict clip.mp4 --weights mine.onnx
  phalanx adapt video --data clips/ --keypoints openpose/ --side right --K 920,920,640,360 --out mine
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(
        verbs, "adapt", "fit a network to recordings of your own camera, without labels or with weak ones"
    )
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
    _add_weak(kinds)
    _add_rgbd(kinds)
    _add_video(kinds)


def _add_weak(kinds: Verbs) -> None:
    weak = add_verb(kinds, "weak", "fit the default estimator to pictures with 2D joints", _WEAK, weak_job)
    weak.add_argument("--data", required=True, metavar="FOLDER", help="folder of pictures, labels and depth")
    weak.add_argument("--out", required=True, metavar="MODEL", help="the model to write; .onnx is added to its name")
    weak.add_argument(
        "--labels",
        action="append",
        default=[],
        metavar="FILE",
        help="label file; may be given several times (default: all JSON and XML files in FOLDER and FOLDER/annotations)",
    )
    weak.add_argument(
        "--order",
        metavar="NAME",
        help="joint order of all labels, whatever names they have: phalanx, mano, rhd, interhand, hands2017, msra15 or stb "
        "(default: by the joints' names; without names phalanx, which is that of MediaPipe, OpenPose and FreiHAND)",
    )
    add_depth_camera(weak)
    weak.add_argument(
        "--side",
        type=str.lower,
        choices=("left", "right", "auto"),
        default="auto",
        help="which hand is seen where the label does not say it (default: auto, as which the network sees the labelled joints better)",
    )
    weak.add_argument(
        "--hand-length",
        type=float,
        metavar="METRES",
        help="from the wrist to the tip of the stretched middle finger (default: the likeliest)",
    )
    weak.add_argument(
        "--unpaired-depth",
        metavar="DIR",
        help="folder of depth frames of hands that belong to none of the pictures; depth is drawn for pictures without, and judged by them",
    )
    weak.add_argument(
        "--unpaired-camera",
        metavar="NAME|FX,FY,CX,CY",
        help="their camera, as --camera (default: intrinsics.json in that folder)",
    )
    weak.add_argument("--unpaired-unit", type=float, metavar="METRES", help="their unit, as --unit")
    add_weights(weak)
    weak.add_argument("--minutes", type=float, default=10.0, help="for everything (default: 10)")
    weak.add_argument(
        "--workers", type=int, default=0, help="processes that make synthetic hands (default: 0, this one)"
    )
    weak.add_argument("--resume", action="store_true", help="continue a run that was killed")
    add_device(weak)
    add_quiet(weak)


def _add_rgbd(kinds: Verbs) -> None:
    rgbd = add_verb(kinds, "rgbd", "fit the default estimator to pairs of colour and depth", _RGBD, rgbd_job)
    rgbd.add_argument("--data", required=True, metavar="FOLDER", help="folder of pictures, with depth frames in depth")
    rgbd.add_argument("--out", required=True, metavar="MODEL", help="the model to write; .onnx is added to its name")
    add_depth_camera(rgbd)
    add_side(rgbd)
    add_box(rgbd)
    add_weights(rgbd)
    rgbd.add_argument("--minutes", type=float, default=10.0, help="for everything (default: 10)")
    rgbd.add_argument(
        "--workers", type=int, default=0, help="processes that make synthetic hands (default: 0, this one)"
    )
    rgbd.add_argument("--resume", action="store_true", help="continue a run that was killed")
    add_device(rgbd)
    add_quiet(rgbd)


def rgbd_job(args: argparse.Namespace) -> int:
    """Adapt to pairs of colour and depth; 2 if pairs were passed over."""
    from phalanx.adapt.rgbd import RgbdAdaptation, adapt_rgbd
    from phalanx.adapt.rgbd_pairs import RgbdFiles
    from phalanx.core.allocator import keep_freed_memory

    keep_freed_memory()
    config = RgbdAdaptation(workers=args.workers)
    config.loop.minutes, config.loop.device = args.minutes, args.device
    with progress_bar(args.quiet) as progress:
        figures = adapt_rgbd(
            RgbdFiles(args.data, args.camera, args.unit, args.side, args.box),
            args.out,
            args.weights,
            config,
            resume=args.resume,
            say=sayer(args.quiet),
            complain=complain,
            progress=progress,
        )
    return 2 if figures["skipped"] else 0


def _add_video(kinds: Verbs) -> None:
    video = add_verb(
        kinds, "video", "fit the default estimator to clips, with 2D keypoints or without", _VIDEO, video_job
    )
    video.add_argument("--data", required=True, metavar="FOLDER", help="folder of videos and folders of frames")
    video.add_argument("--out", required=True, metavar="MODEL", help="the model to write; .onnx is added to its name")
    video.add_argument(
        "--keypoints",
        action="append",
        default=[],
        metavar="PATH",
        help="file of keypoints, or folder of such by the names of clips; may be given several times (default: those beside clips)",
    )
    video.add_argument("--own", action="store_true", help="use no keypoints of files: only what the network is sure of")
    video.add_argument("--order", metavar="NAME", help="joint order of all keypoints, as with weak")
    video.add_argument(
        "--K",
        type=camera,
        metavar="FX,FY,CX,CY|FILE",
        help="camera of all clips (default: 60 degrees across are assumed)",
    )
    add_side(video)
    video.add_argument(
        "--rate", type=float, default=30.0, help="frames a second in folders of frames without times (default: 30)"
    )
    add_weights(video)
    video.add_argument("--minutes", type=float, default=6.0, help="for everything (default: 6)")
    video.add_argument(
        "--workers", type=int, default=0, help="processes that make synthetic hands (default: 0, this one)"
    )
    video.add_argument("--resume", action="store_true", help="continue a run that was killed")
    add_device(video)
    add_quiet(video)


def video_job(args: argparse.Namespace) -> int:
    """Adapt to clips; 2 if inputs were passed over."""
    from phalanx.adapt.video import VideoAdaptation, adapt_video
    from phalanx.adapt.video_files import VideoFiles
    from phalanx.core.allocator import keep_freed_memory

    keep_freed_memory()
    config = VideoAdaptation(workers=args.workers)
    config.loop.minutes, config.loop.device = args.minutes, args.device
    with progress_bar(args.quiet) as progress:
        figures = adapt_video(
            VideoFiles(args.data, args.keypoints, args.own, args.order, args.K, args.side, args.rate),
            args.out,
            args.weights,
            config,
            resume=args.resume,
            say=sayer(args.quiet),
            complain=complain,
            progress=progress,
        )
    return 2 if figures["skipped"] else 0


def weak_job(args: argparse.Namespace) -> int:
    """Adapt to weakly labelled pictures; 2 if inputs were passed over."""
    from phalanx.adapt.weak import WeakAdaptation, adapt_weak
    from phalanx.adapt.weak_drawn import UnpairedFiles
    from phalanx.adapt.weak_files import WeakFiles
    from phalanx.core.allocator import keep_freed_memory

    keep_freed_memory()
    config = WeakAdaptation(workers=args.workers)
    config.loop.minutes, config.loop.device = args.minutes, args.device
    files = WeakFiles(args.data, args.labels, args.order, args.camera, args.unit, args.side, args.hand_length)
    unpaired = None
    if args.unpaired_depth is not None:
        unpaired = UnpairedFiles(args.unpaired_depth, args.unpaired_camera, args.unpaired_unit)
    elif args.unpaired_camera is not None or args.unpaired_unit is not None:
        raise InputError("--unpaired-camera and --unpaired-unit are of --unpaired-depth, which is not given")
    with progress_bar(args.quiet) as progress:
        figures = adapt_weak(
            files,
            args.out,
            args.weights,
            config,
            resume=args.resume,
            say=sayer(args.quiet),
            complain=complain,
            progress=progress,
            unpaired=unpaired,
        )
    return 2 if figures["skipped"] else 0


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
