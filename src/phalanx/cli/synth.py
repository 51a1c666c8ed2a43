"""`phalanx synth`: labelled pictures of synthetic hands."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from phalanx.cli.common import Verbs, add_quiet, add_verb, progress_bar, sayer
from phalanx.core.errors import InputError

if TYPE_CHECKING:
    from phalanx.synth import SynthConfig
    from phalanx.synth.frames_config import FramesConfig

_HELP = """\
A set is WebDataset shards (tar files) and manifest.json with settings, counts and checksums. Each picture has image.png, depth.png
(uint16, 0.1 mm), mask.png, parts.png and labels.npy: joints (metres, camera frame), joints_2d (pixels), vertices, rotations, shape,
orientation, translation, K and ids, as phalanx.data.sample.Sample describes them.

With a depth sensor there is also sensed_depth.png, with several cameras world_to_camera, in clips time (seconds), in the scenes people
and arms boxes and hand_masks.png. Ids are then (hand or person, frame, view), otherwise (seed, chunk, number). A run that was killed
continues when it is started again. With --poses, poses.json says how far the posed hands' joints are from those of the file.
docs/synthesis.md shows all scenes, domains and sensors.

Whole frames of several people are not written as sets: phalanx.synth.frames.stream_frames yields them, --preview-frames shows them.

A rig file is JSON: width, height, spot [x, y, z], cameras [{K: 3x3 or [fx, fy, cx, cy], world_to_camera: 4x4}, ...], in metres.

