"""A user's folder of weakly labelled pictures in miniature: synthetic hands, all of one focal length."""

import json

import cv2
import numpy as np

from phalanx.data.images import image_bytes
from phalanx.synth import SynthConfig, make_chunk

FOCAL = 200.0  # pixels
UNIT = 0.00025  # metres


def hands(count=8):
    """Synthetic right hands with sensed depth."""
    return make_chunk(SynthConfig(size=96, chunk=count, depth_sensor="kinect1", tiles=2, skins=1), 11, 0)


def write_folder(folder, sample, with_3d=False, side="right", names=None):
    """Write pictures, depth, labels.json and intrinsics.json; returns the joints (N, 21, 2) in pixels of the pictures."""
    (folder / "images").mkdir(parents=True)
    (folder / "depth").mkdir()
    images, annotations, points = [], [], []
    for row in range(len(sample)):
        name = f"{row}.png" if names is None else names[row]
        width = round(96 * FOCAL / float(sample.K[row, 0, 0]))
        smooth = cv2.INTER_AREA if width < 96 else cv2.INTER_LINEAR
        cv2.imwrite(
            str(folder / "images" / name),
            cv2.resize(image_bytes(sample.image[row])[..., ::-1], (width, width), interpolation=smooth),
        )
        steps = (sample.sensed_depth[row] / UNIT).round().numpy().astype(np.uint16)
        depth = cv2.resize(steps, (width, width), interpolation=cv2.INTER_NEAREST_EXACT)
        cv2.imwrite(str((folder / "depth" / name).with_suffix(".png")), depth)
        pixels = (sample.joints_2d[row].double().numpy() + 0.5) * width / 96 - 0.5
        points.append(pixels)
        images.append({"id": row, "file_name": name, "width": width, "height": width})
        keypoints = np.c_[pixels, np.full(21, 2)].ravel().tolist()
        extra = {"joints_3d": sample.joints[row].tolist()} if with_3d else {}
        extra |= {"hand_type": side} if side else {}
        annotations.append({"image_id": row, "keypoints": keypoints, **extra})
    (folder / "labels.json").write_text(json.dumps({"images": images, "annotations": annotations}, indent=1))
    (folder / "intrinsics.json").write_text(json.dumps({"K": [FOCAL, FOCAL, 0, 0], "depth_unit": UNIT}))
    return np.stack(points)


def change_labels(folder, change):
    """Rewrite labels.json as `change` leaves its content."""
    path = folder / "labels.json"
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data, indent=1))
