# SPDX-License-Identifier: Apache-2.0
"""What is the same for every call: who may make it, how long its message may take, its errors.

grpcio knows calls with one request, but reads it before anybody is asked whether the caller may
send one, and waits for it without end. So every call is taken as one with a stream of requests,
which is the same on the wire, and the one request is read here.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import grpc

from aio.runtime.serve.errors import BodyTimeoutError, RequestError
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rpc.messages import Method, methods, parse_message
from aio.runtime.serve.rpc.status import status_of

BEARER = "bearer "

# Answer the bytes of one request; the context is grpc.aio.ServicerContext, which has no types.
Unary = Callable[[bytes, Any], Coroutine[Any, Any, bytes]]
# Answer with any number of messages; a request is awaited by calling `read`, None is the end.
Read = Callable[[], Coroutine[Any, Any, "bytes | None"]]
Stream = Callable[[Read, Any], AsyncIterator[bytes]]


class TokenCheck(Protocol):
    """What tells whether a caller has presented the right token."""

    def matches(self, presented: bytes) -> bool:
        """Return whether this is the token."""


class Gate:
    """Makes handlers for grpcio of the functions that answer.

    Args:
        limits: the time for a message.
        token: what callers must present; None lets everybody in.
        is_open: names of methods that need no token.

    Attributes:
        active: Requests that came and are not answered yet.
    """

    def __init__(
        self, limits: Limits, token: TokenCheck | None = None, is_open: frozenset[str] = frozenset()
    ) -> None:
        self.active = 0
        self._body_s = limits.body_s
        self._token = token
        self._open = is_open

    def service(self, name: str, answers: "Mapping[str, Unary | Stream]") -> Any:
        """Return the handlers of a service; `answers` has a function for each of its methods."""
        handlers = {
            method.name: self._handler(method, answers[method.name]) for method in methods(name)
        }
        return grpc.method_handlers_generic_handler(name, handlers)

    def _handler(self, method: Method, answer: Any) -> Any:
        checked = self._token is not None and method.name not in self._open
        if method.server_streams:
            return grpc.stream_stream_rpc_method_handler(self._stream(answer, checked))
        return grpc.stream_unary_rpc_method_handler(self._unary(answer, checked))

    def _unary(self, answer: Unary, checked: bool) -> Any:
        async def call(_: object, context: Any) -> bytes:
            try:
                if checked:
                    self._check(context)
                data = await self._one(context)
                with self._answering():
                    return await answer(data, context)
            except Exception as error:  # noqa: BLE001 -- the edge of the server; status_of logs it
                await _abort(context, error)
            raise AssertionError("a call that was aborted went on")

        return call

    def _stream(self, answer: Stream, checked: bool) -> Any:
        async def call(_: object, context: Any) -> None:
            with ExitStack() as answering:

                async def read() -> bytes | None:
                    answering.close()  # a stream that waits for its client is not unanswered
                    data = await context.read()
                    if data is grpc.aio.EOF:
                        return None
                    answering.enter_context(self._answering())
                    return bytes(data)

                try:
                    if checked:
                        self._check(context)
                    async for data in answer(read, context):
                        await context.write(data)
                except Exception as error:  # noqa: BLE001 -- as above
                    await _abort(context, error)

        return call

    @contextmanager
    def _answering(self) -> Iterator[None]:
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1

    def _check(self, context: Any) -> None:
        """Raise _UnauthenticatedError unless exactly one right token came with the call."""
        given = [value for key, value in context.invocation_metadata() if key == "authorization"]
        assert self._token is not None
        if (
            len(given) != 1
            or given[0][: len(BEARER)].lower() != BEARER
            or not self._token.matches(given[0][len(BEARER) :].encode())
        ):
            raise _UnauthenticatedError

    async def _one(self, context: Any) -> bytes:
        """Return the one request of a call, within the time for it."""
        task = asyncio.current_task()
        assert task is not None
        late = asyncio.get_running_loop().call_later(self._body_s, task.cancel)
        try:
            data = await context.read()
        except asyncio.CancelledError:
            if late.when() > asyncio.get_running_loop().time():
                raise
            raise BodyTimeoutError(f"the message did not come within {self._body_s:g} s") from None
        finally:
            late.cancel()
        if data is grpc.aio.EOF:
            raise RequestError("the call ended without a message")
        return bytes(data)


class _UnauthenticatedError(Exception):
    pass


def translated(method: Method, answer: Callable[[Any], Coroutine[Any, Any, Any]]) -> Unary:
    """Return a function of messages as one of bytes."""

    async def call(data: bytes, _: Any) -> bytes:
        response = await answer(parse_message(method.parse, data))
        return bytes(response.SerializeToString())

    return call


async def _abort(context: Any, error: Exception) -> None:
    if isinstance(error, _UnauthenticatedError):
        text = "this server needs the metadata `authorization: Bearer TOKEN` with its token"
        await context.abort(grpc.StatusCode.UNAUTHENTICATED, text)
    status = status_of(error)
    await context.abort(status.code, status.details, status.trailers)
