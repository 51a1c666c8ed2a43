"""Write the model of the default estimator that prediction uses (int8) from its weights, and say so on their card.

    python scripts/export_models.py [--weights FILE] [--out FILE] [--stored int8]

It is calibrated on synthetic pictures of a seed that neither training nor tests use. The card says by how many percent its
errors on further pictures, of the domain `field`, are above those of the weights.
"""

import argparse
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor, nn

from phalanx.core.files import file_checksum, read_json, write_json
from phalanx.data.sample import Sample, concatenate
from phalanx.fit.evidence import Evidence
from phalanx.hand.model import HandModel
from phalanx.methods import compact
from phalanx.nets.export import MOST_PICTURES
from phalanx.nets.weights import shipped_weights
from phalanx.predict.runtime import load_estimator
from phalanx.synth import SynthConfig, stream
from phalanx.train.compact import figures

SEED, PICTURES = 777_001, MOST_PICTURES
CHECK_SEED, CHECK_PICTURES = 3_000_017, 256


def pictures(size: int, domain: str, seed: int, count: int) -> Sample:
    """Labelled crops of `size` pixels."""
    found: list[Sample] = []
    with closing(stream(SynthConfig(size=size, domain=domain, dense=False), seed, 0, 0)) as chunks:
        while sum(map(len, found)) < count:
            part = next(chunks)
            part.vertices = part.depth = part.sensed_depth = part.parts = part.ids = None
            found.append(part)
    return concatenate(found)[:count]


class Exported(nn.Module):
    """A model as a network."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.estimator = load_estimator(path)
        self.here = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Evidence:
        return self.estimator.evidence(images.numpy()).map(torch.from_numpy)


def losses(network: nn.Module, path: Path, checked: Sample) -> dict[str, float]:
    """By how many percent the errors of the model in `path` are above those of `network`."""
    before, after = figures(network.eval(), checked), figures(Exported(path), checked)
    return {name: round(100 * (after[name] / before[name] - 1), 2) for name in before}


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
    size = network.config.size
    shown = pictures(size, "any", SEED, PICTURES).image if arguments.stored == "int8" else None
    compact.export(network, out, hand, arguments.stored, shown, card)
    model: dict[str, object] = {
        "file": out.name,
        "sha256": file_checksum(out),
        "stored": arguments.stored,
        "of": file_checksum(arguments.weights),
    }
    if shown is not None:
        model["calibrated_on"] = f"{PICTURES} pictures of the own synthesis, seed {SEED}"
    checked = pictures(size, "field", CHECK_SEED, CHECK_PICTURES)
    model["percent_above_weights"] = losses(network, out, checked)
    model["measured_on"] = f"{CHECK_PICTURES} pictures of the own synthesis, domain field, seed {CHECK_SEED}"
    print(model)
    write_json(path, card | {"model": model}, indent=1)


if __name__ == "__main__":
    main()
