"""The `phalanx` command: argument parsing only, a file a verb. Every verb is a Python call, imported when it is used.

Exit codes: 0 done; 2 bad input or use, with one sentence on stderr; 1 a fault of the program, with a traceback; 130 interrupted.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from phalanx import __version__
from phalanx.cli import (
    adapt,
    compare,
    data,
    evaluate,
    export,
    fit,
    gestures,
    live,
    predict,
    report,
    reproduce,
    rig,
    serve,
    synth,
    train,
)
from phalanx.cli.common import Parser, complain, parse
from phalanx.core.errors import InputError
from phalanx.core.extras import missing_extra

VERBS = (
    predict,
    live,
    serve,
    rig,
    fit,
    gestures,
    export,
    synth,
    train,
    adapt,
    data,
    evaluate,
    compare,
    report,
    reproduce,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: those of the process); returns the exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may hold what the terminal cannot show
    try:
        args = parse(_parser(), sys.argv[1:] if argv is None else argv)
        code: int = args.job(args)
        return code
    except InputError as error:
        return complain(error)
    except ModuleNotFoundError as error:
        if (sentence := missing_extra(error)) is None:
            raise
        return complain(sentence)
    except KeyboardInterrupt:
        print("phalanx: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # as in `phalanx ... | head`: the reader is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> Parser:
    parser = Parser(
        prog="phalanx",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"phalanx {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    for verb in VERBS:
        verb.add(verbs)
    return parser


_ABOUT = """\
Finds hands in pictures, videos and depth frames and writes their 3D pose and surface: 21 joints, joint angles and a mesh, in metres.
Its networks are trained without 3D labels of real hands; it also makes their synthetic training pictures, trains them, fits them to your
own camera, and measures them.
"""

_EXAMPLES = """\
examples:
  phalanx predict photo.jpg                     the hand in a photo, into out/
  phalanx predict photos/ --side left           every photo in a folder, left hands
  phalanx fit keypoints.npz                     the hand model in the pose of given joints
  phalanx synth --preview sheet.png --seed 3    a sheet of training pictures
  phalanx evaluate photos3d DIR --json s.json   score on real photos with 3D joints

phalanx VERB --help describes each verb. Exit codes: 0 done, 2 bad input, 1 a fault of the program.
"""
