"""How well the open hand can explain real joints at all: fitted to the ground truth of `photos_3d` (joints only, no picture).

    python benchmarks/ceiling.py FOLDER

What is left is the difference of joint definitions and of what the model's angles and shapes cannot do; no estimator that ends in
this model can be expected to score below it without the definition map. Published beside it: 13.2 mm root-relative and 7.6 mm
aligned for the unmodified `anny` hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from phalanx.data.public.photos3d import read_photos3d
from phalanx.fit.joints import fit_joints
from phalanx.hand import HandModel
from phalanx.hand.anatomy import ANGLE_NAMES, LIMITS, rotations_to_angles
from phalanx.metrics.joints import procrustes_errors, root_scaled_errors


def ceiling(folder: Path) -> dict[str, float]:
    """Mean joint errors in mm of the fitted model, and the largest excess over an angle limit in degrees."""
    model = HandModel.open_hand().double()
    mirror = torch.tensor([-1.0, 1.0, 1.0], dtype=torch.float64)  # they are left hands
    truth = torch.from_numpy(np.asarray(read_photos3d(folder).joints, dtype=np.float64)) * mirror
    pose = fit_joints(model, truth)
    fitted = model.joints(pose)
    angles = rotations_to_angles(pose.rotations)
    beyond = torch.maximum(LIMITS[:, 0] - angles, angles - LIMITS[:, 1]).clamp(min=0).rad2deg()
    worst = int(beyond.amax(0).argmax())
    return {
        "epe_3d_mm": float((fitted - truth).norm(dim=-1).mean() * 1000),
        "epe_3d_root_scaled_mm": float(np.mean(root_scaled_errors(fitted.numpy(), truth.numpy()))) * 1000,
        "epe_3d_procrustes_mm": float(np.mean(procrustes_errors(fitted.numpy(), truth.numpy()))) * 1000,
        f"beyond_limit_deg ({ANGLE_NAMES[worst]})": float(beyond.max()),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    for name, value in ceiling(parser.parse_args().folder).items():
        print(f"{name:50} {value:6.2f}")
