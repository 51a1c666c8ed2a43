"""From uploaded files to answers: what is predicted of a picture, a clip, and a frame of a webcam, as JSON."""

from __future__ import annotations

import base64
import io
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from phalanx.core.errors import InputError
from phalanx.data.images import read_photo
from phalanx.hand.export import save_mesh
from phalanx.hand.formats.mediapipe import to_mediapipe
from phalanx.hand.prediction import HandPrediction, hand_names
from phalanx.hand.skeleton import BONES, JOINT_NAMES
from phalanx.predict.inputs import camera_in_file
from phalanx.predict.predictor import Predictor
from phalanx.predict.tracker import Tracker
from phalanx.predict.videos import predict_video
from phalanx.serve.limits import MEGABYTE, Limits, TooLarge

KINDS = {"JPEG", "PNG", "WEBP"}
"""Of a webcam's frames."""


def picture_answer(predictor: Predictor, path: Path, limits: Limits) -> dict[str, Any]:
    """The hands in a picture, with their surfaces and a GLB of all.

    Raises:
        InputError: it is no picture, damaged, or larger than the limits; the sentence does not name `path`.
    """
    try:
        _check_pixels(path, limits.picture_pixels)
        image, focal = read_photo(path)
        height, width = image.shape[:2]
        hands = predictor(image, K=camera_in_file(focal, width, height))
        return {
            **_shown(hands, surfaces=True),
            "width": width,
            "height": height,
            "glb": _glb(hands, path.with_suffix(".glb")),
            "mediapipe": to_mediapipe(hands),
        }
    except InputError as error:
        raise type(error)(_without(path, str(error))) from error


def clip_answer(predictor: Predictor, path: Path, limits: Limits) -> dict[str, Any]:
    """The hands in the frames of a clip, and the files that `phalanx predict` writes of it.

    Raises:
        InputError: it cannot be read, or is longer or larger than the limits.
    """
    try:
        _check_clip(path, limits)
        target = path.parent / "hands"
        predict_video(predictor, path, target, {"K": None}, lambda line: None)
        written = path.parent / "hands.json"
        data = {**json.loads(written.read_text(encoding="utf-8")), "input": "clip"}  # and not the temporary file's name
        del data["file"]
        written.write_text(json.dumps(data), encoding="utf-8")
        found = (file for file in sorted(path.parent.glob("hands*")) if file.suffix != ".mp4")
        files = {file.name: _base64(file.read_bytes()) for file in found}
        frames = [
            {"time": frame["time"], "hands": [_short(hand) for hand in frame["hands"]]} for frame in data["frames"]
        ]
        return {"frames": frames, "bones": [list(bone) for bone in BONES], "files": files}
    except InputError as error:
        raise type(error)(_without(path, str(error))) from error


class Webcam:
    """The hands of one webcam, frame by frame."""

    def __init__(self, predictor: Predictor, limits: Limits) -> None:
        self.tracker, self.limits = Tracker(predictor), limits
        self._faces_sent = False

    def answer(self, frame: bytes, time: float) -> dict[str, Any]:
        """What a frame, an encoded picture, shows. Raises InputError as `decode_frame` and `Tracker` do."""
        image = decode_frame(frame, self.limits)
        shown = _shown(self.tracker(image, time), surfaces=True)
        if self._faces_sent:  # they are always the same
            shown.pop("faces", None)
        self._faces_sent |= "faces" in shown
        return {**shown, "width": image.shape[1], "height": image.shape[0], "time": time}


def decode_frame(frame: bytes, limits: Limits) -> np.ndarray:
    """A webcam's frame (H, W, 3) uint8.

    Raises:
        InputError: it is no JPEG, PNG or WebP, is damaged, or has too many pixels.
    """
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(frame), formats=sorted(KINDS)) as image:
                if image.size[0] * image.size[1] > limits.frame_pixels:
                    raise TooLarge(f"the frame has more than {limits.frame_pixels / MEGABYTE:g} million pixels")
                return np.asarray(image.convert("RGB"))
        except InputError:
            raise
        except Exception as error:  # damaged files make decoders raise anything
            raise InputError("the frame is no whole JPEG, PNG or WebP picture") from error


def _check_pixels(path: Path, most: int) -> None:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(path) as image:
                pixels = image.size[0] * image.size[1]
        except Image.DecompressionBombError:
            pixels = most + 1
        except Exception:  # `read_photo` says what is wrong with it
            return
    if pixels > most:
        raise TooLarge(f"the picture has more than {most // MEGABYTE} million pixels")


def _check_clip(path: Path, limits: Limits) -> None:
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise InputError("the file is no video that can be read")
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        count, rate = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
    finally:
        capture.release()
    if width * height > limits.clip_pixels:
        raise TooLarge(f"the clip has more than {limits.clip_pixels // MEGABYTE} million pixels a frame")
    if count > limits.clip_frames or (rate > 0 and count / rate > limits.clip_seconds):
        raise TooLarge(f"the clip is longer than {limits.clip_seconds:g} seconds or {limits.clip_frames} frames")


def _shown(hands: Sequence[HandPrediction], surfaces: bool) -> dict[str, Any]:
    listed = []
    for hand, name in zip(hands, hand_names(hands), strict=True):
        entry = {"name": name, **hand.to_json(mesh=False)}
        if surfaces and hand.vertices is not None:
            entry["vertices"] = _base64(hand.vertices.astype("<f4").tobytes())
        listed.append(entry)
    faces = next((hand.faces for hand in hands if hand.faces is not None and hand.side == "right"), None)
    if faces is None:
        faces = next((hand.faces[:, ::-1] for hand in hands if hand.faces is not None), None)
    answer: dict[str, Any] = {"hands": listed, "bones": [list(bone) for bone in BONES], "joints": list(JOINT_NAMES)}
    if surfaces and faces is not None:
        answer["faces"] = _base64(np.ascontiguousarray(faces, "<u4").tobytes())
    return answer


def _short(hand: dict[str, Any]) -> dict[str, Any]:
    return {
        name: hand[name] for name in ("id", "side", "score", "joints_2d", "joints", "angles_degrees") if name in hand
    }


def _glb(hands: Sequence[HandPrediction], path: Path) -> str | None:
    surfaces = [(hand.vertices, hand.faces) for hand in hands if hand.vertices is not None and hand.faces is not None]
    if not surfaces:
        return None
    save_mesh(path, surfaces, hand_names(hands))
    return _base64(path.read_bytes())


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _without(path: Path, sentence: str) -> str:
    """The sentence without the name of a temporary file, which says nothing to who sent it."""
    return sentence.replace(f"{path}: ", "").replace(str(path), "the file")
