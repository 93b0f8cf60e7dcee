# SPDX-License-Identifier: Apache-2.0
"""One request and its answer, as ASGI sees them.

`receive` gives the whole body as one message, a view of memory nothing else uses; `send` keeps the
head until the first part of the body, so that a usual answer is one write.
"""

import asyncio
import http
import logging
from collections.abc import Iterable
from typing import Any, Protocol

from starlette.types import ASGIApp, Message

from aio.runtime.serve.errors import NO_MEMORY, RETRY_AFTER_S
from aio.runtime.serve.transport.body import Body
from aio.runtime.serve.transport.head import Head, Headers

CANCEL_WHEN_GONE = "aio.cancel_when_gone"  # the name of an ASGI extension
STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode()
    for status in http.HTTPStatus
}
INTERNAL = b'{"error":"internal error; the server\'s log has the details"}'
STOPPED = b'{"error":"the server is stopping"}'
NO_MEMORY_LEFT = f'{{"error":"{NO_MEMORY}"}}'.encode("ascii")
JSON = (b"content-type", b"application/json")
RETRY = (b"retry-after", str(RETRY_AFTER_S).encode("ascii"))

logger = logging.getLogger("uvicorn.error")


class Carrier(Protocol):
    """What an exchange needs of its connection."""

    def begin_body(self, exchange: "Exchange") -> Body:
        """Return the body, of which all may have come already."""

    def finish_body(self) -> bool:
        """Return whether the next request can follow: no byte of this body is still to come."""

    async def write(self, data: bytes) -> None:
        """Send bytes; wait while the client is slow to take them."""

    def answered(self, exchange: "Exchange") -> None:
        """Go on after the last byte of the answer."""

    def abort(self) -> None:
        """Drop the connection."""


class Exchange:
    """A request that is being answered.

    Attributes:
        keep_alive: whether the connection stays after the answer.
        started: the answer's head was given by the application.
        complete: the whole answer was.
        gone: the client went away before.
    """

    def __init__(
        self, carrier: Carrier, head: Head, scope: dict[str, Any], fields: Headers
    ) -> None:
        self.head = head
        self.task: asyncio.Task[None] | None = None
        self.body: Body | None = None
        self.keep_alive = head.keep_alive
        self.started = self.complete = self.gone = False
        self._carrier = carrier
        self._scope = scope
        self._fields = fields
        self._waiter: asyncio.Future[None] | None = None  # of the application, in `receive`
        self._error: Exception | None = None  # why the body will not come
        self._cancelled_when_gone = False
        self._given = False  # the body, to the application
        self._start: bytes | None = None  # the answer's head, not sent yet
        self._chunked = False
        self._rest: int | None = None  # bytes the answer's body still has to have
        scope["extensions"] = {CANCEL_WHEN_GONE: self.cancel_when_gone}

    async def run(self, app: ASGIApp) -> None:
        """Let the application answer, and answer for it if it fails."""
        try:
            await app(self._scope, self.receive, self.send)
            await self._fail(500, INTERNAL)
        except asyncio.CancelledError:  # the client is gone, or the server stops
            await self._fail(503, STOPPED)
        except MemoryError:
            await self._fail(503, NO_MEMORY_LEFT)
        except Exception:
            logger.exception("the application failed to answer")
            await self._fail(500, INTERNAL)
        finally:
            if self.body is not None:
                self.body.release()
            # Both refer to this, and what refers to itself is freed late, its body too.
            self._scope = {}
            self._error = None

    def cancel_when_gone(self) -> None:
        """Let the task be cancelled when the client goes, now that it is ready for that."""
        self._cancelled_when_gone = True

    def leave(self) -> None:
        """Note that the client has gone."""
        self.gone = True
        self.wake()
        if self._cancelled_when_gone and self.task is not None:
            self.task.cancel()

    def wake(self) -> None:
        """Let `receive` look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def fail(self, error: Exception) -> None:
        """Let `receive` raise the error, which is why the rest of the body will not come."""
        # Where it was raised is no news, and the frames there would keep the body.
        self._error = error.with_traceback(None)
        self.wake()

    async def receive(self) -> Message:
        """Return the body; after it, wait for the client to go."""
        if not (self._given or self.complete):
            if self.body is None:
                self.body = self._carrier.begin_body(self)
            if not (self.body.complete or self.gone or self._error):
                await self._wait()
            if self._error is not None:
                raise self._error
            if self.body.complete:
                self._given = True
                return {"type": "http.request", "body": self.body.data, "more_body": False}
        while not (self.gone or self.complete):
            await self._wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            if self.started:
                raise RuntimeError("the answer has begun already")
            self._begin(message["status"], message.get("headers", ()))
        elif not self.started or self.complete:
            raise RuntimeError(f"{message['type']} outside of an answer")
        else:
            await self._continue(message.get("body", b""), message.get("more_body", False))

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _begin(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.started = True
        has_body = self.head.method != "HEAD" and status not in {204, 304}
        lines = [STATUS_LINES[status]]
        closes = sized = False
        for name, value in (*self._fields, *headers):
            if b"\n" in value or b"\r" in value:
                raise RuntimeError(f"header {name!r} of the answer has a line end in it")
            lines += (name, b": ", value, b"\r\n")
            if name == b"content-length":
                sized = True
                self._rest = int(value)
            elif name == b"connection":
                closes = closes or value.lower() == b"close"
        self.keep_alive = self.keep_alive and not closes and self._carrier.finish_body()
        if not has_body:
            self._rest = 0
        elif not sized:
            self._chunked = self.head.version == "1.1"
            self.keep_alive = self.keep_alive and self._chunked
            if self._chunked:
                lines.append(b"transfer-encoding: chunked\r\n")
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        lines.append(b"\r\n")
        self._start = b"".join(lines)

    async def _continue(self, body: bytes, more: bool) -> None:
        if self.head.method == "HEAD":
            body = b""
        if self._rest is not None:
            self._rest -= len(body)
            if self._rest < 0 or (self._rest and not more):
                raise RuntimeError("the answer's body is not as long as its Content-Length says")
        parts = [] if self._start is None else [self._start]
        self._start = None
        if not self._chunked:
            parts.append(body)
        else:
            if body:
                parts += (b"%x\r\n" % len(body), body, b"\r\n")
            if not more:
                parts.append(b"0\r\n\r\n")
        self.complete = not more
        await self._carrier.write(b"".join(parts))
        if self.complete:
            self.wake()
            self._carrier.answered(self)

    async def _fail(self, status: int, body: bytes) -> None:
        """Answer in the application's place, or cut off what it has begun."""
        if self.complete:
            return
        if self.started and self._start is None:
            self._carrier.abort()
            return
        self._rest, self._chunked = None, False
        length = (b"content-length", b"%d" % len(body))
        headers = [JSON, length, (b"connection", b"close")]
        if status == 503:
            headers.append(RETRY)
        self._begin(status, headers)
        await self._continue(body, more=False)
