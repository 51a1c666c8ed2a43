"""What the verbs of the command share: parsers that complain in a sentence, bars, lines for people."""

import argparse
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from phalanx.core.errors import InputError


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence, as all others."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def add_verb(verbs: Any, name: str, job: Any, short: str, long: str, add_help: bool = True) -> argparse.ArgumentParser:
    parser = verbs.add_parser(
        name,
        help=short,
        description=short[0].upper() + short[1:] + ".",
        epilog=long,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        add_help=add_help,
    )
    parser.set_defaults(job=job)
    return parser


def add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="cpu", help="where to compute: cpu, cuda, cuda:1, ... (default: cpu)")
    parser.add_argument("--quiet", action="store_true", help="say nothing but complaints")


def sayer(quiet: bool) -> Any:
    return (lambda line: None) if quiet else (lambda line: print(line, flush=True))


@contextlib.contextmanager
def progress_bar(quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar on a terminal's standard error, nothing elsewhere; what is yielded takes how many are done and how many there are."""
    if quiet or not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def complain(sentence: str | InputError) -> int:
    print(f"phalanx: {sentence}", file=sys.stderr, flush=True)
    return 2


def numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers with commas between") from None
