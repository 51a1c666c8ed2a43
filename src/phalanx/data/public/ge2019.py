"""Readers of the synthetic and the real-world set of Ge et al., "3D hand shape and pose estimation from a single RGB image", CVPR 2019.

Synthetic, in `synthetic_train_val/`:

    images/l01 ... l30/cam01 ... cam25/handV2_rgt01_specTest5_gPoses_ren_25cRrRs_l01_cam01_.0001.png     RGBA, 500 poses
    3D_labels/camPosition.txt     for each pose 25 lines: camera, focal length, position, Euler angles x y z in degrees
    3D_labels/handGestures.txt    for each pose 21 lines: joint, x y z
    3D_labels/val-camera.txt      the cameras of the split `val`: cam06, cam12, cam20, cam21
    hand_3D_mesh/*.0001.obj       one surface a pose, to be had apart

315,000 pictures for training and 60,000 for validation. Labels are in centimetres in one frame for all cameras, joints in our order
(joint 0 is called palm and taken for the wrist by the authors). A camera looks along its own -z with y up, turned by the angles about x,
then y, then z; its centre is half the picture's size. Alpha is the hand's mask; `image` has white where there is no hand.

Real-world, in `real_world_testset/`: 583 photos as `photos3d` reads them, and `real_hand_3D_mesh/00000.obj` ... (to be had apart) in
centimetres in the camera's frame. In both sets surfaces contain vertices of the arm, which are left out as the authors do.

All are left hands. Sources: the repository 3d-hand-shape/hand-graph-cnn (readme of its data, its code for viewing them, its files).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.files import numbered_lines, read_head
from phalanx.data.dataset import Dataset, check_count, check_files
from phalanx.data.images import image_batch, read_image
from phalanx.data.labels import as_batch, check_unit, project
from phalanx.data.mirror import mirrored
from phalanx.data.public.photos3d import read_photos3d
from phalanx.data.sample import Sample
from phalanx.geometry.rotations import rotvec_to_rotmat

OFFICIAL = {"lights": 30, "cameras": 25, "poses": 500, "photos": 583}

JOINT_LINES = (
    "loc_bn_palm_L",
    *(
        f"loc_bn_{finger}_L_{joint:02d}"
        for finger in ("thumb", "index", "mid", "ring", "pinky")
        for joint in range(1, 5)
    ),
)
"""How the lines of `handGestures.txt` begin, pose by pose."""

VALIDATION_CAMERAS = (6, 12, 20, 21)

ARM = slice(473, 529)
"""Vertices of the surfaces' files that belong to the arm."""

_PICTURE = "l{0:02d}/cam{1:02d}/handV2_rgt01_specTest5_gPoses_ren_25cRrRs_l{0:02d}_cam{1:02d}_.{2:04d}.png"


