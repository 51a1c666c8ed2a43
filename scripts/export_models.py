"""Write the model of the default estimator that prediction uses (int8) from its weights, and say so on their card.

    python scripts/export_models.py [--weights FILE] [--out FILE] [--stored int8]

It is calibrated on synthetic pictures of a seed that neither training nor tests use.
"""

import argparse
from contextlib import closing
from pathlib import Path

import torch

from phalanx.core.files import file_checksum, read_json, write_json
from phalanx.hand.model import HandModel
from phalanx.methods import compact
from phalanx.nets.weights import shipped_weights
from phalanx.synth import SynthConfig, stream

SEED, PICTURES = 777_001, 192


def pictures(size: int) -> torch.Tensor:
    """Crops (N, 3, size, size) to calibrate on."""
    found: list[torch.Tensor] = []
    with closing(stream(SynthConfig(size=size, dense=False), SEED, 0, 0)) as chunks:
        while sum(map(len, found)) < PICTURES:
            image = next(chunks).image
            assert image is not None
            found.append(image)
    return torch.cat(found)[:PICTURES]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--weights", type=Path, default=shipped_weights(compact.METHOD), help="default: the shipped ones"
    )
    parser.add_argument("--out", type=Path, help="default: beside the weights")
    parser.add_argument("--stored", choices=("float32", "float16", "int8"), default="int8", help="default: int8")
    arguments = parser.parse_args()
    out = arguments.out or arguments.weights.with_suffix(".onnx")
    network, hand = compact.load_trainable(arguments.weights), HandModel.open_hand()
    path = arguments.weights.with_suffix(".json")
    card = read_json(path)
    card.pop("model", None)
    shown = pictures(network.config.size) if arguments.stored == "int8" else None
    compact.export(network, out, hand, arguments.stored, shown, card)
    model = {
        "file": out.name,
        "sha256": file_checksum(out),
        "stored": arguments.stored,
        "of": file_checksum(arguments.weights),
    }
    if shown is not None:
        model["calibrated_on"] = f"{PICTURES} pictures of the own synthesis, seed {SEED}"
    write_json(path, card | {"model": model}, indent=1)


if __name__ == "__main__":
    main()
