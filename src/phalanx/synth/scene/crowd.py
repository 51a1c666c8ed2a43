"""Who stands where before a camera: webcams close to one face, groups, desks, one's own hands, hands close by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from phalanx.synth.scene.arms import unit
from phalanx.synth.scene.hands import about_axis

KINDS = {"webcam": 0.72, "group": 0.1, "desk": 0.05, "own_eyes": 0.05, "close": 0.08}
"""Shares of kinds of pictures: one person at a webcam, people in a room, at desks, what one sees of oneself, hands from close by."""

_APART = 0.5  # metres between the middles of people


@dataclass
class Crowd:
    """P people before one camera.

    Attributes:
        kind: a name in `KINDS`.
        sitting: (P,); scale: (P,); yaw: (P,) to the people's left; place: (P, 2) metres to the right and away on the floor.
        table: (P,) height of the table over the floor, NaN: none.
        field: degrees across the frame's longer side.
    """

    kind: str
    sitting: np.ndarray
    scale: np.ndarray
    yaw: np.ndarray
    place: np.ndarray
    table: np.ndarray
    field: float


def draw_count(generator: np.random.Generator, people: tuple[int, int]) -> int:
    """How many people: fewer more often."""
    numbers = np.arange(people[0], people[1] + 1)
    chance = 1.0 / numbers.astype(float) ** 2.2
    return int(generator.choice(numbers, p=chance / chance.sum()))


def draw_crowd(generator: np.random.Generator, people: tuple[int, int], kinds: Sequence[str] = tuple(KINDS)) -> Crowd:
    """Draw the people of one frame, the fewest and the most of which are given; the picture is of one of the `kinds`."""
    count = draw_count(generator, people)
    names = list(kinds)
    shares = np.array([KINDS[name] for name in names])
    if count > 2:
        shares = np.where(np.isin(names, ["group", "desk"]), shares, 0.0)
    kind = str(generator.choice(names, p=shares / shares.sum()))
    share_sitting = {"webcam": 0.5, "group": 0.3, "desk": 1.0, "own_eyes": 0.5, "close": 0.4}[kind]
    sitting = np.full(count, generator.random() < share_sitting)
    if kind == "group" and generator.random() < 0.5:
        sitting = generator.random(count) < 0.4
    has_table = kind == "desk" or (kind in ("webcam", "own_eyes") and bool(sitting.all()) and generator.random() < 0.5)
    scale = generator.normal(1.0, 0.07, count).clip(0.82, 1.15)
    small = generator.random(count) < 0.08  # children
    scale = np.where(small, generator.uniform(0.6, 0.82, count), scale)
    gap = generator.uniform(_APART, 0.8) if count > 1 else 0.0
    across = (np.arange(count) - 0.5 * (count - 1)) * gap + generator.normal(0, 0.05, count)
    rows = 2 if count > 4 and not has_table else 1
    away = generator.normal(0, 0.12, count) * (not has_table)
    if rows == 2:
        back = np.arange(count) % 2 == 1
        across, away = across * 0.62, away + np.where(back, generator.uniform(0.5, 0.9), 0.0)
    yaw = np.deg2rad(
        generator.normal(0, {"webcam": 14, "group": 32, "desk": 14, "own_eyes": 0, "close": 30}[kind], count)
    )
    if kind == "group" and generator.random() < 0.12:
        yaw = yaw + np.where(generator.random(count) < 0.5, np.pi, 0.0)
    if has_table:
        yaw = yaw * 0.3
    table = np.full(count, generator.uniform(0.66, 0.78) if has_table else np.nan)
    field = {"webcam": (50, 82), "group": (35, 75), "desk": (45, 80), "own_eyes": (65, 105), "close": (35, 75)}[kind]
    return Crowd(kind, sitting, scale, yaw, np.stack([across, away], 1), table, float(generator.uniform(*field)))


def draw_camera(
    generator: np.random.Generator, crowd: Crowd, necks: np.ndarray, head: float, tangent: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Where the camera is `(3,)`, in the world, and the rotation `(3, 3)` from the world to it.

    The world has x to the right, y down, and z away from the camera; the floor is at 0.

    Args:
        necks: (P, 3) bases of people's necks.
        head: metres from there to the eyes.
        tangent: of half the field of view, across and down.
    """
    eyes = necks - [0.0, head, 0.0]
    if crowd.kind == "own_eyes":
        forward = about_axis("y", -crowd.yaw[:1])[0] @ [0.0, 0.0, -1.0]
        at = eyes[0] + 0.15 * forward + generator.normal(0, 0.02, 3)
        down = np.deg2rad(np.clip(generator.normal(36, 13), 5, 52))
        goal = at + forward * np.cos(down) + np.array([0.0, np.sin(down), 0.0]) + generator.normal(0, 0.12, 3)
    elif crowd.kind == "webcam":
        far = generator.uniform(0.4, 1.0) if generator.random() < 0.82 else generator.uniform(1.0, 1.6)
        middle = eyes.mean(0)
        if len(necks) > 1:
            far = max(far, 0.7) + 0.3 * float(np.ptp(necks[:, 0]))
        at = middle + [generator.uniform(-0.2, 0.2), generator.normal(0.04, 0.12), -far]
        goal = middle + [generator.normal(0, 0.11), generator.normal(0.03 + 0.1 * far, 0.08), 0.0]
    elif crowd.kind == "close":
        person = int(generator.integers(len(necks)))
        goal = necks[person] + [generator.normal(0, 0.22), generator.uniform(-0.15, 0.5), -generator.uniform(0.1, 0.35)]
        way = unit(np.array([generator.normal(0, 0.6), generator.normal(-0.25, 0.45), -1.0]))
        at = goal + way * np.exp(generator.uniform(np.log(0.35), np.log(1.0)))
        goal = goal + generator.normal(0, 0.06, 3)
    else:
        wide = np.ptp(necks[:, 0]) + generator.uniform(0.3, 1.0)
        near = max(0.5 * wide / tangent[0], 0.75)
        far = near * np.exp(generator.uniform(np.log(0.75), np.log(1.3 if crowd.kind == "desk" else 2.2)))
        middle = necks.mean(0)
        at = middle + [generator.normal(0, 0.25) * far, 0.0, -far - 0.1]
        at[1] = -generator.uniform(0.9, 2.1)
        goal = middle + [generator.normal(0, 0.2), generator.uniform(-0.1, 0.5), 0.0]
    z = unit(goal - at)
    x = unit(np.cross([0.0, 1.0, 0.0], z))
    turn = np.stack([x, np.cross(z, x), z])
    return at, about_axis("z", np.deg2rad(generator.normal(0, 4, 1)))[0] @ turn


def person_to_world(crowd: Crowd, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rotations `(P, 3, 3)` and bases of necks `(P, 3)` of people whose lowest points are `floor (P,)` below their necks."""
    turn = about_axis("y", -crowd.yaw)
    return turn, np.stack([crowd.place[:, 0], -floor, crowd.place[:, 1]], -1)