class Ge2019Synthetic(Dataset):
    """Rendered left hands, mirrored. `ids` are (light, pose, camera), numbered as files are, from 1."""

    name = "Ge 2019 synthetic"
    splits = ("train", "val")
    licence = "non-commercial research"
    marks = ("3D_labels/handGestures.txt", "3D_labels/camPosition.txt", "images/l[0-9][0-9]/cam[0-9][0-9]")
    files = ("handGestures.txt", "camPosition.txt", "handV2_rgt01_*.png")

    def __init__(self, folder: str | Path, split: str, whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        labels, images = self.folder / "3D_labels", self.folder / "images"
        cameras = [f"cam{number:02d}" for number in range(1, OFFICIAL["cameras"] + 1)]
        self.cameras = _read_blocks(labels / "camPosition.txt", cameras, 7)  # (poses, cameras, 7)
        joints = _read_blocks(labels / "handGestures.txt", JOINT_LINES, 3)  # (poses, 21, 3) centimetres
        for file, values in (("camPosition.txt", self.cameras), ("handGestures.txt", joints)):
            check_count(str(labels / file), {"poses": len(values)}, {"poses": OFFICIAL["poses"]})
        if (self.cameras[..., 0] <= 0).any():
            raise InputError(f"{labels / 'camPosition.txt'}: has a focal length that is not positive")
        check_unit(joints, "centimetres", labels / "handGestures.txt")
        self.joints = joints / 100
        self._check_split(labels / "val-camera.txt")

        ours = [n for n in range(1, OFFICIAL["cameras"] + 1) if (n in VALIDATION_CAMERAS) == (split == "val")]
        numbers = [
            (light, pose, camera)
            for light in range(1, OFFICIAL["lights"] + 1)
            for camera in ours
            for pose in range(1, OFFICIAL["poses"] + 1)
        ]
        folders = [f"l{light:02d}/cam{n:02d}" for light in range(1, OFFICIAL["lights"] + 1) for n in ours]
        there = {f"{part}/{file.name}" for part in folders for file in (images / part).glob("*.png")}
        names = [_PICTURE.format(light, camera, pose) for light, pose, camera in numbers]
        if whole:
            check_files(images, names, there)
        found = [ids for ids, name in zip(numbers, names, strict=True) if name in there]
        if not found:
            raise InputError(f"{images}: has no pictures of the split {split}")
        self.ids = np.array(found, dtype=np.int64)  # (N, 3)
        self.meshes = {
            int(file.name[-8:-4]): file for file in (self.folder / "hand_3D_mesh").glob("*.[0-9][0-9][0-9][0-9].obj")
        }
        if self.meshes and (missing := set(range(1, OFFICIAL["poses"] + 1)) - self.meshes.keys()):
            raise InputError(f"{self.folder / 'hand_3D_mesh'}: has no surface of pose {min(missing):04d}")

    def _check_split(self, path: Path) -> None:
        read_head(path, 1)
        expected = {f"cam{number:02d}" for number in VALIDATION_CAMERAS}
        if set(path.read_text(encoding="latin1").split()) != expected:
            raise InputError(f"{path}: is not the official list {', '.join(sorted(expected))}")

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        light, pose, camera = self.ids[index].tolist()
        path = self.folder / "images" / _PICTURE.format(light, camera, pose)
        image, alpha = _read_rgba(path)
        motion = camera_motion(self.cameras[pose - 1, camera - 1])
        focal = self.cameras[pose - 1, camera - 1, 0]
        K = np.array([[focal, 0, image.shape[1] / 2], [0, focal, image.shape[0] / 2], [0, 0, 1]])
        joints = self.joints[pose - 1] @ motion[:3, :3].T + motion[:3, 3]  # (21, 3)
        if (joints[:, 2] <= 0).any():
            raise InputError(f"{self.folder / '3D_labels'}: pose {pose} has a joint behind camera {camera}")
        sample = Sample(
            image=image_batch(image),
            mask=as_batch(alpha / 255),
            joints=as_batch(joints),
            joints_2d=as_batch(project(joints, K)),
            K=as_batch(K),
            world_to_camera=as_batch(motion),
            ids=torch.tensor([[light, pose, camera]]),
        )
        if self.meshes:
            sample.vertices = as_batch(read_vertices(self.meshes[pose]) @ motion[:3, :3].T + motion[:3, 3])
        return mirrored(sample).check()


class Ge2019Real(Dataset):
    """Photos of left hands, cut out and mirrored. `ids` are (0, photo, 0)."""

    name = "Ge 2019 real-world"
    splits = ("test",)
    licence = "non-commercial research"
    files = ("pose_gt.mat",)

    def __init__(self, folder: str | Path, split: str = "test", whole: bool = True) -> None:
        super().__init__(folder, split, whole)
        self.photos = read_photos3d(self.folder)  # which makes sure that no listed picture is missing
        listed = {Path(path).as_posix() for path in self.photos.image_paths}
        self.meshes = self.folder / "real_hand_3D_mesh"
        if whole:
            check_count(str(self.folder / "params.mat"), {"photos": len(listed)}, {"photos": OFFICIAL["photos"]})
            there = {file.relative_to(self.folder).as_posix() for file in (self.folder / "images").glob("*.jpg")}
            check_files(self.folder, listed, there | listed)
            if self.meshes.is_dir():
                surfaces = {file.name for file in self.meshes.glob("*.obj")}
                check_files(self.meshes, {f"{number:05d}.obj" for number in range(len(listed))}, surfaces)

    @classmethod
    def recognises(cls, folder: Path) -> bool:
        return (folder / "pose_gt.mat").is_file() or (
            (folder / "params.mat").is_file() and (folder / "images").is_dir()
        )

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> Sample:
        photos = self.photos
        sample = Sample(
            image=image_batch(photos.image(index)),
            joints=as_batch(photos.joints[index]),
            joints_2d=as_batch(photos.joints_2d[index]),
            K=as_batch(photos.K[index]),
            ids=torch.tensor([[0, index, 0]]),
        )
        if self.meshes.is_dir():
            sample.vertices = as_batch(read_vertices(self.meshes / f"{index:05d}.obj"))
        return mirrored(sample).check()


def camera_motion(parameters: np.ndarray) -> np.ndarray:
    """The motion (4, 4), in metres, from the labels' frame to a camera's (OpenCV axes), of a line (7,) of `camPosition.txt`."""
    angles = torch.from_numpy(np.deg2rad(parameters[4:]))
    about_x, about_y, about_z = rotvec_to_rotmat(torch.diag(angles)).numpy()  # (3, 3) each
    rotation = (about_z @ about_y @ about_x @ np.diag([1.0, -1.0, -1.0])).T
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = rotation, -rotation @ parameters[1:4] / 100
    return motion


def read_vertices(path: Path) -> np.ndarray:
    """Vertices (V, 3) in metres of an OBJ file in centimetres, without those of the arm."""
    read_head(path, 1)
    rows: list[list[str]] = []
    for line in path.read_text(encoding="latin1").splitlines():
        kind, *values = line.split() or [""]
        if kind == "v":
            rows.append(values)
        elif rows:
            break  # only the first object is the hand
    vertices = as_array(rows, (None, 3), f"{path}: vertices") if rows else np.zeros((0, 3))
    if len(vertices) <= ARM.stop:
        raise InputError(f"{path}: has {len(vertices)} vertices, which are too few; it may be truncated")
    return np.delete(vertices, ARM, axis=0) / 100


def _read_blocks(path: Path, names: Sequence[str], columns: int) -> np.ndarray:
    """The numbers (blocks, names, columns) of a text whose lines, block by block, begin with `names`; empty lines do not count."""
    rows: list[list[float]] = []
    for number, line in numbered_lines(path):
        name, *values = line.split()
        if name != (wanted := names[len(rows) % len(names)]) or len(values) != columns:
            raise InputError(f"{path}: line {number}: {wanted} and {columns} numbers expected")
        try:
            rows.append([float(value) for value in values])
        except ValueError as error:
            raise InputError(f"{path}: line {number}: not {columns} numbers") from error
    if not rows or len(rows) % len(names):
        raise InputError(f"{path}: ends within a pose, {len(rows)} lines being no multiple of {len(names)}")
    return as_array(rows, (None, columns), str(path)).reshape(-1, len(names), columns)


def _read_rgba(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """A picture laid over white (H, W, 3) uint8, and its alpha (H, W) from 0 to 255."""
    from PIL import Image

    image = read_image(path)
    with Image.open(path) as file:  # which has just been read
        if file.mode != "RGBA":
            raise InputError(f"{path}: has no alpha channel, which would be the hand's mask")
        return image, np.asarray(file)[..., 3]
