"""Work for one predictor, shared fairly: pages take turns, and what would wait too long is refused."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from phalanx.core.errors import InputError

Result = TypeVar("Result")


class Busy(InputError):
    """Too much waits already."""


class FairWork:
    """Runs functions in `threads` threads; of several pages with something to do, each gets its turn.

    Args:
        threads: that compute at once.
        most: jobs that may wait in all.
        most_each: and of one page.
    """

    def __init__(self, threads: int, most: int, most_each: int) -> None:
        self.threads, self.most, self.most_each = threads, most, most_each
        self._waiting: OrderedDict[str, deque[tuple[asyncio.Future[Any], Callable[[], Any]]]] = OrderedDict()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="phalanx")
        self._busy = 0

    @property
    def waiting(self) -> int:
        """Jobs that have not begun."""
        return sum(map(len, self._waiting.values()))

    async def run(self, page: str, function: Callable[[], Result]) -> Result:
        """What `function` returns, once it is this page's turn.

        Raises:
            Busy: the page, or all together, have too many jobs waiting.
        """
        queue = self._waiting.get(page, ())
        if len(queue) >= self.most_each or self.waiting >= self.most:
            raise Busy("the server is busy; try again in a moment")
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(page, deque()).append((future, function))
        self._start()
        return await future

    def close(self) -> None:
        """Refuse what waits, and let what runs end."""
        for queue in self._waiting.values():
            for future, _ in queue:
                future.cancel()
        self._waiting.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _start(self) -> None:
        while self._busy < self.threads and self._waiting:
            page, queue = self._waiting.popitem(last=False)
            future, function = queue.popleft()
            if queue:
                self._waiting[page] = queue  # behind all others
            if future.cancelled():  # who asked is gone
                continue
            self._busy += 1
            asyncio.get_running_loop().create_task(self._carry_out(future, function))

    async def _carry_out(self, future: asyncio.Future[Any], function: Callable[[], Any]) -> None:
        try:
            result = await asyncio.get_running_loop().run_in_executor(self._pool, function)
            if not future.done():
                future.set_result(result)
        except BaseException as error:  # whoever waits gets it
            if not future.done():
                future.set_exception(error)
        finally:
            self._busy -= 1
            self._start()
