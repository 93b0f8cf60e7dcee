# SPDX-License-Identifier: Apache-2.0
"""Lengths that lie, and tensors at any offset."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.protocol.codec_binary import (
    BinaryReader,
    encode_strings,
    encode_tensor,
    json_length,
)


def test_json_length() -> None:
    assert json_length([], 10) is None
    assert json_length(["0"], 10) == 0
    assert json_length(["10"], 10) == 10


@pytest.mark.parametrize(
    "values",
    [
        ["11"],
        ["-1"],
        ["+1"],
        ["1.0"],
        ["0x1"],
        ["1_0"],
        [" 1"],
        [""],
        ["ten"],
        ["\u0663"],
        ["9" * 5000],
        ["1", "1"],
    ],
)
def test_a_json_length_that_is_none(values: list[str]) -> None:
    with pytest.raises(RequestError, match="Inference-Header-Content-Length") as caught:
        json_length(values, 10)
    assert len(str(caught.value)) < 200


@given(st.text(max_size=30), st.integers(0, 1000))
def test_any_json_length_is_in_the_body_or_refused(value: str, body_bytes: int) -> None:
    try:
        found = json_length([value], body_bytes)
    except RequestError:
        return
    assert found is not None
    assert 0 <= found <= body_bytes


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 7))
def test_tensors_come_back_in_order_from_any_offset(counts: list[int], offset: int) -> None:
    tensors = [np.arange(count, dtype=np.float32) + count for count in counts]
    body = bytes(offset) + b"".join(encode_tensor(tensor) for tensor in tensors)
    reader = BinaryReader(memoryview(body)[offset:])
    for tensor in tensors:
        found = reader.take(tensor.nbytes, tensor.shape, "t")
        assert found.flags.aligned
        np.testing.assert_array_equal(found, tensor)
    reader.finish()


@pytest.mark.parametrize("size", [0, 15, 17, -16, 16.0, True, None, "16", 10**30, [16]])
def test_a_size_that_is_not_the_shapes(size: object) -> None:
    with pytest.raises(RequestError, match="takes 16 bytes"):
        BinaryReader(memoryview(bytes(100))).take(size, (2, 2), "t")


def test_a_body_that_ends_early_or_late() -> None:
    reader = BinaryReader(memoryview(bytes(15)))
    with pytest.raises(RequestError, match="only 15 bytes follow"):
        reader.take(16, (2, 2), "t")
    with pytest.raises(RequestError, match="15 bytes after the JSON belong to no input"):
        reader.finish()


def test_strings_have_their_length_in_front() -> None:
    assert encode_strings(["a", "", "é"]) == b"\1\0\0\0a\0\0\0\0\2\0\0\0\xc3\xa9"
