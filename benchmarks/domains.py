"""What the domain `field` costs an estimator that has seen `studio` only.

    python benchmarks/domains.py [--minutes 12] [--out runs/studio] [--json FILE]

Trains the default estimator on `studio` for so long (64 px, from scratch, same recipe whatever the machine) and compares its errors on
held-out pictures of both domains, which show the same poses and views.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import safetensors.torch

from phalanx.methods.compact import CompactConfig, CompactEstimator
from phalanx.synth import SynthConfig
from phalanx.train.compact import CompactTraining, figures, held_out, run
from phalanx.train.plan import LoopConfig, Phase


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--out", default="runs/studio")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    config = CompactTraining(
        model=CompactConfig(size=64),
        loop=LoopConfig(minutes=arguments.minutes),
        synth=SynthConfig(size=64, domain="studio"),
        phases=[Phase(1.0, 64, 96, 3)],
        held_out=1024,
    )
    weights = run(config, arguments.out, resume=(Path(arguments.out) / "checkpoint.pt").exists())
    network = CompactEstimator(config.model).eval()
    network.load_state_dict({name: value.float() for name, value in safetensors.torch.load_file(weights).items()})
    found = {}
    for domain in ("studio", "field"):
        pictures = held_out(replace(config, synth=replace(config.synth, domain=domain)))
        found[domain] = figures(network, pictures)
    print(f"{'':16s}{'studio':>8s}{'field':>8s}{'ratio':>8s}")
    for name, value in found["studio"].items():
        print(f"{name:16s}{value:8.1f}{found['field'][name]:8.1f}{found['field'][name] / value:8.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
