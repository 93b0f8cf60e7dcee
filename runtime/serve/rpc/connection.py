# SPDX-License-Identifier: Apache-2.0
"""One connection of a gRPC client: bytes in and out, its calls, its limits.

What the bytes mean is known by `_grpc.Session`, which tells it to the methods `on_*`.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, field

from aio.runtime._grpc import Message, Session
from aio.runtime.serve.errors import RequestError, UnavailableError
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rpc.call import BEGIN, Call
from aio.runtime.serve.rpc.call_record import CallRecord, Peer
from aio.runtime.serve.rpc.request import (
    Headers,
    NoGrpcError,
    UnsupportedError,
    read_request,
    too_long,
)
from aio.runtime.serve.rpc.status import Code, Status, status_of
from aio.runtime.serve.telemetry.request_log import is_read
from aio.runtime.serve.transport.body import Buffers

KIB = 1024
HEADER_BYTES = 16 * KIB
# A client may send this much before it waits for the server, which reads at once and counts what it
# holds. Half of it is more than the tensor of an image, so news of more room are rare.
WINDOW_BYTES = 16 * 1024 * KIB
FRAME_BYTES = 1024 * KIB
# Few enough to stay in a cache until they were copied to where their message is.
RECEIVE_BYTES = 64 * KIB
# Then other connections have their turn.
READS_AT_ONCE = 16
READS_AT_ONCE_S = 0.002
SEND_BYTES = 256 * KIB
# What goes around the largest body: names, shapes, parameters.
ENVELOPE_BYTES = 64 * KIB
PING_INTERVAL_S = 10
PING_STRIKES = 3
LOOKS = 4  # at a client within the shortest time that it has for something
NO_ERROR = 0  # of HTTP/2
CANCEL = 8

logger = logging.getLogger(__name__)

_GONE = Status(Code.CANCELLED, "the client has gone")


@dataclass
class Shared:
    """What the connections of a server have in common.

    Attributes:
        limits: bounds for clients.
        buffers: counts the bytes of messages that are arriving, or wait to be read.
        begin: is given each call, and answers it; raises what says why it does not.
        connections: those that are open.
        memory: where bytes are received; one connection receives at a time.
        is_logged: whether calls are logged, asked once since it is the same for all of them.
    """

    limits: Limits
    buffers: Buffers
    begin: Callable[[Call], None]
    connections: "set[Connection]" = field(default_factory=set)
    memory: memoryview = field(default_factory=lambda: memoryview(bytearray(RECEIVE_BYTES)))
    is_logged: bool = field(default_factory=is_read)


class Connection(asyncio.BufferedProtocol):
    """The connection, as asyncio drives it."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._limits = shared.limits
        self._loop = asyncio.get_running_loop()
        self._calls: dict[int, Call] = {}
        self._arriving = 0  # bytes counted in `shared.buffers`
        self._strikes = 0
        self._pinged_s = 0.0  # when the client pinged last
        now_s = self._loop.time()
        self._heard_s = now_s
        self._idle_s = now_s  # since when there are no calls
        self._unfinished = 1  # what has begun to come, by its number in the session
        self._unfinished_s = now_s  # since when
        self._full_s: float | None = None  # since when the client takes no bytes
        self._asked_s: float | None = None  # when it was pinged, and has sent nothing since
        self.session = Session(
            calls=self._limits.queue,
            window_bytes=WINDOW_BYTES,
            frame_bytes=FRAME_BYTES,
            header_bytes=HEADER_BYTES,
            message_bytes=self.message_bytes,
        )

    @property
    def message_bytes(self) -> int:
        """Return how long a message may be."""
        return self._limits.body_bytes + ENVELOPE_BYTES

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello, or hang up if there are too many."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._fd: int = transport.get_extra_info("socket").fileno()
        peer = transport.get_extra_info("peername")
        self._peer: Peer = peer[:2] if isinstance(peer, tuple) else None
        if len(self._shared.connections) >= self._limits.connections:
            logger.debug("a client of gRPC was sent away: too many connections")
            transport.abort()
            return
        self._shared.connections.add(self)
        self._timer = self._loop.call_later(self._look_after_s(), self._look)
        self.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what the client asked for."""
        del exc
        if self not in self._shared.connections:
            return
        self._shared.connections.remove(self)
        self._timer.cancel()
        self._shared.buffers.give_back(self._arriving)
        self._arriving = 0
        for call in list(self._calls.values()):
            call.cancel(_GONE)
        self._calls.clear()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return the memory for what comes."""
        del sizehint
        return self._shared.memory

    def buffer_updated(self, nbytes: int) -> None:
        """Take what came."""
        self._heard_s, self._asked_s = self._loop.time(), None
        try:
            self._receive(nbytes)
        except ValueError as error:
            logger.debug("a client of gRPC was sent away: %s", error)
            self.flush()
            self._hang_up()
            return
        if self.session.unfinished != self._unfinished:
            self._unfinished = self.session.unfinished
            self._unfinished_s = self._heard_s
        self._count()
        self.flush()

    def pause_writing(self) -> None:
        """Note that the client is slow."""
        self._full_s = self._loop.time()

    def resume_writing(self) -> None:
        """Send what had to wait."""
        self._full_s = None
        self.flush()

    def flush(self) -> None:
        """Send what there is, as long as the client takes it."""
        while self._full_s is None and not self._transport.is_closing():
            data = self.session.send(SEND_BYTES)
            if not data:
                break
            self._transport.write(data)
        for call in self._calls.values():
            if call.is_full:
                call.wake()
        self.session.tell(self)
        self._give_back()
        if self.session.done:
            self._hang_up()

    def taken(self, call: int, size: int) -> None:
        """Note that a message of a call does not wait any more."""
        self.session.taken(call, size)
        self.flush()

    def go_away(self) -> None:
        """Take no new calls; the connection ends with those there are."""
        self.session.go_away()
        self.flush()

    def end(self, status: Status) -> None:
        """End all calls with this status."""
        for call in list(self._calls.values()):
            call.cancel(status)

    def abort(self) -> None:
        """Hang up."""
        self._transport.abort()

    def on_request(self, call: int, headers: Headers) -> None:
        """Begin to answer a call, or refuse it."""
        self._strikes = 0
        record = CallRecord(self._peer, headers) if self._shared.is_logged else None
        try:
            made = Call(self, call, read_request(headers), headers, record)
            self._calls[call] = made
            self._shared.begin(made)
        except NoGrpcError as error:
            self.session.refuse(call, [(":status", str(error.status))])
            if record is not None:
                record.refuse(dict(headers).get(":method"), error.status)
        except UnsupportedError as error:
            self._refuse(call, Status(Code.UNIMPLEMENTED, str(error)), record)
        except RequestError as error:
            self._refuse(call, status_of(error), record)

    def on_many_headers(self, call: int, header_bytes: int) -> None:
        """Refuse a call with more than the limit."""
        text = f"the call has {header_bytes} bytes of metadata, the limit is {HEADER_BYTES}"
        record = CallRecord(self._peer, []) if self._shared.is_logged else None
        self._refuse(call, Status(Code.RESOURCE_EXHAUSTED, text), record)

    def on_message(self, call: int, message: Message) -> None:
        """Give a message to its call."""
        if call in self._calls:
            self._calls[call].came(message)

    def on_too_long(self, call: int, message_bytes: int) -> None:
        """Tell a call that its message is over the limit, or that there is no memory for it."""
        if call not in self._calls:
            return
        fits = message_bytes <= self.message_bytes
        error = MemoryError() if fits else too_long(message_bytes, self.message_bytes)
        self._calls[call].came(error)

    def on_half_close(self, call: int) -> None:
        """Tell a call that it has all."""
        if call in self._calls:
            self._calls[call].came(None)

    def on_closed(self, call: int, error_code: int) -> None:
        """Forget a call, and stop what still works on it."""
        del error_code
        made = self._calls.pop(call, None)
        if made is not None and made.finished_s is None:
            made.cancel(_GONE)
        if not self._calls:
            self._idle_s = self._loop.time()

    def on_ping(self) -> None:
        """Hang up on a client that only pings."""
        now_s = self._loop.time()
        if not self._calls and now_s - self._pinged_s < PING_INTERVAL_S:
            self._strikes += 1
        self._pinged_s = now_s
        if self._strikes > PING_STRIKES:
            self._hang_up()

    def _receive(self, nbytes: int) -> None:
        """Take bytes in the memory, and as long as it was full, what is there to be read still."""
        memory = self._shared.memory
        end_s = self._heard_s + READS_AT_ONCE_S
        self._take(memory[:nbytes])
        for _ in range(READS_AT_ONCE):
            if nbytes < RECEIVE_BYTES or self._loop.time() >= end_s:
                return
            try:
                nbytes = os.readv(self._fd, [memory])
            except (BlockingIOError, ConnectionError):  # asyncio will find the connection's end
                return
            self._take(memory[:nbytes])

    def _take(self, data: memoryview) -> None:
        self.session.receive(data)
        self.session.tell(self)  # which takes its time too, if messages are short

    def _hang_up(self) -> None:
        """Close when the client has taken what is written; that is waited for only a moment."""
        if self._transport.is_closing():
            return
        self._transport.close()
        self._timer.cancel()
        self._timer = self._loop.call_later(self._limits.linger_s, self._transport.abort)

    def _refuse(self, call: int, status: Status, record: CallRecord | None) -> None:
        self.session.refuse(call, [*BEGIN, *status.trailers()])
        if record is not None:
            record.end(status)

    def _count(self) -> None:
        """Count the bytes of messages that came and wait; refuse calls if there is no room."""
        grown = self.session.arriving - self._arriving
        if grown <= 0:
            return
        try:
            self._shared.buffers.take(grown)
            self._arriving += grown
        except UnavailableError as error:
            for call in list(self._calls.values()):
                if self.session.arriving_of(call.number):
                    call.cancel(status_of(error))

    def _give_back(self) -> None:
        """Count what is not kept any more."""
        freed = self._arriving - self.session.arriving
        if freed > 0:
            self._shared.buffers.give_back(freed)
            self._arriving -= freed

    def _look_after_s(self) -> float:
        return min(self._limits.head_s, self._limits.keep_alive_s) / LOOKS

    def _look(self) -> None:
        """Find out whether the client is still there and does its part."""
        self._timer = self._loop.call_later(self._look_after_s(), self._look)
        now_s = self._loop.time()
        head_s, keep_s = self._limits.head_s, self._limits.keep_alive_s
        if any(
            since_s is not None and now_s - since_s >= head_s
            for since_s in (
                self._full_s,
                self._asked_s,
                None if self.session.ready else self._unfinished_s,
            )
        ):
            self._transport.abort()
            return
        for call in self._calls.values():
            if call.finished_s is not None and now_s - call.finished_s >= head_s:
                self.session.reset(call.number, CANCEL)
        if not self._calls and self._is_over(now_s):
            self.session.go_away()
            self.flush()
            self._hang_up()  # nghttp2 counts a call of which only a part came, and would wait
        elif self._calls and now_s - self._heard_s >= keep_s and self._asked_s is None:
            self.session.ping()
            self._asked_s = now_s
        self.flush()

    def _is_over(self, now_s: float) -> bool:
        """Return whether a client without calls has used up its time to begin one, or to end it."""
        head_s, keep_s = self._limits.head_s, self._limits.keep_alive_s
        if self._unfinished:
            # Frames that are no calls don't give it more time, however they are cut.
            unfinished_s, idle_s = now_s - self._unfinished_s, now_s - self._idle_s
            return unfinished_s >= head_s or idle_s >= keep_s + head_s
        return now_s - self._idle_s >= keep_s
