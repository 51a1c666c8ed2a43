"""Left hands as right ones: the mirror image of a sample."""

from __future__ import annotations

import torch

from phalanx.core.errors import InputError
from phalanx.data.sample import Sample

_PICTURES = ("image", "depth", "sensed_depth", "mask", "parts")
_POINTS = ("joints", "vertices", "translation")


def mirrored(sample: Sample) -> Sample:
    """What a mirror beside the camera shows: pictures flipped, x negated, pixels and cameras to match, `left` turned round.

    Joints that are not `valid` stay 0. Raises InputError for fields of the open hand's pose or of full frames, which readers of
    public sets do not give (`rotations`, `orientation`, `shape`, `hand_masks`, `boxes`), and for pixels or a camera without a picture.
    """
    fields = sample.present()
    if surplus := fields.keys() & {"rotations", "orientation", "shape", "hand_masks", "boxes"}:
        raise InputError(f"mirrored: a sample with {', '.join(sorted(surplus))} cannot be mirrored")
    width = next((fields[name].shape[-1] for name in _PICTURES if name in fields), 0)
    if width == 0 and fields.keys() & {"joints_2d", "K"}:
        raise InputError("mirrored: the width of the picture must be known")
    changed = {name: fields[name].flip(-1) for name in _PICTURES if name in fields}
    for name in _POINTS:
        if name in fields:
            changed[name] = fields[name] * fields[name].new_tensor([-1.0, 1.0, 1.0])
    if "joints_2d" in fields:
        pixels = fields["joints_2d"].clone()
        pixels[..., 0] = width - 1 - pixels[..., 0]
        changed["joints_2d"] = pixels if "valid" not in fields else pixels * fields["valid"][..., None]
    if "K" in fields:
        K = fields["K"].clone()
        K[:, 0, 2] = width - 1 - K[:, 0, 2]
        K[:, 0, 1] = -K[:, 0, 1]
        changed["K"] = K
    if "world_to_camera" in fields:  # the world is mirrored too, so that the motion stays a rigid one
        mirror = torch.diag(fields["world_to_camera"].new_tensor([-1.0, 1.0, 1.0, 1.0]))
        changed["world_to_camera"] = mirror @ fields["world_to_camera"] @ mirror
    left = fields.get("left", torch.zeros(len(sample), dtype=torch.bool))
    return Sample(**(fields | changed | {"left": ~left}))
