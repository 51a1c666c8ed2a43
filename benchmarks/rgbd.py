"""Hands in colour with depth beside them: what depth gives `phalanx predict --depth-frames`.

    python benchmarks/rgbd.py predict [--hands 256] [--size 192] [--domain field] [--json FILE]
    python benchmarks/rgbd.py adapt [--pairs 400] [--hands 128] [--minutes 4] [--size 192] [--domain field] [--json FILE]

Synthetic hands of a domain with things in and about them, each with what one of the domain's depth sensors reads. Each picture is
predicted as one right hand whose camera is known: from colour alone, whose size is the model's likeliest, and with depth. It prints medians
and means of the wrist's distance from where it is, of the error of the hand's length (wrist to middle fingertip along the bones), and of
joints relative to the wrist, in mm; and how many pairs were refused and why, and of pairs
with the depth of another hand. Hands of which less than half lies in the picture are left
out of the set, and refused ones out of both rows.

`adapt` makes pairs of one hand, whose shape no training saw, by one colour camera and one depth sensor, adapts to them as `phalanx adapt
rgbd` does (pictures are crops, each with the camera that belongs to it), and scores other pictures of this hand: as it ships, with
the length that was measured, and adapted, whatever the verdict of the adaptation was, which is printed, too.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import torch

from phalanx.adapt import rgbd
from phalanx.adapt.rgbd_pairs import RgbdFiles
from phalanx.core.errors import InputError
from phalanx.core.files import write_json
from phalanx.data.images import image_bytes
from phalanx.hand.plain import PlainHand
from phalanx.hand.prediction import HandPrediction
from phalanx.hand.skeleton import FINGERS
from phalanx.predict.paired_depth import place_hand
from phalanx.predict.predictor import Predictor
from phalanx.synth import SynthConfig, make_chunk

SEED = 20_180_622  # of no training


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=("predict", "adapt"))
    parser.add_argument("--hands", type=int, default=256, help="that are scored")
    parser.add_argument("--pairs", type=int, default=400, help="that are adapted to")
    parser.add_argument("--minutes", type=float, default=4.0, help="of adaptation, reading and all")
    parser.add_argument("--size", type=int, default=192, help="pixels of the square pictures")
    parser.add_argument("--domain", default="field")
    parser.add_argument("--json")
    args = parser.parse_args()
    if args.job == "adapt":
        result = adapt(args.pairs, args.hands, args.minutes, args.size, args.domain)
        print_adapted(result)
    else:
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


UNIT = 0.0005  # metres, of the depth frames that are written


def adapt(pairs: int, count: int, minutes: float, size: int, domain: str) -> dict[str, Any]:
    """Errors in mm on `count` pictures of one hand, before and after adapting to `pairs` others of it."""
    shape = torch.from_numpy(np.random.default_rng(SEED).normal(0, 1.15, (1, 10)).clip(-3, 3)).float()
    shape[:, 0].abs_()  # the half that hands of the domain are from
    config = SynthConfig(size=size, domain=domain, camera="phone", depth_sensor="d435", tiles=96, skins=8)
    pictures: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    index = 0
    with mock.patch("phalanx.synth.scene.hands.draw_shapes", lambda random, rows, build=0: shape.repeat(rows, 1)):
        while len(pictures) < pairs + count:
            sample = make_chunk(config, SEED + 1, index)
            index += 1
            assert sample.image is not None and sample.sensed_depth is not None and sample.joints is not None
            assert sample.K is not None and sample.joints_2d is not None
            for row in range(len(sample)):
                pixels = sample.joints_2d[row].numpy()
                if ((pixels < -0.5) | (pixels > size - 0.5)).any(-1).mean() > 0.5:
                    continue
                arrays = (value[row].double().numpy() for value in (sample.sensed_depth, sample.K, sample.joints))
                pictures.append((image_bytes(sample.image[row]), *arrays))
    own, others = pictures[:pairs], pictures[pairs : pairs + count]
    cameras = {image.tobytes(): K for image, _, K, _ in own}
    predictor = Predictor()

    def see(image: np.ndarray, **options: Any) -> list[HandPrediction]:
        return predictor(image, box="whole", K=cameras[image.tobytes()], side="right")

    with tempfile.TemporaryDirectory() as folder:
        for number, (image, depth, _, _) in enumerate(own):
            write_pair(Path(folder) / "pairs", f"{number:04}.png", image, depth)
        write_json(Path(folder) / "pairs" / "intrinsics.json", {"K": [1, 1, 0, 0], "depth_unit": UNIT})
        chosen = rgbd.RgbdAdaptation()
        chosen.loop.minutes = minutes
        verdicts: list[bool] = []
        judge = rgbd.verdict

        def taken(*args: Any) -> tuple[bool, list[str]]:
            verdict, why = judge(*args)
            verdicts.append(verdict)
            return True, why

        with mock.patch.object(rgbd, "verdict", taken):
            figures = rgbd.adapt_rgbd(
                RgbdFiles(Path(folder) / "pairs", side="right"), Path(folder) / "mine", config=chosen, see=see
            )
        adapted = Predictor(str(Path(folder) / "mine.onnx"))
    measured = figures["hand_length"]
    return {
        "true_length_mm": 1e3 * float(np.median([length(joints) for *_, joints in others])),
        "measured_length_mm": 1e3 * measured,
        "verdict": verdicts[0],
        "figures": figures,
        "rows": {
            "as it ships": errors_on(predictor, others, None),
            "with the length measured": errors_on(predictor, others, measured),
            "adapted, likeliest length": errors_on(adapted, others, None),
            "adapted, length measured": errors_on(adapted, others, measured),
        },
    }


def write_pair(folder: Path, name: str, image: np.ndarray, depth: np.ndarray) -> None:
    """Write a picture (H, W, 3) and depth (H, W) in metres as `phalanx adapt rgbd` reads them."""
    (folder / "depth").mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(folder / name), image[..., ::-1])
    cv2.imwrite(str(folder / "depth" / name), (depth / UNIT).round().clip(0, 65535).astype(np.uint16))


def errors_on(
    predictor: Predictor, pictures: Sequence[tuple[np.ndarray, ...]], hand_length: float | None
) -> dict[str, Any]:
    """Medians and means of `errors_of` on pictures with depth, camera and true joints."""
    rows = []
    for image, _, K, joints in pictures:
        hands = predictor(image, box="whole", K=K, side="right", hand_length=hand_length)
        if hands:
            rows.append(errors_of(hands[0].joints, joints))
    keys = ("wrist_mm", "length_mm", "relative_mm")
    return {
        key: {"median": float(np.median(column)), "mean": float(np.mean(column))}
        for key, column in zip(keys, np.array(rows).T, strict=True)
    } | {"seen": len(rows)}


def print_adapted(result: dict[str, Any]) -> None:
    figures = result["figures"]
    print(f"hand length: {result['true_length_mm']:.1f} mm, measured {result['measured_length_mm']:.1f} mm")
    print(f"verdict: {'adapted' if result['verdict'] else 'kept as it was'}; {'; '.join(figures['verdict'])}")
    for name in figures["before"]:
        print(f"{name:28}{figures['before'][name]:8.2f}{figures['after'][name]:8.2f}")
    print_table(result["rows"])


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
    print_table(result["rows"])


def print_table(rows: dict[str, Any]) -> None:
    print(f"{'median / mean, mm':28}{'wrist':>16}{'hand length':>16}{'relative joints':>18}")
    for name, row in rows.items():
        cells = [
            f"{row[key]['median']:.1f} / {row[key]['mean']:.1f}" for key in ("wrist_mm", "length_mm", "relative_mm")
        ]
        print(f"{name:28}{cells[0]:>16}{cells[1]:>16}{cells[2]:>18}")


if __name__ == "__main__":
    main()
