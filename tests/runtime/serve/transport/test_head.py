# SPDX-License-Identifier: Apache-2.0
"""Heads that two readers could understand in two ways are refused; h11 is the second reader."""

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio.runtime.serve.transport.head import HeadError, read_head

MAX_HEADERS = 20


def head(*lines: bytes, first: bytes = b"POST /a%20b?c=d HTTP/1.1") -> bytes:
    return b"\r\n".join((first, *lines)) + b"\r\n\r\n"


def test_a_usual_head() -> None:
    found = read_head(head(b"Host: x", b"Content-Length: 12", b"A:  b "), MAX_HEADERS)
    assert found.method == "POST"
    assert (found.path, found.raw_path, found.query) == ("/a b", b"/a%20b", b"c=d")
    assert found.headers == [(b"host", b"x"), (b"content-length", b"12"), (b"a", b"b")]
    assert (found.body_bytes, found.keep_alive, found.expects_continue) == (12, True, False)


def test_chunks() -> None:
    found = read_head(head(b"Host: x", b"Transfer-Encoding: Chunked"), MAX_HEADERS)
    assert found.body_bytes is None


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://host/v2?x", ("/v2", b"/v2", b"x")),
        (b"HTTP://host:1?x", ("/", b"/", b"x")),
        (b"https://host", ("/", b"/", b"")),
        (b"//host/v2", ("//host/v2", b"//host/v2", b"")),
    ],
)
def test_targets(target: bytes, path: tuple[str, bytes, bytes]) -> None:
    found = read_head(head(b"Host: x", first=b"GET " + target + b" HTTP/1.1"), MAX_HEADERS)
    assert (found.path, found.raw_path, found.query) == path


def test_ends_of_a_connection() -> None:
    assert not read_head(head(first=b"GET / HTTP/1.0"), MAX_HEADERS).keep_alive
    closing = head(b"Host: x", b"Connection: x, Close")
    assert not read_head(closing, MAX_HEADERS).keep_alive


def test_an_upgrade_is_not_taken() -> None:
    lines = (b"Host: x", b"Connection: upgrade", b"Upgrade: h2c", b"Content-Length: 3")
    assert read_head(head(*lines), MAX_HEADERS).body_bytes == 3


@pytest.mark.parametrize(
    "lines",
    [
        (b"Content-Length: 1", b"Content-Length: 1"),
        (b"Content-Length: 1, 1",),
        (b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 1"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: gzip, chunked",),
        (b"Transfer-Encoding: identity",),
        (b"Transfer-Encoding: xchunked",),
        (b"Transfer-Encoding:\x0bchunked",),
        (b"Content-Length: -1",),
        (b"Content-Length: +1",),
        (b"Content-Length: 0x1",),
        (b"Content-Length: 1_0",),
        (b"Content-Length: 1 0",),
        (b"Content-Length:",),
        (b"Content-Length: " + b"9" * 19,),
        (b"Content-Length : 1",),
        (b" Content-Length: 1",),
        (b"A: b", b" c"),
        (b"A: b", b"\tc"),
        (b"A: b\nContent-Length: 1",),
        (b"A: b\rContent-Length: 1",),
        (b"A: \x00",),
        (b"A b",),
        (b": b",),
        (b"A\x80: b",),
        (b"Host: y",),
    ],
)
def test_what_smuggles_requests_is_refused(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(HeadError) as caught:
        read_head(head(b"Host: x", *lines), MAX_HEADERS)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/2.0",
        b"GET / HTTP/1.2",
        b"GET / HTTP/1.1 ",
        b"GET /",
        b"GET / RTSP/1.0",
        b"get / HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /#a HTTP/1.1",
        b"GET * HTTP/1.1",
        b"CONNECT host:1 HTTP/1.1",
        b"PRI * HTTP/2.0",
        b"NONSENSE / HTTP/1.1",
        b"",
    ],
)
def test_first_lines_that_are_refused(first: bytes) -> None:
    with pytest.raises(HeadError) as caught:
        read_head(head(b"Host: x", first=first), MAX_HEADERS)
    assert caught.value.status == 400


def test_a_host_is_needed_since_http_1_1() -> None:
    with pytest.raises(HeadError, match="no Host"):
        read_head(head(), MAX_HEADERS)
    assert read_head(head(first=b"GET / HTTP/1.0"), MAX_HEADERS).version == "1.0"


def test_many_headers() -> None:
    lines = [b"A: b"] * (MAX_HEADERS - 1)
    assert len(read_head(head(b"Host: x", *lines), MAX_HEADERS).headers) == MAX_HEADERS
    with pytest.raises(HeadError, match="21 headers, the limit is 20") as caught:
        read_head(head(b"Host: x", b"A: b", *lines), MAX_HEADERS)
    assert caught.value.status == 431


def test_expectations() -> None:
    assert read_head(head(b"Host: x", b"Expect: 100-Continue"), MAX_HEADERS).expects_continue
    with pytest.raises(HeadError) as caught:
        read_head(head(b"Host: x", b"Expect: the-unexpected"), MAX_HEADERS)
    assert caught.value.status == 417
    assert str(caught.value) == "can't meet Expect: 'the-unexpected'"


@pytest.mark.parametrize(
    ("first", "said"),
    [
        (b"OPTIONS * HTTP/1.1", "the request's target must be a path: '*'"),
        (b"GET /\xff HTTP/1.1", "not an HTTP/1.1 request: 'GET /\u00ff HTTP/1.1'"),
        (b"\x16\x03\x01", r"not an HTTP/1.1 request: '\x16\x03\x01'"),
    ],
)
def test_what_came_is_shown_as_text(first: bytes, said: str) -> None:
    with pytest.raises(HeadError) as caught:
        read_head(head(b"Host: x", first=first), MAX_HEADERS)
    assert str(caught.value) == said


NAMES = st.sampled_from(
    [b"Host", b"Content-Length", b"Transfer-Encoding", b"Connection", b"A", b"A ", b"\tA", b""]
)
VALUES = st.sampled_from(
    [b"x", b"1", b"1 ", b" 1", b"1,1", b"chunked\t", b"chunked", b"close", b"gzip, chunked", b""]
) | (st.binary(max_size=6))
LINES = st.lists(st.builds(lambda name, value: name + b": " + value, NAMES, VALUES), max_size=5)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(LINES, st.sampled_from([b"\r\n", b"\n", b"\r"]))
def test_h11_agrees_with_what_is_taken(lines: list[bytes], end: bytes) -> None:
    data = b"POST /x HTTP/1.1\r\nHost: x" + end + end.join(lines) + b"\r\n\r\n"
    if data.find(b"\r\n\r\n") != len(data) - 4:
        return
    try:
        found = read_head(data, MAX_HEADERS)
    except HeadError:
        return
    other = h11.Connection(h11.SERVER)
    other.receive_data(data)
    request = other.next_event()
    assert isinstance(request, h11.Request)
    assert list(request.headers) == found.headers
    length = dict(found.headers).get(b"content-length", b"0")
    if found.body_bytes is not None:
        assert found.body_bytes == int(length)
