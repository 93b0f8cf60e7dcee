# SPDX-License-Identifier: Apache-2.0
"""One call: its messages, its answer, its end."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from aio.runtime._grpc import Message, Session
from aio.runtime.serve.errors import BodyTimeoutError
from aio.runtime.serve.rpc.call_record import CallRecord
from aio.runtime.serve.rpc.request import ACCEPTED, Headers, Request, decompress
from aio.runtime.serve.rpc.status import Code, Status

Data = bytes | memoryview

BEGIN: Headers = [
    (":status", "200"),
    ("content-type", "application/grpc"),
    ("grpc-accept-encoding", ACCEPTED),
]
LATE = Status(Code.DEADLINE_EXCEEDED, "the deadline of the call has passed")
# A stream waits while more than this of its answers is not on its way.
AHEAD_BYTES = 256 * 1024


class Link(Protocol):
    """The connection, as far as a call needs it."""

    @property
    def session(self) -> Session:
        """Return what knows the protocol."""

    @property
    def message_bytes(self) -> int:
        """Return how long a message may be."""

    def flush(self) -> None:
        """Send what there is to send."""

    def taken(self, call: int, size: int) -> None:
        """Note that a message of a call does not wait any more."""


class Call:
    """A call that a client has made.

    Args:
        link: the connection.
        number: of the call on this connection.
        request: what it is for.
        headers: all that came with it.
        record: what the log will say of it; None where nobody reads the log.

    Attributes:
        finished_s: When its end was written, on the loop's clock; None before.
        is_full: Whether it waits until the client has taken what was written.
    """

    def __init__(
        self,
        link: Link,
        number: int,
        request: Request,
        headers: Headers,
        record: CallRecord | None = None,
    ) -> None:
        self.number = number
        self.request = request
        self.headers = headers
        self.record = record
        self.finished_s: float | None = None
        self.is_full = False
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._messages: deque[Message | Exception | None] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._reason = Status(Code.CANCELLED)
        self._begun = False
        self._deadline: asyncio.TimerHandle | None = None
        if request.timeout_s is not None:
            self._deadline = self._loop.call_later(request.timeout_s, self.cancel, LATE)

    def run(self, task: "asyncio.Task[None]") -> None:
        """Note the task that answers, so that it can be cancelled."""
        self._task = task
        task.add_done_callback(self._ended)

    def time_remaining_s(self) -> float | None:
        """Return the time until the deadline; None if there is none."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline.when() - self._loop.time())

    def came(self, item: Message | Exception | None) -> None:
        """Give what came to whoever reads: a message, what is wrong with it, None at the end."""
        self._messages.append(item)
        self.wake()

    def wake(self) -> None:
        """Let the one who waits look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self, within_s: float | None = None) -> Data | None:
        """Return the next message, None if there are no more.

        Raises:
            BodyTimeoutError: it did not come in time.
            AioError: it is not valid, or too long.
        """
        if not self._messages:
            await self._wait(lambda: bool(self._messages), within_s)
        item = self._messages.popleft()
        if isinstance(item, Exception):
            raise item
        if item is None:
            self._messages.append(None)  # for those who ask again
            return None
        self._link.taken(self.number, len(item))
        data = memoryview(item)
        if not item.compressed:
            return data
        # Not before: what is compressed may be a thousand times as long.
        return decompress(data, self.request.encoding, self._link.message_bytes)

    async def write(self, message: Data) -> None:
        """Send a message of the answer; wait if the client does not take what it has."""
        self.send(message)
        self._link.flush()
        self.is_full = self._unsent() > AHEAD_BYTES
        if self.is_full:
            await self._wait(lambda: self._unsent() <= AHEAD_BYTES, None)
            self.is_full = False

    def send(self, message: Data) -> None:
        """Let a message of the answer go with what is sent next."""
        session = self._link.session
        if not self._begun:
            session.begin_answer(self.number, BEGIN)
            self._begun = True
        session.write(self.number, message)

    def finish(self, status: Status) -> None:
        """End the call; what it has sent comes before its end."""
        if self.finished_s is not None:
            return
        self.finished_s = self._loop.time()
        if self._deadline is not None:
            self._deadline.cancel()
        if self._begun:
            self._link.session.finish(self.number, status.trailers())
        else:
            self._link.session.refuse(self.number, [*BEGIN, *status.trailers()])
        self._link.flush()
        if self.record is not None:
            self.record.end(status)

    def cancel(self, status: Status) -> None:
        """End the call with this status, whatever it is doing."""
        self._reason = status
        if self._task is None or self._task.done():
            self.finish(status)
        else:
            self._task.cancel()

    def _ended(self, task: "asyncio.Task[None]") -> None:
        # Of a task that is cancelled before its first step nothing runs, not even its `except`.
        if task.cancelled():
            self.finish(self._reason)

    def _unsent(self) -> int:
        return self._link.session.unsent(self.number)

    async def _wait(self, ready: Callable[[], bool], within_s: float | None) -> None:
        """Wait until `ready`, which `wake` has looked at again."""
        late: asyncio.TimerHandle | None = None
        if within_s is not None:
            late = self._loop.call_later(within_s, self.wake)
        try:
            while not ready():
                if late is not None and late.when() <= self._loop.time():
                    raise BodyTimeoutError(f"the message did not come within {within_s:g} s")
                self._waiter = self._loop.create_future()
                await self._waiter
        finally:
            self._waiter = None
            if late is not None:
                late.cancel()
