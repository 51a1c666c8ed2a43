"""What people in whole frames hold: grasps that are planned once a process, with a thing from the bank in each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandPose
from phalanx.render.solids import Solids
from phalanx.synth.paint.surface import hand
from phalanx.synth.scene.grasp import draw_grasps
from phalanx.synth.things.held import Held, hold_things
from phalanx.synth.things.models import things_bank
from phalanx.synth.things.paint import Placed

GRASPS = 96
_SEED = 20_261_201


@dataclass
class GraspBank:
    """Grasps of the mean hand: angles (N, 23) in degrees, what each holds, and which of them (M,) hold a thing."""

    angles: np.ndarray
    held: Held
    usable: np.ndarray


@lru_cache(maxsize=2)
def _grasps() -> tuple[np.ndarray, Solids]:
    drawn = draw_grasps(stream_generator(_SEED), hand("cpu")[0], GRASPS)
    return np.rad2deg(drawn.angles.double().numpy()), drawn.solids


@lru_cache(maxsize=2)
def grasp_bank(folder: Path | None) -> GraspBank:
    """The same in every process. Raises InputError: the folder of things is at fault."""
    angles, solids = _grasps()
    pose = HandPose.zero(len(angles))
    pose.rotations = angles_to_rotations(torch.as_tensor(np.deg2rad(angles), dtype=torch.float32))
    held = hold_things(stream_generator(_SEED, 1), solids, hand("cpu")[0](pose).vertices, things_bank(folder, "cpu"))
    return GraspBank(angles, held, held.hands)


def placed_in_hands(
    bank: GraspBank,
    grasps: np.ndarray,
    frames: np.ndarray,
    pose: HandPose,
    scale: Tensor,
    left: np.ndarray,
    centres: np.ndarray,
) -> Placed:
    """The things that N hands hold, in their cameras' frames.

    Args:
        grasps: (N,) numbers of grasps in the bank; frames: (N,) the frame of each hand.
        pose: of the N hands, left ones in the mirror; scale: (N,) their sizes; left: (N,) which are left.
        centres: (T, 3) middles of all things: those in left hands are mirrored about them.
    """
    rows = np.searchsorted(bank.usable, grasps)
    thing = bank.held.thing[rows]
    matrix = (
        pose.orientation.double().cpu().numpy() @ bank.held.matrix[rows] * scale.double().cpu().numpy()[:, None, None]
    )
    moved = np.einsum("nij,nj->ni", pose.orientation.double().cpu().numpy(), bank.held.shift[rows])
    shift = moved * scale.double().cpu().numpy()[:, None] + pose.translation.double().cpu().numpy()
    flip = np.diag([-1.0, 1.0, 1.0])
    for i in np.flatnonzero(left):  # the mirror image of the thing, turned over so that it is the thing again
        middle = matrix[i] @ centres[thing[i]] + shift[i]
        matrix[i] = flip @ matrix[i] @ flip
        shift[i] = flip @ middle - matrix[i] @ centres[thing[i]]
    return Placed(
        torch.from_numpy(thing),
        torch.from_numpy(frames),
        torch.from_numpy(matrix),
        torch.from_numpy(shift),
        torch.from_numpy(bank.held.tint[rows]),
    )
