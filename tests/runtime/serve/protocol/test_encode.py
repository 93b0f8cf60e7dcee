# SPDX-License-Identifier: Apache-2.0
"""Responses in JSON, in binary, and mixed."""

import json

import numpy as np
from fake_engine import record

from aio.runtime.serve.protocol.encode import encode_response
from aio.runtime.serve.protocol.schema import (
    InferRequest,
    InferResult,
    ModelSpec,
    OutputRequest,
    TensorSpec,
)

A, B = TensorSpec("a", (2,), ("x", "y")), TensorSpec("b", (3,))
MODEL = ModelSpec("m", "1", (TensorSpec("image", (1, 1, 1)),), (A, B), levels=1)
RESULT = InferResult(
    {
        "a": np.array([[1, 2]], dtype=np.float32),
        "b": np.array([[3, 4, 5]], dtype=np.float32),
    },
    {"aio_level": 0},
    record(),
)


def request(*outputs: OutputRequest) -> InferRequest:
    return InferRequest(None, {}, outputs)


def test_json_only() -> None:
    encoded = encode_response(request(OutputRequest(A, binary=False)), RESULT, MODEL)
    assert encoded.headers == {"content-type": "application/json"}
    assert json.loads(encoded.body) == {
        "model_name": "m",
        "model_version": "1",
        "parameters": {"aio_level": 0},
        "outputs": [{"name": "a", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}],
    }


def test_binary_tensors_follow_in_the_order_of_the_outputs() -> None:
    outputs = (
        OutputRequest(B, binary=True),
        OutputRequest(A, binary=True, classes=1),
        OutputRequest(A, binary=False),
    )
    encoded = encode_response(request(*outputs), RESULT, MODEL)
    split = int(encoded.headers["inference-header-content-length"])
    found = json.loads(encoded.body[:split])["outputs"]
    assert found[0]["parameters"] == {"binary_data_size": 12}
    assert found[1]["parameters"] == {"binary_data_size": 9}
    assert found[1]["datatype"] == "BYTES"
    assert found[2]["data"] == [1, 2]
    raw = encoded.body[split:]
    assert raw == np.array([3, 4, 5], dtype="<f4").tobytes() + b"\5\0\0\x002:1:y"
