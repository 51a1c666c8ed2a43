"""What the verbs of the command share: parsers whose complaints are one sentence, common options, progress bars."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TypeAlias, TypedDict

from phalanx.core.errors import InputError

Job = Callable[[argparse.Namespace], int]
"""Runs a verb: the parsed arguments in, the exit code out."""


class Parser(argparse.ArgumentParser):
    """A parser that raises its complaints as one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError."""
        raise InputError(f"{message}; see {self.prog} --help")


Verbs: TypeAlias = "argparse._SubParsersAction[Parser]"
"""What `add_subparsers` returns: the place of the parsers of verbs."""


def parse(parser: Parser, arguments: Sequence[str]) -> argparse.Namespace:
    """The parsed arguments. Raises InputError for options and arguments that the parser does not know."""
    args, unknown = parser.parse_known_args(arguments)
    if unknown:
        words = [parser.prog, *(getattr(args, name) for name in _CHOICES if getattr(args, name, None))]
        raise InputError(f"{unknown[0]}: there is no such option or argument; see {' '.join(words)} --help")
    return args


_CHOICES = ("verb", "protocol", "kind", "action", "table")
"""Where the choice among parsers is kept: `dest` of `add_subparsers`."""


def add_verb(verbs: Verbs, name: str, about: str, help: str = "", job: Job | None = None) -> Parser:
    """Add a parser to what `add_subparsers` returned.

    Args:
        verbs: the parsers.
        name: of the new one.
        about: one line for the list of verbs; begins the verb's own help.
        help: what its help says after the options: details and examples.
        job: runs it; None if its own parsers have jobs.
    """
    parser = verbs.add_parser(name, help=about, **_looks(about, help))
    parser.set_defaults(job=job)
    return parser


def add_late_verb(verbs: Verbs, name: str, about: str, job: Job) -> None:
    """Add a verb whose own parser is made by its job, from `args.arguments`, because it is slow: what it lists must be imported."""
    parser = verbs.add_parser(name, help=about, add_help=False, prefix_chars="\0")  # nothing looks like an option
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    parser.set_defaults(job=job)


def late_parser(name: str, about: str, help: str = "") -> Parser:
    """The parser of a late verb; arguments as for `add_verb`."""
    return Parser(prog=f"phalanx {name}", **_looks(about, help))


class _Looks(TypedDict):
    """How the help of a parser looks, and that options are written out."""

    description: str
    epilog: str
    formatter_class: type[argparse.HelpFormatter]
    allow_abbrev: bool


def _looks(about: str, help: str) -> _Looks:
    return {
        "description": about[0].upper() + about[1:] + ".",
        "epilog": help,
        "formatter_class": argparse.RawDescriptionHelpFormatter,
        "allow_abbrev": False,
    }


def add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, cuda:1, ... (default: cpu)")


def add_quiet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")


def add_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", metavar="FILE", help="weights of the network (default: those in the package)")


def add_side(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--side",
        type=str.lower,
        choices=("left", "right", "auto"),
        default="auto",
        help="which hand all frames show (default: auto, the one that most frames speak for)",
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """Of the hands that are found; None where they are not given (`predict.inputs` has what is taken then)."""
    parser.add_argument("--max-hands", type=int, metavar="N", help="the most hands to find in a picture (default: 8)")
    parser.add_argument(
        "--min-score", type=float, metavar="P", help="how surely a hand must be there, 0 to 1 (default: 0.7)"
    )


def add_box(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--box", type=numbers, metavar="X,Y,W,H", help="where the hand is, in pixels (default: found by itself)"
    )


def add_depth_camera(parser: argparse.ArgumentParser, required: bool = False) -> None:
    parser.add_argument(
        "--camera",
        required=required,
        metavar="NAME",
        help="depth camera: kinect1, kinect2, azure, sr300, sr305, d415, d435, nyu, or fx,fy,cx,cy in pixels with --unit",
    )
    parser.add_argument(
        "--unit",
        type=float,
        metavar="METRES",
        help="length of one unit in depth frames (default: the camera's; 1 for frames of floating-point numbers)",
    )


def add_gestures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--gestures", metavar="MODEL", help="name each hand's gesture, by a file that phalanx gestures train wrote"
    )


def sayer(quiet: bool) -> Callable[[str], None]:
    """Prints a line, or does nothing."""
    return (lambda line: None) if quiet else (lambda line: print(line, flush=True))


@contextlib.contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error if that is a terminal; yields a function of the number done and of the number in all."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from tqdm import tqdm  # type: ignore[import-untyped]

    with tqdm(file=sys.stderr, leave=False, dynamic_ncols=True) as bar:

        def show(done: int, total: int) -> None:
            bar.total, bar.n = total, done
            bar.refresh()

        yield show


def complain(sentence: str | InputError) -> int:
    """Print a sentence on standard error; returns the exit code for bad input."""
    print(f"phalanx: {sentence}", file=sys.stderr, flush=True)
    return 2


def numbers(text: str) -> list[float]:
    """Numbers with commas between, as the type of an option."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers with commas between") from None


def box(text: str) -> list[float] | str:
    """Numbers, or "whole", as the type of an option."""
    return text if text == "whole" else numbers(text)


def camera(text: str) -> list[float] | str:
    """Numbers, or the path of a camera's file, as the type of an option."""
    try:
        return numbers(text)
    except argparse.ArgumentTypeError:
        if Path(text).is_file() or Path(text).suffix:
            return text
        raise argparse.ArgumentTypeError(f"{text!r} is neither numbers with commas between nor a file") from None
