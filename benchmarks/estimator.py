"""Speed of the default estimator: network and fit for one hand and for a batch, and pictures trained on a second.

    python benchmarks/estimator.py [--weights FILE] [--precision auto] [--threads 2] [--json FILE]

Times are medians; the network runs as the predictor runs it, training steps in both precisions. Without weights a fresh network
is timed: speed does not depend on what was learnt.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import torch
from timing import milliseconds

from phalanx.core.precision import Precision
from phalanx.data.sample import Sample
from phalanx.fit.joints import fit_evidence, fit_joints
from phalanx.hand.model import HandModel, HandPose
from phalanx.methods.compact import CompactEstimator, load, save_weights
from phalanx.train.descent import take_turn, turns
from phalanx.train.plan import LoopConfig
from phalanx.train.processes import single

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def inference(network: CompactEstimator, hand: HandModel) -> dict[str, float]:
    """Milliseconds a hand of network and fit at batch 1 and 64."""
    size = network.config.size
    result = {}
    for batch, repeats in ((1, 40), (64, 5)):
        images = torch.rand(batch, 3, size, size)
        K = torch.tensor([[300.0, 0, (size - 1) / 2], [0, 300, (size - 1) / 2], [0, 0, 1]]).expand(batch, 3, 3)
        with torch.inference_mode():
            result[f"network_ms_batch_{batch}"] = milliseconds(lambda: network.evidence(images), repeats) / batch  # noqa: B023
            evidence = network.evidence(images)
        result[f"fit_ms_batch_{batch}"] = (
            milliseconds(lambda: fit_evidence(hand, evidence, K, size), repeats) / batch  # noqa: B023
        )
        joints = hand.joints(HandPose.zero(batch)) + torch.tensor([0.0, 0.0, 0.5])
        result[f"fit_joints_ms_batch_{batch}"] = (
            milliseconds(lambda: fit_joints(hand, joints), repeats) / batch  # noqa: B023
        )
    return result


def training(batch: int = 64) -> dict[str, float]:
    """Pictures a second of whole training steps, by precision and picture size."""
    result = {}
    for precision in PRECISIONS:
        config = LoopConfig(precision=precision, kernel_precision=precision)
        for size in (64, 96, 128):
            network = CompactEstimator().to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
            (turn,) = turns(network.players(), config)
            sample = Sample(
                image=torch.rand(batch, 3, size, size).contiguous(memory_format=torch.channels_last),
                mask=torch.rand(batch, size, size),
                joints_2d=torch.rand(batch, 21, 2) * size,
            )
            time = milliseconds(lambda: take_turn(turn, network, sample, config, single("cpu")), 5)  # noqa: B023
            result[f"train_pictures_per_s_{precision}_{size}px"] = batch / time * 1000
    return result


def show(figures: dict[str, float]) -> dict[str, float]:
    """Print figures as they come, and hand them on."""
    for name, value in figures.items():
        print(f"{name:36s} {value:9.2f}", flush=True)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="weights file (default: a fresh network)")
    parser.add_argument("--precision", default="auto", help="of inference: auto, float32 or bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    hand = HandModel.open_hand()
    weights = options.weights
    if weights is None:
        with tempfile.TemporaryDirectory() as folder:
            weights = Path(folder) / "fresh.safetensors"
            save_weights(CompactEstimator().eval(), weights, hand)
            network = load(weights, hand, options.precision)
    else:
        network = load(weights, hand, options.precision)
    print(f"convolutions in {network.precision}")
    figures = {"parameters_million": sum(p.numel() for p in network.parameters()) / 1e6}
    figures |= show(inference(network, hand))
    figures |= show(training())
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
