"""Which joints of the body model do what, and facts about its rest pose that arms and faces need."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from phalanx.synth.body.model import JOINT, JOINT_NAMES, PARENTS, BodyModel
from phalanx.synth.scene.arms import unit

TRUNK, HEAD, LEGS = 0, 1, 2
_MIRROR = np.array([-1.0, 1.0, 1.0])

Pair = tuple[int, int]
"""Of the right side, and of the left one."""


@dataclass(frozen=True)
class BodyJoints:
    """Joints by what they do.

    Attributes:
        shoulder, elbow, wrist, hip, knee, before_arm: the joints where they begin, and the shoulder's parent.
        forearm: joints from the elbow on that share the forearm's twist.
        spine, neck, thigh, shin: joints that bend together.
        rest: (J, 3) of the mean body; rest_hand: (3, 3) from the frame of its right hand.
        eyes: (3,) between the eyes at rest; eyes_up: metres from the neck's base up to them.
        trunk_vertices: (V',) vertices of the body without arms, some of them; trunk_parts: (V',) `TRUNK`, `HEAD` or `LEGS`.
    """

    shoulder: Pair
    elbow: Pair
    wrist: Pair
    hip: Pair
    knee: Pair
    before_arm: Pair
    forearm: tuple[tuple[int, ...], tuple[int, ...]]
    spine: tuple[int, ...]
    neck: tuple[int, ...]
    head: int
    chest: int
    thigh: tuple[tuple[int, ...], tuple[int, ...]]
    shin: tuple[tuple[int, ...], tuple[int, ...]]
    rest: np.ndarray
    rest_hand: np.ndarray
    eyes: np.ndarray
    eyes_up: float
    trunk_vertices: np.ndarray
    trunk_parts: np.ndarray

    def rest_arms(self, rest: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Frames (P, 3, 3) of the upper arm, forearm and hand of bodies with the rest joints `rest (P, J, 3)`, of left arms in the
        mirror."""
        mean = self.rest * (_MIRROR if side else 1.0)
        _, straight = self._bones(mean[None], side)
        upper, lower = self._bones(rest * (_MIRROR if side else 1.0), side)
        return upper, lower, lower @ straight.transpose(0, 2, 1) @ self.rest_hand

    def _bones(self, rest: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
        chain = [rest[:, joint[side]] for joint in (self.shoulder, self.elbow, self.wrist)]
        upper, lower = unit(chain[1] - chain[0]), unit(chain[2] - chain[1])
        hinge = unit(np.cross(upper, lower))
        first, second = (np.stack([bone, hinge, np.cross(bone, hinge)], -1) for bone in (upper, lower))
        return first, second


def _both(name: str) -> Pair:
    return JOINT[f"right_{name}"], JOINT[f"left_{name}"]


@lru_cache(maxsize=2)
def body_joints(body: BodyModel) -> BodyJoints:
    """The joints of the open body by what they do."""
    rest = body.rest_joints.cpu().double().numpy()
    shoulder, elbow, wrist, hip, knee = (_both(name) for name in ("shoulder", "elbow", "wrist", "hip", "knee"))
    forearm = _both("forearm")
    turn = body.hand_to_body[:3, :3].cpu().double().numpy()
    names = np.array([name.split("_")[-1] for name in JOINT_NAMES])[body.parts.cpu().numpy()]
    kept = np.flatnonzero(~np.isin(names, ["shoulder", "elbow", "forearm", "wrist", "ankle", "toes"]))[::2]
    kinds = np.where(
        np.isin(names, ["head", "eye", "neck"]), HEAD, np.where(np.isin(names, ["hip", "knee"]), LEGS, TRUNK)
    )
    eyes = rest[list(_both("eye"))].mean(0)
    return BodyJoints(
        shoulder=shoulder,
        elbow=elbow,
        wrist=wrist,
        hip=hip,
        knee=knee,
        before_arm=(PARENTS[shoulder[0]], PARENTS[shoulder[1]]),
        forearm=((elbow[0], forearm[0]), (elbow[1], forearm[1])),
        spine=tuple(JOINT[name] for name in ("lumbar", "thorax", "chest")),
        neck=(JOINT["neck"], JOINT["head"]),
        head=JOINT["head"],
        chest=JOINT["chest"],
        thigh=((hip[0],), (hip[1],)),
        shin=((knee[0],), (knee[1],)),
        rest=rest,
        rest_hand=turn,
        eyes=eyes,
        eyes_up=float(-eyes[1]),
        trunk_vertices=kept,
        trunk_parts=kinds[kept],
    )
