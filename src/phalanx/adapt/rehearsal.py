"""The synthesis that goes with a user's colour pictures in every step, so that little is forgotten, and that tells what was."""

from __future__ import annotations

from phalanx.methods.compact import CompactConfig
from phalanx.synth import SynthConfig
from phalanx.train.compact import CompactTraining

TILES, SKINS = 96, 8
"""Of backgrounds and skins: fewer than long trainings have, for they are made before the first step."""


def rehearsal(model: CompactConfig, workers: int, buffer: int, held_out: int) -> CompactTraining:
    """Settings of `train.compact.synthetic_feed` and `train.compact.held_out` beside a user's pictures.

    Args:
        model: of the network that is fitted.
        workers: processes that make synthetic hands; 0: this one.
        buffer: synthetic hands made at a time.
        held_out: those that tell what was forgotten.
    """
    synth = SynthConfig(size=model.size, tiles=TILES, skins=SKINS)
    return CompactTraining(model=model, synth=synth, workers=workers, buffer=buffer, held_out=held_out)
