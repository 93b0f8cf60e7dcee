# SPDX-License-Identifier: Apache-2.0
"""The one timer of a connection."""

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls `expire` once when the time that was set last has come.

    A connection sets it several times in each request, nearly always later than before; that
    moves a number only. The event loop's timer, when it fires, looks at the number.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[], None]) -> None:
        self._loop = loop
        self._expire = expire
        self._at_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, delay_s: float) -> None:
        """Expire after this time, whatever was set before."""
        self._at_s = self._loop.time() + delay_s
        if self._timer is not None and self._at_s < self._timer.when():
            self._timer.cancel()
            self._timer = None
        if self._timer is None:
            self._timer = self._loop.call_at(self._at_s, self._fire)

    def clear(self) -> None:
        """Don't expire."""
        self._at_s = None

    def close(self) -> None:
        """Don't expire, and leave no timer behind."""
        self._at_s = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fire(self) -> None:
        self._timer = None
        if self._at_s is None:
            return
        if self._loop.time() < self._at_s:
            self._timer = self._loop.call_at(self._at_s, self._fire)
            return
        self._at_s = None
        self._expire()
