"""Device and processes of a run, as Lightning Fabric has them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from lightning_fabric import Fabric

from phalanx.core.devices import as_device
from phalanx.core.errors import InputError
from phalanx.train.plan import LoopConfig

Result = TypeVar("Result")


def single(device: str) -> Fabric:
    """This process alone on a device. Raises InputError if there is no such device."""
    place = as_device(device)
    return Fabric(accelerator=place.type, devices=1 if place.index is None else [place.index])


def launched(work: Callable[..., Result], config: LoopConfig, *arguments: object) -> Result:
    """`work(fabric, *arguments)` in as many processes as `config` asks for; what the first of them returns.

    With more than one process all of them are new: `work`, a function of a module, and its arguments are sent to them, and a script that
    calls this needs the usual `if __name__ == "__main__":`. On a GPU machine each process has a GPU of its own.

    Raises:
        InputError: there is no such device, or a GPU is named where several are wanted.
    """
    if config.processes == 1:
        return work(single(config.device), *arguments)
    place = as_device(config.device)
    if place.index is not None:
        raise InputError(f"device: {config.device!r} is one device, and there are {config.processes} processes")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it lists its processes on stderr
    fabric = Fabric(accelerator=place.type, devices=config.processes, strategy="ddp_spawn")
    result: Result = fabric.launch(
        partial(_work, work, arguments)
    )  # as one call: Fabric searches arguments for modules
    return result


def _work(work: Callable[..., Result], arguments: tuple[object, ...], fabric: Fabric) -> Result:
    return work(fabric, *arguments)
