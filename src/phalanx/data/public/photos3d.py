"""Reader of a folder of colour photos with 3D joints, in the layout of the real-world test set of Ge et al., CVPR 2019.

The folder holds the pictures, already cropped to the hand and 256x256 pixels, and two MATLAB files:

- `params.mat`: `image_path` (N,) relative to the folder; `bbox` (N, 4), the crop's x, y, width and height in the
  original picture; `cam_param` (N, 4), fx, fy, u0 and v0 of the original picture.
- `pose_gt.mat`: `pose_gt` (N, 21, 3), joints in centimetres in the camera's frame, in our joint order.

All hands are left hands. A joint (x, y, z) lies at `(x / z fx + u0 - bbox_x, y / z fy + v0 - bbox_y) 256 / bbox_width`
in the crop.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.images import read_image_of_size
from phalanx.data.labels import as_rows, check_hands, check_rows, check_unit, read_mat

SIZE = 256  # pixels, both sides of every crop


@dataclass(frozen=True)
class Photos3D:
    """Labels of N photos; the pictures themselves are read when asked for.

    Attributes:
        folder: where the pictures are.
        image_paths: N paths relative to `folder`, in listed order (neighbours are neighbouring video frames).
        joints: (N, 21, 3) metres, camera frame.
        joints_2d: (N, 21, 2) pixels of the 256x256 crop.
        K: (N, 3, 3) pinhole camera of the crop.
        side: "left" for all of them.
    """

    folder: Path
    image_paths: tuple[str, ...]
    joints: np.ndarray
    joints_2d: np.ndarray
    K: np.ndarray
    side: Literal["left", "right"] = "left"

    def __len__(self) -> int:
        return len(self.image_paths)

    def image(self, index: int) -> np.ndarray:
        """Photo `index` as (256, 256, 3) uint8 RGB. Raises InputError if it cannot be read or has another size."""
        return read_image_of_size(self.folder / self.image_paths[index], SIZE, SIZE)


def read_photos3d(folder: str | Path) -> Photos3D:
    """Read the labels of a folder and make sure that every picture is there.

    Raises InputError naming the file and the fault: a folder or file that is missing, a MATLAB file that cannot be
    read or lacks a variable, counts that differ, values that make no camera or no hand in front of it, joints in another
    unit, a picture that is missing. A photo is named by its number, from 0.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    parameters = read_mat(folder / "params.mat", ["image_path", "bbox", "cam_param"])
    poses = read_mat(folder / "pose_gt.mat", ["pose_gt"])

    paths = [str(path).strip() for path in np.ravel(parameters["image_path"])]
    count = len(paths)
    if count == 0:
        raise InputError(f"{folder / 'params.mat'}: image_path lists no pictures")
    names = {key: f"{folder / 'params.mat'}: {key}" for key in ("bbox", "cam_param")}
    box = as_rows(parameters["bbox"], (count, 4), names["bbox"], "photo")
    camera = as_rows(parameters["cam_param"], (count, 4), names["cam_param"], "photo")
    check_rows((box[:, 2:] > 0).all(1), f"{names['bbox']}: photo", "has a box without width or height")
    check_rows((camera[:, :2] > 0).all(1), f"{names['cam_param']}: photo", "has a focal length that is not positive")

    name = f"{folder / 'pose_gt.mat'}: pose_gt"
    joints = as_rows(poses["pose_gt"], (count, 21, 3), name, "photo")  # centimetres
    check_hands(joints, f"{name}: photo")
    check_unit(joints, "centimetres", folder / "pose_gt.mat")
    joints = joints / 100
    for path in paths:
        if not (folder / path).is_file():
            raise InputError(f"{folder / path}: listed in params.mat but missing")

    scale = SIZE / box[:, 2:]  # (N, 2)
    K = np.zeros((count, 3, 3))
    K[:, [0, 1], [0, 1]] = camera[:, :2] * scale
    K[:, :2, 2] = (camera[:, 2:] - box[:, :2]) * scale
    K[:, 2, 2] = 1
    homogeneous = joints @ K.transpose(0, 2, 1)  # (N, 21, 3)
    return Photos3D(folder, tuple(paths), joints, homogeneous[..., :2] / homogeneous[..., 2:], K)
