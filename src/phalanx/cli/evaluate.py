"""`phalanx evaluate`: predict and save, then score what was saved."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from phalanx.cli.common import Parser, Verbs, add_late_verb, add_verb, late_parser, parse, progress_bar
from phalanx.cli.protocols import OPTIONS, add_set
from phalanx.core.errors import InputError

if TYPE_CHECKING:
    from phalanx.evaluate.predictors import HandPredictor

_ABOUT = "predict and save, then score against ground truth"

_HELP = """\
phalanx evaluate PROTOCOL --help describes each.

examples:
  phalanx evaluate photos3d path/to/photos --json scores.json --worst worst.png
  phalanx evaluate nyu --predictions method.txt --ground-truth test.txt --json method.json
  phalanx compare method.json other.json
"""

_SHARED = {"protocol", "job", "predictions", "save", "json", "weights", "device", "quiet"}


def add(verbs: Verbs) -> None:
    """Add the verb."""
    add_late_verb(verbs, "evaluate", _ABOUT, job)


def job(args: argparse.Namespace) -> int:
    """Parse the protocol's own arguments and run it."""
    from phalanx.evaluate.catalogue import PROTOCOLS

    parser = late_parser("evaluate", _ABOUT, _HELP)
    protocols = parser.add_subparsers(dest="protocol", metavar="PROTOCOL", required=True, parser_class=Parser)
    for name, protocol in PROTOCOLS.items():
        OPTIONS.get(name, add_set)(add_verb(protocols, name, protocol.about, protocol.help, evaluate))
    chosen = parse(parser, args.arguments)
    code: int = chosen.job(chosen)
    return code


def evaluate(args: argparse.Namespace) -> int:
    """Run a protocol and print its report: options of its own go to its function by name."""
    if args.predictions and (args.weights or args.save):
        raise InputError("--predictions: saved predictions are scored as they are; give neither --weights nor --save")
    from phalanx.evaluate.catalogue import PROTOCOLS
    from phalanx.evaluate.steps import Steps

    predictor = None if args.predictions else _predictor(args)
    own = {name: value for name, value in vars(args).items() if name not in _SHARED}
    protocol = PROTOCOLS[args.protocol]
    with progress_bar(args.quiet) as progress:
        report = protocol.evaluate(steps=Steps(predictor, args.predictions, args.save, args.json, progress), **own)
    if not args.quiet:
        protocol.show(report)
    return 0


def _predictor(args: argparse.Namespace) -> HandPredictor:
    from phalanx.evaluate.predictions import DefaultPredictor
    from phalanx.predict.predictor import Predictor

    return Predictor(args.weights, args.device) if args.weights else DefaultPredictor(args.device)
