# SPDX-License-Identifier: Apache-2.0
"""Answers as Triton's client reads them, which counts raw tensors by their outputs."""

from __future__ import annotations

import numpy as np
import tritonclient.grpc as triton  # type: ignore[import-untyped]
from fake_engine import record

from aio.runtime.serve.protocol.schema import (
    InferRequest,
    InferResult,
    ModelSpec,
    OutputRequest,
    Place,
    TensorSpec,
)
from aio.runtime.serve.rpc.encode import encode_response

FIRST, SECOND = TensorSpec("first", (3,)), TensorSpec("second", (2,))
MODEL = ModelSpec("m", "1", (TensorSpec("x", (4,)),), (FIRST, SECOND), levels=1)
PLACE = Place("r", 8, 12)


class Memory:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written: dict[Place, bytes] = {}

    def check(self, place: Place, where: str) -> None:
        raise AssertionError

    def read(self, place: Place, where: str) -> memoryview:
        raise AssertionError

    def write(self, place: Place, data: bytes, where: str) -> None:
        self.written[place] = data


def test_an_output_behind_one_in_shared_memory_is_found() -> None:
    x = np.zeros((1, 4), np.float32)
    tensors = {
        "first": np.array([[1, 2, 3]], np.float32),
        "second": np.array([[4, 5]], np.float32),
    }
    wanted = OutputRequest(FIRST, binary=True, place=PLACE), OutputRequest(SECOND, binary=True)
    request = InferRequest(None, {"x": x}, wanted)
    memory = Memory()
    data = encode_response(request, InferResult(tensors, {}, record()), MODEL, memory)
    message = triton.service_pb2.ModelInferResponse.FromString(data)
    np.testing.assert_array_equal(triton.InferResult(message).as_numpy("second"), tensors["second"])
    assert memory.written == {PLACE: tensors["first"].tobytes()}
    assert list(message.raw_output_contents) == [b"", tensors["second"].tobytes()]
    assert not message.outputs[0].parameters
