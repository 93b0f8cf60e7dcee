# SPDX-License-Identifier: Apache-2.0
"""Bodies in chunks, however the network cuts them, and where bodies of declared length are put."""

from typing import NoReturn

import h11
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio.runtime.errors import AioError
from aio.runtime.serve.errors import BodyTooLargeError, RequestError, UnavailableError
from aio.runtime.serve.transport.body import ALIGNMENT, Buffers, ChunkedBody, SizedBody

LIMIT = 1000


def read(data: bytes, cuts: list[int] | None = None) -> tuple[bytes, bytes, bool]:
    """Return the body, what follows it, and whether it is complete."""
    body = ChunkedBody(LIMIT, Buffers(10 * LIMIT))
    pending = bytearray()
    at = 0
    for cut in [*sorted(cuts or []), len(data)]:
        pending += data[at:cut]
        at = max(at, cut)
        body.feed(pending)
    return bytes(body.data), bytes(pending), body.complete


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(0, 300)))
def test_cuts_do_not_matter(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(map(chunk, parts)) + b"0\r\n\r\nGET"
    usable = [cut for cut in cuts if cut <= len(data)]
    assert read(data, usable) == (b"".join(parts), b"GET", True)


def test_a_wrong_size_is_shown_as_text() -> None:
    with pytest.raises(RequestError, match="hexadecimal number, got 'zz'"):
        read(b"zz\r\n")


def test_extensions_and_trailers_are_ignored() -> None:
    data = b'3;a="b"\r\nabc\r\n0 ; x\r\nA: b\r\nContent-Length: 7\r\n\r\nrest'
    assert read(data) == (b"abc", b"rest", True)


@pytest.mark.parametrize(
    "data",
    [
        b"zz\r\n",
        b"\r\n",
        b" 3\r\nabc\r\n",
        b"-1\r\n",
        b"+3\r\nabc\r\n",
        b"0x3\r\nabc\r\n",
        b"3_0\r\n",
        b"3\nabc\n",
        b"3\r\nabcd\r\n",
        b"3\r\nabc\n\r",
        b"3\r\nabcXY",
        b"3 3\r\n",
        b"3;\x00\r\n",
        b"3;a\rb\r\n",
        b"000000003\r\nabc\r\n",
        b"3;" + b"a" * 300,
        b"0\r\n" + b"A: b\r\n" * 2000,
        b"0\r\nA: b\n\r\n",
    ],
)
def test_framing_that_is_refused(data: bytes) -> None:
    with pytest.raises(RequestError):
        read(data)


def test_sizes_over_the_limit_are_refused_before_they_come() -> None:
    for size in (b"3e9", b"ffffffff"):
        with pytest.raises(BodyTooLargeError, match="limit is 1000"):
            read(size + b"\r\n")
    assert read(chunk(bytes(LIMIT)) + b"0\r\n\r\n")[2]
    with pytest.raises(BodyTooLargeError):
        read(chunk(bytes(LIMIT)) + chunk(b"x"))


TOKENS = st.sampled_from(
    [b"0", b"1", b"a", b"\r\n", b"\n", b"\r", b";", b" ", b"x", b"3", b"abc", b": "]
)


@settings(max_examples=500, deadline=None, derandomize=True)
@given(st.lists(TOKENS, max_size=14).map(b"".join))
def test_h11_agrees_with_what_is_taken(data: bytes) -> None:
    try:
        body, rest, complete = read(data)
    except AioError:
        return
    if not complete:
        return
    other = h11.Connection(h11.SERVER)
    other.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + data)
    gathered = b""
    other.next_event()
    while not isinstance(event := other.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
        gathered += event.data
    assert (body, rest) == (gathered, other.trailing_data[0])


@pytest.mark.parametrize("start", [0, 1, 63, 130])
def test_tensors_begin_on_a_cache_line(start: int) -> None:
    buffers = Buffers(LIMIT)
    body = SizedBody(200, start, buffers)
    body.space[:150] = bytes(range(150))
    body.advance(150)
    pending = bytearray(bytes(range(150, 200)) + b"next")
    body.feed(pending)
    assert (body.complete, bytes(pending), buffers.held) == (True, b"next", 200)
    assert bytes(body.data) == bytes(range(200))
    if start < 200:
        address = np.frombuffer(body.data, np.uint8)[start:].__array_interface__["data"][0]
        assert address % ALIGNMENT == 0
    body.release()
    assert buffers.held == 0


def test_chunks_there_is_no_memory_for_do_not_count() -> None:
    class Full(bytearray):
        def __iadd__(self, _: object) -> NoReturn:
            raise MemoryError

    buffers = Buffers(LIMIT)
    body = ChunkedBody(LIMIT, buffers)
    body._data = Full()
    with pytest.raises(MemoryError):
        body.feed(bytearray(chunk(b"abc")))
    body.release()
    assert buffers.held == 0


def test_what_comes_counts_not_what_is_declared() -> None:
    buffers = Buffers(100)
    body = SizedBody(10**6, 0, buffers)
    assert buffers.held == 0
    body.advance(100)
    with pytest.raises(UnavailableError, match="hold 100 bytes of 100"):
        body.advance(1)
