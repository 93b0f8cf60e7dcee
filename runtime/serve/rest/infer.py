# SPDX-License-Identifier: Apache-2.0
"""Inference over HTTP, on the short way: from the body's memory to tensors, and back.

An ASGI application of its own, since a router and request objects cost as much time as a small
model. It runs under any ASGI server; on our own connections the body comes as one piece of memory
that nothing else uses, so the tensors are views of it.
"""

import re
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from aio.runtime.errors import AioError
from aio.runtime.serve.errors import DisconnectedError, EncodingError, row_of
from aio.runtime.serve.hosting.host import Host, ServedModel
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.codec_binary import HEADER, json_length
from aio.runtime.serve.protocol.encode import encode_response
from aio.runtime.serve.rest.answers import Answer, error_answer
from aio.runtime.serve.rest.memo import DecodeMemo
from aio.runtime.serve.telemetry.metrics import Metrics
from aio.runtime.serve.transport.body import too_large
from aio.runtime.serve.transport.exchange import CANCEL_WHEN_GONE

if TYPE_CHECKING:
    from aio.runtime.records import InferenceRecord

PATH = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?/infer")
JSON_LENGTH = HEADER.lower().encode("ascii")

Headers = Iterable[tuple[bytes, bytes]]


class Success(NamedTuple):
    """What is counted of a request that was answered."""

    samples: int
    record: "InferenceRecord"


class InferEndpoint:
    """Answers `POST .../infer`; takes the model's name and version from the path."""

    def __init__(self, host: Host, metrics: Metrics, limits: Limits) -> None:
        self._host = host
        self._metrics = metrics
        self._limits = limits
        self._memo = DecodeMemo(limits)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the model on the tensors of the body."""
        arrived_s = time.monotonic()
        found = PATH.fullmatch(scope["path"])
        assert found is not None
        try:
            model = self._host.find(*found.groups())
        except AioError as error:
            await error_answer(error).send(send)
            return
        spec = model.spec
        try:
            answer, success = await self._infer(model, scope, receive, arrived_s)
            await answer.send(send)
            # Counted when the client has its answer already: it takes a while.
            self._metrics.succeeded(spec.name, spec.version, success.samples, success.record)
        except AioError as error:
            self._metrics.failed(spec.name, spec.version, row_of(error).reason)
            await error_answer(error).send(send)
        except BaseException as error:  # a defect, or the client has gone
            self._metrics.failed(spec.name, spec.version, row_of(error).reason)
            raise

    async def _infer(
        self, model: ServedModel, scope: Scope, receive: Receive, arrived_s: float
    ) -> tuple[Answer, Success]:
        lengths = _check_headers(scope["headers"])
        body = await _read(receive, self._limits.body_bytes)
        request = self._memo.decode(body, json_length(lengths, len(body)), model.spec)
        cancel_when_gone = scope.get("extensions", {}).get(CANCEL_WHEN_GONE)
        if cancel_when_gone is not None:
            cancel_when_gone()
        result = await model.infer(request, arrived_s)
        encoded = encode_response(request, result, model.spec)
        headers = {name.lower(): value for name, value in encoded.headers.items()}
        samples = len(next(iter(request.inputs.values())))
        return Answer(200, headers, encoded.body), Success(samples, result.record)


class InferFirst:
    """Hands inference to its endpoint, and everything else to the application behind it."""

    def __init__(self, infer: ASGIApp, rest: ASGIApp) -> None:
        self._infer = infer
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Choose."""
        if scope["type"] == "http" and scope["method"] == "POST" and PATH.fullmatch(scope["path"]):
            await self._infer(scope, receive, send)
        else:
            await self._rest(scope, receive, send)


def _check_headers(headers: Headers) -> list[str]:
    """Return the values that say how long the JSON is; refuse a compressed body."""
    lengths = []
    for name, value in headers:
        if name == JSON_LENGTH:
            lengths.append(value.decode("latin-1"))
        elif name == b"content-encoding" and value.lower() != b"identity":
            coding = value[:40].decode("latin-1")
            raise EncodingError(
                f"content-encoding {coding!r} is not supported; send the body uncompressed"
            )
    return lengths


async def _read(receive: Receive, limit: int) -> bytes | bytearray | memoryview:
    """Return the whole body; ours comes at once, other servers send it in pieces."""
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes | memoryview = message.get("body", b"")
        return body
    data = bytearray()
    while message["type"] == "http.request":
        data += message.get("body", b"")
        if len(data) > limit:
            raise too_large(len(data), limit)
        if not message.get("more_body", False):
            return data
        message = await receive()
    raise DisconnectedError("the client closed the connection")
