# SPDX-License-Identifier: Apache-2.0
"""The way from the event loop to the one executor thread, with a bounded queue.

One thread, because the executor runs one inference at a time on all its threads; more would
only wait in another place, where nothing can refuse them.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from aio.runtime.serve.errors import UnavailableError

T = TypeVar("T")


class Dispatcher:
    """Runs blocking work in one thread; refuses what would wait behind too much.

    Args:
        limit: pieces of work that may wait or run at one time.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="aio-infer")
        # Added to in the event loop, removed from in the thread; each is one atomic operation.
        self._unfinished: set[Future[Any]] = set()

    @property
    def pending(self) -> int:
        """Pieces of work that wait or run, also those whose client has gone."""
        return len(self._unfinished)

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, computed in the thread.

        Raises:
            UnavailableError: the queue is full.
        """
        if self.pending >= self._limit:
            raise UnavailableError(
                f"{self.pending} requests are waiting, which is the limit; retry later"
            )
        future = self._thread.submit(work)
        self._unfinished.add(future)
        future.add_done_callback(self._unfinished.discard)
        return await asyncio.wrap_future(future)

    def close(self, timeout_s: float) -> bool:
        """Drop what waits, and return whether the running work ended within the time."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        return not wait(set(self._unfinished), timeout_s).not_done
