"""Files of weights: safetensors in half precision, with what is needed to trust them.

The metadata (key `phalanx`, JSON) hold the format, which method the weights are of, its configuration, a checksum of the weights, and one
of what the network's output means (the hand), so that weights and hand cannot be mixed up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import safetensors
import safetensors.torch
from torch import Tensor, nn

from phalanx.core.errors import InputError
from phalanx.core.files import write_whole

Network = TypeVar("Network", bound=nn.Module)

FORMAT = 1
"""Version of the files."""

NO_HAND = "none"
"""In place of a hand's checksum, for networks that know pictures alone."""


def shipped_weights(method: str) -> Path:
    """The weights of a method that come with the package."""
    return Path(str(resources.files("phalanx") / "predict" / "weights" / f"{method}.safetensors"))


def write_weights(
    path: str | Path, state: Mapping[str, Tensor], method: str, config: Mapping[str, Any], meaning: str
) -> None:
    """Write weights; floating-point ones are rounded to half precision. The file appears whole.

    Args:
        state: by name.
        method: which network they are of.
        config: of the network; becomes JSON.
        meaning: checksum of what the network's output means.

    Raises:
        InputError: the file cannot be written.
    """
    tensors = {name: _storable(value) for name, value in state.items()}
    about = {"format": FORMAT, "method": method, "config": config, "weights": checksum(tensors), "hand": meaning}
    with write_whole(path) as temporary:
        temporary.write_bytes(safetensors.torch.save(tensors, metadata={"phalanx": json.dumps(about)}))


def read_weights(path: str | Path, method: str, meaning: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Configuration and weights (half precision) of a file that `write_weights` wrote with the same `method` and `meaning`.

    Raises:
        InputError: the file is missing, truncated, no weights file of this version, of another method, damaged, or made for another hand.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: there is no such weights file")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, safetensors.SafetensorError) as error:
        raise InputError(f"{path}: not a readable weights file ({error})") from error
    try:
        about = json.loads(metadata["phalanx"])
        version, config = about["format"], dict(about["config"])
        known, written, made_for = (
            about.get("method", "compact"),
            about["weights"],
            about["hand"],
        )  # the first name none
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a weights file of this project") from error
    if version != FORMAT:
        raise InputError(f"{path}: weights file of format {version}, this version reads {FORMAT}")
    if known != method:
        raise InputError(f"{path}: weights of {known}, not of {method}")
    if written != checksum(tensors):
        raise InputError(f"{path}: the weights are damaged (checksum differs)")
    if not all(bool(value.isfinite().all()) for value in tensors.values()):
        raise InputError(f"{path}: holds weights that are not finite numbers")
    if made_for != meaning:
        raise InputError(f"{path}: the weights were trained for another hand model")
    return config, tensors


def load_network(path: str | Path, method: str, meaning: str, build: Callable[[dict[str, Any]], Network]) -> Network:
    """The network in a file that `write_weights` wrote, as it was.

    Args:
        path: of the file.
        method, meaning: what it must be of, see `read_weights`.
        build: makes the network, untrained, from its configuration; a configuration at fault may raise KeyError, TypeError or ValueError.

    Raises:
        InputError: the file is at fault (`read_weights`), or its weights do not fit the network it names.
    """
    values, tensors = read_weights(path, method, meaning)
    try:
        network = build(values).float()  # whatever the default dtype is
        network.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{path}: the weights do not fit the network they name") from error
    return network


def _storable(value: Tensor) -> Tensor:
    value = value.detach().cpu().contiguous()
    return value.half() if value.is_floating_point() else value


def checksum(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of named tensors on the CPU."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].numpy().tobytes())
    return digest.hexdigest()
