"""Compositions: hands where they shall be, labels that stay exact, and no real hand beneath."""

import cv2
import numpy as np
import pytest
import torch

from phalanx.fit.pose_retrieval import PoseIndex
from phalanx.hand.skeleton import BONES
from phalanx.synth import SynthConfig, make_chunk
from phalanx.train.compositions import compose, without_hand
from phalanx.train.feed import pack


@pytest.fixture(scope="module")
def hands():
    """Rendered ones, whose cameras have pixels that are not square."""
    sample = make_chunk(SynthConfig(size=64, chunk=24, tiles=2, skins=1, domain="studio"), 3, 0)
    kept = pack(sample)
    return {name: kept[name] for name in ("image", "mask", "joints", "joints_2d", "K")}


@pytest.fixture(scope="module")
def photographs():
    sample = make_chunk(SynthConfig(size=64, chunk=8, tiles=2, skins=1, domain="field"), 4, 0)
    kept = pack(sample)
    return kept["image"], kept["joints_2d"]


@pytest.fixture(scope="module")
def made(hands, photographs):
    return compose(*photographs, hands, PoseIndex.build(hands["joints_2d"].double().numpy()), 0)


def test_labels_stay_exact(made, hands):
    places = torch.einsum("nij,nkj->nki", made["K"].double(), made["joints"].double())
    torch.testing.assert_close(places[..., :2] / places[..., 2:], made["joints_2d"].double(), atol=2e-4, rtol=0)
    for n, number in enumerate(made["number"].tolist()):
        for parent, child in BONES:
            before, after = ((j[child] - j[parent]).norm() for j in (hands["joints"][number], made["joints"][n]))
            assert float(after) == pytest.approx(float(before), rel=1e-5)
        torch.testing.assert_close(made["joints"][n, :, 2], hands["joints"][number, :, 2])  # turned about the axis


def test_hands_lie_on_the_real_ones(made, photographs):
    off = (made["joints_2d"] - photographs[1]).norm(dim=-1).mean(1)
    centred = photographs[1] - photographs[1].mean(1, keepdim=True)
    assert (off < centred.norm(dim=-1).mean(1)).all()
    assert (made["score"] > 0.5).all() and (made["score"] <= 1.0001).all()


def test_the_picture_shows_the_hand_that_its_labels_say(made, hands):
    for n, number in enumerate(made["number"].tolist()):
        inside = made["joints_2d"][n].round().long()
        seen = ((inside >= 1) & (inside < 63)).all(1)
        cover = cv2.erode(hands["mask"][number].numpy(), np.ones((3, 3), np.uint8)) > 250
        for j in seen.nonzero()[:, 0].tolist():
            x, y = hands["joints_2d"][number, j].round().long().tolist()
            if not (2 <= x < 62 and 2 <= y < 62) or not cover[y - 1 : y + 2, x - 1 : x + 2].all():
                continue
            at = made["image"][n, :, inside[j, 1], inside[j, 0]].float()
            plain = made["clear"][n, :, inside[j, 1], inside[j, 0]].float()
            assert (at - plain).abs().max() <= 1  # the hand, not what is behind it


def test_clear_differs_behind_the_hand_alone(made):
    apart = (made["image"].float() - made["clear"].float()).abs().amax(1)
    assert (apart > 8).float().mean() > 0.3 and ((apart <= 1).float().mean((1, 2)) > 0.02).all()
    ground = made["clear"][:, :, 0, 0].float()
    assert len(ground.unique(dim=0)) > 1  # another ground each


def test_the_same_arguments_give_the_same_pictures(made, hands, photographs):
    again = compose(*photographs, hands, PoseIndex.build(hands["joints_2d"].double().numpy()), 0)
    assert all(torch.equal(made[name], again[name]) for name in made)


def test_the_real_hand_is_painted_over(hands):
    changed = []
    for n in range(12):
        photograph = hands["image"][n].permute(1, 2, 0).numpy()
        painted = without_hand(photograph, hands["joints_2d"][n].double().numpy())
        different = (painted != photograph).any(-1)
        palm = hands["joints_2d"][n, [0, 5, 9, 13, 17]].mean(0).round().long().clamp(0, 63).tolist()
        changed.append(different[palm[1], palm[0]])
        assert painted.shape == photograph.shape and painted.dtype == np.uint8
    assert np.mean(changed) > 0.8


def test_a_picture_that_is_all_hand_becomes_its_mean():
    photograph = np.random.default_rng(0).integers(100, 140, (64, 64, 3)).astype(np.uint8)
    painted = without_hand(photograph, np.random.default_rng(1).uniform(0, 63, (21, 2)))
    assert painted.shape == (64, 64, 3) and painted.dtype == np.uint8
