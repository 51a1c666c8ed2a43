"""Where PyTorch computes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phalanx.core.errors import InputError

if TYPE_CHECKING:
    import torch


def as_device(device: str) -> torch.device:
    """The PyTorch device of that name. Raises InputError if there is none or it does not work here."""
    import torch

    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()  # read back: the device `meta` holds nothing
    except Exception as error:  # of many kinds, by device
        raise InputError(f"device: {device!r} is not a device that PyTorch can use here") from error
    return found
