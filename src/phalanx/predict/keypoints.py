"""Keypoints in, a posed hand in every frame out: `fit_keypoints`. `predict.keypoint_files` does it for files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from phalanx.core.checks import as_array
from phalanx.core.errors import InputError
from phalanx.core.isolated import isolated
from phalanx.fit.conventions import Reading, SideChoice, in_order, read_joints, read_picture
from phalanx.fit.missing import LEAST
from phalanx.fit.pictures import PictureJoints
from phalanx.fit.sequences import Jump, RecordingFit, find_jumps, fit_picture_recording, fit_recording, movements
from phalanx.geometry.camera import Camera
from phalanx.hand.plain import PlainHand
from phalanx.hand.recording import HandRecording, own_faces, posed_surfaces
from phalanx.hand.skeleton import MIDDLE_CHAIN, ORDERS, PALM
from phalanx.predict.inputs import PictureCamera, check_options
from phalanx.predict.keypoint_input import (
    PicturePoints,
    camera_of_keypoints,
    on_plane,
    picture_points,
    seen_joints,
)

LENGTHS = 0.08, 0.35
"""Metres from wrist to middle finger tip along the bones that can be a hand's."""
FEWEST_PALM = 2
"""Joints of the palm that a frame needs, beside `LEAST` in all."""
USUAL = 0.4, 2.5
"""A hand is passed over if its joints spread less or more than so many times as much as in most frames."""
ANY = 0.01, 100.0
"""The same in pictures."""
DOUBTFUL = 0.010
"""Mean error, metres, above which something about the keypoints is probably not as it seems."""
RATE = 30.0
"""Frames a second where nothing is known of times."""
MOST_SURFACES = 4096
"""Frames up to which the surface of each is kept."""


@dataclass(frozen=True, eq=False)
class KeypointFit:
    """The hand in T of N frames of keypoints."""

    recording: HandRecording
    """In metres; in the frame of the keypoints (mirrored where `reading.mirrored` says so), or before `camera`."""
    reading: Reading
    """What the keypoints were found to mean."""
    keypoints: np.ndarray
    """(T, 21, 3) as they were read: metres, our order, the recording's frame; NaN where missing. Of a picture: pixels (T, 21, 2)."""
    joint_error: np.ndarray
    """(T, 21) metres from the keypoints to the hand's joints, for a picture beside them; NaN where missing."""
    outliers: np.ndarray
    """(T, 21) keypoints that are misplaced: they do not count, and `recording.filled` is true."""
    jumps: list[Jump]
    """Where an angle changes by more than 30 degrees though no joint moves by 10 mm; `frame` counts within the recording."""
    skipped: dict[int, str]
    """Frames that were passed over, and why."""
    camera: Camera[np.ndarray] | None = None
    """Of the picture, if the keypoints lie in one."""


@isolated
def fit_keypoints(
    joints: Any,
    side: SideChoice = "auto",
    one_hand: bool = False,
    order: str = "auto",
    confidence: np.ndarray | None = None,
    times: np.ndarray | None = None,
    image_size: Sequence[float] | None = None,
    K: Any = None,
    hand_length: float | None = None,
    in_picture: bool = False,
) -> KeypointFit:
    """Pose the hand model on keypoints of one hand.

    What they mean is found by fitting (`fit.conventions`): metres, centimetres or millimetres, the joint order, the side. Places in a
    picture are recognised (`keypoint_input.picture_points`) and need its size or camera; the size of the hand is then the likeliest.

    Args:
        joints: (N, 21, 3), or (N, 21, 2) in a picture. Axes are right-handed, in whatever orientation; if they are not, give the side.
        side: which hand it is. Where the other one fits much better, axes are taken for mirror images, and one is negated.
        one_hand: all frames share one shape.
        order: one of `skeleton.ORDERS`, or "auto".
        confidence: (N, 21); a joint of confidence 0 is missing, and so is one that is NaN or exactly 0 beside others that are not.
        times: (N,) seconds; None: 30 frames a second.
        image_size: width and height of the picture, pixels.
        K: its camera, as `Predictor` takes it; None: 60 degrees across the longer side.
        hand_length: metres from the wrist to the tip of the straight middle finger; sets the scale of hands in pictures.
        in_picture: the joints are places in a picture, whatever they look like.

    Raises:
        InputError: another shape, joints of no hand, or it is not clear what they mean; the sentence says why.
    """
    check_options(None, K, side, hand_length)
    if order != "auto" and order not in ORDERS:
        raise InputError(f"order: must be auto or one of {', '.join(ORDERS)}, not {order!r}")
    points = _checked(joints)
    times = None if times is None else as_array(times, (len(points),), "times")
    confidence = None if confidence is None else as_array(confidence, (len(points), 21), "confidence")
    seen = seen_joints(points, confidence)
    model = PlainHand.open_hand()
    picture = picture_points(points, seen, in_picture, image_size is not None or K is not None)
    if picture is None:
        kept, found = _in_space(model, points, seen, side, order, one_hand)
    else:
        camera = camera_of_keypoints(picture.unit, image_size, K)
        kept, found = _in_picture(model, picture, camera, seen, side, order, hand_length, one_hand)
    found.sources |= {"side": "guessed" if side == "auto" else "given"}
    found.sources |= {"times": "assumed" if times is None else "given"}
    seconds = np.arange(len(points)) / RATE if times is None else times
    return found.finish(model, kept, seconds)


