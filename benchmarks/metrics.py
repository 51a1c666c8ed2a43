"""Scoring joints: seconds for 100,000 frames of 21 joints, each step and all of what a table needs.

    python benchmarks/metrics.py [--frames 100000] [--threads 2]

Predictions are made-up hands with noise; in the row that says so, a fifth of the joints have no label in half of the
frames. Exits with 1 if scoring takes 2 seconds or more. On a busy machine processor time says more.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from phalanx.hand.skeleton import FINGERS
from phalanx.metrics.curves import auc, auc_trapezoid, freihand_0_50, pck_curve, zimmermann_0_50
from phalanx.metrics.frames import frames_within
from phalanx.metrics.joints import end_point_errors, procrustes_errors, rigid_aligned, root_aligned, root_scaled_errors
from phalanx.metrics.summaries import mean_error, mean_per_finger, mean_per_joint, median_error

LIMIT = 2.0  # seconds


def made_up(frames: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions and truths (N, 21, 3) in metres, and which joints have labels (N, 21)."""
    rng = np.random.default_rng(0)
    true = rng.normal(size=(frames, 21, 3)) * [0.04, 0.05, 0.02] + [0.0, 0.0, 0.6]
    valid = np.ones((frames, 21), dtype=bool)
    valid[frames // 2 :, 1::5] = False
    return true + 0.01 * rng.normal(size=true.shape), true, valid


def score(predicted: np.ndarray, true: np.ndarray) -> dict[str, Any]:
    """All that a table of 3D results has, with Procrustes alignment."""
    figures: dict[str, Any] = {}
    raw, scaled, aligned = (
        1e3 * errors(predicted, true) for errors in (end_point_errors, root_scaled_errors, procrustes_errors)
    )
    for name, errors in (("raw", raw), ("root scaled", scaled), ("procrustes", aligned)):
        figures[name] = (mean_error(errors), auc(errors, 0, 50), auc(errors, 20, 50))
    return figures


def seconds(call: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Wall time and processor time (of all threads) of the quickest of several calls."""
    times = []
    for _ in range(repeats):
        wall, processor = time.perf_counter(), time.process_time()
        call()
        times.append((time.perf_counter() - wall, time.process_time() - processor))
    return min(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    predicted, true, valid = made_up(options.frames)
    errors = end_point_errors(predicted, true) * 1e3

    steps: dict[str, Callable[[], object]] = {
        "score (raw, root scaled and procrustes; means, AUCs)": lambda: score(predicted, true),
        "procrustes_errors": lambda: procrustes_errors(predicted, true),
        "procrustes_errors, some joints without label": lambda: procrustes_errors(predicted, true, valid),
        "rigid_aligned": lambda: rigid_aligned(predicted, true),
        "root_scaled_errors": lambda: root_scaled_errors(predicted, true),
        "root_aligned": lambda: root_aligned(predicted, true),
        "end_point_errors": lambda: end_point_errors(predicted, true),
        "mean, median, per joint, per finger": lambda: (
            mean_error(errors),
            median_error(errors),
            mean_per_joint(errors),
            mean_per_finger(errors, FINGERS),
        ),
        "pck_curve, auc_trapezoid of 20 and 100 thresholds": lambda: (
            pck_curve(errors, freihand_0_50()),
            auc_trapezoid(errors, zimmermann_0_50()),
            auc_trapezoid(errors, freihand_0_50()),
        ),
        "frames_within": lambda: frames_within(errors, np.arange(81)),
    }
    print(f"{options.frames} frames of 21 joints, {options.threads} threads, the best of {options.repeats}\n")
    print("| | s | processor s |\n|---|---|---|")
    taken = {}
    for name, call in steps.items():
        taken[name] = seconds(call, options.repeats)
        print(f"| {name} | {taken[name][0]:.3f} | {taken[name][1]:.3f} |", flush=True)
    total, processor = next(iter(taken.values()))
    limit = LIMIT * options.frames / 100_000
    if total >= limit:
        print(f"scoring took {total:.2f} s ({processor:.2f} s of processors), not {limit:g}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
