"""Hands that are seen more than once: by several calibrated cameras at the same time, and in the frames of a clip."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from phalanx.core.errors import InputError
from phalanx.core.seeding import generator as stream_generator
from phalanx.geometry.crops import SquareBox
from phalanx.hand.anatomy import angles_to_rotations
from phalanx.hand.model import HandModel, HandPose, concatenate_poses
from phalanx.hand.motion import MotionConfig, hand_motion
from phalanx.hand.pose_space import sample_angles
from phalanx.synth.scene.hands import (
    FRAMINGS,
    NEAREST,
    PALM_MIDDLE,
    Framing,
    Views,
    about_axis,
    arm_spoils,
    draw_hands,
    draw_shapes,
    view_rotations,
)
from phalanx.synth.scene.recorded import RecordedHands
from phalanx.synth.scene.rigs import Rig

_TRIES = 200  # batches of clips that are drawn at most


def draw_views(
    generator: np.random.Generator,
    model: HandModel,
    hands: int,
    rig: Rig,
    size: int,
    times: Tensor | None = None,
    build: int = 0,
    recorded: RecordedHands | None = None,
    first: int = 0,
) -> Views:
    """`hands` posed hands, each seen by every camera of `rig`, in crops of `size` pixels around them; on the CPU.

    Pictures of a hand follow one another, by time and then by camera. Crops may reach beyond the camera's picture; while the hand
    moves, a camera's crop stays where it is.

    Args:
        times: `(T,)` seconds at which the moving hands are seen; none: once.
        build: as in `draw_shapes`.
        recorded: hands whose poses, shapes and orientations these have, one after the other and then from the beginning; camera 0 sees
            them as their recorder did. None: hands are drawn.
        first: number of the first of these hands among all that are made.
    """
    views, frames = len(rig), 1 if times is None else len(times)
    world = _in_world(generator, hands, rig, build, recorded, first)
    if times is not None:
        moving = [_moving(generator, world[hand : hand + 1], times, rig.reach) for hand in range(hands)]
        world = concatenate_poses(moving)
    hand, frame, view = (grid.reshape(-1) for grid in np.indices((hands, frames, views)))
    place = torch.from_numpy(hand * frames + frame)
    extrinsics = torch.from_numpy(rig.world_to_camera)[torch.from_numpy(view)]  # (N, 4, 4)
    turn, shift = extrinsics[:, :3, :3], extrinsics[:, :3, 3]
    pose = HandPose(
        world.rotations[place],
        world.shape[place],
        (turn @ world.orientation[place].double()).float(),
        ((turn @ world.translation[place].double()[..., None])[..., 0] + shift).float(),
    )
    K = np.tile(rig.K, (hands * frames, 1, 1))
    pixels = model.joints(pose).double().numpy() @ K.transpose(0, 2, 1)
    pixels = (pixels[..., :2] / pixels[..., 2:]).reshape(hands, frames, views, 21, 2)
    tracks = pixels.transpose(0, 2, 1, 3, 4).reshape(hands * views, -1, 2)
    to_crop = _crops(generator, tracks, size).reshape(hands, 1, views, 3, 3)
    to_crop = np.broadcast_to(to_crop, (hands, frames, views, 3, 3)).reshape(-1, 3, 3)
    cameras = torch.as_tensor(to_crop @ K, dtype=torch.float32)
    return Views(pose, cameras, hand, frame, view, np.zeros(len(hand)), extrinsics.float())


def _in_world(
    generator: np.random.Generator,
    hands: int,
    rig: Rig,
    build: int,
    recorded: RecordedHands | None = None,
    first: int = 0,
) -> HandPose:
    """Poses of `hands` in the rig's world, within its reach of its spot."""
    angles = torch.as_tensor(sample_angles(generator, hands), dtype=torch.float32)
    shape = draw_shapes(generator, hands, build)
    if rig.person is not None:
        shape = draw_shapes(stream_generator(rig.person, 21), 1, build).expand(hands, -1)
    if rig.turn is None:
        held = view_rotations(generator, hands)
    else:
        x, y, z = generator.uniform(-1, 1, (3, hands)) * np.deg2rad(rig.turn)
        held = about_axis("z", z) @ about_axis("x", x) @ about_axis("y", y) @ np.diag([1.0, -1.0, -1.0])
    rotations = angles_to_rotations(angles)
    if recorded is not None:
        chosen = recorded.pose[torch.from_numpy((first + np.arange(hands)) % len(recorded.residual))]
        rotations, shape, held = chosen.rotations, chosen.shape, chosen.orientation.double().numpy()
    offset = generator.normal(size=(hands, 3))
    offset *= (rig.reach * generator.random((hands, 1)) ** (1 / 3)) / np.linalg.norm(offset, axis=1, keepdims=True)
    orientation = rig.world_to_camera[0, :3, :3].T @ held  # (hands, 3, 3) hand frame -> world
    wrist = rig.spot + offset - orientation @ PALM_MIDDLE
    return HandPose(rotations, shape, torch.from_numpy(orientation), torch.from_numpy(wrist))


