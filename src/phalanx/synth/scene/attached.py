"""Hands on the arms of whole people, for crops: seen by a camera in the room, or on their owner's head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import index_fields, join_fields
from phalanx.hand.model import HandModel, HandPose, concatenate_poses
from phalanx.synth.body.model import BodyModel, BodySurface
from phalanx.synth.scene.gathering import Gathering, draw_gathering
from phalanx.synth.scene.hands import NEAREST, Framing, cropped

KINDS = {"third_person": ("group", "close", "webcam"), "egocentric": ("own_eyes",)}
"""Kinds of pictures (`crowd.KINDS`) by scene."""

_FRAME = 640  # pixels of the frames that crops are cut from
_MOST_HIDDEN = 7  # joints that bodies may hide
_OWN = 0.12  # metres around the wrist within which the body is the hand's own arm
_MORE = 4


@dataclass
class Attached:
    """N hands with their people: poses and cameras of the crops (N, 3, 3), bodies, and where down is (N, 3)."""

    pose: HandPose
    K: Tensor
    body: BodySurface
    down: np.ndarray


def draw_attached(
    generator: np.random.Generator,
    body: BodyModel,
    hand: HandModel,
    scene: str,
    count: int,
    size: int,
    framing: Framing,
    build: int = 0,
) -> Attached:
    """`count` right hands of people, each in a crop of `size` pixels, on the CPU; the people have the models' sizes.

    Args:
        scene: a name in `KINDS`.
        framing: says how near hands are.
        build: as in `hands.draw_shapes`.
    """
    kept: list[Attached] = []
    missing = count
    while missing > 0:
        drawn = draw_gathering(
            generator, body, hand, missing + _MORE, (1, 1), _FRAME, _FRAME, build, KINDS[scene], one_size=True
        )
        pose = drawn.hands[0::2]
        joints = hand.joints(pose)
        focal = drawn.K[:, 0, 0].double().numpy() / _FRAME
        seen = focal[:, None, None] * (joints[..., :2] / joints[..., 2:].clamp_min(1e-3)).double().numpy()
        K, pixels = cropped(generator, seen, focal, np.zeros(len(focal), bool), size)
        inside = ((pixels >= -0.5) & (pixels <= size - 0.5)).all(-1).sum(1) >= 18
        near = max(NEAREST, 0.6 * framing.distance[0])
        good = inside & (joints[..., 2].amin(1) > near).numpy() & ~_hidden(drawn, joints)
        chosen = np.flatnonzero(good)[:missing]
        if len(chosen):
            rows = torch.as_tensor(chosen)
            cut = torch.as_tensor(K, dtype=torch.float32)[rows]
            kept.append(Attached(pose[rows], cut, index_fields(drawn.body, rows), drawn.down[chosen]))
            missing -= len(chosen)
    return Attached(
        concatenate_poses([part.pose for part in kept]),
        torch.cat([part.K for part in kept]),
        join_fields([part.body for part in kept]),
        np.concatenate([part.down for part in kept]),
    )


def _hidden(drawn: Gathering, joints: Tensor) -> np.ndarray:
    """Whether (N,) bodies hide much of right hands with the joints (N, 21, 3): their skin lies before too many of them."""
    result = []
    for points, skin in zip(joints, drawn.body.vertices, strict=True):
        skin = skin[(skin[:, 2] > NEAREST) & ((skin - points[0]).norm(dim=1) > _OWN)]
        aside = torch.cdist(skin[:, :2] / skin[:, 2:], points[:, :2] / points[:, 2:].clamp_min(1e-3))
        before = skin[:, 2:] < points[:, 2] - 0.02
        covers = (aside < 0.02 / skin[:, 2:]) & before
        result.append(int(covers.any(0).sum()) > _MOST_HIDDEN)
    return np.array(result)
