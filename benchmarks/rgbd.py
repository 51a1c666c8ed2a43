"""Hands in colour with depth beside them: what depth gives `phalanx predict --depth-frames`.

    python benchmarks/rgbd.py predict [--hands 256] [--size 192] [--domain field] [--json FILE]

Synthetic hands of a domain with things in and about them, each with what one of the domain's depth sensors reads. Each picture is
predicted as one right hand whose camera is known: from colour alone, whose size is the model's likeliest, and with depth. It prints medians
and means of the wrist's distance from where it is, of the error of the hand's length (wrist to middle fingertip along the bones), and of
joints relative to the wrist, in mm; and how many pairs were refused and why, and of pairs
with the depth of another hand. Hands of which less than half lies in the picture are left
out of the set, and refused ones out of both rows.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import Any

import numpy as np

from phalanx.core.errors import InputError
from phalanx.core.files import write_json
from phalanx.hand.plain import PlainHand
from phalanx.hand.prediction import HandPrediction
from phalanx.hand.skeleton import FINGERS
from phalanx.predict.paired_depth import place_hand
from phalanx.predict.predictor import Predictor
from phalanx.synth import SynthConfig, make_chunk

SEED = 20_180_622  # of no training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=("predict",))
    parser.add_argument("--hands", type=int, default=256)
    parser.add_argument("--size", type=int, default=192, help="pixels of the square pictures")
    parser.add_argument("--domain", default="field")
    parser.add_argument("--json")
    args = parser.parse_args()
    result = predict(args.hands, args.size, args.domain)
    print_rows(result)
    if args.json:
        write_json(args.json, result, indent=1)


def predict(count: int, size: int, domain: str) -> dict[str, Any]:
    """Errors in mm of colour alone and with depth on the same hands."""
    config = SynthConfig(size=size, domain=domain, depth_sensor="domain", tiles=96)
    predictor, model = Predictor(), PlainHand.open_hand()
    errors: dict[str, list[tuple[float, float, float]]] = {"colour alone": [], "with depth": []}
    refused: Counter[str] = Counter()
    seen = index = swapped = noticed = 0
    while seen < count:
        sample = make_chunk(config, SEED, index)
        index += 1
        assert sample.image is not None and sample.sensed_depth is not None and sample.joints is not None
        assert sample.K is not None and sample.joints_2d is not None
        for row in range(min(len(sample), count - seen)):
            pixels = sample.joints_2d[row].numpy()
            if ((pixels < -0.5) | (pixels > size - 0.5)).any(-1).mean() > 0.5:
                continue
            seen += 1
            image = sample.image[row].permute(1, 2, 0).numpy()
            hands = predictor(image, box="whole", K=sample.K[row].double().numpy(), side="right")
            if not hands:
                refused["no hand in colour"] += 1
                continue
            other = sample.sensed_depth[(row + 1) % len(sample)].numpy()
            swapped += 1
            noticed += is_refused(model, hands[0], other)
            try:
                placed = place_hand(model, hands[0], sample.sensed_depth[row].numpy())
            except InputError as error:
                refused[" ".join(str(error).split()[:3])] += 1
                continue
            truth = sample.joints[row].double().numpy()
            for name, hand in (("colour alone", hands[0]), ("with depth", placed)):
                errors[name].append(errors_of(hand.joints, truth))
    return {
        "hands": seen,
        "refused": dict(refused),
        "with depth of another hand": {"pairs": swapped, "refused": noticed},
        "rows": {
            name: {
                key: {"median": float(np.median(column)), "mean": float(np.mean(column))}
                for key, column in zip(("wrist_mm", "length_mm", "relative_mm"), np.array(rows).T, strict=True)
            }
            for name, rows in errors.items()
        },
    }


def is_refused(model: PlainHand, hand: HandPrediction, depth: np.ndarray) -> bool:
    """Whether a hand is not placed by a depth map (H, W)."""
    try:
        place_hand(model, hand, depth)
    except InputError:
        return True
    return False


def errors_of(joints: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Errors in mm of the wrist, of the hand's length, and of joints (21, 3) relative to the wrist."""
    relative = (joints - joints[0]) - (truth - truth[0])
    return (
        1e3 * float(np.linalg.norm(joints[0] - truth[0])),
        1e3 * abs(length(joints) - length(truth)),
        1e3 * float(np.linalg.norm(relative, axis=-1).mean()),
    )


def length(joints: np.ndarray) -> float:
    """Metres from the wrist along the middle finger's bones."""
    chain = joints[[0, *FINGERS[2]]]
    return float(np.linalg.norm(np.diff(chain, axis=0), axis=-1).sum())


def print_rows(result: dict[str, Any]) -> None:
    print(f"{result['hands']} hands; refused: {result['refused'] or 'none'}")
    other = result["with depth of another hand"]
    print(f"with the depth of another hand {other['refused']} of {other['pairs']} are refused")
    print(f"{'median / mean, mm':20}{'wrist':>16}{'hand length':>16}{'relative joints':>18}")
    for name, row in result["rows"].items():
        cells = [
            f"{row[key]['median']:.1f} / {row[key]['mean']:.1f}" for key in ("wrist_mm", "length_mm", "relative_mm")
        ]
        print(f"{name:20}{cells[0]:>16}{cells[1]:>16}{cells[2]:>18}")


if __name__ == "__main__":
    main()
