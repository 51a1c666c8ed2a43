"""Reads the user's own MANO files (MANO_RIGHT.pkl, MANO_LEFT.pkl, or NPZ) into `HandModel`; nothing of MANO ships with the package.

MANO: Romero, Tzionas and Black, "Embodied hands", ACM Transactions on Graphics 36(6), 2017. The files are pickles of
Python 2 that name numpy, scipy and chumpy. Here they are read without the last two and without running anything that they
name: whatever they ask for is one of this module's own stand-ins, or the file is refused.

MANO's frame is that of a standing person with arms stretched sideways, palms down: x to the person's left, y up, z forward.
A right hand's fingers point along -x, a left one's along +x. `HandModel` is a right hand in the hand frame (x radial, y
distal, z palmar, origin at the wrist), so a left file is mirrored in x when it is read, and `ManoHand` mirrors its surface back.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.files import read_head
from phalanx.core.pickles import NUMBERS, Family, Kept, read_pickle
from phalanx.geometry.rotations import rotmat_to_rotvec, rotvec_to_rotmat
from phalanx.hand.model import HandModel, HandPose, HandSurface
from phalanx.hand.prediction import Side

VERTICES = 778

TIP_VERTICES = (744, 320, 443, 554, 671)
"""The vertices that are the finger tips, thumb first: MANO has no tip joints."""

MANO_PARENTS = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 0, 10, 11, 0, 13, 14)
"""MANO's 16 joints: wrist, then three each of index, middle, little and ring finger and thumb."""

MANO_JOINTS = (0, 13, 14, 15, 1, 2, 3, 4, 5, 6, 10, 11, 12, 7, 8, 9)
"""For each of our 16 rotating joints (`skeleton.ROTATING`) its number in MANO."""

_ENTRIES = (
    *("v_template", "shapedirs", "posedirs", "J_regressor", "weights"),
    *("f", "hands_components", "hands_mean", "kintree_table"),
)

_HAND_FROM_MANO = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # of a right hand


@dataclass
class ManoParameters:
    """What poses a MANO hand, as `smplx` and the datasets have it; a batch of `B`.

    Attributes:
        pose: (B, 45) axis-angle vectors of the 15 finger joints in MANO's order, from the flat hand.
        betas: (B, 10) shape components.
        orientation: (B, 3) axis-angle vector of the wrist.
        translation: (B, 3) metres, added after turning about the wrist (which does not lie in MANO's origin).
    """

    pose: Tensor
    betas: Tensor
    orientation: Tensor
    translation: Tensor


