"""The open hand beside `anny` and beside `smplx`'s MANO layer: milliseconds to pose a batch, and what the PCA loses.

    pip install -e ".[build-hand]" smplx && python benchmarks/hand.py

MANO's own files may not be shipped, so the MANO layer runs on a made-up file of its format and size (778 vertices, 16 joints).
"""

from __future__ import annotations

import argparse
import pickle
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from timing import milliseconds

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
import build_open_hand

from phalanx.hand import HandModel, HandPose


def made_up_mano(folder: Path) -> Path:
    """A file of MANO's format with random content."""
    rng = np.random.default_rng(0)
    parents = np.array([-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14])
    weights = rng.dirichlet(np.ones(16) * 0.1, 778)
    regressor = rng.dirichlet(np.ones(778) * 0.1, 16)
    data = {
        "v_template": rng.normal(0, 0.05, (778, 3)),
        "shapedirs": rng.normal(0, 0.002, (778, 3, 10)),
        "posedirs": rng.normal(0, 0.0005, (778, 3, 135)),
        "J_regressor": regressor,
        "weights": weights,
        "kintree_table": np.stack([parents.astype(np.uint32), np.arange(16, dtype=np.uint32)]).astype(np.int64),
        "f": rng.integers(0, 778, (1538, 3)).astype(np.uint32),
        "hands_components": np.linalg.qr(rng.normal(size=(45, 45)))[0],
        "hands_mean": np.zeros(45),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }
    data["kintree_table"][0, 0] = 0
    path = folder / "MANO_RIGHT.pkl"
    path.write_bytes(pickle.dumps(data))
    return path


def speed() -> None:
    import anny
    import smplx

    open_hand = HandModel.open_hand()
    anny_hand = anny.Anny(rig="anny-hand.R", topology="hand.R").to(dtype=torch.float32)
    with tempfile.TemporaryDirectory() as folder:
        mano = smplx.MANOLayer(str(made_up_mano(Path(folder))), is_rhand=True)
    print(
        f"{'batch':>6} {'open hand':>12} {'anny hand':>12} {'smplx MANO':>12}   (ms, {torch.get_num_threads()} threads)"
    )
    for batch in (1, 64):
        pose = HandPose.zero(batch)
        bones = torch.eye(4).expand(batch, len(anny_hand.bone_labels), 4, 4).contiguous()
        eye = torch.eye(3).expand(batch, 15, 3, 3).contiguous()
        betas = torch.zeros(batch, 10)
        calls: list[Callable[[], object]] = [
            partial(open_hand, pose),
            partial(anny_hand, pose_parameters=bones),
            partial(mano, global_orient=eye[:, :1], hand_pose=eye, betas=betas),
        ]
        with torch.no_grad():
            row = [milliseconds(call) for call in calls]
        print(f"{batch:>6} " + " ".join(f"{value:12.2f}" for value in row))


def pca_loss(subjects: int) -> None:
    """Fresh random subjects through the build's own pipeline, then projected on the frozen components."""
    people = build_open_hand.population(subjects, seed=12345)
    model = HandModel.open_hand().double()
    hand = model.skin_weights[:, 1].numpy() < 0.5
    template, basis = model.template.numpy()[hand], model.shape_basis.numpy()[hand]
    target = people["vertices"][:, hand] - template
    matrix = basis.reshape(-1, 10)
    coefficients = np.linalg.lstsq(matrix, target.reshape(subjects, -1).T, rcond=None)[0]
    left = np.linalg.norm((target.reshape(subjects, -1) - (matrix @ coefficients).T).reshape(subjects, -1, 3), axis=2)
    print(
        f"rest surface of {subjects} new anny subjects (zero pose, hand without forearm): "
        f"mean {left.mean() * 1000:.2f} mm, 99 % {np.quantile(left, 0.99) * 1000:.2f} mm, maximum {left.max() * 1000:.2f} mm"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, default=200)
    arguments = parser.parse_args()
    pca_loss(arguments.subjects)
    speed()
