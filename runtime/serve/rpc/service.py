# SPDX-License-Identifier: Apache-2.0
"""The methods of the protocol. They translate gRPC; deciding is done in other modules."""

import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from aio.runtime.serve.errors import (
    CallDeadlineError,
    UnavailableError,
    UnknownModelError,
)
from aio.runtime.serve.hosting.host import Host, State
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.metadata import model_metadata, server_metadata
from aio.runtime.serve.protocol.schema import InferRequest
from aio.runtime.serve.rpc import wire
from aio.runtime.serve.rpc.call import LATE, Call, Data
from aio.runtime.serve.rpc.encode import encode_response
from aio.runtime.serve.rpc.extensions import Extensions
from aio.runtime.serve.rpc.handlers import Read, Stream, Unary, translated
from aio.runtime.serve.rpc.memo import DecodeMemo
from aio.runtime.serve.rpc.messages import INFERENCE, message, methods
from aio.runtime.serve.rpc.shared_memory import CudaMemory, SystemMemory
from aio.runtime.serve.rpc.status import status_of
from aio.runtime.serve.scheduling.admission import ExpiredError
from aio.runtime.serve.telemetry.request_log import note
from aio.runtime.serve.transport.body import Buffers
from aio.runtime.version import package_version

# Methods that tell nothing but the state of the process.
OPEN = frozenset({"ServerLive", "ServerReady"})

STREAM_ANSWER = 2  # ModelStreamInferResponse.infer_response
# What tells whose answer it is: numbers in the request, names in the response.
WHOSE = {1: "model_name", 2: "model_version", 3: "id"}

_Final = message("inference.ModelInferResponse")()
_Final.parameters["triton_final_response"].bool_param = True
# In each answer of a stream, since a request has one; it goes before the bytes of the others.
FINAL: bytes = _Final.SerializeToString()


class Service:
    """The methods, with the state they share."""

    def __init__(self, host: Host, limits: Limits, buffers: Buffers) -> None:
        self._host = host
        self._limits = limits
        self._buffers = buffers
        self._memo = DecodeMemo(host.find, limits)

    def answers(self) -> "Mapping[str, Unary | Stream]":
        """Return the function for each method of the service."""
        small = {
            "ServerLive": self._live,
            "ServerReady": self._ready,
            "ServerMetadata": self._server,
            "ModelReady": self._model_ready,
            "ModelMetadata": self._model,
            **Extensions(self._host, self._limits).answers(),
            **SystemMemory(self._host.regions).answers(),
            **CudaMemory().answers(),
        }
        return {
            "ModelInfer": self.infer,
            "ModelStreamInfer": self.stream_infer,
            **{
                method.name: translated(method, small[method.name])
                for method in methods(INFERENCE)
                if method.name in small
            },
        }

    async def infer(self, data: Data, call: Call) -> bytes:
        """Run the model on the tensors of the message."""
        arrived_s = time.monotonic()
        self._buffers.take(len(data))
        memory = self._host.regions.use()
        try:
            model, request = self._memo.decode(
                data, lambda model, error: model.failed(error, arrived_s), memory
            )
            limited = _with_deadline(request, call)
            try:
                return await model.infer(
                    limited,
                    arrived_s,
                    lambda result: encode_response(request, result, model.spec, memory),
                )
            except ExpiredError:
                if limited is request:
                    raise
                # Not UNAVAILABLE, after which clients try again.
                raise CallDeadlineError(LATE.details) from None
        finally:
            self._buffers.give_back(len(data))
            if memory is not None:
                memory.release()

    async def stream_infer(self, read: Read, call: Call) -> AsyncIterator[bytes]:
        """Run the model on one message after another; an error is an answer like another."""
        while (data := await read()) is not None:
            yield await self._stream_answer(data, call)

    async def _stream_answer(self, data: Data, call: Call) -> bytes:
        try:
            answer = await self.infer(data, call)
        except Exception as error:  # noqa: BLE001 -- as in handlers.py, for one message
            details = status_of(error).details
            note(error=details)  # of a call that goes on, and ends well
            return _failed_answer(data, details)
        # The answer is a message inside another: its bytes need no second look.
        return wire.nest(STREAM_ANSWER, FINAL, answer)

    async def _live(self, _: Any) -> Any:
        return message("inference.ServerLiveResponse")(live=True)

    async def _ready(self, _: Any) -> Any:
        ready = self._host.state is State.READY
        return message("inference.ServerReadyResponse")(ready=ready)

    async def _server(self, _: Any) -> Any:
        known = server_metadata(package_version(), shared_memory=self._host.regions.enabled)
        return message("inference.ServerMetadataResponse")(**known)

    async def _model_ready(self, request: Any) -> Any:
        response = message("inference.ModelReadyResponse")
        try:
            self._host.find(request.name, request.version or None)
        except (UnavailableError, UnknownModelError):  # as Triton answers
            return response(ready=False)
        return response(ready=True)

    async def _model(self, request: Any) -> Any:
        spec = self._host.find(request.name, request.version or None).spec
        return message("inference.ModelMetadataResponse")(**model_metadata(spec))


def _failed_answer(data: Data, details: str) -> bytes:
    """Return the answer of a stream to a message that failed, which may be none at all."""
    found = message("inference.ModelStreamInferResponse")(error_message=details)
    found.infer_response.MergeFromString(FINAL)
    for number, text in wire.texts(data, WHOSE).items():
        setattr(found.infer_response, WHOSE[number], text)
    return bytes(found.SerializeToString())


def _with_deadline(request: InferRequest, call: Call) -> InferRequest:
    """Let the deadline of the call be the timeout, where the request has none that is shorter."""
    remaining_s = call.time_remaining_s()
    if remaining_s is None:
        return request
    timeout_ms = remaining_s * 1000
    if request.timeout_ms is not None and request.timeout_ms <= timeout_ms:
        return request
    return replace(request, timeout_ms=timeout_ms)