class ManoHand(nn.Module):
    """A MANO file: the hand model that it makes, and the ways between MANO's parameters and ours.

    `hand.model(hand.to_pose(parameters))` is a right hand, for a left file the mirror image of what the parameters mean;
    `hand(parameters)` is the surface on the file's own side, as `smplx` gives it.

    Attributes:
        side: "right" or "left": whose file it is.
        model: a right hand in the hand frame.
        faces: (F, 3) of the file's own side, counter-clockwise seen from outside.
        mean_pose: (45,) the mean hand; add it to poses that are measured from there (`flat_hand_mean=False` in `smplx`).
        components: (C, 45) principal components of poses, C usually 45.
    """

    faces: Tensor
    mean_pose: Tensor
    components: Tensor
    _turn: Tensor
    _mirror: Tensor
    _wrist: Tensor
    _wrist_basis: Tensor
    _order: Tensor

    def __init__(
        self,
        side: Side,
        model: HandModel,
        faces: Tensor,
        mean_pose: Tensor,
        components: Tensor,
        wrist: Tensor,
        wrist_basis: Tensor,
    ) -> None:
        """`wrist` (3,) and `wrist_basis` (3, 10): where the wrist lies in the file's frame, and how that changes with shape."""
        super().__init__()
        self.side = side
        self.model = model
        for name, value in (
            ("faces", faces),
            ("mean_pose", mean_pose),
            ("components", components),
            ("_turn", torch.from_numpy(_hand_from_file(side)).to(wrist)),  # (3, 3) file's frame -> hand frame
            ("_mirror", torch.tensor([-1.0 if side == "left" else 1.0, 1.0, 1.0]).to(wrist)),
            ("_wrist", wrist),
            ("_wrist_basis", wrist_basis),
            ("_order", torch.tensor([j - 1 for j in MANO_JOINTS[1:]])),  # of the 15 finger joints
        ):
            self.register_buffer(name, value, persistent=False)

    def pose_from_components(self, coefficients: Tensor) -> Tensor:
        """Axis-angle vectors (B, 45) of any number C of principal coefficients (B, C); for the mean hand add `mean_pose`."""
        return coefficients @ self.components[: coefficients.shape[1]]

    def to_pose(self, parameters: ManoParameters) -> HandPose:
        """The pose of `model` (for a left file: of its mirror image) that the parameters mean. The forearm stays straight."""
        fingers = rotvec_to_rotmat(parameters.pose.unflatten(1, (15, 3)))[:, self._order]  # (B, 15, 3, 3)
        fingers = self._turn @ fingers @ self._turn.mT
        root = self._mirror[:, None] * rotvec_to_rotmat(parameters.orientation) @ self._turn.mT
        wrist = self._wrist + parameters.betas @ self._wrist_basis.mT  # (B, 3)
        return HandPose(
            torch.cat((torch.eye(3).to(fingers).expand(len(fingers), 1, 3, 3), fingers), dim=1),
            parameters.betas,
            root,
            self._mirror * (wrist + parameters.translation),
        )

    def from_pose(self, pose: HandPose) -> ManoParameters:
        """The inverse of `to_pose`: MANO's parameters of a pose of `model`, such as a fit gives. The forearm is left out."""
        fingers = self._turn.mT @ pose.rotations[:, 1:] @ self._turn
        root = self._mirror[:, None] * pose.orientation @ self._turn
        wrist = self._wrist + pose.shape @ self._wrist_basis.mT
        return ManoParameters(
            rotmat_to_rotvec(fingers[:, torch.argsort(self._order)]).flatten(1),
            pose.shape,
            rotmat_to_rotvec(root),
            self._mirror * pose.translation - wrist,
        )

    def forward(self, parameters: ManoParameters) -> HandSurface:
        """The surface on the file's own side: vertices (B, 778, 3) in the file's order, 21 joints in ours.

        `transforms` lead from the rest hand frame (of the right hand that `model` is) to there.
        """
        surface = self.model(self.to_pose(parameters))
        transforms = surface.transforms.clone()
        transforms[:, :, :3] *= self._mirror[:, None]
        return HandSurface(surface.vertices * self._mirror, surface.joints * self._mirror, transforms)


