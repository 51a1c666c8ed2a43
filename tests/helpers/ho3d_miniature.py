"""HO-3D in miniature: three listed frames of two sequences, in the files of the real one."""

import json
import pickle
from pathlib import Path

import cv2
import numpy as np
from true_hands import open_hand

K = np.array([[614.6, 0, 320.3], [0, 614.1, 241.8], [0, 0, 1]])
FRAMES = [("ABF10", "0001"), ("ABF10", "0000"), ("SM1", "0007")]


def in_file(joints: np.ndarray) -> np.ndarray:
    """MANO's order (index, middle, little, ring, thumb, then tips) and OpenGL's axes."""
    rows = [joints[:1], *(joints[4 * k + 1 : 4 * k + 4] for k in (1, 2, 4, 3, 0)), joints[[4, 8, 12, 16, 20]]]
    return np.concatenate(rows) * [1, -1, -1]


def hands() -> np.ndarray:
    """Joints of the listed frames' hands, each in a place of its own: (3, 21, 3)."""
    return open_hand() + 0.01 * np.arange(3)[:, None, None]


def surfaces() -> np.ndarray:
    """(3, 778, 3) metres with OpenCV axes."""
    away = np.random.default_rng(0).normal(size=(3, 778, 3)) * [0.03, 0.05, 0.01]
    return away + hands().mean(1, keepdims=True)


def write_truth(folder: Path, order=in_file) -> None:
    """The ground truth of evaluation as it was released."""
    (folder / "evaluation_xyz.json").write_text(json.dumps([order(joints).tolist() for joints in hands()]))
    (folder / "evaluation_verts.json").write_text(json.dumps((surfaces() * [1, -1, -1]).tolist()))


def labels(split: str) -> dict:
    common = {"camMat": K, "objRot": np.zeros((3, 1)), "objTrans": np.zeros(3), "objName": "021_bleach", "objLabel": 7}
    if split == "evaluation":
        return common | {"handJoints3D": in_file(open_hand())[0], "handBoundingBox": [100, 120, 220, 300]}
    return common | {"handJoints3D": in_file(open_hand()), "handPose": np.zeros(48), "handTrans": np.zeros(3)}


def write(folder: Path, version: int, split: str) -> None:
    suffix = {2: "png", 3: "jpg"}[version]
    (folder / f"{split}.txt").write_text("".join(f"{sequence}/{frame}\n" for sequence, frame in FRAMES))
    for sequence, frame in [*FRAMES, ("SM1", "0099")]:  # one more than listed, without labels
        root = folder / split / sequence
        for kind in ("rgb", "depth", "meta"):
            (root / kind).mkdir(parents=True, exist_ok=True)
        colour, depth = np.zeros((480, 640, 3), np.uint8), np.zeros((480, 640, 3), np.uint8)
        colour[:240] = (0, 100, 250)  # blue, green, red
        depth[..., 2], depth[..., 1] = 200, 18  # red low, green high
        cv2.imwrite(str(root / f"rgb/{frame}.{suffix}"), colour)
        cv2.imwrite(str(root / f"depth/{frame}.png"), depth)
        content = {"handJoints3D": None} if frame == "0099" else labels(split)
        (root / f"meta/{frame}.pkl").write_bytes(pickle.dumps(content, 0))
