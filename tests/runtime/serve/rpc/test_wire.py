# SPDX-License-Identifier: Apache-2.0
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.rpc.messages import message
from aio.runtime.serve.rpc.wire import MAX_FIELDS, MAX_TEXT, RAW_INPUT, join, nest, split, texts

Request = message("inference.ModelInferRequest")
Response = message("inference.ModelInferResponse")
StreamResponse = message("inference.ModelStreamInferResponse")


@given(
    st.lists(st.binary(max_size=300), max_size=5),
    st.text(max_size=200),
    st.lists(st.text(max_size=5), max_size=3),
)
def test_split_and_join_agree_with_the_library(
    raw: list[bytes], name: str, tensors: list[str]
) -> None:
    whole = Request(model_name=name, raw_input_contents=raw)
    for tensor in tensors:
        whole.inputs.add(name=tensor, shape=[1, -1])
    rest, found = split(whole.SerializeToString(), RAW_INPUT)
    assert [bytes(item) for item in found] == raw
    assert join(rest, RAW_INPUT, raw) == whole.SerializeToString()
    whole.ClearField("raw_input_contents")
    assert Request.FromString(rest) == whole


@given(st.binary(max_size=100))
def test_any_bytes_are_split_or_refused(data: bytes) -> None:
    with contextlib.suppress(RequestError):
        rest, raw = split(data, RAW_INPUT)
        assert len(rest) + sum(map(len, raw)) <= len(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",  # a tag, and nothing after it
        b"\x0a\x05ab",  # shorter than it says
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length beyond anything
        b"\x3a" + b"\xff" * 20,  # a number without an end
        b"\x0b\x0c",  # a group
        b"\x0d\x00",  # four bytes promised
        b"\x08\x80",
        b"\x3a\x00" * (MAX_FIELDS + 1),
    ],
)
def test_broken_messages_are_refused(data: bytes) -> None:
    with pytest.raises(RequestError, match="message"):
        split(data, RAW_INPUT)


def test_as_many_fields_as_allowed() -> None:
    assert len(split(b"\x3a\x00" * (MAX_FIELDS - 1), RAW_INPUT).raw) == MAX_FIELDS - 1


@given(st.text(max_size=200), st.text(max_size=200), st.binary(max_size=20))
def test_texts_are_read_as_far_as_the_message_goes(name: str, text: str, tail: bytes) -> None:
    whole = Request(model_name=name, id=text).SerializeToString()
    assert texts(whole, {1, 3}) == {
        number: value for number, value in ((1, name), (3, text)) if value
    }
    assert texts(whole + b"\x3a\x7f" + tail, {3}).get(3, "") == text
    texts(tail, {1, 2, 3})


def test_texts_that_are_not_worth_sending_back() -> None:
    assert texts(
        Request(id="x" * MAX_TEXT, model_name="x" * (MAX_TEXT + 1)).SerializeToString(), {1, 3}
    ) == {3: "x" * MAX_TEXT}
    assert texts(b"\x1a\x02\xffa", {3}) == {3: "\ufffda"}


@given(st.text(max_size=300), st.text(max_size=300))
def test_nested_parts_are_one_message(name: str, text: str) -> None:
    parts = [Response(model_name=name).SerializeToString(), Response(id=text).SerializeToString()]
    expected = StreamResponse(infer_response=Response(model_name=name, id=text))
    assert StreamResponse.FromString(nest(2, *parts)) == expected
