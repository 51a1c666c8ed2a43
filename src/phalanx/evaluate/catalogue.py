"""Every protocol that `phalanx evaluate` runs: a new one adds its module and its line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from phalanx.evaluate import (
    dexter_object,
    dexycb,
    freihand,
    gestures,
    hgr,
    ho3d,
    interhand,
    mhp,
    nyu,
    photos3d,
    rhd,
    stb,
    synth,
)
from phalanx.evaluate.kinds import PCK_FILES, Kind
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
    "ho3d": of_set("HO-3D, evaluation split with the ground truth of 2025, joints and surfaces", ho3d.PROTOCOL),
    "dexycb": of_set("DexYCB, test part of s0", dexycb.PROTOCOL),
    "dexycb_s1": of_set("DexYCB, test part of s1, unseen people", dexycb.PROTOCOL_S1),
    "dexycb_s2": of_set("DexYCB, test part of s2, an unseen camera", dexycb.PROTOCOL_S2),
    "dexycb_s3": of_set("DexYCB, test part of s3, unseen grasped objects", dexycb.PROTOCOL_S3),
    "interhand": of_set("InterHand2.6M, test split, single hands", interhand.PROTOCOL),
    "interhand_human": of_set("InterHand2.6M, test split, single hands that people annotated", interhand.PROTOCOL_HUMAN),
    "dexter_object": of_set("Dexter+Object, fingertips in colour pictures", dexter_object.PROTOCOL),
    "hgr": Evaluation("HGR, fingertips and masks in colour pictures", hgr.HELP, hgr.evaluate_hgr, hgr.show, hgr.KINDS),
    "gestures": Evaluation("gestures, by predicted poses", gestures.HELP, gestures.evaluate_gestures, gestures.show, gestures.KINDS),
}  # fmt: skip
"""By name on the command line."""

PCK = "pck"
"""What compared curves go by that are not beside scores of a protocol."""

KINDS: Mapping[str, Kind] = {
    **{name: kind for evaluation in PROTOCOLS.values() for name, kind in evaluation.kinds.items()},
    PCK: PCK_FILES,
}
"""How scores are shown, by the `protocol` in files of scores; and curves that are read from files."""
