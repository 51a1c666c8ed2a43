"""DexYCB in miniature: ten people with some sequences of one frame, in the files of the real one."""

import os

import numpy as np
import yaml
from PIL import Image
from true_hands import bent_hand

from phalanx.data.public.dexycb import SERIALS

K = np.array([[610.0, 0, 312], [0, 612.0, 243], [0, 0, 1]])


def to_master(camera: int) -> np.ndarray:
    """Where a camera stands: (3, 4)."""
    angle = 0.3 * camera
    turn = [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    return np.concatenate([turn, [[0.1 * camera], [0.2], [0.3]]], axis=1)


def labels(number: int, side: str) -> dict[str, np.ndarray]:
    """Labels of one picture; a left hand is the mirror image of a right one."""
    joints = bent_hand(0.7 + 0.01 * number) * [-1 if side == "left" else 1, 1, 1]
    pixels = joints @ K.T
    seg = np.zeros((480, 640), dtype=np.uint8)
    seg[:2, :3], seg[4:, 4:] = 255, 7
    return {"joint_3d": joints[None], "joint_2d": (pixels[:, :2] / pixels[:, 2:])[None], "seg": seg}


def write(folder, sequences: int = 5, cameras=SERIALS):
    """Ten people with some sequences of one frame; the third sequence of everyone is of a left hand, the fourth shows none."""
    shared = folder / "models"  # pictures are links to the same files
    shared.mkdir(parents=True)
    colour, depth = np.zeros((480, 640, 3), dtype=np.uint8), np.full((480, 640), 900, dtype=np.uint16)
    colour[:, :320], depth[0, :2] = 255, [0, 711]
    Image.fromarray(colour).save(shared / "colour.jpg")
    Image.fromarray(depth).save(shared / "depth.png")
    for number in range(sequences):
        contents = labels(number, "left" if number == 2 else "right")
        if number == 3:
            contents |= {"joint_3d": np.full((1, 21, 3), -1.0), "joint_2d": np.full((1, 21, 2), -1.0)}
        np.savez_compressed(shared / f"{number}.npz", **contents)
    for person in range(10):
        for number in range(sequences):
            place = folder / f"202007{10 + person}-subject-{person + 1:02d}" / f"202007{10 + person}_10000{number}"
            place.mkdir(parents=True)
            side = "left" if number == 2 else "right"
            meta = {"num_frames": 1, "serials": list(SERIALS), "mano_sides": [side], "extrinsics": "20200702_151821"}
            (place / "meta.yml").write_text(yaml.safe_dump(meta))
            for serial in cameras:
                (place / serial).mkdir()
                os.link(shared / "colour.jpg", place / serial / "color_000000.jpg")
                os.link(shared / "depth.png", place / serial / "aligned_depth_to_color_000000.png")
                os.link(shared / f"{number}.npz", place / serial / "labels_000000.npz")
    calibration = folder / "calibration"
    for name in ("intrinsics", "extrinsics_20200702_151821"):
        (calibration / name).mkdir(parents=True)
    for serial in SERIALS:
        camera = {"fx": 610.0, "fy": 612.0, "ppx": 312.0, "ppy": 243.0}
        (calibration / "intrinsics" / f"{serial}_640x480.yml").write_text(
            yaml.safe_dump({"color": camera, "depth": {name: 1.0 for name in camera}})
        )
    matrices = {serial: to_master(camera).ravel().tolist() for camera, serial in enumerate(SERIALS)}
    (calibration / "extrinsics_20200702_151821" / "extrinsics.yml").write_text(
        yaml.safe_dump({"master": SERIALS[0], "extrinsics": matrices | {"apriltag": [0.0] * 12}})
    )
    return folder
