"""Draw the pictures of several people that the demo predicts: a photo-like frame, and a clip in which fingers move.

    python scripts/draw_people.py examples [--frame SEED INDEX] [--clip SEED]

It writes `people.jpg` and `clip.mp4`. Both are renderings: nobody's consent is needed.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from phalanx.core.records import map_fields
from phalanx.core.seeding import generator
from phalanx.hand.anatomy import angles_to_rotations, rotations_to_angles
from phalanx.hand.model import HandPose
from phalanx.hand.motion import angles_at, drift, finger_path
from phalanx.synth.crowds import paint_crowd
from phalanx.synth.frames import FramesConfig, make_frames
from phalanx.synth.paint.body_surface import body
from phalanx.synth.paint.compose import develop
from phalanx.synth.paint.surface import hand
from phalanx.synth.scene.gathering import Gathering, draw_gathering

RATE = 24  # frames a second
SECONDS = 4.0
WRIST = 3  # angles before those of the fingers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder")
    parser.add_argument(
        "--frame", type=int, nargs=2, default=[2, 0], metavar=("SEED", "INDEX"), help="of the frame of several people"
    )
    parser.add_argument("--clip", type=int, default=14, metavar="SEED", help="of the clip")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of the clip")
    parser.add_argument("--size", type=int, nargs=2, default=[640, 480], metavar=("WIDTH", "HEIGHT"))
    arguments = parser.parse_args()
    seed, index = arguments.frame
    width, height = arguments.size
    config = FramesConfig(width=width, height=height, chunk=1, people=(3, 5), effects=0.3)
    frame = make_frames(config, seed, index).image[0].permute(1, 2, 0).numpy()
    cv2.imwrite(str(arguments.out / "people.jpg"), pixels(frame), [cv2.IMWRITE_JPEG_QUALITY, 92])
    file = arguments.out / "clip.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"mp4v"), RATE, (width, height))
    for picture in clip(replace(config, people=(2, 2)), arguments.clip, arguments.seconds):
        writer.write(pixels(picture))
    writer.release()


def pixels(image: np.ndarray) -> np.ndarray:
    """BGR bytes of RGB in [0, 1]."""
    return (np.clip(image[..., ::-1], 0, 1) * 255).round().astype(np.uint8)


def clip(config: FramesConfig, seed: int, seconds: float) -> Iterator[np.ndarray]:
    """Frames (H, W, 3) of two people at a webcam who move their fingers and sway a little."""
    times = torch.arange(round(seconds * RATE)) / RATE
    still = draw_gathering(
        generator(seed, 1),
        body("cpu")[0],
        hand("cpu")[0],
        1,
        config.people,
        config.width,
        config.height,
        kinds=("webcam",),
    )
    own = rotations_to_angles(still.hands.rotations)  # (2 P, 23)
    fingers = torch.stack(
        [angles_at(finger_path(generator(seed, 2, k), seconds), times).float() for k in range(len(own))], 1
    )  # (T, 2 P, 23)
    ease = (times / 0.5).clamp(0, 1)[:, None, None]
    fingers = own + ease * (fingers - own)
    fingers[..., :WRIST] = own[:, :WRIST]
    sway = drift(generator(seed, 3), times, 0.06, 0.03).float()  # (T, 3)
    for angles, moved in zip(fingers, sway, strict=True):
        with torch.no_grad():
            scene = _moved(still, angles, moved)
            painted = paint_crowd(
                config, scene, generator(seed, 4), generator(seed, 5), generator(seed, 6), torch.device("cpu")
            )
            yield develop(painted.linear)[0].permute(1, 2, 0).numpy()


def _moved(still: Gathering, angles: torch.Tensor, moved: torch.Tensor) -> Gathering:
    """A gathering whose people have moved, all of them alike, with other angles (2 P, 23)."""
    there = torch.eye(4)
    there[:3, 3] = moved
    surface = still.body
    shifted = replace(
        surface,
        vertices=surface.vertices + moved,
        joints=surface.joints + moved,
        transforms=there @ surface.transforms,
    )
    offset = moved.repeat(len(angles), 1)
    offset[1::2, 0] *= -1  # left hands live in the mirror
    hands = HandPose(
        angles_to_rotations(angles), still.hands.shape, still.hands.orientation, still.hands.translation + offset
    )
    return replace(still, body=map_fields(shifted, lambda value: value), hands=hands)


if __name__ == "__main__":
    main()
