"""Compositions: hands where they shall be, labels that stay exact, and no real hand beneath."""

import cv2
import numpy as np
import pytest
import torch

from phalanx.core.errors import InputError
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


@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (0.8, 0.4), (1.5, -1.0)])
def test_what_is_drawn_at_a_joint_lands_at_its_label(scale, angle):
    random = np.random.default_rng(0)
    y, x = np.mgrid[:96, :96]
    places = random.uniform(20, 75, (21, 2))
    marked = (x - places[8, 0]) ** 2 + (y - places[8, 1]) ** 2 <= 12**2
    image = np.zeros((1, 3, 96, 96), np.uint8)
    image[0, 0][marked] = 255
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    onto = (places - places[8]) @ turn.T + [30.3, 33.8]
    rendered = {
        "image": torch.from_numpy(image),
        "mask": torch.from_numpy(255 * marked[None].astype(np.uint8)),
        "joints": torch.rand(1, 21, 3) + 1,
        "joints_2d": torch.from_numpy(places[None]),
        "K": torch.eye(3)[None],
    }
    plain = torch.full((1, 3, 64, 64), 90, dtype=torch.uint8)
    made = compose(plain, torch.from_numpy(onto[None]), rendered, PoseIndex.build(places[None]), 0)
    np.testing.assert_allclose(made["joints_2d"][0], onto, atol=1e-3)
    red = made["clear"][0, 0].double() - made["clear"][0, 0, 0, 0]
    share = (red / red.max()).clamp_min(0).numpy()  # pixel centres are integers
    ys, xs = np.mgrid[:64, :64]
    centre = [(share * xs).sum() / share.sum(), (share * ys).sum() / share.sum()]
    about = [x[marked].mean() - places[8, 0], y[marked].mean() - places[8, 1]]  # the mark itself is made of pixels
    np.testing.assert_allclose(centre, np.array([30.3, 33.8]) + turn @ about, atol=0.05)
    assert share.sum() == pytest.approx(marked.sum() * scale**2, rel=0.03)


def test_of_likely_hands_the_one_is_taken_whose_forearm_leaves_the_picture():
    random = np.random.default_rng(1)
    places = random.uniform(24, 40, (21, 2))
    masks = np.zeros((2, 64, 64), np.uint8)
    masks[0, 30:, 28:36], masks[1, 30:50, 28:36] = 255, 255  # the first goes on beyond its own picture
    rendered = {
        "image": torch.full((2, 3, 64, 64), 200, dtype=torch.uint8),
        "mask": torch.from_numpy(masks),
        "joints": torch.rand(2, 21, 3) + 1,
        "joints_2d": torch.from_numpy(np.stack((places, places + random.normal(scale=0.2, size=(21, 2))))),
        "K": torch.eye(3).expand(2, 3, 3),
    }
    index = PoseIndex.build(rendered["joints_2d"].numpy())
    photograph = torch.randint(256, (1, 3, 64, 64), dtype=torch.uint8)
    inside, below = (torch.from_numpy(places[None] + shift) for shift in ([0.0, -10.0], [0.0, 5.0]))
    assert compose(photograph, inside, rendered, index, 0)["number"].tolist() == [1]
    assert compose(photograph, below, rendered, index, 0)["number"].tolist() == [0]  # both are whole: the likest


def test_joints_that_are_not_known_are_refused(hands, photographs):
    places = photographs[1].clone()
    places[0, 3] = float("nan")
    with pytest.raises(InputError, match="21 joints in a picture expected, all of them known"):
        compose(photographs[0], places, hands, PoseIndex.build(hands["joints_2d"].double().numpy()), 0)


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
    painted = without_hand(photograph, np.random.default_rng(1).uniform(-60, 124, (21, 2)))
    assert (painted == photograph.mean((0, 1)).astype(np.uint8)).all()
