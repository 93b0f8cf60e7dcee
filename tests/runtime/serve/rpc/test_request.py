# SPDX-License-Identifier: Apache-2.0
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.runtime.serve.errors import BodyTooLargeError, RequestError
from aio.runtime.serve.rpc.request import (
    WINDOWS,
    NoGrpcError,
    UnsupportedError,
    decompress,
    read_request,
)

HEADERS = [(":method", "POST"), (":path", "/a.B/C"), ("content-type", "application/grpc")]


def packed(data: bytes, encoding: str) -> bytes:
    return gzip.compress(data) if encoding == "gzip" else zlib.compress(data)


def test_a_call() -> None:
    request = read_request([*HEADERS, ("grpc-encoding", "gzip"), ("grpc-timeout", "250m")])
    assert request == ("/a.B/C", "gzip", 0.25)
    assert read_request(HEADERS) == ("/a.B/C", "identity", None)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1H", 3600), ("2M", 120), ("3S", 3), ("4m", 4e-3), ("5u", 5e-6), ("6n", 6e-9), ("0S", 0)],
)
def test_units_of_time(text: str, seconds: float) -> None:
    assert read_request([*HEADERS, ("grpc-timeout", text)]).timeout_s == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "S", "-1S", "123456789S", "1s", "1 S", "1e3S", "1S1S"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(RequestError, match="grpc-timeout"):
        read_request([*HEADERS, ("grpc-timeout", text)])


@pytest.mark.parametrize(
    ("kind", "taken"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/grpc; charset=utf-8", True),
        ("application/grpc+json", False),
        ("application/grpc-web", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_content_types(kind: str, taken: bool) -> None:
    headers = [*HEADERS[:2], ("content-type", kind)]
    if taken:
        assert read_request(headers).path == "/a.B/C"
        return
    with pytest.raises(NoGrpcError) as caught:
        read_request(headers)
    assert caught.value.status == 415


def test_other_methods_and_encodings() -> None:
    with pytest.raises(NoGrpcError) as caught:
        read_request([(":method", "GET"), *HEADERS[1:]])
    assert caught.value.status == 405
    with pytest.raises(UnsupportedError, match="'br' are not read; use one of identity,gzip"):
        read_request([*HEADERS, ("grpc-encoding", "br")])


@given(st.binary(max_size=1000), st.sampled_from(list(WINDOWS)))
def test_what_was_compressed(data: bytes, encoding: str) -> None:
    assert decompress(memoryview(packed(data, encoding)), encoding, len(data)) == data


@given(st.binary(max_size=200), st.sampled_from(list(WINDOWS)))
def test_bytes_that_are_not_compressed(data: bytes, encoding: str) -> None:
    with pytest.raises(RequestError, match=f"not valid {encoding}"):
        decompress(memoryview(b"\x00" + data), encoding, 1000)


@pytest.mark.parametrize("encoding", WINDOWS)
def test_a_bomb_and_a_message_without_end(encoding: str) -> None:
    bomb = packed(bytes(100_000_000), encoding)
    with pytest.raises(BodyTooLargeError, match="the limit is 1000"):
        decompress(memoryview(bomb), encoding, 1000)
    whole = packed(b"something", encoding)
    for wrong in (whole[:-1], whole + b"more"):
        with pytest.raises(RequestError, match="no end, or more behind it"):
            decompress(memoryview(wrong), encoding, 1000)
    with pytest.raises(RequestError, match="no header grpc-encoding"):
        decompress(memoryview(whole), "identity", 1000)
