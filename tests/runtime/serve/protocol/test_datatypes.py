# SPDX-License-Identifier: Apache-2.0
"""Every numeric datatype becomes FP32 by the rules, in JSON and in binary alike, or is refused."""

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from aio.runtime.serve.errors import BodyTooLargeError, RequestError
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.datatypes import DATATYPES, FP32_MAX, find, from_binary, from_json
from aio.runtime.serve.protocol.decode import decode_request
from aio.runtime.serve.protocol.schema import ModelSpec, Tensor, TensorSpec

INTEGERS = [name for name in DATATYPES if "INT" in name]
NUMPY = {name: np.dtype(name.lower()) for name in INTEGERS} | {
    "FP16": np.dtype("f2"),
    "FP32": np.dtype("f4"),
    "FP64": np.dtype("f8"),
    "BOOL": np.dtype("?"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
MODEL = ModelSpec("m", "1", (TensorSpec("x", (2, 3)),), (TensorSpec("y", (1,)),), levels=1)


def binary(x: "np.ndarray[Any, Any]", datatype: str) -> Tensor:
    raw = memoryview(x.tobytes())
    return from_binary(raw, x.shape, find(datatype, "t"), "t")


def test_every_numeric_datatype_of_the_protocol_is_known() -> None:
    assert set(DATATYPES) == set(NUMPY)
    assert {name: item.item_bytes for name, item in DATATYPES.items()} == {
        name: dtype.itemsize for name, dtype in NUMPY.items()
    }


@pytest.mark.parametrize("datatype", INTEGERS)
@given(data=st.data())
def test_integers_are_rounded_to_the_nearest_in_both_forms(datatype: str, data: Any) -> None:
    x = data.draw(npst.arrays(NUMPY[datatype], 6))
    expected = x.astype(np.float32)
    np.testing.assert_array_equal(binary(x, datatype), expected)
    np.testing.assert_array_equal(from_json(x.tolist(), find(datatype, "t"), "t"), expected)


@pytest.mark.parametrize("datatype", ["FP16", "FP32"])
@given(data=st.data())
def test_floats_are_exact_and_binary_may_hold_nan(datatype: str, data: Any) -> None:
    x = data.draw(npst.arrays(NUMPY[datatype], 6))
    np.testing.assert_array_equal(binary(x, datatype), x.astype(np.float32))
    finite = np.nan_to_num(x)
    found = from_json(finite.tolist(), find(datatype, "t"), "t")
    np.testing.assert_array_equal(found, finite.astype(np.float32))


@given(npst.arrays(np.uint16, 6))
def test_bf16_is_exact(bits: "np.ndarray[Any, np.dtype[np.uint16]]") -> None:
    x = bits.view(ml_dtypes.bfloat16)
    np.testing.assert_array_equal(binary(x, "BF16"), x.astype(np.float32))


@given(npst.arrays(np.float64, 6, elements=st.floats(-3.4e38, 3.4e38) | st.just(np.inf)))
def test_fp64_is_rounded_and_infinity_stays(x: "np.ndarray[Any, np.dtype[np.float64]]") -> None:
    np.testing.assert_array_equal(binary(x, "FP64"), x.astype(np.float32))


def test_bool() -> None:
    np.testing.assert_array_equal(binary(np.array([True, False]), "BOOL"), [1, 0])
    np.testing.assert_array_equal(from_json([True, False], find("BOOL", "t"), "t"), [1, 0])
    with pytest.raises(RequestError, match="each byte of BOOL must be 0 or 1, got 7"):
        binary(np.array([0, 7], np.uint8), "BOOL")


@pytest.mark.parametrize(
    ("datatype", "data", "said"),
    [
        ("UINT8", [256], "beyond the range of UINT8, 256"),
        ("UINT8", [-1], "beyond the range of UINT8, -1"),
        ("INT8", [-129], "beyond the range of INT8"),
        ("INT64", [2**63], "beyond the range of INT64"),
        ("UINT64", [2**64], "beyond the range of UINT64"),
        ("UINT64", [10**400], "beyond the range of UINT64"),
        ("INT32", [1.5], "whole numbers only, got 1.5"),
        ("INT32", [float("inf")], "whole numbers only, got inf"),
        ("INT32", [3e9], "beyond the range of INT32, 3000000000"),
        ("INT32", [True], "whole numbers only, got True"),
        ("BOOL", [1], "true or false only, got 1"),
        ("BOOL", ["true"], "true or false only"),
        ("FP16", [65505], "beyond the range of FP16"),
        ("FP16", [-1e300], "beyond the range of FP16"),
        ("FP64", [1e39], "beyond the range of FP32, 1e+39"),
        ("FP64", [float("inf")], "beyond the range of FP32, inf"),
        ("FP64", [10**400], "beyond the range of FP32, 1000000"),
        ("FP32", [int(FP32_MAX) + 1], "beyond the range of FP32"),
        ("FP64", [None], "numbers only, got None"),
        ("BF16", [1.0], "JSON has no BF16; send the tensor as binary data"),
    ],
)
def test_what_a_datatype_cannot_hold(datatype: str, data: list[object], said: str) -> None:
    with pytest.raises(RequestError, match="input 'x'") as caught:
        from_json([*data, *data], find(datatype, "input 'x'"), "input 'x'")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


def test_whole_numbers_may_be_written_with_a_point() -> None:
    np.testing.assert_array_equal(from_json([1.0, -2, 3e2], find("INT16", "t"), "t"), [1, -2, 300])


def test_the_limits_themselves_are_numbers() -> None:
    for name in ("FP32", "FP64"):
        found = from_json([int(FP32_MAX), -FP32_MAX], find(name, "t"), "t")
        np.testing.assert_array_equal(found, np.array([FP32_MAX, -FP32_MAX], np.float32))


def test_fp64_beyond_fp32_in_binary() -> None:
    with pytest.raises(RequestError, match=r"beyond the range of FP32, -1e\+300"):
        binary(np.array([0, -1e300]), "FP64")


def request(x: "np.ndarray[Any, Any]", datatype: str) -> tuple[bytes, int]:
    size = {"binary_data_size": x.nbytes}
    tensor = {"name": "x", "shape": x.shape, "datatype": datatype, "parameters": size}
    text = json.dumps({"inputs": [tensor]}).encode()
    return text + x.tobytes(), len(text)


@pytest.mark.parametrize("datatype", list(DATATYPES))
def test_a_whole_request_of_each_datatype(datatype: str) -> None:
    x = np.array([[[0, 1, 1], [1, 0, 1]]]).astype(NUMPY[datatype])
    body, split = request(x, datatype)
    found = decode_request(body, split, MODEL, Limits()).inputs["x"]
    assert found.dtype == np.float32
    assert found.flags.aligned
    np.testing.assert_array_equal(found, x.astype(np.float32))
    wrong = body.replace(b'"binary_data_size": ', b'"binary_data_size":9')
    with pytest.raises(RequestError, match=f"takes {x.nbytes} bytes of {datatype}"):
        decode_request(wrong, split, MODEL, Limits())


def test_a_narrow_datatype_does_not_grow_beyond_the_largest_body() -> None:
    x = np.zeros((10, 2, 3), np.uint8)
    body, split = request(x, "UINT8")
    with pytest.raises(BodyTooLargeError, match="takes 240 bytes of FP32, the limit is 239"):
        decode_request(body, split, MODEL, Limits(body_bytes=239))
    assert decode_request(body, split, MODEL, Limits(body_bytes=240)).inputs["x"].nbytes == 240
