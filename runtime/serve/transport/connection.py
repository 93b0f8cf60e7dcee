# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 connections with the time limits that uvicorn does not have.

uvicorn waits for ever for the first byte of a request, for the rest of its head, for the end
of a body nobody reads any more, and for a client to take its response. Here each of these has
`head_s`; then the connection is closed, and dropped if it still holds what was not taken.
"""

import asyncio
from typing import Any, cast

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol import codec_json


def http_error(status: int, phrase: str, message: str) -> bytes:
    """Return a whole HTTP response that closes the connection."""
    body = codec_json.dumps({"error": message})
    head = (
        f"HTTP/1.1 {status} {phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


FULL = http_error(503, "Service Unavailable", "too many connections; retry later")


class GuardedProtocol(H11Protocol):
    """uvicorn's connection on h11, with limits on number and time."""

    limits = Limits()

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None  # runs while nothing is taken
        self._receiving = False  # bytes came that no answer is being made for yet

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or answer at once that there are too many."""
        super().connection_made(transport)
        self._arm(self.limits.head_s)
        if len(self.connections) > self.limits.connections:
            transport.write(FULL)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Parse; the time for a head runs from its first byte to its last."""
        super().data_received(data)
        if self._answering:
            self._disarm()
        elif not self._receiving:
            self._receiving = True
            self._arm(self.limits.head_s)

    def on_response_complete(self) -> None:
        """Wait for the next request, of which a pipelining client may have sent a part."""
        self._receiving = False
        super().on_response_complete()
        if not self._answering:
            self._arm(self.limits.keep_alive_s + self.limits.head_s)

    def pause_writing(self) -> None:
        """Begin to wait for a client that does not take its response."""
        super().pause_writing()
        self._stalled = self.loop.call_later(self.limits.head_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on sending."""
        super().resume_writing()
        self._end_stall()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._disarm()
        self._end_stall()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Answer a complete request even if the client has shut down its sending side."""
        if self._answering and not self.cycle.more_body:
            self.cycle.keep_alive = False
            return True
        return False

    def send_400_response(self, msg: str) -> None:
        """Answer bytes that are not HTTP, unless an answer is under way already."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.write(http_error(400, "Bad Request", msg))
        self.transport.close()

    def shutdown(self) -> None:
        """Stop after the request in progress; don't wait long for the rest of a body."""
        super().shutdown()
        if self._answering and self.cycle.more_body:
            self.loop.call_later(self.limits.stop_s / 2, self._close_if_incomplete)

    @property
    def _answering(self) -> bool:
        # uvicorn declares the attribute as never None, and sets it to None until a request.
        cycle = cast("object", self.cycle)
        return cycle is not None and not self.cycle.response_complete

    def _arm(self, delay_s: float) -> None:
        self._disarm()
        self._timer = self.loop.call_later(delay_s, self._expire)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_stall(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _expire(self) -> None:
        if self.transport.is_closing():
            self.transport.abort()
        else:
            self.transport.close()
            self._arm(self.limits.head_s)

    def _close_if_incomplete(self) -> None:
        if self._answering and self.cycle.more_body:
            self.transport.close()


def guarded(limits: Limits) -> type[GuardedProtocol]:
    """Return the protocol class for these limits, as uvicorn's `http` setting wants it."""
    return type("GuardedProtocol", (GuardedProtocol,), {"limits": limits})
