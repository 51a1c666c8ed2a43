"""What `pip install phalanx` leaves out, and the extra that brings it."""

from __future__ import annotations

EXTRAS = {
    "torch": "train",
    "roma": "train",
    "warp": "train",
    "safetensors": "train",
    "scipy": "train",
    "onnx": "train",
    "jsonargparse": "train",
    "lightning_fabric": "train",
    "filelock": "train",
    "matplotlib": "train",
    "rich": "train",
    "starlette": "serve",
    "uvicorn": "serve",
    "websockets": "serve",
    "OpenEXR": "exr",
    "ray": "ray",
}
"""For modules that only some of the package needs, the extra of `pyproject.toml` that installs them."""


def missing_extra(error: ModuleNotFoundError) -> str | None:
    """One sentence that names what is missing and the command that adds it; None where it is none of ours."""
    name = (error.name or "").partition(".")[0]
    if name not in EXTRAS:
        return None
    return f"this needs {name}, which is not installed; add it with: pip install 'phalanx[{EXTRAS[name]}]'"
