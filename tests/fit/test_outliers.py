"""Grossly misplaced joints do not count, and are found."""

import pytest
import torch
from fits_of_tensors import solve_robustly

from phalanx.fit.joints import fit_joints


@pytest.mark.parametrize("far", [0.09, 0.4])
@pytest.mark.parametrize("joint", [0, 4, 6, 9, 20])
def test_an_outlier_is_found_and_does_not_pull(model, hands, joint, far):
    joints = model.joints(hands.pose_of(model, hands.draw(model, 6, seed=3, spread=0.5)))
    spoilt = joints.clone()
    spoilt[::2, joint] += far * torch.nn.functional.normalize(torch.tensor([1.0, 2.0, -1.0]), dim=0)
    found, outliers = solve_robustly(model, spoilt, torch.ones(6, 21, dtype=torch.bool))
    expected = torch.zeros(6, 21, dtype=torch.bool)
    expected[::2, joint] = True
    assert torch.equal(outliers, expected)
    off = 1e3 * (found - joints).norm(dim=-1)[~expected]
    pulled = 1e3 * (model.joints(fit_joints(model, spoilt)) - joints).norm(dim=-1)[~expected]
    assert float(off.mean()) < 0.5 < float(pulled.mean())


def test_good_joints_are_no_outliers(model, hands):
    torch.manual_seed(0)
    joints = model.joints(hands.pose_of(model, hands.draw(model, 16, spread=0.8)))
    noisy = joints + 0.004 * torch.randn_like(joints)
    _, outliers = solve_robustly(model, noisy, torch.ones(16, 21, dtype=torch.bool))
    assert int(outliers.sum()) == 0
