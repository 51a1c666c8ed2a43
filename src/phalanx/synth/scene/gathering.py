"""People in front of cameras, all of them at once: bodies and hands of several frames, in their cameras' frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from phalanx.core.records import join_fields, map_fields
from phalanx.hand.model import HandModel, HandPose, concatenate_poses
from phalanx.synth.body.model import BodyModel, BodySurface
from phalanx.synth.paint.table import Table
from phalanx.synth.scene.body_joints import body_joints
from phalanx.synth.scene.crowd import KINDS, Crowd, draw_camera, draw_crowd, person_to_world
from phalanx.synth.scene.hands import draw_shapes
from phalanx.synth.scene.postures import Beside, Stance, draw_trunks, pose_people

MIRROR = torch.tensor([-1.0, 1.0, 1.0])


@dataclass
class Gathering:
    """P people and their 2 P hands in B frames, on the CPU.

    Attributes:
        K: (B, 3, 3) cameras; down: (B, 3) where down is, in their frames.
        kind: B names of kinds of pictures.
        frame: (P,) frame of each person; scale: (P,) sizes of their hands.
        body: of P people, in the cameras' frames.
        hands: 2 P right hands, a right and a left one of each person by turns, of the model's size (`scale` them about the wrist); left
            ones in the mirror images of the cameras' frames.
        tables: of each frame, or none.
        held: (2 P,) number of the grasp of each hand, -1: it holds nothing.
    """

    K: Tensor
    down: np.ndarray
    kind: list[str]
    frame: np.ndarray
    scale: np.ndarray
    body: BodySurface
    hands: HandPose
    tables: list[Table | None]
    held: np.ndarray

    def __getitem__(self, frames: np.ndarray) -> Gathering:
        """The chosen frames, of which each has one person."""
        pairs = torch.as_tensor(np.stack([2 * frames, 2 * frames + 1], 1).reshape(-1))
        rows = torch.as_tensor(frames)
        return Gathering(
            self.K[rows],
            self.down[frames],
            [self.kind[i] for i in frames],
            np.arange(len(frames)),
            self.scale[frames],
            map_fields(self.body, lambda value: value[rows]),
            self.hands[pairs],
            [self.tables[i] for i in frames],
            self.held[pairs.numpy()],
        )

    def hand_joints(self, model: HandModel) -> Tensor:
        """Joints (2 P, 21, 3) of all hands, in the cameras' frames."""
        size = torch.as_tensor(np.repeat(self.scale, 2), dtype=torch.float32)[:, None, None]
        wrist = self.hands.translation[:, None]
        joints = wrist + (model.joints(self.hands) - wrist) * size
        joints[1::2] *= MIRROR
        return joints

    def kept_away(self, model: HandModel, nearest: float, width: int, height: int) -> Gathering:
        """The same people, but before cameras that stand so far back that no hand in their frames is nearer than `nearest` metres."""
        moved = self
        for _ in range(3):
            joints = moved.hand_joints(model)
            pixels = joints @ moved.K[torch.as_tensor(np.repeat(self.frame, 2))].mT
            at = pixels[..., :2] / pixels[..., 2:].clamp_min(0.01)
            inside = ((at > 0) & (at < at.new_tensor([width, height]))).all(-1) & (joints[..., 2] > 0)
            near = torch.where(inside.any(1), joints[..., 2].amin(1), torch.inf).double().numpy()
            step = np.zeros(len(self.K))
            np.maximum.at(step, np.repeat(self.frame, 2), nearest + 0.005 - near)
            if not (step > 0).any():
                break
            moved = moved._moved_back(step)
        return moved

    def _moved_back(self, step: np.ndarray) -> Gathering:
        away = torch.zeros((len(self.frame), 3))
        away[:, 2] = torch.as_tensor(step[self.frame], dtype=torch.float32)
        rigid = self.body.transforms.clone()
        rigid[..., :3, 3] += away[:, None]
        body = replace(
            self.body,
            vertices=self.body.vertices + away[:, None],
            joints=self.body.joints + away[:, None],
            transforms=rigid,
        )
        hands = replace(self.hands, translation=self.hands.translation + away.repeat_interleave(2, 0))
        tables = [
            None if table is None else replace(table, point=table.point + [0.0, 0.0, far])
            for table, far in zip(self.tables, step, strict=True)
        ]
        return replace(self, body=body, hands=hands, tables=tables)

    @property
    def left(self) -> np.ndarray:
        """Which of the 2 P hands are left ones."""
        return np.arange(2 * len(self.frame)) % 2 == 1


def concatenate_gatherings(parts: Sequence[Gathering]) -> Gathering:
    """The frames of several gatherings, each of which has one person."""
    return Gathering(
        torch.cat([part.K for part in parts]),
        np.concatenate([part.down for part in parts]),
        [kind for part in parts for kind in part.kind],
        np.arange(sum(len(part.K) for part in parts)),
        np.concatenate([part.scale for part in parts]),
        join_fields([part.body for part in parts]),
        concatenate_poses([part.hands for part in parts]),
        [table for part in parts for table in part.tables],
        np.concatenate([part.held for part in parts]),
    )


