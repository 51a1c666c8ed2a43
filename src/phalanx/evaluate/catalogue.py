"""Every protocol that `phalanx evaluate` runs: a new one adds its module and its line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from phalanx.evaluate import dexter_object, freihand, gestures, hgr, mhp, nyu, photos3d, rhd, stb, synth
from phalanx.evaluate.kinds import Kind
from phalanx.evaluate.protocol import HELP, Protocol, evaluate_set, show_set


@dataclass(frozen=True)
class Evaluation:
    """How a protocol is run and how its scores are shown.

    Attributes:
        about: one line of help.
        help: what the command line says beside: what the protocol takes and prints, examples.
        evaluate: predicts and scores; returns the report. Takes `steps`, and options of its own by name.
        show: prints the report.
        kinds: how scores are shown in tables, plots and reports, by the report's `protocol`.
    """

    about: str
    help: str
    evaluate: Callable[..., dict[str, Any]]
    show: Callable[[dict[str, Any]], None]
    kinds: Mapping[str, Kind]


def of_set(about: str, protocol: Protocol) -> Evaluation:
    """The entry of a public set that is scored by `evaluate_set`."""
    return Evaluation(about, HELP, partial(evaluate_set, protocol), show_set, {protocol.name: protocol.kind})


PROTOCOLS: Mapping[str, Evaluation] = {
    "photos3d": Evaluation("colour photos with 3D joints", photos3d.HELP, photos3d.evaluate_photos3d, photos3d.show, photos3d.KINDS),
    "synth": Evaluation("synthetic pictures of a fixed seed", synth.HELP, synth.evaluate_synth, photos3d.show, synth.KINDS),
    "nyu": Evaluation("the NYU hand pose test set, depth frames", nyu.HELP, nyu.evaluate_nyu, nyu.show, nyu.KINDS),
    "rhd": of_set("RHD, evaluation split", rhd.PROTOCOL),
    "stb": of_set("STB, sequences B1, the stereo pair", stb.PROTOCOL),
    "stb_sk": of_set("STB, sequences B1, the depth camera's colour pictures", stb.PROTOCOL_SK),
    "mhp": of_set("MHP, three sequences", mhp.PROTOCOL),
    "freihand": of_set("FreiHAND, evaluation split, joints and surfaces", freihand.PROTOCOL),
    "dexter_object": of_set("Dexter+Object, fingertips in colour pictures", dexter_object.PROTOCOL),
    "hgr": Evaluation("HGR, fingertips and masks in colour pictures", hgr.HELP, hgr.evaluate_hgr, hgr.show, hgr.KINDS),
    "gestures": Evaluation("gestures, by predicted poses", gestures.HELP, gestures.evaluate_gestures, gestures.show, gestures.KINDS),
}  # fmt: skip
"""By name on the command line."""

KINDS: Mapping[str, Kind] = {name: kind for evaluation in PROTOCOLS.values() for name, kind in evaluation.kinds.items()}
"""How scores are shown, by the `protocol` in files of scores."""
