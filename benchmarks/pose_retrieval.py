"""How long a query takes among a million 2D poses, and how often it finds the best: the index beside brute force (TAGAN, Eq. 2.4).

    python benchmarks/pose_retrieval.py --poses 1000000 --queries 200

Poses are the joints of sampled hands, turned at random, before a camera; queries are others of the same kind. Brute force compares all
poses by the same formula; "literally" builds the 420 differences of Eq. 2.5 and the affine map for each pose, timed on a part of them.
One thread.
"""

from __future__ import annotations

import argparse
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import torch

from phalanx.core.seeding import generator
from phalanx.fit.pose_retrieval import PROBED, PoseIndex
from phalanx.hand.angles import angles_to_rotations
from phalanx.hand.plain import PlainHand
from phalanx.hand.pose import HandPose
from phalanx.hand.pose_space import sample_angles

PAIRS = np.triu_indices(21, 1)


def drawn_poses(count: int, seed: int) -> np.ndarray:
    """(count, 21, 2) joints of hands 0.3 to 1.2 m before a camera of focal length 1."""
    hand, parts = PlainHand.open_hand(), []
    for first in range(0, count, 20_000):
        random = generator(seed, first)
        some = min(20_000, count - first)
        rotations = angles_to_rotations(sample_angles(random, some).double().numpy())
        quaternions = random.standard_normal((some, 4))
        w, x, y, z = (quaternions / np.linalg.norm(quaternions, axis=1, keepdims=True)).T
        turns = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        ).transpose(2, 0, 1)
        away = np.stack((np.zeros(some), np.zeros(some), random.uniform(0.3, 1.2, some)), 1)
        joints = hand.joints(HandPose(rotations, random.standard_normal((some, 10)), turns, away))
        parts.append((joints[..., :2] / joints[..., 2:]).astype(np.float32))
    return np.concatenate(parts)


def literally(poses: np.ndarray, query: np.ndarray) -> np.ndarray:
    """K of Eq. 2.4, as it is written, of poses (N, 21, 2): an affine map by least squares, then 420 differences."""
    ones = np.ones((*poses.shape[:2], 1), poses.dtype)
    design = np.concatenate((poses, ones), axis=2)
    images = design @ np.linalg.solve(design.transpose(0, 2, 1) @ design, design.transpose(0, 2, 1) @ query)
    f, g = (values[..., PAIRS[0], :] - values[..., PAIRS[1], :] for values in (images, query))
    scores: np.ndarray = (f * g).sum((1, 2)) / np.linalg.norm(f, axis=(1, 2)) / np.linalg.norm(g)
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--poses", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=200)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    poses, queries = drawn_poses(arguments.poses, 1), drawn_poses(arguments.queries, 2)
    begin = time.perf_counter()
    index = PoseIndex.build(poses)
    size = sum(getattr(index, name).nbytes for name in ("bases", "numbers", "starts", "middles"))
    print(
        f"{len(poses):,} poses, {len(index.middles)} clusters, built in {time.perf_counter() - begin:.0f} s, {size / 1e6:.0f} MB"
    )
    index.nearest(queries[0])
    times, brute, found, best = [], [], [], []
    for query in queries:
        begin = time.perf_counter()
        found.append(index.nearest(query))
        times.append(time.perf_counter() - begin)
    for query in queries:
        begin = time.perf_counter()
        best.append(index.nearest(query, probed=len(index.middles)))
        brute.append(time.perf_counter() - begin)
    part = poses[:2_000].astype(np.float64)
    begin = time.perf_counter()
    literally(part, queries[0].astype(np.float64))
    written = (time.perf_counter() - begin) * len(poses) / len(part)
    hit = np.array([one.numbers[0] == two.numbers[0] for one, two in zip(found, best, strict=True)])
    loss = np.array([two.scores[0] - one.scores[0] for one, two in zip(found, best, strict=True)])
    print(
        f"index, {PROBED} clusters: {1000 * np.median(times):.2f} ms a query (95 %: {1000 * np.quantile(times, 0.95):.2f})"
    )
    print(f"brute force:      {1000 * np.median(brute):.1f} ms; literally about {1000 * written:,.0f} ms")
    print(
        f"the best is found by {100 * hit.mean():.1f} % of {len(queries)} queries; "
        f"K is lower by {loss.mean():.2g} in the mean, {loss.max():.2g} at most"
    )
    print(
        f"K of the best: {np.mean([one.scores[0] for one in best]):.4f} in the mean, {np.min([one.scores[0] for one in best]):.4f} at least"
    )


if __name__ == "__main__":
    main()
