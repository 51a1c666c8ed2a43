"""Joints that are missing, and joints that are no hand's."""

import numpy as np
import pytest
import torch
from fits_of_tensors import misplaced_joints

from phalanx.fit.chain import chain_of
from phalanx.fit.joints import fit_joints
from phalanx.fit.missing import MOST_SUSPECTS, fill_joints


@pytest.fixture(scope="module")
def joints(model) -> torch.Tensor:
    """(12, 21, 3) hands of several sizes."""
    from phalanx.hand.anatomy import angles_to_rotations
    from phalanx.hand.model import HandPose
    from phalanx.hand.pose_space import gestures

    torch.manual_seed(0)
    pose = HandPose.zero(12)
    pose.rotations = angles_to_rotations(torch.as_tensor(np.radians(gestures()[:12]), dtype=torch.float32))
    pose.shape = torch.randn(12, 10)
    pose.translation = torch.tensor([0.2, -0.1, 1.0]).expand(12, 3)
    return model.joints(pose)


@pytest.mark.parametrize(
    "lost", [[4], [0], [2, 3], [6, 10, 14, 18], [5, 9, 13, 17], [0, 1, 5, 9], list(range(5, 21, 2))]
)
@pytest.mark.parametrize("how", ["nan", "sigma"])
def test_a_fit_does_without_missing_joints(model, joints, lost, how):
    given, sigma = joints.clone(), torch.full((12, 21), 0.002)
    if how == "nan":
        given[:, lost] = torch.nan
    else:
        given[:, lost], sigma[:, lost] = 7.0, torch.inf
    off = 1e3 * (model.joints(fit_joints(model, given, sigma=sigma)) - joints).norm(dim=-1)
    kept = [joint for joint in range(21) if joint not in lost]
    assert float(off[:, kept].mean()) < 1.5
    assert float(off[:, lost].mean()) < 20


def test_what_is_there_is_not_touched(model, joints):
    seen = torch.rand(12, 21) > 0.3
    found = fill_joints(chain_of(model), torch.where(seen[..., None], joints, torch.nan), seen)
    assert torch.equal(found[seen], joints[seen])
    assert bool(torch.isfinite(found).all())
    assert float((found - joints).norm(dim=-1).max()) < 0.15


def test_nothing_at_all_is_filled_too(model):
    found = fill_joints(chain_of(model), torch.full((2, 21, 3), torch.nan), torch.zeros(2, 21, dtype=torch.bool))
    assert bool(torch.isfinite(found).all())


@pytest.mark.parametrize("size", [0.6, 1.0, 1.5])
def test_hands_of_any_size_have_nothing_misplaced(model, joints, size):
    assert not misplaced_joints(model, size * joints, torch.ones(12, 21, dtype=torch.bool)).any()


def test_joints_at_no_hands_distance_are_found(model, joints):
    torch.manual_seed(1)
    moved, wrong = joints.clone(), torch.zeros(12, 21, dtype=torch.bool)
    for frame in range(12):
        wrong[frame, torch.randperm(21)[: 1 + frame % 3]] = True
    moved[wrong] += 0.25 * torch.nn.functional.normalize(torch.randn(int(wrong.sum()), 3), dim=1)
    seen = torch.ones(12, 21, dtype=torch.bool)
    seen[:, 7] = False
    moved[:, 7] = torch.nan
    found = misplaced_joints(model, moved, seen)
    assert torch.equal(found, wrong & seen)


def test_nonsense_ends(model):
    torch.manual_seed(2)
    found = misplaced_joints(model, torch.randn(3, 21, 3), torch.ones(3, 21, dtype=torch.bool))
    assert int(found.sum(1).max()) <= MOST_SUSPECTS
