# SPDX-License-Identifier: Apache-2.0
"""The stream of server-sent events: one snapshot for all listeners, made only while one listens.

A tick replaces the one before. A listener that reads slowly gets the newest tick when it is ready
for it and never sees those between, so no listener makes the server keep more than one. Ticks come
also when nothing happens: they are the heartbeat by which a page knows that the server is there.
"""

import asyncio
import json
import logging
from collections.abc import AsyncGenerator

from aio.runtime.serve.errors import UnavailableError
from aio.runtime.serve.hosting.host import Host, State
from aio.runtime.serve.page.snapshot import Seen, Snapshots

PERIOD_S = 0.2
RETRY_MS = 1000

logger = logging.getLogger(__name__)


def dumps(value: object) -> bytes:
    """Return JSON on one line, as an event needs it."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def event(number: int, name: str, value: object) -> bytes:
    """Return one event."""
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (number, name.encode(), dumps(value))


class Feed:
    """Used in the event loop only.

    Args:
        host: its state ends the stream when the server stops.
        snapshots: where ticks come from.
        limit: most listeners at one time.
    """

    def __init__(self, host: Host, snapshots: Snapshots, limit: int) -> None:
        self._host = host
        self._snapshots = snapshots
        self._limit = limit
        self._listeners = 0
        self._number = 0
        self._tick = b""
        self._next = asyncio.Event()
        self._ticking: asyncio.Task[None] | None = None

    @property
    def listeners(self) -> int:
        """How many listen now."""
        return self._listeners

    @property
    def running(self) -> bool:
        """Whether snapshots are being made."""
        return self._ticking is not None and not self._ticking.done()

    def join(self) -> None:
        """Take a place, to be given back by `leave`.

        Raises:
            UnavailableError: there are too many listeners, or the server stops.
        """
        if self._listeners >= self._limit:
            raise UnavailableError(
                f"{self._listeners} pages are open, which is the limit; close one, or ask /state"
            )
        if self._host.state is State.STOPPING:
            raise UnavailableError(self._host.state.value)
        self._listeners += 1
        if not self.running:
            self._ticking = asyncio.get_running_loop().create_task(self._run())
            self._ticking.add_done_callback(self._ended)

    def leave(self) -> None:
        """Give the place back; the last one to leave ends the ticking."""
        self._listeners -= 1
        if not self._listeners and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yield all that is remembered, then each tick, until the server or the ticking stops."""
        number = self._number
        yield b"retry: %d\n" % RETRY_MS + event(number, "hello", self._snapshots.whole())
        while self.running and self._host.state is not State.STOPPING:
            if number == self._number:
                await self._next.wait()
                continue
            number = self._number
            yield self._tick

    async def _run(self) -> None:
        seen = Seen()
        self._snapshots.mark(seen)
        while True:
            await asyncio.sleep(PERIOD_S)
            self._number += 1
            self._tick = event(self._number, "tick", self._snapshots.news(seen))
            self._wake()

    def _wake(self) -> None:
        tell, self._next = self._next, asyncio.Event()
        tell.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():  # it never returns, so it failed; nobody is to wait for ever
            logger.error("no more ticks for the page", exc_info=task.exception())
            self._wake()
