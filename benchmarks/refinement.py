"""What refinement on masks and depth does for the default estimator, and what it costs.

    python benchmarks/refinement.py [FOLDER] [--frames 384] [--json FILE]
    python benchmarks/refinement.py --times [--json FILE]

The first takes synthetic hands that hold things (the domain `field`, of a seed that no training uses) and, with FOLDER, the photos of
one hand (the layout of `phalanx evaluate photos3d`), and scores the fit of the hand model to the default estimator's evidence: as it is;
refined on the estimator's own mask, a quarter of the crop in size; and, where there is truth, on the true mask, and on the true depth of
the hand alone, whose readings count up to so many cm from the hand as it is fitted. Nothing is tuned on the photos. Errors are means:
of 2D joints in 256ths of a crop, of root-relative joints of known scale and of aligned ones in mm.

The second prints milliseconds of the processor a hand of `fit.refine.refine_hands` on joints and a mask of 128 pixels, alone and in
batches of 32.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from phalanx.core.files import write_json
from phalanx.data.public.photos3d import read_photos3d
from phalanx.evaluate.photos3d import TimedPredictor, find_in_photos, score_photos3d
from phalanx.fit.evidence import Evidence
from phalanx.fit.joints import fit_evidence
from phalanx.fit.refine import HandView, refine_evidence, refine_hands
from phalanx.hand.plain import PlainHand
from phalanx.hand.pose import HandPose
from phalanx.methods.compact import load
from phalanx.metrics import masks as mask_metrics
from phalanx.metrics.joints import procrustes_errors, root_scaled_errors
from phalanx.predict.predictor import Predictor
from phalanx.synth import SynthConfig, make_chunk

SEED = 77_001
SIGMAS = (3.0, 6.0)
"""Expected errors of the mask's edge, pixels of a crop of 128, that are shown side by side."""


class WithMasks:
    """The default estimator in PyTorch, whose evidence has its mask too."""

    def __init__(self) -> None:
        self.network = load()
        self.config = self.network.config

    def evidence(self, batch: np.ndarray) -> Evidence[np.ndarray]:
        """As `predict.looks.CropEstimator` has it."""
        with torch.no_grad():
            reading = self.network.read(torch.from_numpy(batch))
        found: Evidence[np.ndarray] = reading.evidence.map(lambda values: values.float().numpy())
        return replace(found, mask=reading.mask.sigmoid().float().numpy())


def field(frames: int) -> dict[str, dict[str, float]]:
    """Figures of hands that hold things, by way of fitting."""
    hand, estimator = PlainHand.open_hand(), WithMasks()
    size = estimator.config.size
    config = SynthConfig(size=size, scene="holding", domain="field")
    errors: dict[str, list[np.ndarray]] = {}
    counts = []
    done = chunk = 0
    while done < frames:
        sample = make_chunk(config, SEED, chunk)
        chunk += 1
        done += len(sample)
        assert sample.image is not None and sample.K is not None and sample.joints is not None
        assert sample.joints_2d is not None and sample.mask is not None
        evidence = estimator.evidence(sample.image.numpy())
        assert evidence.mask is not None
        K, true, pixels = sample.K.numpy(), sample.joints.numpy(), sample.joints_2d.numpy()
        mask = sample.mask.numpy()
        rough = torch.nn.functional.interpolate(
            torch.from_numpy(evidence.mask)[:, None], size=(size, size), mode="bilinear"
        )
        counts.append(mask_metrics.mask_counts(rough[:, 0].numpy(), mask))
        ways: dict[str, Any] = {"fit": lambda: fit_evidence(hand, evidence, K, size)}  # noqa: B023
        for sigma in SIGMAS:
            ways[f"own mask, {sigma:g} px"] = partial(refine_evidence, hand, evidence, K, size, sigma_mask=sigma)
            ways[f"true mask, {sigma:g} px"] = partial(
                refine_evidence, hand, evidence, K, size, masks=mask, sigma_mask=sigma
            )
        if sample.depth is not None:
            shown = sample.depth.numpy() * (mask > 0.5)
            bare = replace(evidence, mask=None)
            for farthest in (0.03, 0.1):
                name = f"true depth, {100 * farthest:g} cm"
                ways[name] = partial(refine_evidence, hand, bare, K, size, depth=shown, farthest=farthest)
        for name, way in ways.items():
            errors.setdefault(name, []).append(_errors(hand.joints(way()), true, pixels, K, size))
    iou = float(np.mean(mask_metrics.iou(np.concatenate(counts))))
    print(f"field, {done} hands that hold things; the estimator's mask has an IoU of {iou:.3f}")
    figures = {name: _means(np.concatenate(found, 1)) for name, found in errors.items()}
    return figures


