# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 connections: bounded in size and time, and short ways for large bodies.

uvicorn brings the process and the ASGI application together; its own connections wait for ever
for a request's first byte, for the rest of a head, and for a client to take its answer, and copy
a body four times. Here each step has a limit, a body is received where it will be used, and an
answer is one write.

A connection is in one phase at a time:

    HEAD     idle, or a head is coming
    BODY     the application runs, the body is not complete
    ANSWER   the body is complete, the answer is not
    LINGER   the last answer is out; what still comes is dropped until the client closes
"""

import asyncio
import contextlib
import enum
import re
import select
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from aio.runtime.errors import AioError
from aio.runtime.serve.errors import RETRY_AFTER_S, BodyTimeoutError
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol import codec_json
from aio.runtime.serve.protocol.codec_binary import HEADER
from aio.runtime.serve.telemetry.request_log import is_read, log_request
from aio.runtime.serve.transport.body import Body, Buffers, ChunkedBody, SizedBody, too_large
from aio.runtime.serve.transport.deadline import Deadline
from aio.runtime.serve.transport.exchange import Exchange
from aio.runtime.serve.transport.head import END, MAX_DIGITS, Head, HeadError, read_head
from aio.runtime.serve.transport.receive import receive

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
PHRASES = {
    400: "Bad Request",
    413: "Content Too Large",
    417: "Expectation Failed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}
JSON_LENGTH = HEADER.lower().encode("ascii")
READ_AHEAD = 64 * 1024  # bytes of one connection that nobody has asked for yet
PROBE_S = 0.05
BARE_LF = re.compile(rb"[^\r]\n")


def http_error(status: int, message: str) -> bytes:
    """Return a whole HTTP response that closes the connection."""
    body = codec_json.dumps({"error": message})
    retry = f"retry-after: {RETRY_AFTER_S}\r\n" if status == 503 else ""
    head = (
        f"HTTP/1.1 {status} {PHRASES[status]}\r\ncontent-type: application/json\r\n{retry}"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode("ascii") + body


class Phase(enum.Enum):
    """What a connection does; see the module."""

    HEAD = enum.auto()
    BODY = enum.auto()
    ANSWER = enum.auto()
    LINGER = enum.auto()


class Connection(asyncio.BufferedProtocol):
    """One client's connection, as uvicorn's server makes them."""

    limits = Limits()
    buffers = Buffers(limits.buffered_bytes)
    is_logged = False
    # Where bytes go until it is known what they are. They are used up before the event loop
    # turns to another connection, so all connections share it.
    _scratch = memoryview(bytearray(READ_AHEAD))

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self.transport: asyncio.Transport
        self._app = config.loaded_app
        self._app_state = app_state
        self._server = server_state
        self._loop = _loop or asyncio.get_running_loop()
        self._deadline = Deadline(self._loop, self._expire)
        self._phase = Phase.HEAD
        self._pending = bytearray()  # came, and nobody has asked for it yet
        self._head_begun = False
        self._last: tuple[bytes, Head] | None = None  # the last head that was read
        self._large: tuple[bytes, Head] | None = None  # the same, if it is likely to come again
        self._again: SizedBody | None = None  # what comes next goes there, head and body
        self._exchange: Exchange | None = None
        self._direct: SizedBody | None = None  # what comes next goes straight into it
        self._writable: asyncio.Future[None] | None = None  # set while the client is slow
        self._paused = False
        self._half_closed = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or answer at once that there are too many."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        peer = transport.get_extra_info("peername")
        local = transport.get_extra_info("sockname")
        self._client = peer[:2] if isinstance(peer, tuple) else None
        self._local = local[:2] if isinstance(local, tuple) else (local, None)
        self._fd: int = transport.get_extra_info("socket").fileno()
        self._server.connections.add(self)  # type: ignore[arg-type]
        self._deadline.set(self.limits.head_s)
        most = self.limits.connections
        if len(self._server.connections) > most:
            text = f"too many connections, limit connections is {most}; retry later"
            self._refuse(503, text)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        if self._direct is not None:
            return self._direct.space
        if self._large is None or self._phase is not Phase.HEAD or self._pending:
            return self._scratch
        try:
            return self._expect(*self._large)
        except MemoryError:
            self._large = None  # the request may yet be another one, or be told
            return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        """Use the bytes that came."""
        if self._direct is not None:
            self._receive(self._direct, nbytes)
        elif self._again is not None:
            self._take_again(self._again, nbytes)
        elif self._phase is not Phase.LINGER:
            self._pending += self._scratch[:nbytes]
            self._advance()

    def eof_received(self) -> bool:
        """Answer a complete request even if the client has shut down its sending side."""
        self._half_closed = True
        exchange = self._exchange
        # Nobody has asked for the body yet: it may be there, behind its head.
        unread = self._phase is Phase.BODY and exchange is not None and exchange.body is None
        if not (unread or self._phase is Phase.ANSWER) or hung_up(self._fd):
            return False
        assert exchange is not None
        self._loop.call_later(PROBE_S, self._probe, exchange, PROBE_S)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and tell the application."""
        self._server.connections.discard(self)
        self._deadline.close()
        self._direct = self._again = None
        self._go_on_writing()
        if self._exchange is not None:
            self._exchange.leave()

    def pause_writing(self) -> None:
        """Give the client a time to take its answer."""
        self._writable = self._loop.create_future()
        self._deadline.set(self.limits.head_s)

    def resume_writing(self) -> None:
        """Go on with the answer."""
        self._deadline.clear()
        self._go_on_writing()

    # What uvicorn calls.

    def shutdown(self) -> None:
        """Stop after the request in progress; don't wait long for the rest of a body."""
        if self._exchange is None:
            self._close()
            return
        self._exchange.keep_alive = False
        if self._phase is Phase.BODY:
            self._loop.call_later(self.limits.stop_s / 2, self._close_if_incomplete)

    # What an exchange calls.

    def begin_body(self, exchange: Exchange) -> Body:
        """Return the body, of which all may have come already.

        Raises:
            BodyTooLargeError: it is over the limit.
            UnavailableError: the server holds too many bytes already.
            MemoryError: there is none for it.
            RequestError: its framing is wrong.
        """
        body = self._make_body(exchange.head)
        exchange.body = body
        body.feed(self._pending)
        if body.complete:
            self._phase = Phase.ANSWER
            return body
        if self._half_closed:
            self._close()
            return body
        if exchange.head.expects_continue and not body.received:
            self.transport.write(CONTINUE)
        if isinstance(body, SizedBody):
            self._direct = body
            self._large = None if exchange.head.expects_continue else self._last
        self._deadline.set(self.limits.body_s)
        self._resume_reading()
        return body

    def finish_body(self) -> bool:
        """Return whether the next request can follow: no byte of this body is still to come."""
        exchange = self._exchange
        if self._phase is Phase.BODY and exchange is not None and exchange.body is None:
            size = exchange.head.body_bytes
            if size is not None and size <= len(self._pending):
                del self._pending[:size]
                self._phase = Phase.ANSWER
        return self._phase is Phase.ANSWER

    async def write(self, data: bytes) -> None:
        """Send bytes; wait while the client is slow to take them."""
        if not self.transport.is_closing():
            self.transport.write(data)
            if self._writable is not None:
                await self._writable

    def answered(self, exchange: Exchange) -> None:
        """Go on with the next request, or close."""
        self._server.total_requests += 1
        self._exchange = None
        if self.transport.is_closing():
            return
        if self._phase is Phase.BODY:
            self._linger()
        elif not exchange.keep_alive:
            self._close()
        else:
            self._phase = Phase.HEAD
            self._head_begun = False
            self._deadline.set(self.limits.keep_alive_s)
            self._resume_reading()
            self._advance()

    def abort(self) -> None:
        """Drop the connection."""
        self.transport.abort()

    # Requests.

    def _advance(self) -> None:
        """Use what is pending, as far as it can be used now."""
        if self._phase is Phase.HEAD:
            self._take_head()
        exchange = self._exchange
        if self._phase is Phase.BODY and exchange is not None and exchange.body is not None:
            self._feed(exchange, exchange.body)
        if len(self._pending) >= READ_AHEAD and not self._paused:
            self._paused = True
            self.transport.pause_reading()

    def _take_head(self) -> None:
        pending = self._pending
        while pending.startswith(b"\r\n"):
            del pending[:2]
        end = pending.find(END, 0, self.limits.head_bytes)
        if end >= 0:
            text = bytes(pending[: end + len(END)])
            del pending[: end + len(END)]
            try:
                self._begin(self._read_head(text))
            except HeadError as error:
                self._refuse(error.status, str(error), error.without_quote)
        elif self._half_closed:
            self._close()
        elif len(pending) >= self.limits.head_bytes:
            self._refuse(431, f"a request's head is limited to {self.limits.head_bytes} bytes")
        elif pending and not chr(pending[0]).isupper():
            self._refuse(400, "this is not HTTP/1.1")
        elif BARE_LF.search(pending):
            self._refuse(400, "lines of the request's head must end in CR LF")
        elif pending and not self._head_begun:
            self._head_begun = True
            self._deadline.set(self.limits.head_s)

    def _read_head(self, text: bytes) -> Head:
        # Most clients send the same head again and again.
        if self._last is None or self._last[0] != text:
            self._last = text, read_head(text, self.limits.headers)
        return self._last[1]

    def _expect(self, text: bytes, head: Head) -> memoryview:
        """Return memory for a request with the same head as the last one.

        Clients that send large tensors send the same head before each of them. A client's socket
        is full before a head is read, and until it is emptied the client sleeps.
        """
        assert head.body_bytes is not None
        size, start = head.body_bytes, _tensors_begin(head)
        self._again = SizedBody(size, start, self.buffers, head_bytes=len(text))
        return self._again.with_head[: len(text) + READ_AHEAD]

    def _take_again(self, body: SizedBody, nbytes: int) -> None:
        """Use bytes that came where a request like the last one was expected."""
        assert self._large is not None
        text, head = self._large
        self._again = None
        if nbytes < len(text) or body.with_head[: len(text)] != text:
            self._large = None
            self._pending += body.with_head[:nbytes]
            self._advance()
            return
        error = self._fill(body, nbytes - len(text))
        exchange = self._begin(head)
        exchange.body = self._direct = body
        self._deadline.set(self.limits.body_s)
        self._filled(exchange, body, error)

    def _begin(self, head: Head) -> Exchange:
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": head.version,
            "server": self._local,
            "client": self._client,
            "scheme": "http",
            "method": head.method,
            "root_path": "",
            "path": head.path,
            "raw_path": head.raw_path,
            "query_string": head.query,
            "headers": list(head.headers),
            "state": self._app_state.copy(),
        }
        exchange = Exchange(self, head, scope, self._server.default_headers)
        self._exchange = exchange
        self._phase = Phase.ANSWER if head.body_bytes == 0 else Phase.BODY
        self._deadline.clear()
        exchange.task = self._loop.create_task(exchange.run(self._app))
        self._server.tasks.add(exchange.task)
        exchange.task.add_done_callback(self._server.tasks.discard)
        return exchange

    def _make_body(self, head: Head) -> Body:
        limit = self.limits.body_bytes
        if head.body_bytes is None:
            return ChunkedBody(limit, self.buffers)
        if head.body_bytes > limit:
            raise too_large(head.body_bytes, limit)
        return SizedBody(head.body_bytes, _tensors_begin(head), self.buffers)

    def _receive(self, body: SizedBody, size: int) -> None:
        assert self._exchange is not None
        self._filled(self._exchange, body, self._fill(body, size))

    def _fill(self, body: SizedBody, size: int) -> AioError | None:
        """Receive what is there into a body; return why it can't be taken."""
        others = len(self._server.tasks) - (self._exchange is not None)
        try:
            receive(self._fd, body, size, patient=self._client is None and not others)
        except AioError as error:
            return error
        return None

    def _filled(self, exchange: Exchange, body: SizedBody, error: AioError | None) -> None:
        """Tell the exchange if its body is complete, or will never be."""
        if error is not None:
            self._fail_body(exchange, error)
        elif body.complete:
            self._complete_body(exchange)

    def _feed(self, exchange: Exchange, body: Body) -> None:
        try:
            body.feed(self._pending)
        except (AioError, MemoryError) as error:
            self._fail_body(exchange, error)
            return
        if body.complete:
            self._complete_body(exchange)

    def _complete_body(self, exchange: Exchange) -> None:
        self._direct = None
        self._phase = Phase.ANSWER
        self._deadline.clear()
        exchange.wake()

    def _fail_body(self, exchange: Exchange, error: Exception) -> None:
        self._direct = None
        self._deadline.clear()
        exchange.fail(error)

    # Ends.

    def _expire(self) -> None:
        if self.transport.is_closing() or self._writable is not None:
            self.transport.abort()
        elif self._phase is Phase.BODY and self._exchange is not None:
            body = self._exchange.body
            received = 0 if body is None else body.received
            error = BodyTimeoutError(
                f"only {received} bytes of the body came within {self.limits.body_s:g} s"
            )
            self._fail_body(self._exchange, error)
        else:
            self._close()

    def _refuse(self, status: int, message: str, logged: str | None = None) -> None:
        """Answer what is no request for the application, which has the log of those that are."""
        self.transport.write(http_error(status, message))
        self._linger()
        if self.is_logged:
            log_request(
                None,
                None,
                {"status": status},
                duration_ms=None,
                client=self._client,
                noted={"error": logged or message},
            )

    def _linger(self) -> None:
        """End, but read on for a while: closing now could destroy the answer on its way."""
        self._phase = Phase.LINGER
        self._direct = None
        self._pending.clear()
        if self._half_closed:
            self._close()
            return
        with contextlib.suppress(OSError):  # the client may have gone
            self.transport.write_eof()
        self._resume_reading()
        self._deadline.set(self.limits.linger_s)

    def _close(self) -> None:
        self.transport.close()
        self._deadline.set(self.limits.head_s)

    def _close_if_incomplete(self) -> None:
        if self._phase is Phase.BODY:
            self.transport.close()

    def _probe(self, exchange: Exchange, waited_s: float) -> None:
        """Find out whether a client that sends no more still waits for its answer.

        Both look the same until something is sent. An interim answer may be sent at any time;
        a client that has closed its socket answers it with a reset.
        """
        if exchange.complete or exchange.gone:
            return
        if hung_up(self._fd):
            self.transport.abort()
            return
        if exchange.head.version == "1.1" and not exchange.started:
            self.transport.write(CONTINUE)
        self._loop.call_later(waited_s, self._probe, exchange, min(2 * waited_s, 1.0))

    def _resume_reading(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resume_reading()

    def _go_on_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None


def hung_up(fd: int) -> bool:
    """Return whether the peer of a socket has closed it, as far as this machine knows."""
    poller = select.poll()
    poller.register(fd, 0)
    return bool(poller.poll(0))


def guarded(limits: Limits) -> type[asyncio.Protocol]:
    """Return the protocol class for these limits, as uvicorn's `http` setting wants it."""
    members = {
        "limits": limits,
        "buffers": Buffers(limits.buffered_bytes),
        "is_logged": is_read(),
    }
    # asyncio takes either kind of protocol; uvicorn's annotation knows one.
    return cast("type[asyncio.Protocol]", type("Connection", (Connection,), members))


def _tensors_begin(head: Head) -> int:
    """Return where in the body the JSON ends, as far as the header can be believed."""
    for name, value in head.headers:
        if name == JSON_LENGTH and value.isdigit() and len(value) <= MAX_DIGITS:
            return int(value)
    return 0
