"""The table of protocols holds every one that there is a module for."""

import json
import pkgutil
from functools import partial
from importlib import import_module

import phalanx.evaluate
from phalanx.evaluate.catalogue import KINDS, PROTOCOLS
from phalanx.evaluate.protocol import Protocol, evaluate_set
from phalanx.evaluate.report import write_report


def modules():
    return [import_module(f"phalanx.evaluate.{part.name}") for part in pkgutil.iter_modules(phalanx.evaluate.__path__)]


def evaluations(module):
    """What a module has to evaluate with: its functions `evaluate_...`, and its `Protocol`s."""
    for name, value in vars(module).items():
        if name.startswith("evaluate_") and value is not evaluate_set and value.__module__ == module.__name__:
            yield value
        elif isinstance(value, Protocol):
            yield value


def test_every_protocol_with_a_module_is_in_the_table():
    there = {}
    for module in modules():
        there |= {id(value): (module.__name__, value) for value in evaluations(module)}
    entries = [entry.evaluate for entry in PROTOCOLS.values()]
    listed = {id(evaluate.args[0] if isinstance(evaluate, partial) else evaluate) for evaluate in entries}
    assert [name for number, (name, _) in there.items() if number not in listed] == []
    assert listed == there.keys() and len(listed) == len(PROTOCOLS) > 10


def test_entries_are_complete_and_named_as_their_scores():
    for name, entry in PROTOCOLS.items():
        assert entry.about and "\n" not in entry.about and entry.help.endswith("\n")
        assert entry.kinds and all(kind == name or kind.startswith(f"{name}_") for kind in entry.kinds)
    assert KINDS.keys() >= {"rhd", "stb_sk", "gestures_rwth", "nyu"} and len(KINDS) == len(PROTOCOLS) + 3


def test_scores_of_every_kind_make_a_page(tmp_path):
    """Columns, legend and remark of each entry, on scores with every figure that it names."""
    for protocol, kind in KINDS.items():
        figures = {key: 1.5 for _, key, _ in kind.columns} | {"fingertip_median_px_as_seen": 1.5, "mean_mm": 1.5}
        head = {"protocol": protocol, "whole": True, "pictures": 7, "runs": ["ours"]}
        if kind.curve:
            head[kind.thresholds] = [0, 50]
            figures[kind.curve] = [0.0, 1.0]
        path = tmp_path / f"{protocol}.json"
        path.write_text(json.dumps({**head, "ours": figures}))
        page = write_report([path], tmp_path).read_text()
        assert all(f"| {heading} |" in page for heading, _, _ in kind.columns) and " 1.5" in page
        assert (tmp_path / f"{protocol}.png").exists() == bool(kind.curve)
        assert kind.remark in page
