"""The surfaces that hands of a shot rest on or are near to: put there once for each hand, and seen in all its pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from phalanx.core.seeding import generator as stream_generator
from phalanx.hand.skeleton import FOREARM
from phalanx.synth.paint.ground import NearGround
from phalanx.synth.paint.light import LightDraw
from phalanx.synth.paint.place import PlaceDraw, Surfaces, draw_places, in_sight, pressed, settle
from phalanx.synth.paint.place_paint import Painted, mean_reflectance, near_light, paint_surfaces, texture_bank
from phalanx.synth.paint.surface import balls, hand
from phalanx.synth.shots import Shot

_ARM_BALLS = 4  # more of them, down the arm that is drawn out


@dataclass
class Nearby:
    """Surfaces in N of the pictures of a shot.

    Attributes:
        rows: (N,) the pictures.
        surfaces: in the pictures' frames; draw: what they look like.
        seen: (N,) whether the camera is on the hand's side of the surface: from behind it is not drawn.
        bank: textures.
    """

    rows: np.ndarray
    surfaces: Surfaces
    draw: PlaceDraw
    seen: np.ndarray
    bank: tuple[Tensor, ...]

    def light(self, light: LightDraw) -> LightDraw:
        """The light that hands get, of that in the pictures."""
        normal = self.surfaces.axes[:, 2].numpy()
        return near_light(light, self.rows, normal, mean_reflectance(self.draw, self.bank), self.draw.press)

    def pressed(self, vertices: Tensor) -> Tensor:
        """How much (B, V), 0 to 1, the vertices (B, V, 3) of the pictures' hands touch something."""
        return pressed(self.surfaces, torch.from_numpy(self.rows), vertices)

    @property
    def pictures(self) -> np.ndarray:
        """Those in which surfaces are drawn."""
        return self.rows[self.seen]

    def paint(self, shot: Shot, size: int, light: LightDraw, surroundings: Tensor) -> Painted:
        """The surfaces as they are seen in `pictures`; `light` and `surroundings (B, 3)` are those of all pictures."""
        pictures = self.pictures
        index = torch.as_tensor(pictures, device=shot.device)
        topology = hand(str(shot.device))[1]
        centres = balls(shot.surface, topology)[index]
        step = centres[:, -1:] - centres[:, -2:-1]
        more = centres[:, -1:] + step * torch.arange(1, 1 + _ARM_BALLS, device=shot.device)[None, :, None]
        radii = torch.cat([topology.ball_radius, topology.ball_radius[-1:].expand(_ARM_BALLS)])
        return paint_surfaces(
            self.surfaces[torch.from_numpy(self.seen)],
            self.draw[self.seen],
            self.bank,
            shot.K[index],
            size,
            torch.cat([centres, more], 1),
            radii,
            light[pictures],
            surroundings[index],
        )

    def ground(self, painted: Painted) -> NearGround:
        """What depth sensors see of the surfaces."""
        device = painted.depth.device
        albedo = torch.as_tensor(self.draw.infrared[self.seen], dtype=torch.float32, device=device)
        return NearGround(torch.as_tensor(self.pictures, device=device), painted.depth, painted.coverage, albedo)

    def put(self, painted: Painted, behind: Tensor) -> None:
        """Draw the surfaces over what lies behind, (B, 3, S, S), in place."""
        for i, picture in enumerate(self.pictures.tolist()):
            behind[picture].lerp_(painted.colour[i], painted.coverage[i])


def put_nearby(
    shot: Shot, vertices: Tensor, light: LightDraw, painters: tuple[str, ...], seed: int, chunk: int
) -> Nearby | None:
    """Put surfaces near some hands of a shot; none if no hand gets one.

    Hands that hold things get none.

    Args:
        vertices: (B, V, 3) of the clothed hands.
        light: of the B pictures.
        painters: what paints backgrounds.
        seed, chunk: of the stream.
    """
    if shot.views.held is not None:
        return None
    draw = draw_places(stream_generator(seed, chunk, 5), shot.hands)
    chosen = np.flatnonzero(draw.chosen)
    if shot.views.body is not None:  # people have no tables at their hands
        chosen = chosen[chosen >= len(shot.views.body.vertices)]
    if len(chosen) == 0:
        return None
    views = shot.views
    pictures = np.argsort(views.hand, kind="stable").reshape(shot.hands, -1)[chosen]  # (H, frames and views)
    first = pictures[:, 0]
    frames = np.stack([row[views.view[row] == 0] for row in pictures])  # (H, T) by the first camera
    points = vertices[torch.as_tensor(frames, device=vertices.device)].flatten(1, 2).cpu().double()
    arm = (hand("cpu")[0].parts == FOREARM).repeat(frames.shape[1])
    motion = motions(shot)
    cameras = torch.linalg.inv(motion)[torch.from_numpy(pictures)][..., :3, 3]
    brightest = light.colour[first].sum(-1).argmax(-1)
    direction = torch.from_numpy(light.direction[first, brightest]).double()
    orientation = shot.pose.orientation[torch.as_tensor(first, device=shot.device)].cpu().double()
    surfaces, kept = settle(draw[chosen], points, arm, orientation, cameras, direction)
    if len(kept) == 0:
        return None
    rows = pictures[kept.numpy()]  # (N, frames and views)
    each = torch.arange(len(rows)).repeat_interleave(rows.shape[1])
    flat = torch.from_numpy(rows.reshape(-1))
    moved = surfaces[each].moved(motion[flat])
    drawn = draw[chosen][kept.numpy()][each.numpy()]
    own = vertices[flat.to(vertices.device)].cpu().double()
    seen = in_sight(moved, own[:, ~arm[: own.shape[1]]])
    return Nearby(rows.reshape(-1), moved, drawn, seen.numpy(), texture_bank(painters, str(shot.device)))


def motions(shot: Shot) -> Tensor:
    """(B, 4, 4) from the frame of the hand's first picture to that of each picture."""
    views = shot.views
    if views.world_to_camera is None:
        return torch.eye(4, dtype=torch.float64).expand(len(views.hand), 4, 4)
    world_to_camera = views.world_to_camera.cpu().double()
    first = np.unique(views.hand, return_index=True)[1][views.hand]
    return world_to_camera @ torch.linalg.inv(world_to_camera)[torch.from_numpy(first)]
