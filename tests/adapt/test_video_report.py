"""Figures of steadiness against known motion, and sentences."""

import numpy as np
import pytest

from phalanx.adapt.video_clips import ClipHands
from phalanx.adapt.video_report import steadiness, verdict


def hands(count, times=None):
    times = np.arange(count) / 30 if times is None else times
    blank = {name: np.zeros(count) for name in ("tiles", "joints", "to_picture", "side", "K", "onward", "back", "own")}
    return ClipHands(**blank, times=times, tracks=np.zeros(count, int), names=["a"] * count)


def test_figures_of_known_motion():
    random = np.random.default_rng(0)
    rest = random.normal(size=(21, 3))
    time = np.arange(12)[:, None, None]
    even = rest + 0.1 * time
    still = steadiness(even, even, hands(12))
    assert max(still.values()) < 1e-6
    trembling = even + 0.01 * random.normal(size=even.shape)  # decimetres
    shaken = steadiness(trembling, even, hands(12))
    second = np.linalg.norm(np.diff(trembling, 2, axis=0), axis=-1).mean()
    third = np.linalg.norm(np.diff(trembling, 3, axis=0), axis=-1).mean()
    assert shaken["acceleration_mm_per_frame2"] == pytest.approx(100 * second)
    assert shaken["jitter_m_per_s3"] == pytest.approx(0.1 * third * 30**3)
    assert shaken["apart_mm"] > 1 and shaken["mesh_apart_mm"] < 1e-6 and shaken["bone_spread_percent"] > 0.1
    grown = even * (1 + 0.1 * (time % 2))
    assert steadiness(grown, even, hands(12))["bone_spread_percent"] == pytest.approx(100 * 0.05 / 1.05, rel=1e-6)
    assert np.isnan(steadiness(even[:4], even[:4], hands(4))["apart_mm"])


def test_sentences_follow_from_figures():
    names = ("judged_apart_mm", "judged_2d_px_of_256", "judged_bone_spread_percent", "synthetic_2d_px_of_256")
    before = dict(zip(names, (5.0, 8.0, 9.0, 13.0), strict=True))
    better, lines = verdict(before, before | {"judged_apart_mm": 3.0}, 400, 50, False)
    assert better and len(lines) == 1 and lines[0].startswith("steadier: on 50 frames that were not learnt from")
    better, lines = verdict(before, before | {"judged_apart_mm": 3.0, "judged_2d_px_of_256": 9.0}, 40, 0, False)
    assert not better and "became worse" in lines[1] and lines[-1] == "40 frames are few"
    better, lines = verdict(before, before | {"synthetic_2d_px_of_256": 15.0}, 400, 50, False)
    assert not better and lines[1].startswith("why: ") and "the network forgets" in lines[2]
    better, lines = verdict(before, before | {"judged_apart_mm": 3.0, "judged_2d_px_of_256": 9.0}, 400, 50, True)
    assert better and len(lines) == 1 and "its own first joints are 8.0 and 9.0" in lines[0]
