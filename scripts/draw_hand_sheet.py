"""Draw 24 named gestures of the open hand, each from the palm and turned by 75 degrees: `docs/images/hand_sheet.png`.

python scripts/draw_hand_sheet.py --out docs/images/hand_sheet.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from phalanx.hand import HandModel, HandPose
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.pose_space import GESTURE_NAMES, gestures
from phalanx.hand.skeleton import BONES
from phalanx.render import mesh
from phalanx.render.visibility import visibility

SHOWN = (
    "open flat relaxed fist thumb_up point gun victory two_closed three three_thumb four rock love call pinch "
    "middle_ring_little pinch_little five_pinch claw hook roof grasp hold_pen"
).split()
TILE = 220
SKIN = torch.tensor([0.84, 0.68, 0.58])
FINGER_COLOURS = ((214, 69, 65), (230, 160, 40), (70, 160, 70), (50, 110, 200), (150, 80, 180))


def draw(surface_vertices: Tensor, joints: Tensor, faces: Tensor, with_joints: bool) -> np.ndarray:
    """One hand (V, 3) in the camera frame as a shaded tile (TILE, TILE, 3) uint8."""
    side = 2 * TILE
    K = torch.tensor([[[2.9 * side, 0, side / 2], [0, 2.9 * side, side / 2], [0, 0, 1.0]]])
    vertices = surface_vertices[None]
    index = visibility(vertices, faces, K, side, side)
    weights = mesh.barycentrics(vertices, faces, K, index)
    normals = mesh.vertex_normals(vertices, faces)
    light = torch.nn.functional.normalize(torch.tensor([-0.5, -0.6, -0.7]), dim=0)
    facing = torch.nn.functional.normalize(vertices, dim=-1).mul(normals).sum(-1).neg().clamp(0, 1)
    shade = 0.28 + 0.55 * (normals @ light).clamp(min=0) + 0.22 * facing
    picture = mesh.interpolate(shade[..., None] * SKIN, faces, index, weights)[0]
    picture = picture.permute(1, 2, 0) if picture.shape[0] == 3 else picture
    picture = torch.where((index[0] >= 0)[..., None], picture, torch.ones(3))
    tile = (picture.clamp(0, 1).numpy() * 255).astype(np.uint8)
    if with_joints:
        pixels = joints @ K[0].T
        pixels = (pixels[:, :2] / pixels[:, 2:]).numpy()
        for number, (a, b) in enumerate(BONES):
            ends = [tuple(int(x) for x in pixels[j]) for j in (a, b)]
            cv2.line(tile, ends[0], ends[1], FINGER_COLOURS[number // 4], 3, cv2.LINE_AA)
            cv2.circle(tile, ends[1], 5, FINGER_COLOURS[number // 4], -1, cv2.LINE_AA)
    return cv2.resize(tile, (TILE, TILE), interpolation=cv2.INTER_AREA)


def sheet() -> np.ndarray:
    model = HandModel.open_hand()
    table = torch.deg2rad(torch.from_numpy(gestures())).float()
    tiles = []
    for name in SHOWN:
        pose = HandPose.zero(1)
        pose.rotations = angles_to_rotations(table[GESTURE_NAMES.index(name)][None])
        pair = []
        for degrees in (0.0, 75.0):
            # Hand frame (y distal, z palmar) to camera: fingers up, palm to the viewer, then turned about the vertical.
            turn = np.deg2rad(degrees)
            about = torch.tensor([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]).float()
            pose.orientation = (torch.diag(torch.tensor([1.0, -1.0, -1.0])) @ about)[None]
            pose.translation = torch.tensor([[0.0, 0.085, 0.75]])
            surface = model(pose)
            pair.append(draw(surface.vertices[0], surface.joints[0], model.faces, degrees == 0.0))
        tile = np.hstack(pair)
        cv2.putText(
            tile, name.replace("_", " "), (8, TILE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (60, 60, 60), 1, cv2.LINE_AA
        )
        tiles.append(tile)
    return np.vstack([np.hstack(tiles[i : i + 4]) for i in range(0, len(tiles), 4)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images/hand_sheet.png"))
    arguments = parser.parse_args()
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(arguments.out), cv2.cvtColor(sheet(), cv2.COLOR_RGB2BGR))
