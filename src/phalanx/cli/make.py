"""`phalanx synth`, `train` and `adapt`: pictures and weights out of nothing, or out of recordings without labels."""

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from phalanx.cli.common import Parser, add_verb, complain, numbers, progress_bar, sayer
from phalanx.core.errors import InputError


def add_synth(verbs: Any) -> None:
    parser = add_verb(verbs, "synth", _synth, "make labelled pictures of hands out of nothing", _SYNTH)
    parser.add_argument(
        "--preview", metavar="FILE", help="write a sheet of pictures, half with joints drawn on, as PNG or JPEG"
    )
    parser.add_argument(
        "--out", metavar="DIR", help="write a set of pictures with labels into this folder, or go on with the one there"
    )
    parser.add_argument("--seed", type=int, default=0, help="same seed, same bytes (default: 0)")
    parser.add_argument(
        "--count",
        type=int,
        help="how many pictures (default: 60 in a sheet, 1024 in a set; sheets are filled up to whole rows of ten)",
    )
    parser.add_argument("--views", type=int, metavar="N", help="the same as --rig ringN: N cameras round each hand")
    parser.add_argument(
        "--rig",
        metavar="NAME",
        help="cameras that see each hand at once: ring8 (or another number), stereo, five_views, or a JSON file of your own",
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
        help="any, studio (clean), or field (harsh, and disjoint) (default: any)",
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
    parser.add_argument("--quiet", action="store_true", help="say nothing but complaints")


_SYNTH = """\
A set is WebDataset shards (tar files) and manifest.json with settings, counts and checksums. Each picture has image.png, depth.png
(uint16, 0.1 mm), mask.png, parts.png and labels.npy: joints (metres, camera frame), joints_2d (pixels), vertices,
rotations, shape, orientation, translation, K and ids, as phalanx.data.sample.Sample describes them; with a depth sensor also
sensed_depth.png, with cameras round the hand world_to_camera, in clips time (seconds), of people and arms boxes and hand_masks.png. Then
ids are (hand or person, frame, view), else (seed, chunk, number). Killed and started again, it goes on. docs/synthesis.md shows
what there is.

A rig file is JSON: width, height, spot [x, y, z], cameras [{K: 3x3 or [fx, fy, cx, cy], world_to_camera: 4x4}, ...], in metres.

examples:
  phalanx synth --preview sheet.png --seed 3
  phalanx synth --out samples --count 10000 --workers 2
  phalanx synth --out multi_view --count 320000 --views 8 --size 256 --workers 2
  phalanx synth --out multi_view --count 320000 --views 8 --size 256 --ray head:6379
  phalanx synth --rig stereo --size 256 --preview pairs.png
  phalanx synth --scene motion --depth-sensor azure --preview clips.png
"""


def _synth(args: argparse.Namespace, rest: Sequence[str]) -> int:
    if not args.preview and not args.out:
        raise InputError("synth: say what to make, with --preview FILE or --out DIR")
    for name, least in (("seed", 0), ("count", 1), ("views", 1), ("workers", 1)):
        value = getattr(args, name)
        if value is not None and value < least:
            raise InputError(f"--{name}: must be {least} or more, got {value}")
    if args.seed >= 2**63:
        raise InputError(f"--seed: must be below 2^63, got {args.seed}")
    from pathlib import Path

    from phalanx.core.allocator import keep_freed_memory
    from phalanx.synth import SynthConfig

    keep_freed_memory()
    if args.backgrounds and not Path(args.backgrounds).is_dir():
        raise InputError(f"{args.backgrounds}: there is no such folder of backgrounds")
    if args.ray is not None and not args.out:
        raise InputError("--ray: is for sets; say where to with --out DIR")
    if args.rig is not None and args.views is not None:
        raise InputError("synth: --rig and --views say the same; give one of them")
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
        backgrounds=Path(args.backgrounds) if args.backgrounds else None,
    )
    say = sayer(args.quiet)
    if args.preview:
        from phalanx.synth.preview import save_sheet

        count = args.count or 60
        columns = min(10, count)
        save_sheet(args.preview, args.seed, rows=-(-count // columns), columns=columns, size=args.size, config=config)
        say(f"sheet of seed {args.seed} -> {args.preview}")
    if args.out:
        from phalanx.synth.sets.sets import Plan, make_set

        of_a_hand = config.views * config.times
        asked = args.count or 1024
        plan = Plan(config, args.seed, -(-asked // of_a_hand) * of_a_hand)
        if args.count and plan.count != asked:
            say(f"{plan.count} pictures instead of {asked}, so that every hand has all of its {of_a_hand}")
        with progress_bar(args.quiet) as progress:
            manifest = make_set(plan, args.out, args.workers, say, progress, args.ray)
        say(f"{plan.count} pictures of seed {args.seed} in {plan.shards} shards -> {manifest}")
    return 0


def add_train(verbs: Any) -> None:
    add_verb(
        verbs, "train", _train, "train the default estimators on synthesis; --resume after being killed", "", False
    )


_TRAIN = """\
Trains in the folder --out: checkpoints, the curve (table and picture), and in the end weights for --weights of predict.
Every setting below can stand in a YAML file, given with --config; those on the command line win. `phalanx train` is for colour,
`phalanx train depth` for depth frames: each has settings of its own.

With --resume a run that was killed goes on from its last checkpoint, as if nothing had happened.

examples:
  phalanx train --out runs/a --loop.minutes 60
  phalanx train --out runs/a --resume
  phalanx train --out runs/b --config recipes/compact_1.yaml --seed 2
  phalanx train depth --out runs/c --config recipes/sphere_fitting_1.yaml
"""


def _train(args: argparse.Namespace, rest: Sequence[str]) -> int:
    import dataclasses

    import jsonargparse

    from phalanx.core.allocator import keep_freed_memory
    from phalanx.train import compact, sphere_fitting

    depth = rest[:1] == ["depth"]
    kind: Any = sphere_fitting.StartConfig if depth else compact.TrainConfig
    run: Any = sphere_fitting.run if depth else compact.run

    class Formatter(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
        pass

    class Parser(jsonargparse.ArgumentParser):
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            raise InputError(" ".join(f"{message.rstrip('.')}; see {self.prog} --help".split()))

    parser = Parser(
        prog="phalanx train depth" if depth else "phalanx train", description=_TRAIN, formatter_class=Formatter
    )
    parser.add_argument("--config", action="config", help="YAML file of settings")
    parser.add_argument("--out", type=str, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="go on with the run in --out")
    parser.add_class_arguments(kind, nested_key=None)
    _describe(parser, kind)
    settings = parser.parse_args(list(rest[depth:]))
    # jsonargparse renamed the method; the old name warns in new releases and the new one is missing in old.
    values = parser.instantiate(settings) if hasattr(parser, "instantiate") else parser.instantiate_classes(settings)
    config = kind(**{field.name: values[field.name] for field in dataclasses.fields(kind)})
    keep_freed_memory()
    print(f"weights -> {run(config, values['out'], resume=values['resume'])}")
    return 0


def _describe(parser: argparse.ArgumentParser, config: type) -> None:
    """Say in a parser's help what a dataclass says of its fields: jsonargparse would need one more package for it."""
    from phalanx.core.settings import field_descriptions, nested_settings

    actions = {action.dest: action for action in parser._actions}
    groups = {group.title: group for group in parser._action_groups}
    for prefix, part in nested_settings(config).items():
        groups[str(part)].title = prefix or "the run"
        for name, text in field_descriptions(part).items():
            # argparse takes a % for a format, in some releases of jsonargparse only
            actions[f"{prefix}.{name}".lstrip(".")].help = text.replace("%", "per cent")


def add_adapt(verbs: Any) -> None:
    parser = add_verb(verbs, "adapt", None, "fit a network to recordings of your own camera, without labels", "")
    kinds = parser.add_subparsers(dest="kind", metavar="KIND", required=True, parser_class=Parser)
    depth = add_verb(kinds, "depth", _adapt_depth, "fit the sphere network to 16-bit depth frames", _ADAPT_DEPTH)
    depth.add_argument("--data", required=True, metavar="DIR", help="folder of depth frames (PNG, 16 bits)")
    depth.add_argument(
        "--camera",
        required=True,
        metavar="NAME",
        help="kinect1, kinect2, azure, sr300, sr305, d415, d435, nyu, or fx,fy,cx,cy in pixels with --unit",
    )
    depth.add_argument(
        "--unit", type=float, metavar="METRES", help="what a value of 1 stands for (default: the camera's)"
    )
    depth.add_argument("--out", required=True, metavar="DIR", help="folder for weights, picture and figures")
    depth.add_argument("--weights", metavar="FILE", help="weights to begin with (default: those in the package)")
    depth.add_argument("--side", choices=("left", "right"), default="right", help="which hand it is (default: right)")
    depth.add_argument(
        "--box",
        type=numbers,
        metavar="X,Y,W,H",
        help="where the hand is in all frames, in pixels (default: it is looked for)",
    )
    depth.add_argument("--mask", metavar="FILE", help="picture that is black where the hand is not, in all frames")
    depth.add_argument("--minutes", type=float, default=10.0, help="of training (default: 10)")
    depth.add_argument("--workers", type=int, default=1, help="processes that make synthetic frames (default: 1)")
    depth.add_argument("--resume", action="store_true", help="go on with a run that was killed")
    depth.add_argument("--quiet", action="store_true", help="say nothing but complaints")


_ADAPT_DEPTH = """\
Learns from the frames alone: spheres are drawn where the network says and held against the depth that was measured (Wan et al. 2019).
The hand is looked for in what is nearest and behind it, or where --box or --mask say. With a rig.json in the folder and a folder for
each of three or more calibrated cameras, their views are held against each other too, which is worth most:

  {"width": 640, "height": 480, "cameras": [{"name": "left", "K": [476, 476, 320, 240], "world_to_camera": [[...] x 4]}, ...]}

Lengths are in metres; a frame is what has the same file name in all cameras' folders. Frames without a hand, empty, of another size or
that not all cameras have are named and passed over. While it trains, lines tell the fit error, and adapted.png in --out shows some
frames with the joints before and now.

example:
  phalanx adapt depth --data recordings/ --camera sr305 --out mine
  phalanx predict frame.png --depth --camera sr305 --weights mine/sphere_fitting.safetensors
"""


def _adapt_depth(args: argparse.Namespace, rest: Sequence[str]) -> int:
    from phalanx.adapt.depth import adapt_depth
    from phalanx.core.allocator import keep_freed_memory

    keep_freed_memory()
    with progress_bar(args.quiet) as progress:
        figures = adapt_depth(
            args.data,
            args.camera,
            args.out,
            args.weights,
            args.unit,
            args.side,
            args.box,
            args.mask,
            args.minutes,
            args.workers,
            args.resume,
            sayer(args.quiet),
            complain,
            progress,
        )
    return 2 if figures["skipped"] else 0