def draw_clips(
    generator: np.random.Generator,
    model: HandModel,
    clips: int,
    size: int,
    times: Tensor,
    framing: Framing = FRAMINGS["hands"],
    build: int = 0,
) -> Views:
    """`clips` moving hands, each in front of a camera of its own, seen at the `times` `(T,)` in seconds; on the CPU.

    A clip's crop stays where it is. Frames of a clip follow one another.

    Raises:
        InputError: the times are so far apart that hardly any hand stays in front of its camera.
    """
    poses: list[HandPose] = []
    cameras: list[np.ndarray] = []
    turns: list[float] = []
    for _ in range(_TRIES):
        start = draw_hands(generator, model, clips, size, framing, build)
        for clip in range(clips):
            distance = float(start.pose.translation[clip].norm())
            pose = _moving(generator, start.pose[clip : clip + 1], times, 0.15 * distance)
            joints = model.joints(pose).double().numpy()  # (T, 21, 3)
            if joints[..., 2].min() < NEAREST:
                continue
            K = start.K[clip].double().numpy()
            pixels = joints @ K.T
            K = _crops(generator, (pixels[..., :2] / pixels[..., 2:]).reshape(1, -1, 2), size)[0] @ K
            if not arm_spoils(model, pose, joints, np.tile(K, (len(times), 1, 1)), size).any():
                poses.append(pose)
                cameras.append(K)
                turns.append(float(start.turn[clip]))
            if len(poses) == clips:
                hand, frame = (grid.reshape(-1) for grid in np.indices((clips, len(times))))
                each = torch.as_tensor(np.stack(cameras), dtype=torch.float32)[torch.from_numpy(hand)]
                return Views(concatenate_poses(poses), each, hand, frame, 0 * hand, np.array(turns)[hand])
    raise InputError(f"clips of {float(times.max()):.1f} s are too long: hands do not stay in front of the camera")


def _moving(generator: np.random.Generator, start: HandPose, times: Tensor, reach: float) -> HandPose:
    """T poses of a hand that moves about the place and orientation of `start` (one pose), while its fingers move from pose to pose."""
    motion = hand_motion(generator, times, start.orientation[0], start.translation[0], MotionConfig(reach=reach))
    shape = start.shape.expand(len(times), -1)
    return HandPose(angles_to_rotations(motion.angles), shape, motion.orientation, motion.translation)


def _crops(generator: np.random.Generator, pixels: np.ndarray, size: int) -> np.ndarray:
    """Matrices `(N, 3, 3)` from the camera's pixels to those of loose crops round the points `(N, P, 2)`."""
    low, high = pixels.min(1), pixels.max(1)
    side = (high - low).max(1) * generator.uniform(1.2, 1.5, len(pixels))
    centre = 0.5 * (low + high) + side[:, None] * generator.uniform(-0.05, 0.05, (len(pixels), 2))
    boxes = [SquareBox(x, y, extent) for (x, y), extent in zip(centre.tolist(), side.tolist(), strict=True)]
    return np.stack([box.image_to_crop(size) for box in boxes])
