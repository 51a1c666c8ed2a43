"""InterHand2.6M in miniature: three pictures of the test split, in the files of the real one, and the real samples laid out so."""

import json
from pathlib import Path

import cv2
import numpy as np

from phalanx.data.public.interhand import ORDER

CAMERAS = ("400026", "410053")


def right_hand() -> np.ndarray:
    """Joints (21, 3) of a right hand in metres, half a metre before a camera, its palm to it and fingers bent."""
    joints = np.zeros((21, 3))
    for finger, x in enumerate((0.05, 0.03, 0.01, -0.01, -0.03)):
        for joint in range(4):
            joints[1 + 4 * finger + joint] = x, (0.03 if finger == 0 else 0.09) + 0.02 * joint, 0.01 * joint**2
    return joints * [1, -1, -1] + [0.0, 0.03, 0.5]


def spin(seed: int) -> np.ndarray:
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
    return rotation * np.linalg.det(rotation)


def read(folder: Path, kind: str):
    return json.loads((folder / f"annotations/test/InterHand2.6M_test_{kind}.json").read_text())


def write(folder: Path, kind: str, data) -> None:
    path = folder / f"annotations/test/InterHand2.6M_test_{kind}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data))


def write_set(folder: Path) -> Path:
    """A right hand in frame 10, both in 11, a left hand in frame 12; the right index tip of frame 11 is not known."""
    right = right_hand()
    left = right * [-1, 1, 1] + [0.1, 0, 0]
    images, annotations, joint_3d = [], [], {}
    for number, kind in enumerate(("right", "interacting", "left")):
        camera, frame = CAMERAS[number % 2], 10 + number
        rotation, position = spin(number % 2), np.array([100.0 * (number % 2), 20, -300])
        world, valid = np.ones((42, 3)), np.zeros((42, 1), int)
        for side, points in ((0, right), (21, left)):
            if kind in (("right", "interacting") if side == 0 else ("left", "interacting")):
                world[side + np.array(ORDER)] = 1000 * points @ rotation + position
                valid[side : side + 21] = 1
        if kind == "interacting":
            world[4], valid[4] = 1, 0
        path = f"Capture{5}/0001_{kind}/cam{camera}/image{frame}.jpg"
        (folder / "images/test" / path).parent.mkdir(parents=True)
        picture = np.zeros((64, 48, 3), np.uint8)
        picture[:, :24] = 255  # the left half is white
        cv2.imwrite(str(folder / "images/test" / path), picture)
        images.append(
            {"id": 70 + number, "file_name": path, "width": 48, "height": 64, "capture": 5, "subject": 1,
             "seq_name": f"0001_{kind}", "camera": camera, "frame_idx": frame}
        )  # fmt: skip
        annotations.append(
            {"id": number, "image_id": 70 + number, "bbox": [0, 0, 9, 9], "joint_valid": valid.tolist(),
             "hand_type": kind, "hand_type_valid": 1}
        )  # fmt: skip
        joint_3d[str(frame)] = {
            "world_coord": world.tolist(), "joint_valid": (valid > 0).tolist(), "hand_type": kind, "hand_type_valid": True
        }  # fmt: skip
    write(folder, "data", {"images": images, "annotations": annotations})
    write(folder, "joint_3d", {"5": joint_3d})
    write(
        folder,
        "camera",
        {"5": {
            "campos": {c: [100.0 * i, 20, -300] for i, c in enumerate(CAMERAS)},
            "camrot": {c: spin(i).tolist() for i, c in enumerate(CAMERAS)},
            "focal": {c: [60.0, 61.0] for c in CAMERAS},
            "princpt": {c: [23.0, 31.0] for c in CAMERAS},
        }},
    )  # fmt: skip
    return folder


def write_real(folder: Path, samples: Path) -> Path:
    """The real pictures of `samples`, with their annotations, as a test split."""
    (folder / "images/test").mkdir(parents=True)
    for path in samples.glob("*.jpg"):
        (folder / "images/test" / path.name).symlink_to(path)
    for kind in ("data", "camera", "joint_3d"):
        write(folder, kind, json.loads((samples / f"test_interhand2.6m_{kind}.json").read_text()))
    return folder
