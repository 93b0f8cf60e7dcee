# SPDX-License-Identifier: Apache-2.0
"""Parsing of JSON and of JSON tensors that were made to break it."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.protocol import codec_json

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(
    npst.arrays(np.float32, npst.array_shapes(min_dims=1, max_dims=4), elements=FLOATS),
    st.booleans(),
)
def test_a_tensor_survives_the_round_trip(x: np.ndarray, flat: bool) -> None:
    text = codec_json.dumps((x.ravel() if flat else x).tolist())
    found = codec_json.decode_tensor(codec_json.loads(text), x.shape, "t")
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, x)
    assert codec_json.encode_tensor(x, "t") == x.ravel().tolist()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "list of numbers"),
        ("12", "list of numbers"),
        ({"0": 1}, "list of numbers"),
        ([], "needs 4 elements, data has 0"),
        ([[]], "needs 4 elements, data has 0"),
        ([1, 2, 3], "needs 4 elements, data has 3"),
        ([1, 2, 3, 4, 5], "needs 4 elements, data has 5"),
        ([[1, 2], [3]], "neither flat nor nested"),
        ([[1, 2], 3, 4], "neither flat nor nested"),
        ([[1, 2], "ab"], "neither flat nor nested"),
        ([[1, 2], {"a": 1, "b": 2}], "neither flat nor nested"),
        ([[1, 2, 3, 4]], "nested like [1, 4]"),
        ([[[1, 2], [3, 4]]], "neither flat nor nested"),
        ([1, [2], 3, 4], "numbers only"),
        (["1", 2, 3, 4], "numbers only, got '1'"),
        ([None, 2, 3, 4], "numbers only, got None"),
        ([True, 2.5, 3, 4], "numbers only, got True"),
        ([{}, 2, 3, 4], "numbers only"),
        ([10**400, 2, 3, 4], "beyond the range of FP32"),
        ([1e39, 2, 3, 4], "beyond the range of FP32"),
        ([float("inf"), 2, 3, 4], "beyond the range of FP32"),
    ],
)
def test_wrong_data_is_named(data: object, said: str) -> None:
    with pytest.raises(RequestError, match="input 'x'") as caught:
        codec_json.decode_tensor(data, (2, 2), "input 'x'")
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b"\xff\xfe{\x00}\x00", "not UTF-8"),
        (b'{"a": \xff}', "not UTF-8"),
        (b"[NaN]", "NaN is not JSON"),
        (b"[-Infinity]", "-Infinity is not JSON"),
        (b"[" * 1_000_000, "nested too deeply"),
        (b'{"a":' * 1_000_000, "nested too deeply"),
        (b"9" * 5000, "not valid JSON"),
    ],
)
def test_wrong_text_is_named(text: bytes, said: str) -> None:
    with pytest.raises(RequestError) as caught:
        codec_json.loads(text)
    assert said in str(caught.value)


@given(st.binary(max_size=200) | st.text(max_size=50).map(str.encode))
def test_any_bytes_are_parsed_or_refused(text: bytes) -> None:
    try:
        value = codec_json.loads(text)
    except RequestError:
        return
    assert value == json.loads(text)


def test_any_text_can_be_echoed() -> None:
    text = codec_json.dumps({"id": "\ud800 é \x00"})
    assert text == b'{"id":"\\ud800 \\u00e9 \\u0000"}'


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_tensor_json_cannot_express(value: float) -> None:
    with pytest.raises(RequestError, match=r"output 'y' holds NaN.*binary_data"):
        codec_json.encode_tensor(np.array([1, value], dtype=np.float32), "output 'y'")
