"""The `phalanx` command: argument parsing only. Every verb is a Python call, imported when it is wanted.

Exit codes: 0 done; 2 bad input or use, said in one sentence on stderr; 1 a fault of the program (with a traceback);
130 interrupted.
"""

import argparse
import io
import os
import sys
from collections.abc import Sequence

from phalanx import __version__
from phalanx.cli.common import Parser, complain
from phalanx.cli.evaluate import add_evaluate
from phalanx.cli.hands import add_fit, add_predict
from phalanx.cli.make import add_adapt, add_synth, add_train
from phalanx.cli.measure import add_compare, add_data, add_report, add_reproduce
from phalanx.core.errors import InputError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: those of the process); returns the exit code."""
    parser = _parser()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files may hold what the terminal cannot show
    try:
        args, rest = parser.parse_known_args(argv)
        if rest and args.verb != "train":
            raise InputError(f"{rest[0]}: there is no such option or argument; see phalanx {args.verb} --help")
        return args.job(args, rest)
    except InputError as error:
        return complain(error)
    except KeyboardInterrupt:
        print("phalanx: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `phalanx ... | head`: nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="phalanx",
        description="Hands in pictures: 3D pose and surface. Trained on its own synthesis alone.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"phalanx {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True, parser_class=Parser)
    add_predict(verbs)
    add_fit(verbs)
    add_synth(verbs)
    add_train(verbs)
    add_adapt(verbs)
    add_data(verbs)
    add_evaluate(verbs)
    add_compare(verbs)
    add_report(verbs)
    add_reproduce(verbs)
    return parser


_EXAMPLES = """\
examples:
  phalanx predict photo.jpg                     the hand in a photo, into out/
  phalanx predict photos/ --side left           every photo in a folder, left hands
  phalanx fit keypoints.npz --side left         the hand in the pose of given 3D joints
  phalanx synth --preview sheet.png --seed 3    what the training pictures look like
  phalanx evaluate photos3d DIR --json s.json   score on real photos with 3D joints

phalanx VERB --help says more about each. Exit codes: 0 done, 2 bad input, 1 a fault of the program.
"""