def draw_gathering(
    generator: np.random.Generator,
    body: BodyModel,
    hand: HandModel,
    frames: int,
    people: tuple[int, int],
    width: int,
    height: int,
    build: int = 0,
    kinds: Sequence[str] = tuple(KINDS),
    one_size: bool = False,
    grasps: np.ndarray | None = None,
) -> Gathering:
    """Draw the people of `frames` frames of `width` x `height` pixels.

    Args:
        people: the fewest and the most of a frame.
        build: as in `hands.draw_shapes`.
        kinds: of pictures, from `crowd.KINDS`.
        one_size: whether people have the sizes of the models, as poses alone tell them.
        grasps: (M, 23) angles in degrees of hands that hold something; none: nobody does.
    """
    crowds = [draw_crowd(generator, people, kinds) for _ in range(frames)]
    if one_size:
        crowds = [replace(crowd, scale=np.ones(len(crowd.scale))) for crowd in crowds]
    counts = [len(crowd.sitting) for crowd in crowds]
    owner = np.repeat(np.arange(frames), counts)
    trunks = draw_trunks(generator, body, np.concatenate([crowd.sitting for crowd in crowds]))
    scale = np.concatenate([crowd.scale for crowd in crowds])
    K, turns, places, cameras = [], [], [], []
    eyes_up = body_joints(body).eyes_up
    start = 0
    for crowd, count in zip(crowds, counts, strict=True):
        rows = slice(start, start + count)
        start += count
        turn, necks = person_to_world(crowd, trunks.floor[rows] * scale[rows])
        focal = 0.5 * max(width, height) / np.tan(0.5 * np.deg2rad(crowd.field))
        K.append([[focal, 0.0, 0.5 * (width - 1)], [0.0, focal, 0.5 * (height - 1)], [0.0, 0.0, 1.0]])
        at, rotation = draw_camera(generator, crowd, necks, eyes_up, (0.5 * width / focal, 0.5 * height / focal))
        turns.append(turn)
        places.append(necks)
        cameras.append((at, rotation))
    turn, necks = np.concatenate(turns), np.concatenate(places)
    at, rotation = (np.stack(values) for values in zip(*cameras, strict=True))
    kinds = [crowd.kind for crowd in crowds]
    table = np.concatenate([crowd.table for crowd in crowds])
    stance = Stance(
        [kinds[i] for i in owner],
        (-table - necks[:, 1]) / scale,
        np.einsum("pji,pj->pi", turn, at[owner] - necks) / scale[:, None],
        _beside(owner, turn, necks, scale),
    )
    shapes = draw_shapes(generator, len(owner), build).repeat_interleave(2, 0)
    posed = pose_people(generator, body, hand, trunks, stance, shapes, grasps)
    to_camera = rotation[owner] @ turn
    moved = np.einsum("pij,pj->pi", rotation[owner], necks - at[owner])
    return Gathering(
        torch.as_tensor(np.array(K), dtype=torch.float32),
        rotation[:, :, 1].copy(),
        kinds,
        owner,
        scale if one_size else scale * body.hand_sizes(trunks.pose.shape).double().numpy().clip(0.6, 1.4),
        _placed_bodies(posed.surface, to_camera, moved, scale),
        _placed_hands(posed.hands, to_camera, moved, scale),
        [_table(generator, crowd, necks[owner == i], at[i], rotation[i]) for i, crowd in enumerate(crowds)],
        posed.held,
    )


def _beside(owner: np.ndarray, turn: np.ndarray, necks: np.ndarray, scale: np.ndarray) -> list[Beside]:
    """Neighbours within a metre, one pair after the other."""
    found = []
    for one in range(len(owner) - 1):
        other = one + 1
        if owner[one] == owner[other] and np.linalg.norm(necks[other] - necks[one]) < 1.0:
            place = turn[one].T @ (necks[other] - necks[one]) / scale[one]
            found.append(Beside(one, other, turn[one].T @ turn[other], place, float(scale[other] / scale[one])))
    return found


def _placed_bodies(surface: BodySurface, turn: np.ndarray, moved: np.ndarray, scale: np.ndarray) -> BodySurface:
    """Bodies of people's frames in those of cameras, of their sizes."""
    rotation, offset = (torch.as_tensor(array, dtype=torch.float32) for array in (turn, moved))
    size = torch.as_tensor(scale, dtype=torch.float32)[:, None, None]
    rigid = torch.eye(4).repeat(len(turn), 1, 1)
    rigid[:, :3, :3], rigid[:, :3, 3] = rotation * size, offset
    return BodySurface(
        surface.vertices @ rotation.mT * size + offset[:, None],
        surface.joints @ rotation.mT * size + offset[:, None],
        rigid[:, None] @ surface.transforms,
        surface.shape,
    )


def _placed_hands(hands: HandPose, turn: np.ndarray, moved: np.ndarray, scale: np.ndarray) -> HandPose:
    """Hands of people's frames (left ones in the mirror) in those of cameras (left ones in their mirror images)."""
    rotation, offset = (torch.as_tensor(array, dtype=torch.float32).repeat_interleave(2, 0) for array in (turn, moved))
    size = torch.as_tensor(scale, dtype=torch.float32).repeat_interleave(2)[:, None]
    flip = torch.diag(MIRROR)
    rotation[1::2] = flip @ rotation[1::2] @ flip
    offset[1::2] = offset[1::2] * MIRROR
    place = (rotation @ hands.translation[..., None])[..., 0] * size + offset
    return HandPose(hands.rotations, hands.shape, rotation @ hands.orientation, place)


def _table(
    generator: np.random.Generator, crowd: Crowd, necks: np.ndarray, at: np.ndarray, rotation: np.ndarray
) -> Table | None:
    """The table of a crowd that has one, before all of them."""
    height = crowd.table[0]
    if np.isnan(height):
        return None
    near = necks[:, 2].min() - generator.uniform(0.16, 0.22)  # its edge on the people's side
    deep = 0.5 * generator.uniform(0.6, 1.0)
    middle = np.array([necks[:, 0].mean(), -height, near - deep])
    wide = 0.5 * np.ptp(necks[:, 0]) + generator.uniform(0.5, 1.1)
    return Table(
        rotation @ (middle - at),
        rotation @ [0.0, -1.0, 0.0],
        rotation[:, 0].copy(),
        rotation[:, 2].copy(),
        (wide, deep),
    )
