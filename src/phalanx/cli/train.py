"""`phalanx train`: a method, its settings from files and options, a folder in which it trains."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, NoReturn

from phalanx.cli.common import Verbs, add_late_verb
from phalanx.core.errors import InputError

if TYPE_CHECKING:
    import jsonargparse

_ABOUT = "train a method on synthetic pictures; --resume continues a run that was killed"
_DEFAULT = "compact"

_HELP = """\
phalanx train [METHOD] [options]   methods, each with settings of its own:
{methods}

Trains in the folder --out, which will hold checkpoints, the learning curve (table and picture), and at the end the weights for
--weights of predict. Every setting below can also come from a YAML file, with --config; options on the command line win.

With --resume a run that was killed continues from its last checkpoint, exactly as if it had not stopped.

examples:
  phalanx train --out runs/a --loop.minutes 60
  phalanx train --out runs/a --resume
  phalanx train --out runs/b --config recipes/compact_1.yaml --seed 2
  phalanx train sphere_fitting --out runs/c --config recipes/sphere_fitting_1.yaml
"""


def add(verbs: Verbs) -> None:
    """Add the verb."""
    add_late_verb(verbs, "train", _ABOUT, job)


def job(args: argparse.Namespace) -> int:
    """Train and export."""
    from phalanx.core.allocator import keep_freed_memory
    from phalanx.train.catalogue import TRAININGS
    from phalanx.train.run import say, silent

    method, arguments = _DEFAULT, list(args.arguments)
    if arguments and not arguments[0].startswith("-"):
        method = arguments.pop(0)
    if method not in TRAININGS:
        raise InputError(f"{method}: is none of the methods {', '.join(TRAININGS)}; see phalanx train --help")
    training = TRAININGS[method]
    width = max(map(len, TRAININGS)) + 2
    methods = "\n".join(f"  {name:<{width}}{entry.about}" for name, entry in TRAININGS.items())
    parser = _parser(method, _HELP.format(methods=methods), training.config)
    settings = parser.parse_args(arguments)
    # jsonargparse renamed the method; the old name warns in new releases and the new one is missing in old.
    values = parser.instantiate(settings) if hasattr(parser, "instantiate") else parser.instantiate_classes(settings)
    config = training.config(**{field.name: values[field.name] for field in dataclasses.fields(training.config)})
    if values["device"] is not None:
        config = dataclasses.replace(config, loop=dataclasses.replace(config.loop, device=values["device"]))
    keep_freed_memory()
    report = silent if values["quiet"] else say
    report(f"weights -> {training.run(config, values['out'], values['resume'], report)}")
    return 0


def _parser(method: str, help: str, config: type) -> jsonargparse.ArgumentParser:
    """A parser with an option for every setting of a training."""
    import jsonargparse

    class Formatter(jsonargparse.DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
        pass

    class Parser(jsonargparse.ArgumentParser):
        def error(self, message: str, ex: Exception | None = None) -> NoReturn:
            raise InputError(" ".join(f"{message.rstrip('.')}; see {self.prog} --help".split()))

    parser = Parser(prog=f"phalanx train {method}", description=help, formatter_class=Formatter, allow_abbrev=False)
    parser.add_argument("--config", action="config", help="YAML file of settings")
    parser.add_argument("--out", type=str, required=True, help="folder of the run")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument(
        "--device", type=str, help="where to compute: cpu, cuda, cuda:1, ...; the same as --loop.device"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_class_arguments(config, nested_key=None)
    _describe(parser, config)
    return parser


def _describe(parser: argparse.ArgumentParser, config: type) -> None:
    """Put the description of each field of a dataclass into a parser's help: jsonargparse would need one more package for it."""
    from phalanx.core.settings import field_descriptions, nested_settings

    actions = {action.dest: action for action in parser._actions}
    groups = list(parser._action_groups)
    for prefix, part in nested_settings(config).items():
        group = next(group for group in groups if group.title == str(part))  # of two alike, the first comes first
        group.title = prefix or "the run"
        for name, text in field_descriptions(part).items():
            # argparse takes a % for a format, in some releases of jsonargparse only
            actions[f"{prefix}.{name}".lstrip(".")].help = text.replace("%", "per cent")