def _errors(found: np.ndarray, true: np.ndarray, pixels: np.ndarray, K: np.ndarray, size: int) -> np.ndarray:
    seen = found @ K.swapaxes(1, 2)
    off = np.linalg.norm(seen[..., :2] / seen[..., 2:] - pixels, axis=-1).mean(1) * 256 / size
    return np.stack(
        (off, 1000 * root_scaled_errors(found, true).mean(1), 1000 * procrustes_errors(found, true).mean(1))
    )


def _means(errors: np.ndarray) -> dict[str, float]:
    return dict(
        zip(("epe_2d_px", "epe_3d_root_scaled_mm", "epe_3d_procrustes_mm"), errors.mean(1).tolist(), strict=True)
    )


def photos(folder: Path) -> dict[str, dict[str, float]]:
    """Figures of photos, side and camera given, by way of fitting."""
    labels = read_photos3d(folder)
    estimator = WithMasks()
    fits: dict[str, Any] = {"fit": fit_evidence}
    fits |= {f"own mask, {sigma:g} px": _fit(sigma) for sigma in SIGMAS}
    finders: dict[str, Any] = {}
    for name, fit in fits.items():
        predictor = Predictor(fit=fit)
        predictor.estimator = estimator
        finders[name] = TimedPredictor(predictor, labels.side, known_focal=True)
    found = find_in_photos(labels, finders, lambda done, total: None)
    print(f"photos3d, {len(labels)} photos")
    names = ("epe_2d_px", "epe_3d_root_scaled_mm", "epe_3d_procrustes_mm")
    return {
        name: {key: score_photos3d(labels, predictions)[key] for key in names} for name, predictions in found.items()
    }


def _fit(sigma: float) -> Any:
    def fit(
        model: Any, evidence: Evidence[np.ndarray], K: np.ndarray, size: int, lengths: np.ndarray | None
    ) -> HandPose[np.ndarray]:
        return refine_evidence(model, evidence, K, size, lengths, sigma_mask=sigma)

    return fit


def times() -> dict[str, float]:
    """Milliseconds of the processor a hand, by batch."""
    hand, random = PlainHand.open_hand(), np.random.default_rng(0)
    figures = {}
    K = np.array([[300.0, 0, 63.5], [0, 300, 63.5], [0, 0, 1]])
    for batch in (1, 32):
        eye = np.tile(np.eye(3, dtype=np.float32), (batch, 16, 1, 1))
        turn = np.tile(np.diag([1, -1, -1]).astype(np.float32), (batch, 1, 1))
        place = np.tile(np.array([0, 0.08, 0.5], np.float32), (batch, 1))
        start = HandPose(eye, np.zeros((batch, 10), np.float32), turn, place)
        joints = hand.joints(start) @ K.T
        pixels = joints[..., :2] / joints[..., 2:]
        y, x = np.mgrid[:128, :128]
        apart = np.square(np.stack((x, y), -1)[None, :, :, None] - pixels[:, None, None]).sum(-1)
        view = HandView(K, joints_2d=pixels + 3 * random.standard_normal(pixels.shape), mask=apart.min(-1) < 8**2)
        spent = []
        for _ in range(12):
            begun = time.process_time()
            refine_hands(hand, start, [view])
            spent.append(time.process_time() - begun)
        figures[str(batch)] = 1000 * float(np.median(spent[2:])) / batch
        print(f"{figures[str(batch)]:.2f} ms a hand in batches of {batch}")
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help="photos, as for phalanx evaluate photos3d")
    parser.add_argument("--frames", type=int, default=384, help="synthetic hands (default: 384)")
    parser.add_argument("--times", action="store_true", help="measure time alone")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    torch.set_num_threads(1)
    report: dict[str, Any] = {}
    if args.times:
        report["ms_a_hand"] = times()
    else:
        report["field"] = field(args.frames)
        show(report["field"])
        if args.folder is not None:
            report["photos3d"] = photos(args.folder)
            show(report["photos3d"])
    if args.json:
        write_json(args.json, report, indent=1)
    return 0


def show(figures: dict[str, dict[str, float]]) -> None:
    """Print a row for each way of fitting."""
    print(f"{'':20} {'2D, px of 256':>14} {'3D, mm':>8} {'aligned':>8}")
    for name, row in figures.items():
        print(
            f"{name:20} {row['epe_2d_px']:14.2f} {row['epe_3d_root_scaled_mm']:8.2f} {row['epe_3d_procrustes_mm']:8.2f}"
        )


if __name__ == "__main__":
    sys.exit(main())
