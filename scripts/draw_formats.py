"""The picture of docs/formats.md: what is read back from files of each format.

python scripts/draw_formats.py docs/images/formats.jpg
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import trimesh

import phalanx
from phalanx.data.joint_labels import read_joint_labels
from phalanx.hand.formats.animation import save_animation
from phalanx.hand.formats.bvh import load_bvh, save_bvh
from phalanx.hand.formats.coco import to_coco
from phalanx.hand.formats.mediapipe import from_mediapipe, to_mediapipe
from phalanx.hand.formats.openxr import openxr_poses
from phalanx.hand.formats.ros import from_ros, to_ros
from phalanx.hand.prediction import HandPrediction
from phalanx.hand.recording import HandRecording
from phalanx.hand.retargeting import real_joints
from phalanx.hand.skeleton import BONES

PICTURE = Path(__file__).parents[1] / "examples" / "pinch.jpg"
EDGES = np.array(BONES)


def recording_of(hand: HandPrediction) -> HandRecording:
    """The hand in one frame."""
    one = (values[None] for values in (hand.joints, hand.rotations, hand.orientation, hand.shape))
    return HandRecording(hand.side, np.arange(1), np.zeros(1), *one, filled=np.zeros((1, 21), bool))


def main() -> None:
    matplotlib.use("Agg")
    from matplotlib import pyplot

    image = cv2.cvtColor(cv2.imread(str(PICTURE)), cv2.COLOR_BGR2RGB)
    hand = phalanx.Predictor()(image)[0]
    figure = pyplot.figure(figsize=(12, 7.6))

    def flat(place: int, title: str, points: np.ndarray) -> None:
        axes = figure.add_subplot(2, 3, place, title=title)
        axes.imshow(image)
        for a, b in EDGES:
            axes.plot(*points[[a, b]].T, "c-")
        axes.plot(*points.T, "m.")
        axes.axis("off")

    def deep(place: int, title: str, points: np.ndarray, edges: np.ndarray) -> matplotlib.axes.Axes:
        """Points (P, 3) with y up, seen from the front."""
        axes = figure.add_subplot(2, 3, place, projection="3d", title=title)
        x, y, z = points.T
        for a, b in edges:
            axes.plot(x[[a, b]], -z[[a, b]], y[[a, b]], "k-")
        axes.scatter(x, -z, y, c="m", s=9)
        axes.set_aspect("equal")
        axes.view_init(10, -70)
        axes.tick_params(labelsize=6)
        return axes

    with tempfile.TemporaryDirectory() as folder:
        (landmarks,) = from_mediapipe(json.loads(json.dumps(to_mediapipe([hand]))))
        flat(1, f"MediaPipe: {landmarks.side}", landmarks.places[:, :2] * [hand.width, hand.height] - 0.5)
        labels = Path(folder) / "coco.json"
        labels.write_text(json.dumps(to_coco({PICTURE.name: [hand]})))
        flat(2, "COCO-WholeBody", read_joint_labels(labels).hands[0].points)
        save_bvh(Path(folder) / "hand.bvh", recording_of(hand))
        motion = load_bvh(Path(folder) / "hand.bvh")
        edges = np.array([(parent, node) for node, parent in enumerate(motion.parents) if parent >= 0])
        deep(3, "BVH", motion.places[0], edges)
        (poses,) = openxr_poses(real_joints([hand]), hand.side)
        axes = deep(4, "OpenXR: y out of the back, -z along bones", poses[:, :3, 3], np.zeros((0, 2), int))
        for axis, colour in ((1, "g"), (2, "b")):
            ends = poses[:, :3, 3] + 0.012 * poses[:, :3, axis]
            for start, end in zip(poses[:, :3, 3], ends, strict=True):
                (x, y, z) = np.stack((start, end), 1)
                axes.plot(x, -z, y, colour)
        message = from_ros(to_ros(hand))
        axes = figure.add_subplot(2, 3, 5, title="ROS: JointState, radians")
        names, degrees = zip(*message.angles_degrees.items(), strict=True)
        axes.barh(names, np.radians(degrees))
        axes.invert_yaxis()
        axes.tick_params(labelsize=6)
        save_animation(Path(folder) / "hand.glb", recording_of(hand))
        mesh = trimesh.load(Path(folder) / "hand.glb", force="mesh")
        axes = figure.add_subplot(2, 3, 6, projection="3d", title="GLB: mesh at rest, skin, skeleton, motion")
        x, y, z = mesh.vertices.T
        axes.plot_trisurf(x, -z, y, triangles=mesh.faces, color="tan", linewidth=0)
        axes.set_aspect("equal")
        axes.view_init(90, -90)
        axes.tick_params(labelsize=6)
    figure.tight_layout()
    figure.savefig(sys.argv[1], dpi=75, pil_kwargs={"quality": 80})


if __name__ == "__main__":
    main()
