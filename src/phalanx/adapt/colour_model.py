"""What fitting the default estimator leaves: MODEL.onnx for prediction, MODEL.safetensors to go on from, MODEL.json, their card, and a
folder MODEL/."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from phalanx.core.files import read_json, writable_file, writable_folder
from phalanx.data.sample import Sample
from phalanx.hand.model import HandModel
from phalanx.methods.compact import CompactEstimator, export, save_weights
from phalanx.nets.export import MOST_PICTURES
from phalanx.train.card import Source, write_card
from phalanx.train.feed import resize


def model_and_folder(out: str | os.PathLike[str]) -> tuple[Path, Path]:
    """The model's file, `.onnx` added where the name does not end so, and the folder beside it, which is made.

    Raises InputError if they cannot be written.
    """
    model = Path(out) if Path(out).suffix.lower() == ".onnx" else Path(f"{out}.onnx")
    writable_file(model)
    return model, writable_folder(model.with_suffix(""))


def write_model(
    estimator: CompactEstimator,
    path: Path,
    data: Sequence[Source],
    start: Mapping[str, Any] | None,
    settings: Mapping[str, Any],
    figures: Mapping[str, Any],
    own: Tensor,
    synthetic: Sample,
) -> None:
    """Write weights, their card, and the model with the card in it.

    Args:
        estimator: as it was trained; it is moved to the CPU.
        path: of the model; the run lies in `run` in its folder.
        data: what was learnt from.
        start: what it began from (`train.card.begun_from`).
        settings: of the fitting.
        figures: what `adapted.json` holds: those before and after, `held_back` and `verdict` go onto the card.
        own: the user's crops (N, 3, S, S), at most `MOST_PICTURES`, which the model's whole numbers are set by, too.
        synthetic: fills up what is left of those.
    """
    hand, estimator = HandModel.open_hand(), estimator.cpu().eval()
    save_weights(estimator, path.with_suffix(".safetensors"), hand)
    scores = {name: figures[name] for name in ("before", "after", "held_back", "verdict")}
    write_card(path.with_suffix(".json"), data, start, {**settings, "scores": scores}, path.with_suffix("") / "run")
    drawn = resize(synthetic, estimator.config.size).image
    assert drawn is not None
    shown = torch.cat([own, drawn[: MOST_PICTURES - len(own)]])
    export(estimator, path, hand, "int8", shown, read_json(path.with_suffix(".json")))