examples:
  phalanx synth --preview sheet.png --seed 3
  phalanx synth --out samples --count 10000 --workers 2
  phalanx synth --out multi_view --count 320000 --views 8 --size 256 --workers 2
  phalanx synth --out multi_view --count 320000 --views 8 --size 256 --ray head:6379
  phalanx synth --rig stereo --size 256 --preview pairs.png
  phalanx synth --poses joints.npz --rig ring8 --out labelled --workers 2
  phalanx synth --scene motion --depth-sensor azure --preview clips.png
  phalanx synth --preview-frames frames.jpg --seed 3
  phalanx synth --realism blender/tonality_gan.safetensors --preview redrawn.png
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    parser = add_verb(verbs, "synth", "make labelled pictures of synthetic hands", _HELP, job)
    parser.add_argument(
        "--preview", metavar="FILE", help="write a sheet of pictures, half with joints drawn on, as PNG or JPEG"
    )
    parser.add_argument(
        "--preview-frames",
        metavar="FILE",
        help="write a sheet of whole frames of one to eight people with boxes of all hands; takes --seed, --count, --domain, "
        "--depth-sensor and folders",
    )
    parser.add_argument(
        "--out", metavar="DIR", help="write a set of pictures with labels into this folder, or continue the one there"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: 0)")
    parser.add_argument(
        "--count",
        type=int,
        help="how many pictures (default: 60 in a sheet, which is filled up to rows of ten; 24 whole frames; 1024 in a set)",
    )
    parser.add_argument("--views", type=int, metavar="N", help="the same as --rig ringN: N cameras round each hand")
    parser.add_argument(
        "--rig",
        metavar="NAME",
        help="cameras that see each hand at once: ring8 (or another number), stereo, five_views, upright4, upright_stereo, or a JSON "
        "file of your own; NAME@7: all hands are of one person, number 7",
    )
    parser.add_argument(
        "--poses",
        metavar="FILE",
        help="recorded joints (NPZ, NPY, CSV or JSON, as for phalanx fit) that hands are posed on, by spin match; with --rig. --count is "
        "then as many pictures as these hands have (default: drawn poses)",
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
        help="any, studio (clean), or field (harsh; shares nothing with studio) (default: any)",
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
    parser.add_argument(
        "--panoramas",
        metavar="DIR",
        help="HDR panoramas (.hdr, .exr) that hands stand in, lit by them (default: 26 small ones of the package)",
    )
    parser.add_argument(
        "--things",
        metavar="DIR",
        help="models of things (.obj, .glb, .ply, .stl) that stand about and are held, besides those of the package",
    )
    parser.add_argument(
        "--realism",
        metavar="MODEL",
        help="weights of phalanx train tonality_gan, which redraw pictures so that they look like photographs (default: as rendered)",
    )
    add_quiet(parser)


def job(args: argparse.Namespace) -> int:
    """Make a sheet, a set, or both."""
    _check(args)
    from phalanx.core.allocator import keep_freed_memory

    keep_freed_memory()
    config, say = _config(args), sayer(args.quiet)
    recorded = None
    if config.poses is not None:
        from phalanx.synth.scene.recorded import recorded_hands

        recorded = recorded_hands(str(config.poses))
        say(recorded.summary())
    if args.preview:
        from phalanx.synth.preview import save_sheet

        count = args.count or 60
        columns = min(10, count)
        save_sheet(args.preview, args.seed, rows=-(-count // columns), columns=columns, size=args.size, config=config)
        say(f"sheet of seed {args.seed} -> {args.preview}")
    if args.preview_frames:
        from phalanx.synth.preview import save_frames_sheet

        save_frames_sheet(args.preview_frames, args.seed, args.count or 24, _frames_config(config))
        say(f"whole frames of seed {args.seed} -> {args.preview_frames}")
    if args.out:
        from phalanx.synth.sets.sets import Plan, make_set

        of_a_hand = config.views * config.times
        asked = args.count or (1024 if recorded is None else len(recorded.residual) * of_a_hand)
        plan = Plan(config, args.seed, -(-asked // of_a_hand) * of_a_hand)
        if args.count and plan.count != asked:
            say(f"{plan.count} pictures instead of {asked}, so that every hand has all of its {of_a_hand}")
        with progress_bar(args.quiet) as progress:
            manifest = make_set(plan, args.out, args.workers, say, progress, args.ray)
        say(f"{plan.count} pictures of seed {args.seed} in {plan.shards} shards -> {manifest}")
        if recorded is not None:
            recorded.write(manifest.with_name("poses.json"))
    return 0


def _check(args: argparse.Namespace) -> None:
    if not args.preview and not args.preview_frames and not args.out:
        raise InputError("synth: nothing to make; give --preview FILE, --preview-frames FILE or --out DIR")
    for name, least in (("seed", 0), ("count", 1), ("views", 1), ("workers", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise InputError(f"--{name}: must be {least} or more, got {value}")
    if args.seed >= 2**63:
        raise InputError(f"--seed: must be below 2^63, got {args.seed}")
    if args.ray is not None and not args.out:
        raise InputError("--ray: is for sets; give their folder with --out DIR")
    if args.rig is not None and args.views is not None:
        raise InputError("synth: --rig and --views both set the cameras; give one of them")


def _config(args: argparse.Namespace) -> SynthConfig:
    """Settings of the synthesis. Raises InputError if it makes no sense, or a file or folder that it names is missing."""
    from pathlib import Path

    from phalanx.synth import SynthConfig

    for name in ("backgrounds", "panoramas", "things"):
        folder = getattr(args, name)
        if folder and not Path(folder).is_dir():
            raise InputError(f"{folder}: there is no such folder of {name}")
    rig = args.rig if args.views is None else f"ring{args.views}"
    if rig is not None:
        from phalanx.synth.scene.rigs import load_rig

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
        poses=Path(args.poses) if args.poses else None,
        backgrounds=Path(args.backgrounds) if args.backgrounds else None,
        panoramas=Path(args.panoramas) if args.panoramas else None,
        things=Path(args.things) if args.things else None,
        realism=Path(args.realism) if args.realism else None,
    )
    if config.realism is not None:
        from phalanx.synth.realism import check_realism

        check_realism(config.realism, config.size)
        if args.preview_frames:
            raise InputError("--realism: the network redraws single hands, and --preview-frames shows whole frames")
    return config


def _frames_config(config: SynthConfig) -> FramesConfig:
    """The same world for whole frames."""
    from phalanx.synth.frames_config import FramesConfig

    return FramesConfig(
        domain=config.domain,
        depth_sensor=config.depth_sensor,
        backgrounds=config.backgrounds,
        panoramas=config.panoramas,
        things=config.things,
    )
