"""Files of models for prediction: one ONNX file with all that is needed to use and to trust it. Neither PyTorch nor ONNX is imported here.

The metadata (key `phalanx`, JSON) hold the format, the method, its configuration, a checksum of what the network's output means (the
hand), the precision, the card, and last the *seal*: the SHA-256 of the whole file with 64 zeros in its place.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from phalanx.core.errors import InputError
from phalanx.core.files import read_head, reason, write_whole

FORMAT = 1
"""Version of the files."""

KEY = "phalanx"
"""Of the metadata."""

_BLANK = "0" * 64
_SEAL = re.compile(rb'"seal": "([0-9a-f]{64})"\}')


def metadata(
    method: str, config: Mapping[str, Any], meaning: str, precision: str, card: Mapping[str, Any] | None = None
) -> str:
    """The text that a model needs under `KEY`, without a seal yet.

    Args:
        method: which network it is of.
        config: of the network; becomes JSON.
        meaning: checksum of what the network's output means.
        precision: float32, float16 or int8.
        card: what it was trained on.
    """
    about = {"format": FORMAT, "method": method, "config": config, "hand": meaning, "precision": precision}
    return json.dumps(about | {"card": card, "seal": _BLANK})


def write_model(path: str | Path, model: bytes) -> None:
    """Seal a serialised ONNX model, which has `metadata`, and write it; the file appears whole.

    Raises:
        InputError: the file cannot be written.
    """
    start, digest = _sealed(model)
    with write_whole(path) as temporary:
        temporary.write_bytes(model[:start] + digest + model[start + 64 :])


def read_model(path: str | Path) -> bytes:
    """The content of a file that `write_model` wrote.

    Raises:
        InputError: the file is missing, not a model of this project, or damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such weights file")
    read_head(path, 1)
    try:
        model = path.read_bytes()
        start, digest = _sealed(model)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {reason(error)}") from error
    except ValueError as error:
        raise InputError(f"{path}: is cut short, or not a model of this project") from error
    if model[start : start + 64] != digest:
        raise InputError(f"{path}: the model is damaged (checksum differs)")
    return model


def about_model(path: str | Path, text: str, method: str | None, meaning: str | None) -> dict[str, Any]:
    """What the metadata `text` of the file `path` say; `method` and `meaning` are what it must be of (None: whatever).

    Raises:
        InputError: it is of another version, method or hand.
    """
    try:
        about: dict[str, Any] = json.loads(text)
        version, found, made_for, _ = about["format"], about["method"], about["hand"], dict(about["config"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a model of this project") from error
    if version != FORMAT:
        raise InputError(f"{path}: model of format {version}, this version reads {FORMAT}")
    if method is not None and found != method:
        raise InputError(f"{path}: weights of {found}, not of {method}")
    if meaning is not None and made_for != meaning:
        raise InputError(f"{path}: the weights were trained for another hand model")
    return about


def quiet_onnxruntime() -> None:
    """Call before ONNX Runtime is imported: it reports its use to its makers, unless this is forbidden by then."""
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")


def _sealed(model: bytes) -> tuple[int, bytes]:
    """Where the seal is, and what it must be. Raises ValueError if there is none."""
    places = [match.start(1) for match in _SEAL.finditer(model)]
    if not places:
        raise ValueError("no seal")
    start = places[-1]
    digest = hashlib.sha256(model[:start])
    digest.update(_BLANK.encode())
    digest.update(memoryview(model)[start + 64 :])
    return start, digest.hexdigest().encode()