def load_mano(path: str | os.PathLike[str], mend_shape: bool | None = None) -> ManoHand:
    """Read a MANO file, a pickle or an NPZ of the same entries, right or left: its joints say which.

    The left files that MANO gives away have the shape components of the right hand, so that x of them has the wrong sign
    (the hand grows longer where it should grow shorter). `mend_shape` says what to do with a left file: True negates x of
    them, False takes them as they are (what `smplx` does), None negates them if `shape_is_mirrored` sees the fault.

    Raises:
        InputError: the file is missing, truncated, neither, asks for anything that MANO's files do not need (which is not
            run), or lacks an entry of the right shape.
    """
    path = Path(path)
    entries = _read_arrays(path) if path.suffix.lower() == ".npz" else read_pickle(path, _FAMILY)
    if not isinstance(entries, dict):
        raise InputError(f"{path}: not a MANO file: holds a {type(entries).__name__} instead of named entries")

    def entry(name: str, *shape: int | None) -> np.ndarray:
        if name not in entries:
            raise InputError(f"{path}: not a MANO file: it has no entry {name}")
        try:
            value = _evaluate(entries[name])
        except Exception as error:  # a damaged entry may raise anything
            raise InputError(f"{path}: entry {name} is damaged ({error})") from error
        array = as_array(value, shape, f"{path}: {name}")
        if name != "kintree_table" and abs(array).max(initial=0) > 1e6:
            raise InputError(f"{path}: {name}: has absurdly large numbers")
        return array

    template = entry("v_template", VERTICES, 3)
    shape_basis = entry("shapedirs", VERTICES, 3, 10)
    pose_basis = entry("posedirs", VERTICES, 3, 135)
    regressor = entry("J_regressor", 16, VERTICES)
    weights = entry("weights", VERTICES, 16)
    faces = entry("f", None, 3)
    components = entry("hands_components", None, 45)
    mean_pose = entry("hands_mean", 45)
    if tuple(entry("kintree_table", 2, 16)[0, 1:].astype(np.int64)) != MANO_PARENTS[1:]:
        raise InputError(f"{path}: kintree_table: is not the tree of MANO's 16 joints")
    if (faces != np.round(faces)).any() or faces.min(initial=0) < 0 or faces.max(initial=0) >= VERTICES:
        raise InputError(f"{path}: f: must be indices into the {VERTICES} vertices")
    if abs(weights.sum(1) - 1).max() > 1e-3:
        raise InputError(f"{path}: weights: must sum to 1 at every vertex")

    side = _side(regressor @ template, path)
    if side == "left" and (shape_is_mirrored(template, shape_basis) if mend_shape is None else mend_shape):
        shape_basis = shape_basis * np.array([-1.0, 1.0, 1.0])[:, None]

    turn = _hand_from_file(side)
    joints = _with_tips(regressor @ template, template)  # (21, 3)
    joint_basis = _with_tips(np.einsum("jv,vck->jck", regressor, shape_basis), shape_basis)  # (21, 3, 10)
    wrist, wrist_basis = joints[0], joint_basis[0]
    # From elements of rotations in the file's frame and order to those in ours: R_file = turn^T R_hand turn.
    ours = pose_basis.reshape(VERTICES, 3, 15, 3, 3)[:, :, [j - 1 for j in MANO_JOINTS[1:]]]
    ours = np.einsum("ri,vijab->vrjab", turn, ours)
    ours = np.einsum("vrjab,ca,db->vrjcd", ours, turn, turn, optimize=True).reshape(VERTICES, 3, 135)
    skin_weights = np.insert(weights[:, MANO_JOINTS], 1, 0.0, axis=1)  # nothing hangs on the forearm
    rest = (template - wrist) @ turn.T
    own_faces = torch.from_numpy(faces.astype(np.int64))
    right_faces = own_faces.flip(1) if side == "left" else own_faces
    model = HandModel(
        template=_float(rest),
        faces=right_faces,
        uv=_float(_two_sided_uv(rest, right_faces.numpy())),
        shape_basis=_float(np.einsum("rc,vck->vrk", turn, shape_basis - wrist_basis)),
        rest_joints=_float((joints - wrist) @ turn.T),
        joint_basis=_float(np.einsum("rc,jck->jrk", turn, joint_basis - wrist_basis)),
        skin_weights=_float(skin_weights),
        pose_basis=_float(ours),
        tip_vertices=torch.tensor(TIP_VERTICES),
    )
    return ManoHand(side, model, own_faces, _float(mean_pose), _float(components), _float(wrist), _float(wrist_basis))


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    read_head(path, 1)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in _ENTRIES if name in arrays.files}
    except Exception as error:  # damaged files raise anything, MemoryError too
        raise InputError(f"{path}: not a readable MANO file (not a whole NPZ file of numbers)") from error


def shape_is_mirrored(template: np.ndarray, shape_basis: np.ndarray) -> bool:
    """Whether x of the shape components (V, 3, 10) belongs to the mirror image of the template (V, 3), both in MANO's frame.

    Among people long hands are broad. If components, which are in standard deviations, make hands the narrower (z) the longer
    (x) they are, on the whole, then x has the wrong sign.
    """
    centred = template - template.mean(0)
    growth = np.einsum("vc,vck->ck", centred, shape_basis)  # (3, 10) how much each component stretches each axis
    return bool(growth[0] @ growth[2] < 0)