def _checked(joints: Any) -> np.ndarray:
    points = np.asarray(joints)
    if points.ndim != 3 or points.shape[1:] not in ((21, 3), (21, 2)) or len(points) == 0:
        raise InputError(f"joints: must have shape (frames, 21, 3), has {points.shape}")
    if points.dtype.kind not in "fiu":
        raise InputError(f"joints: must be numbers, not {points.dtype}")
    points = points.astype(np.float64)
    return np.where(np.abs(points) < 1e9, points, np.nan)  # infinity is no place either


@dataclass
class _Found:
    """A fit of the right hand, before what belongs to either kind of keypoints is put together."""

    reading: Reading
    fit: RecordingFit
    keypoints: np.ndarray
    local: np.ndarray  # (T, 21, 3) for movements: metres, of a right hand
    seen: np.ndarray
    centre: np.ndarray  # (T, 1, 3) where the local frame is
    skipped: dict[int, str]
    sources: dict[str, str]
    camera: Camera[np.ndarray] | None = None

    def finish(self, model: PlainHand, frames: np.ndarray, times: np.ndarray) -> KeypointFit:
        """What users get, without the frames (of the numbers `frames`) in which too few joints are where they can be."""
        outliers = self.fit.outliers & self.seen
        used = self.seen & ~outliers
        whole = (used.sum(1) >= LEAST) & (used[:, list(PALM)].sum(1) >= FEWEST_PALM)
        skipped = self.skipped | {int(frame): "joints of no hand" for frame in frames[~whole]}
        if not whole.any():
            raise InputError("joints: no frame has joints of a hand")
        pose, side = self.fit.pose[whole], self.reading.side
        mirror = np.array([-1.0 if side == "left" else 1.0, 1, 1])
        joints = model.joints(pose).astype(np.float64) * mirror + self.centre[whole]
        recording = HandRecording(
            side=side,
            frames=frames[whole],
            times=times[frames[whole]],
            joints=joints,
            rotations=pose.rotations,
            orientation=pose.orientation,
            shape=pose.shape,
            filled=~used[whole],
            sources=self.sources,
        )
        if len(recording) <= MOST_SURFACES:
            surfaces = posed_surfaces(recording, model, np.arange(len(recording)))
            recording = replace(recording, vertices=surfaces, faces=own_faces(model, side))
        moved = movements(self.local[whole], used[whole])
        moved[np.diff(recording.frames) > 1] = np.inf
        return KeypointFit(
            recording,
            self.reading,
            self.keypoints[whole],
            self._error(joints, whole),
            outliers[whole],
            find_jumps(np.radians(recording.angles_degrees), moved),
            dict(sorted(skipped.items())),
            self.camera,
        )

    def _error(self, joints: np.ndarray, whole: np.ndarray) -> np.ndarray:
        """(T, 21) metres; NaN where nothing was measured."""
        keypoints = self.keypoints[whole]
        if self.camera is None:
            off = np.linalg.norm(joints - keypoints, axis=-1)
        else:
            K, pixels = self.camera.K, joints @ self.camera.K.T
            off = np.linalg.norm(pixels[..., :2] / pixels[..., 2:] - keypoints, axis=-1) * joints[..., 2] / K[0, 0]
        return np.where(self.seen[whole], off, np.nan)


