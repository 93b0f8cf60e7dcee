# SPDX-License-Identifier: Apache-2.0
"""What is the same for every call: who may make it, how long its message may take, its errors."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple, Protocol

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rpc.call import Call, Data
from aio.runtime.serve.rpc.messages import Method, methods, parse_message
from aio.runtime.serve.rpc.status import Code, Status, status_of

BEARER = "bearer "
OK = Status(Code.OK)

# Answer the bytes of one request.
Unary = Callable[[Data, Call], Coroutine[Any, Any, bytes]]
# Answer with any number of messages; a request is awaited by calling `read`, None is the end.
Read = Callable[[], Coroutine[Any, Any, "Data | None"]]
Stream = Callable[[Read, Call], AsyncIterator[bytes]]


class TokenCheck(Protocol):
    """What tells whether a caller has presented the right token."""

    def matches(self, presented: bytes) -> bool:
        """Return whether this is the token."""


class Handler(NamedTuple):
    """How the calls of a method are answered.

    Attributes:
        unary: answers one message with one; None for `stream`.
        stream: answers with any number; None for `unary`.
        asks_once: whether one message comes, and has its time.
        checked: whether the caller needs the token.
    """

    unary: Unary | None
    stream: Stream | None
    asks_once: bool
    checked: bool


class Gate:
    """Answers calls with the functions it was given.

    Args:
        limits: the time for a message, and how many calls there may be at one time.
        token: what callers must present; None lets everybody in.
        is_open: names of methods that need no token.

    Attributes:
        active: Requests that came and are not answered yet.
    """

    def __init__(
        self, limits: Limits, token: TokenCheck | None = None, is_open: frozenset[str] = frozenset()
    ) -> None:
        self.active = 0
        self._limits = limits
        self._token = token
        self._open = is_open
        self._handlers: dict[str, Handler] = {}
        self._tasks: dict[asyncio.Task[None], Handler] = {}
        # A stream may be idle for ever, and others still want their answers.
        self._most_streams = max(1, limits.connections // 2)

    @property
    def calls(self) -> int:
        """Calls that have begun and not ended."""
        return len(self._tasks)

    @property
    def _streams(self) -> int:
        return sum(handler.stream is not None for handler in self._tasks.values())

    def add(self, service: str, answers: "Mapping[str, Unary | Stream]") -> None:
        """Add a service; `answers` has a function for each of its methods."""
        for method in methods(service):
            answer: Any = answers[method.name]
            self._handlers[f"/{service}/{method.name}"] = Handler(
                unary=None if method.server_streams else answer,
                stream=answer if method.server_streams else None,
                asks_once=not method.client_streams,
                checked=self._token is not None and method.name not in self._open,
            )

    def begin(self, call: Call) -> None:
        """Start to answer a call."""
        handler = self._handlers.get(call.request.path)
        if handler is None:
            name = call.request.path.partition("?")[0]  # a query is for nobody's log
            text = f"there is no method {name[:100]!r}"
            call.finish(Status(Code.UNIMPLEMENTED, text))
        elif len(self._tasks) >= self._limits.connections:
            text = f"{len(self._tasks)} calls are in progress, the limit; retry later"
            call.finish(Status(Code.RESOURCE_EXHAUSTED, text))
        elif handler.stream is not None and self._streams >= self._most_streams:
            text = f"{self._streams} streams are open, the limit; end one, or retry later"
            call.finish(Status(Code.RESOURCE_EXHAUSTED, text))
        else:
            task = asyncio.get_running_loop().create_task(self._answer(call, handler))
            call.run(task)
            self._tasks[task] = handler
            task.add_done_callback(self._tasks.pop)

    async def _answer(self, call: Call, handler: Handler) -> None:
        if call.record is not None:
            call.record.begin()
        try:
            if handler.checked:
                self._check(call)
            if handler.unary is not None:
                await self._unary(call, handler.unary)
            elif handler.stream is not None:
                within_s = self._limits.body_s if handler.asks_once else None
                await self._stream(call, handler.stream, within_s)
            call.finish(OK)
        except _UnauthenticatedError:
            text = "this server needs the metadata `authorization: Bearer TOKEN` with its token"
            call.finish(Status(Code.UNAUTHENTICATED, text))
        except Exception as error:  # noqa: BLE001 -- the edge of the server; status_of logs it
            call.finish(status_of(error))

    async def _unary(self, call: Call, answer: Unary) -> None:
        data = await call.read(self._limits.body_s)
        if data is None:
            raise RequestError("the call ended without a message")
        with self._answering():
            call.send(await answer(data, call))

    async def _stream(self, call: Call, answer: Stream, within_s: float | None) -> None:
        """Answer a stream; a message must come within the time, None for no such time."""
        with ExitStack() as answering:

            async def read() -> Data | None:
                answering.close()  # a stream that waits for its client is not unanswered
                data = await call.read(within_s)
                if data is not None:
                    answering.enter_context(self._answering())
                return data

            async for message in answer(read, call):
                await call.write(message)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1

    def _check(self, call: Call) -> None:
        """Raise _UnauthenticatedError unless exactly one right token came with the call."""
        given = [value for key, value in call.headers if key == "authorization"]
        assert self._token is not None
        if (
            len(given) != 1
            or given[0][: len(BEARER)].lower() != BEARER
            or not self._token.matches(given[0][len(BEARER) :].encode("latin-1"))
        ):
            raise _UnauthenticatedError


class _UnauthenticatedError(Exception):
    pass


def translated(method: Method, answer: Callable[[Any], Coroutine[Any, Any, Any]]) -> Unary:
    """Return a function of messages as one of bytes."""

    async def call(data: Data, _: Call) -> bytes:
        response = await answer(parse_message(method.parse, data))
        return bytes(response.SerializeToString())

    return call
