# SPDX-License-Identifier: Apache-2.0
"""The executor thread, held by a calibration and offered to waiting requests in between.

A calibration measures honestly only while no inference runs beside it, and takes seconds, during
which other models have requests. So it holds the one executor thread like a request that takes
long, and between two measurements lets pass what has queued up meanwhile.
"""

import asyncio
import threading
import time

from aio.runtime.errors import ClosedError
from aio.runtime.serve.errors import UnavailableError
from aio.runtime.serve.scheduling.dispatcher import Dispatcher

POLL_S = 0.1  # how long a stop may go unnoticed
RETRY_S = 0.02  # while the queue is full
MAX_WAIT_S = 60.0


class ExecutorTurn:
    """A turn of the executor thread, taken and given back from another thread.

    Args:
        dispatcher: whose thread it is.
        loop: the event loop the dispatcher is used in.
        closing: set when the server stops; then every call raises ClosedError.
    """

    def __init__(
        self, dispatcher: Dispatcher, loop: asyncio.AbstractEventLoop, closing: threading.Event
    ) -> None:
        self._dispatcher = dispatcher
        self._loop = loop
        self._closing = closing
        self._over: threading.Event | None = None

    def __enter__(self) -> None:
        """Wait for the turn; where the queue is full, until it is not."""
        self._take()

    def __exit__(self, *error: object) -> None:
        """End the turn."""
        self._give_back()

    def offer(self) -> None:
        """Let the requests that wait go first, if there are any."""
        self._check_open()
        if self._dispatcher.pending > 1:  # one is this turn itself
            self._give_back()
            self._take()

    def _take(self) -> None:
        end_s = time.monotonic() + MAX_WAIT_S
        while self._over is None:
            self._over = self._queue(last_try=time.monotonic() > end_s)
            if self._over is None:
                self._closing.wait(RETRY_S)

    def _queue(self, *, last_try: bool) -> threading.Event | None:
        """Wait in the queue like a request; return what ends the turn, None if it was full."""
        begun, over = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            over.wait()

        self._check_open()
        future = asyncio.run_coroutine_threadsafe(self._dispatcher.run(hold), self._loop)
        try:
            while not begun.wait(POLL_S):
                self._check_open()
                if future.done() and not begun.is_set():
                    future.result()
        except UnavailableError:
            if last_try:
                raise
            return None
        except BaseException:
            over.set()  # the executor must not be held for nobody
            raise
        return over

    def _give_back(self) -> None:
        if self._over is not None:
            self._over.set()
            self._over = None

    def _check_open(self) -> None:
        if self._closing.is_set():
            raise ClosedError("the server is stopping")