def _in_space(
    model: PlainHand, points: np.ndarray, seen: np.ndarray, side: SideChoice, order: str, one_hand: bool
) -> tuple[np.ndarray, _Found]:
    _enough(seen)
    reading = read_joints(model, points, seen, side, order)
    joints, seen = in_order(points * reading.metres, seen, reading.order)
    if reading.mirrored is not None:
        joints = joints * np.where(np.array(["x", "y", "z"]) == reading.mirrored, -1.0, 1.0)
    kept, skipped = _usable(joints, seen, USUAL)
    joints, seen = np.where(seen[kept][..., None], joints[kept], np.nan), seen[kept]
    _check_length(joints)
    centre = np.nanmedian(joints, axis=1, keepdims=True)  # float32 loses millimetres far from the origin
    mirror = np.array([-1.0 if reading.side == "left" else 1.0, 1, 1])
    local = ((joints - centre) * mirror).astype(np.float32)
    fit = fit_recording(model, local, seen, one_hand)
    return kept, _Found(reading, fit, joints, np.nan_to_num(local), seen, centre, skipped, {"scale": "measured"})


def _in_picture(
    model: PlainHand,
    picture: PicturePoints,
    taken_by: PictureCamera,
    seen: np.ndarray,
    side: SideChoice,
    order: str,
    hand_length: float | None,
    one_hand: bool,
) -> tuple[np.ndarray, _Found]:
    places, depth = on_plane(picture, taken_by)
    seen = seen & np.isfinite(places).all(-1)
    _enough(seen)
    unit = {"pixels": "pixels", "fractions": "fractions of the picture"}[picture.unit]
    reading = read_picture(model, places, seen, depth, unit, side, order)
    if depth is not None:
        depth = in_order(depth[..., None], seen, reading.order)[0][..., 0]
    places, seen = in_order(places, seen, reading.order)
    kept, skipped = _usable(places, seen, ANY)  # hands come near and go away
    places, seen = places[kept], seen[kept]
    flip = np.array([-1.0 if (reading.side == "left") != (reading.mirrored is not None) else 1.0, 1.0])
    given = PictureJoints(
        np.nan_to_num(places * flip).astype(np.float32),
        seen,
        None if depth is None else depth[kept].astype(np.float32),
        hand_length,
    )
    fit = fit_picture_recording(model, given, one_hand)
    camera = taken_by.camera
    K = camera.K
    if reading.mirrored is not None:  # the camera that sees the world unmirrored, for which the same pixels are others
        places = places * [-1.0, 1.0]
    pixels = np.stack((places[..., 0] * K[0, 0] + places[..., 1] * K[0, 1], places[..., 1] * K[1, 1]), -1) + K[:2, 2]
    distance = fit.pose.translation[:, 2]
    local = np.insert(places * flip * distance[:, None, None], 2, 0.0, axis=2).astype(np.float32)
    sources = {"scale": "prior" if hand_length is None else "given", "camera": taken_by.source}
    keypoints = np.where(seen[..., None], pixels, np.nan)
    centre = np.zeros((len(kept), 1, 3))
    return kept, _Found(reading, fit, keypoints, np.nan_to_num(local), seen, centre, skipped, sources, camera)


def _enough(seen: np.ndarray) -> None:
    if seen.sum(1).max() < LEAST:
        raise InputError(f"joints: no frame has {LEAST} joints or more")


def _usable(joints: np.ndarray, seen: np.ndarray, usual: tuple[float, float]) -> tuple[np.ndarray, dict[int, str]]:
    """Numbers of the frames that hold a hand, of a size beside that of most that is `usual`, and why others are passed over."""
    there = np.where(seen[..., None], joints, np.nan)
    enough, palm = seen.sum(1) >= LEAST, seen[:, list(PALM)].sum(1) >= FEWEST_PALM
    size = np.zeros(len(seen))
    spread = there[enough] - np.nanmedian(there[enough], axis=1, keepdims=True)
    size[enough] = np.nanmedian(np.linalg.norm(spread, axis=-1), axis=1)
    middle = np.median(size[enough])
    sized = (size >= usual[0] * middle) & (size <= usual[1] * middle)
    whole = enough & palm & sized
    if not whole.any():
        raise InputError("joints: no frame has a palm with enough joints")
    skipped = {}
    for frame in np.flatnonzero(~whole).tolist():
        reason = "no hand's size" if palm[frame] else "no palm"
        skipped[frame] = reason if enough[frame] else f"{seen[frame].sum()} joints"
    return np.flatnonzero(whole), skipped


def _check_length(joints: np.ndarray) -> None:
    lengths = np.linalg.norm(np.diff(joints[:, MIDDLE_CHAIN], axis=1), axis=-1).sum(1)
    known = lengths[np.isfinite(lengths)]
    if len(known) and not LENGTHS[0] <= np.median(known) <= LENGTHS[1]:
        low, high = LENGTHS
        raise InputError(
            f"joints: the hand is {np.median(known):.3g} m long from wrist to middle finger tip, not between {low} and {high}"
        )