def _side(joints: np.ndarray, path: Path) -> Side:
    """Right or left, by where MANO's 16 joints (16, 3) have the knuckles."""
    x, y, z = joints[[1, 4, 7, 10]].mean(0) - joints[0]
    if abs(x) <= max(abs(y), abs(z)):
        raise InputError(f"{path}: not a MANO hand: the fingers do not point along x in its rest pose")
    return "right" if x < 0 else "left"


def _hand_from_file(side: Side) -> np.ndarray:
    """(3, 3) from the file's frame to the hand frame; with a reflection for a left hand."""
    return _HAND_FROM_MANO * np.array([-1.0 if side == "left" else 1.0, 1.0, 1.0])


def _with_tips(joints: np.ndarray, vertices: np.ndarray) -> np.ndarray:
    """MANO's 16 joints (16, ...) and the tips among `vertices` (778, ...) as our 21 joints."""
    fingers = joints[list(MANO_JOINTS[1:])].reshape(5, 3, *joints.shape[1:])
    tips = vertices[list(TIP_VERTICES)][:, None]
    return np.concatenate((joints[:1], np.concatenate((fingers, tips), axis=1).reshape(20, *joints.shape[1:])))


def _two_sided_uv(template: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Texture coordinates (F, 3, 2), which MANO's files lack: palm and back laid side by side, seen along the palm's normal."""
    corners = template[faces]  # (F, 3, 3)
    palmar = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])[:, 2] > 0
    low, high = template[:, :2].min(0), template[:, :2].max(0)
    flat = (corners[..., :2] - low) / (high - low)
    flat[..., 0] = 0.5 * flat[..., 0] + np.where(palmar, 0.0, 0.5)[:, None]
    return flat


def _float(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


# ---------------------------------------------------------------------------------------------- reading the pickle


class _Chumpy(Kept):
    """An array, `x`."""


class _Select(Kept):
    """Elements `idxs` of the array `a`, in `preferred_shape`: MANO's first ten of more shape components."""


class _Columns(Kept):
    """A sparse matrix, column by column."""


class _Rows(Kept):
    """A sparse matrix, row by row."""


_FAMILY = Family(
    "MANO file",
    "MANO has",
    NUMBERS,
    {
        ("chumpy.ch", "Ch"): _Chumpy,
        ("chumpy.reordering", "Select"): _Select,
        ("scipy.sparse.csc", "csc_matrix"): _Columns,
        ("scipy.sparse._csc", "csc_matrix"): _Columns,
        ("scipy.sparse.csr", "csr_matrix"): _Rows,
        ("scipy.sparse._csr", "csr_matrix"): _Rows,
    },
    largest=64 << 20,  # bytes; MANO's have 4 million
)


def _evaluate(value: object) -> object:
    """The array that a stand-in stands for."""
    if isinstance(value, _Chumpy):
        return _evaluate(value.attribute("x"))
    if isinstance(value, _Select):
        chosen = np.asarray(_evaluate(value.attribute("idxs")))
        picked = np.asarray(_evaluate(value.attribute("a"))).ravel()[chosen]
        if not value.has("preferred_shape"):
            return picked
        return picked.reshape(np.asarray(value.attribute("preferred_shape"), np.int64).tolist())
    if isinstance(value, _Columns | _Rows):
        data, minor, starts = (np.asarray(_evaluate(value.attribute(name))) for name in ("data", "indices", "indptr"))
        if (shape := value.attribute("_shape")) != (16, VERTICES):
            raise ValueError(f"a sparse matrix of shape {shape}")
        major = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        dense = np.zeros((16, VERTICES))
        np.add.at(dense, (major, minor) if isinstance(value, _Rows) else (minor, major), data)
        return dense
    return value
