# SPDX-License-Identifier: Apache-2.0
"""Inference over HTTP, on the short way: from the body's memory to tensors, and back.

An ASGI application of its own, since a router and request objects cost as much time as a small
model. It runs under any ASGI server; on our own connections the body comes as one piece of memory
that nothing else uses, so the tensors are views of it.
"""

import re
import time
from collections.abc import Iterable

from starlette.types import ASGIApp, Receive, Scope, Send

from aio.runtime.errors import AioError
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.codec_binary import HEADER, json_length
from aio.runtime.serve.protocol.encode import encode_response
from aio.runtime.serve.protocol.schema import SharedMemory
from aio.runtime.serve.rest.answers import Answer, error_answer
from aio.runtime.serve.rest.memo import DecodeMemo
from aio.runtime.serve.transport.body import check_coding, read_body
from aio.runtime.serve.transport.exchange import CANCEL_WHEN_GONE

PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
REMEDY = "send a smaller batch"
JSON_LENGTH = HEADER.lower().encode("ascii")

Headers = Iterable[tuple[bytes, bytes]]


class InferEndpoint:
    """Answers `POST .../infer`; takes the model's name and version from the path."""

    def __init__(self, host: Host, limits: Limits) -> None:
        self._host = host
        self._limits = limits
        self._memo = DecodeMemo(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the model on the tensors of the body."""
        found = PATH.fullmatch(scope["path"])
        assert found is not None
        await self.answer((found[1], found[2]), scope, receive, send)

    async def answer(
        self, name: tuple[str, str | None], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Run the model of this name and version."""
        arrived_s = time.monotonic()
        memory = self._host.regions.use()
        try:
            answer = await self._infer(name, scope, receive, arrived_s, memory)
        except (AioError, MemoryError) as error:
            answer = error_answer(error)
        finally:
            if memory is not None:
                memory.release()
        await answer.send(send)

    async def _infer(
        self,
        name: tuple[str, str | None],
        scope: Scope,
        receive: Receive,
        arrived_s: float,
        memory: SharedMemory | None,
    ) -> Answer:
        model = self._host.find(*name)
        try:
            lengths = _check_headers(scope["headers"])
            body = await read_body(receive, self._limits.body_bytes, REMEDY)
            model = self._host.find(*name)  # a new version may have taken over meanwhile
            length = json_length(lengths, len(body))
            request = self._memo.decode(body, length, model.spec, memory)
        except BaseException as error:
            model.failed(error, arrived_s)
            raise
        cancel_when_gone = scope.get("extensions", {}).get(CANCEL_WHEN_GONE)
        if cancel_when_gone is not None:
            cancel_when_gone()
        encoded = await model.infer(
            request,
            arrived_s,
            lambda result: encode_response(request, result, model.spec, memory),
        )
        return Answer(200, encoded.headers, encoded.body)


class InferFirst:
    """Hands inference to its endpoint, and everything else to the application behind it."""

    def __init__(self, infer: InferEndpoint, rest: ASGIApp) -> None:
        self._infer = infer
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose."""
        found = None
        if scope["type"] == "http" and scope["method"] == "POST":
            found = PATH.fullmatch(scope["path"])
        if found is None:
            await self._rest(scope, receive, send)
        else:
            await self._infer.answer((found[1], found[2]), scope, receive, send)


def _check_headers(headers: Headers) -> list[str]:
    """Return the values that say how long the JSON is; refuse a compressed body."""
    lengths = []
    for name, value in headers:
        if name == JSON_LENGTH:
            lengths.append(value.decode("latin-1"))
        elif name == b"content-encoding":
            check_coding(value.decode("latin-1"))
    return lengths
