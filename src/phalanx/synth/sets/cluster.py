"""Calls spread over many machines by Ray. Ray is an extra: only this file imports it, when it is asked for."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, TypeVar

from phalanx.core.errors import InputError
from phalanx.core.files import reason

LOCAL = "local"  # the address that stands for a Ray of one's own on this machine
_AHEAD = 2  # calls begun or waiting for each processor: bounds what is made and not yet fetched
_RETRIES = 3  # further tries at a call whose process or machine died
_PATIENCE = 10.0  # seconds for an address to answer; Ray itself would wait for minutes

Item = TypeVar("Item")
Result = TypeVar("Result")


class Cluster:
    """A connection to Ray, as `connect` makes it."""

    def __init__(self, ray: ModuleType) -> None:
        self._ray = ray

    @property
    def processors(self) -> int:
        """Processors that the cluster has now."""
        return int(self._ray.cluster_resources().get("CPU", 0))

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[tuple[Item, Result]]:
        """Every item with its result, in the order in which they are finished.

        Args:
            function: what to call, on one processor each; Phalanx must be installed where it runs. Called again, at most three times, when
                its process or machine dies.
            items: no more than a few for each processor are taken ahead of the results.

        Raises:
            InputError: raised by the function.
            RuntimeError: the function failed otherwise, or its process died again and again.
        """
        ray, left = self._ray, iter(items)
        remote = ray.remote(num_cpus=1, max_retries=_RETRIES)(_call)
        waiting: dict[object, Item] = {}
        while True:
            for item in left:
                waiting[remote.remote(function, item)] = item
                if len(waiting) >= _AHEAD * max(self.processors, 1):
                    break
            if not waiting:
                return
            (reference, *_), _ = ray.wait(list(waiting), num_returns=1)
            item = waiting.pop(reference)
            yield item, self._result(reference)

    def _result(self, reference: object) -> Any:
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise error.cause from None
            raise RuntimeError(f"a call on the Ray cluster failed: {_named(error.cause)}") from error
        except self._ray.exceptions.RayError as error:
            raise RuntimeError(f"the Ray cluster lost a call, in spite of trying again: {_named(error)}") from error


@contextmanager
def connect(address: str, processors: int = 1) -> Iterator[Cluster]:
    """Ray for as long as the block lasts.

    Args:
        address: of a cluster's head, "host:port"; "auto" for the one that runs on this machine; "local" starts one for the block.
        processors: of a Ray that is started; a cluster knows its own.

    Raises:
        InputError: Ray is not installed, there is no cluster at the address, it has no processors, or this process is connected already.
    """
    if address != LOCAL:
        _check_answers(address)
    try:
        import ray.exceptions  # which a mere folder of that name in the working directory lacks
    except ImportError as error:
        raise InputError(
            "ray: is not installed here; pip install 'phalanx[ray]', on every machine of the cluster"
        ) from error
    if ray.is_initialized():
        raise InputError("ray: this process is connected to a cluster already; call ray.shutdown() first")
    own = {"num_cpus": processors, "include_dashboard": False} if address == LOCAL else {}
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # what Ray starts reports to nobody
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **own)
    except Exception as error:  # of many kinds, `Exception` itself among them
        ray.shutdown()
        fault = "cannot be started here" if address == LOCAL else f"no cluster at {address}"
        raise InputError(f"ray: {fault}: {_first_line(error)}") from error
    try:
        cluster = Cluster(ray)
        if cluster.processors < 1:
            raise InputError(f"ray: the cluster at {address} has no processors")
        yield cluster
    finally:
        ray.shutdown()  # ends calls that nobody waits for any more


def _call(function: Callable[[Item], Result], item: Item) -> Result:
    return function(item)


def _check_answers(address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return  # "auto", or Ray will say what is wrong with it
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
    except OSError as error:
        raise InputError(f"ray: nothing answers at {address}: {reason(error)}") from error


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {_first_line(error)}"


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or ["no more is known"])[0]
