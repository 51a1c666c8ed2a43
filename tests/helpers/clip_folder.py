"""A user's folder of clips in miniature: synthetic moving hands as frames and videos, with their keypoints."""

import json
from functools import cache

import cv2
import numpy as np

from phalanx.data.images import image_bytes
from phalanx.data.video import write_video
from phalanx.synth import SynthConfig, make_chunk

SIZE, FRAMES = 96, 12


@cache
def clip(number=0, frames=FRAMES):
    """Pictures (T, S, S, 3) uint8, joints (T, 21, 2) in pixels, joints (T, 21, 3) in metres and the camera (3, 3) of a clip."""
    sample = make_chunk(
        SynthConfig(size=SIZE, scene="motion", frames=frames, chunk=frames, dense=False, tiles=2, skins=1), 5, number
    )
    pictures = np.stack([image_bytes(image) for image in sample.image])
    return pictures, sample.joints_2d.double().numpy(), sample.joints.double().numpy(), sample.K[0].double().numpy()


def write_frames(folder, pictures, first=1):
    folder.mkdir(parents=True)
    for number, picture in enumerate(pictures, first):
        cv2.imwrite(str(folder / f"{number:04d}.png"), picture[..., ::-1])


def write_clip(path, pictures, rate=30.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    with write_video(path, rate) as add:
        for picture in pictures:
            add(picture)


def write_coco(path, points, names, side="right"):
    images = [{"id": number, "file_name": name, "width": SIZE, "height": SIZE} for number, name in enumerate(names)]
    annotations = [
        {
            "image_id": number,
            "keypoints": np.c_[each, np.full(21, 2)].ravel().tolist(),
            **({"hand_type": side} if side else {}),
        }
        for number, each in enumerate(points)
    ]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))


def write_openpose(folder, points, names, side="right"):
    folder.mkdir(parents=True, exist_ok=True)
    for each, name in zip(points, names, strict=True):
        hand = {f"hand_{side}_keypoints_2d": np.c_[each, np.full(21, 0.9)].ravel().tolist()}
        (folder / f"{name}_keypoints.json").write_text(json.dumps({"people": [hand]}))


def write_mediapipe(path, points):
    """As image landmarks, 0 to 1 across the picture."""
    frames = [
        {
            "hand_landmarks": [[{"x": x, "y": y, "z": 0.0} for x, y in ((each + 0.5) / SIZE).tolist()]],
            "timestamp_ms": 33 * number,
        }
        for number, each in enumerate(points)
    ]
    path.write_text(json.dumps(frames))
