"""What verbs share: options of one name are one option, bars, late verbs."""

import argparse
import io
import sys

import pytest

from phalanx.cli import adapt, predict
from phalanx.cli.common import Parser, add_late_verb, late_parser, parse, progress_bar, sayer
from phalanx.core.errors import InputError


def options(verb, *words):
    """Actions of a verb's parser by name."""
    parser = Parser(prog="phalanx")
    verb.add(parser.add_subparsers(dest="verb"))
    for word in words:
        choices = next(action for action in parser._actions if isinstance(action, argparse._SubParsersAction)).choices
        parser = choices[word]
    return {action.option_strings[0]: action for action in parser._actions if action.option_strings}


def test_options_of_depth_frames_are_the_same_in_both_verbs():
    ours, theirs = options(predict, "predict"), options(adapt, "adapt", "depth")
    for name in ("--camera", "--unit", "--weights", "--device", "--quiet"):
        assert (ours[name].help, ours[name].type) == (theirs[name].help, theirs[name].type)
    assert theirs["--camera"].required and not ours["--camera"].required


def test_late_verbs_get_their_arguments_as_they_are():
    parser = Parser(prog="phalanx")
    parser.add_argument("--version", action="version", version="1")
    add_late_verb(parser.add_subparsers(dest="verb"), "late", "comes late", lambda args: 0)
    for words in ([], ["--help"], ["--out", "a", "b", "-x"], ["a", "--version", "--", "-1"]):
        args = parse(parser, ["late", *words])
        assert (args.verb, args.arguments) == ("late", words)


def test_what_a_parser_does_not_know_is_named_with_the_verbs_so_far():
    parser = late_parser("late", "comes late")
    kinds = parser.add_subparsers(dest="kind", parser_class=Parser)
    kinds.add_parser("one", allow_abbrev=False).add_argument("--known")
    assert parse(parser, ["one", "--known", "3"]).known == "3"
    with pytest.raises(InputError, match=r"^--kno: there is no such option or argument; see phalanx late one --help$"):
        parse(parser, ["one", "--kno", "3"])


def test_bars_are_for_terminals_and_lines_for_those_who_want_them(monkeypatch, capsys):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for quiet, shown in ((False, True), (True, False)):
        monkeypatch.setattr(sys, "stderr", Terminal())
        with progress_bar(quiet) as progress:
            progress(3, 7)
        assert ("3/7" in sys.stderr.getvalue()) == shown
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with progress_bar(False) as progress:
        progress(3, 7)
    assert sys.stderr.getvalue() == ""
    sayer(True)("silence")
    sayer(False)("a line")
    assert capsys.readouterr().out == "a line\n"
