"""The open hand explains real joints it has never seen (its definition comes from anatomy, not from these photos)."""

import numpy as np
import torch

from phalanx.data.public.photos3d import read_photos3d
from phalanx.fit.joints import fit_joints
from phalanx.hand import HandModel
from phalanx.metrics.joints import procrustes_errors, root_scaled_errors


def test_ceiling_on_real_joints(real) -> None:
    model = HandModel.open_hand().double()
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)
    truth = torch.from_numpy(np.asarray(read_photos3d(real("photos_3d")).joints, dtype=np.float64)) * mirror
    fitted = model.joints(fit_joints(model, truth)).numpy()
    assert np.mean(root_scaled_errors(fitted, truth.numpy())) < 0.010
    assert np.mean(procrustes_errors(fitted, truth.numpy())) < 0.0055
