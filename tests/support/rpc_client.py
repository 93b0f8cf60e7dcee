# SPDX-License-Identifier: Apache-2.0
"""A client on grpcio's plain stubs, with the message classes of the server."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np

from aio.runtime.serve.rpc.messages import HEALTH, INFERENCE, message
from aio.runtime.serve.rpc.wire import RAW_INPUT, join

PATIENCE_S = 30


class Client:
    """Calls methods by name with bytes or messages; `code` asks for the status of a failure."""

    def __init__(self, address: str | None, *options: tuple[str, int]) -> None:
        assert address is not None
        own = ("grpc.use_local_subchannel_pool", 1)  # a connection of its own
        large = ("grpc.max_send_message_length", -1)
        self.channel = grpc.insecure_channel(address, options=[own, large, *options])

    def close(self) -> None:
        self.channel.close()

    def method(self, name: str, service: str = INFERENCE) -> Any:
        """Return a callable of bytes that returns bytes."""
        return self.channel.unary_unary(f"/{service}/{name}")

    def call(self, name: str, /, timeout: float | None = PATIENCE_S, **fields: object) -> Any:
        """Return the answer to a request with these fields."""
        request = message(f"inference.{name}Request")(**fields).SerializeToString()
        answer = self.method(name)(request, timeout=timeout)
        return message(f"inference.{name}Response").FromString(answer)

    def infer(self, request: bytes, timeout: float | None = PATIENCE_S) -> Any:
        answer = self.method("ModelInfer")(request, timeout=timeout)
        return message("inference.ModelInferResponse").FromString(answer)

    def code_of(self, request: bytes) -> Any:
        """Return the status that a request is answered with."""
        code = self.method("ModelInfer").future(request, timeout=PATIENCE_S).code()
        assert code is not grpc.StatusCode.DEADLINE_EXCEEDED
        return code

    def health(self, service: str = "") -> int:
        request = message("grpc.health.v1.HealthCheckRequest")(service=service)
        answer = self.method("Check", HEALTH)(request.SerializeToString(), timeout=PATIENCE_S)
        return int(message("grpc.health.v1.HealthCheckResponse").FromString(answer).status)


def infer_request(
    *arrays: np.ndarray[Any, np.dtype[Any]],
    names: tuple[str, ...] = ("image",),
    model: str = "fake",
    typed: bool = False,
    **fields: object,
) -> bytes:
    """Return a request of FP32 tensors, raw or typed."""
    request = message("inference.ModelInferRequest")(model_name=model, **fields)
    for name, x in zip(names, arrays, strict=True):
        tensor = request.inputs.add(name=name, datatype="FP32", shape=x.shape)
        if typed:
            tensor.contents.fp32_contents.extend(x.ravel().tolist())
    raw = [] if typed else [x.astype("<f4").tobytes() for x in arrays]
    return join(request.SerializeToString(), RAW_INPUT, raw)


def floats(answer: Any, index: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return an output of an answer."""
    shape = list(answer.outputs[index].shape)
    return np.frombuffer(answer.raw_output_contents[index], "<f4").reshape(shape)
