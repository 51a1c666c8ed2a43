import copy
import pickle

import numpy as np
import pytest
import torch

from phalanx.hand.angles import LIMITS, angles_to_rotations, rotations_to_angles
from phalanx.hand.model import HandModel, HandPose
from phalanx.hand.plain import PlainHand, plain_hand


@pytest.fixture(scope="module")
def pose():
    """Four hands, all over their limits."""
    random = np.random.default_rng(0)
    rotations = angles_to_rotations(random.uniform(*LIMITS.T, (4, 23)))
    values = rotations, random.normal(size=(4, 10)), rotations[:, 4], random.normal(size=(4, 3))
    return HandPose(*(value.astype(np.float32) for value in values))


def with_tips(model):
    buffers = {name: value for name, value in model.named_buffers() if name != "parts"}
    return HandModel(**buffers, tip_vertices=torch.tensor([5, 60, 700, 801, 900]))


@pytest.mark.parametrize(
    "change", [lambda model: model, HandModel.without_correctives, with_tips], ids=["open", "plain", "tips"]
)
def test_the_same_hand_as_that_of_pytorch(pose, change):
    model = change(HandModel.open_hand())
    wanted, hand = model(pose.map(torch.from_numpy)), plain_hand(model)
    found = hand(pose)
    for name in ("vertices", "joints", "transforms"):
        assert getattr(found, name).dtype == np.float32
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), atol=2e-6)
    np.testing.assert_allclose(hand.joints(pose), model.joints(pose.map(torch.from_numpy)), atol=2e-6)


def test_the_open_hand():
    hand, model = PlainHand.open_hand(), HandModel.open_hand()
    assert hand is plain_hand(PlainHand.open_hand()) and hand.checksum() == model.checksum()
    same = plain_hand(model)
    (
        model.template.share_memory_(),
        model.faces.share_memory_(),
    )  # as sending it to another process does, which moves the memory
    assert same is plain_hand(model)
    for name in ("template", "faces", "parts", "skin_weights", "pose_basis"):
        assert getattr(hand, name).dtype == getattr(same, name).dtype
        np.testing.assert_array_equal(getattr(hand, name), getattr(same, name))


def test_copies_and_pickles(pose):
    hand = PlainHand.open_hand()
    for other in (copy.deepcopy(hand), pickle.loads(pickle.dumps(hand))):
        np.testing.assert_array_equal(other(pose).vertices, hand(pose).vertices)


def test_angles_of_arrays_and_tensors(pose):
    rotations = pose.rotations.astype(np.float64)
    angles = rotations_to_angles(rotations)
    assert isinstance(angles, np.ndarray)
    np.testing.assert_allclose(angles_to_rotations(angles), rotations, atol=1e-6)
    np.testing.assert_allclose(rotations_to_angles(torch.from_numpy(rotations)), angles, atol=1e-9)
