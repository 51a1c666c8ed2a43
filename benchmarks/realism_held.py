"""Cameras and hands of the public samples, for copies in which hands hold things: a stage of `realism.py`.

The samples are MMPose's test data: a few hands each of FreiHAND, OneHand10K, CMU Panoptic and InterHand2.6M, most of them holding
something or half hidden. Hands are fitted to the joints in their pictures; left ones are mirrored. What is used of them are the camera, the
turn of the palm, where the hand is and how it is shaped; the copies hold things of synthesis in grasps of synthesis.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from phalanx.fit.chain import numpy_chain_of
from phalanx.fit.joints import fit_joints, pose_of_state
from phalanx.fit.pictures import PictureJoints, solve_pictures
from phalanx.geometry.camera import Camera
from phalanx.geometry.crops import box_around_points
from phalanx.hand.model import HandModel, HandPose

FILES = {
    "freihand": "freihand/test_freihand.json",
    "onehand10k": "onehand10k/test_onehand10k.json",
    "panoptic": "panoptic/test_panoptic.json",
}
FIELD = 55.0  # degrees across the longer side of pictures without a camera
MARGIN = 1.5  # side of a crop, in sides of the box about the joints
LEAST = 12  # joints that a hand must have
INTERHAND = np.array(
    [20, 3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12, 19, 18, 17, 16]
)  # tip to base, wrist last


@dataclass
class Held:
    """N right hands before cameras of crops."""

    pose: HandPose
    K: np.ndarray  # (N, 3, 3)
    names: list[str]


def _crop(joints_2d: np.ndarray, K: np.ndarray, size: int) -> np.ndarray:
    """The camera (3, 3) of a square of `size` pixels about joints (J, 2)."""
    return np.asarray(Camera(K, 1, 1).crop(box_around_points(joints_2d, MARGIN), size).K)


def _pictures(folder: Path, size: int) -> list[tuple[str, HandPose, np.ndarray]]:
    """Hands with joints in pictures alone."""
    model = HandModel.open_hand()
    found = []
    for name, file in FILES.items():
        read = json.loads((folder / file).read_text(encoding="utf-8"))
        images = {image["id"]: image for image in read["images"]}
        for label in read["annotations"]:
            image = images[label["image_id"]]
            joints = np.array(label["keypoints"], float).reshape(21, 3)
            seen = joints[:, 2] > 0
            if seen.sum() < LEAST:
                continue
            focal = 0.5 * max(image["width"], image["height"]) / np.tan(0.5 * np.deg2rad(FIELD))
            centre = np.array([image["width"] - 1, image["height"] - 1]) / 2
            flat = joints[:, :2].copy()
            if image["file_name"].endswith("_l.jpg"):
                flat[:, 0] = image["width"] - 1 - flat[:, 0]
            K = np.array([[focal, 0, centre[0]], [0, focal, centre[1]], [0, 0, 1]])
            places = ((flat - centre) / focal).astype(np.float32)[None]
            chain = numpy_chain_of(model)
            state, _ = solve_pictures(chain, PictureJoints(places, np.asarray(seen)[None]))
            pose = pose_of_state(chain, state).map(torch.from_numpy)
            found.append((f"{name} {label['id']}", pose, _crop(flat[seen], K, size)))
    return found


def _interhand(folder: Path, size: int) -> list[tuple[str, HandPose, np.ndarray]]:
    """Hands with joints in space."""
    model = HandModel.open_hand()
    root = folder / "interhand2.6m"
    read = {
        part: json.loads((root / f"test_interhand2.6m_{part}.json").read_text(encoding="utf-8"))
        for part in ("camera", "data", "joint_3d")
    }
    found = []
    for image in read["data"]["images"]:
        labels = read["joint_3d"][str(image["capture"])][str(image["frame_idx"])]
        camera = {name: value[image["camera"]] for name, value in read["camera"][str(image["capture"])].items()}
        world, valid = np.array(labels["world_coord"], float), np.array(labels["joint_valid"]).reshape(-1) > 0
        joints = (world - np.array(camera["campos"])) @ np.array(camera["camrot"]).T / 1000
        (fx, fy), (cx, cy) = camera["focal"], camera["princpt"]
        for side in range(2):
            rows = 21 * side + INTERHAND
            if not valid[rows].all():
                continue
            hand, K = joints[rows], np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1.0]])
            if side:
                hand, K = hand * [-1, 1, 1], K * [[1, 1, -1], [1, 1, 1], [1, 1, 1]]
            pose = fit_joints(model, torch.as_tensor(hand, dtype=torch.float32)[None])
            pixels = hand @ K.T
            found.append(
                (f"interhand {image['frame_idx']} {side}", pose, _crop(pixels[:, :2] / pixels[:, 2:], K, size))
            )
    return found


def read_held(folder: Path, size: int) -> Held:
    """All hands of the samples, before cameras of crops of `size` pixels."""
    names, poses, K = zip(*_pictures(folder, size), *_interhand(folder, size), strict=True)
    fields = {name: torch.cat([getattr(pose, name) for pose in poses]) for name in vars(poses[0])}
    return Held(HandPose(**fields), np.stack(K), list(names))
