# SPDX-License-Identifier: Apache-2.0
"""Clients that are slow, greedy, broken, or gone. After each, a good request is answered."""

import contextlib
import gzip
import json
import socket
import struct
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine, LiveServer, expected, serving, tensor_binary, tensor_json
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aio.runtime.serve.limits import Limits

X = np.arange(6, dtype=np.float32).reshape(1, *SHAPE)
PATH = "/v2/models/fake/infer"
LIMITS = Limits(
    body_bytes=10_000,
    json_bytes=8_000,
    head_s=0.4,
    body_s=0.6,
    keep_alive_s=1,
)


@pytest.fixture(scope="module")
def strict() -> Iterator[LiveServer]:
    with serving(FakeEngine, LIMITS) as server:
        server.wait_for(server.announced.is_set)
        yield server


@pytest.fixture(autouse=True)
def check_alive(strict: LiveServer) -> Iterator[None]:
    yield
    strict.wait_for(lambda: not strict.server.server_state.connections)
    reply = strict.infer(tensor_json(X))
    assert reply.status == 200
    assert reply.json["outputs"][0]["data"] == expected(X)[0].tolist()


def connect(server: LiveServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def exchange(server: LiveServer, data: bytes, *, half_close: bool = False) -> bytes:
    """Send bytes as they are and return all that comes back until the server closes."""
    with connect(server) as client:
        client.sendall(data)
        if half_close:
            client.shutdown(socket.SHUT_WR)
        return read_all(client)


def read_all(client: socket.socket) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionResetError):
        while chunk := client.recv(65536):
            received += chunk
    return bytes(received)


def head(body_bytes: int, *lines: str) -> bytes:
    fields = (f"POST {PATH} HTTP/1.1", "Host: x", f"Content-Length: {body_bytes}", *lines)
    return "\r\n".join(fields).encode() + b"\r\n\r\n"


def status(response: bytes) -> int:
    version, code = response.split(b" ", 2)[:2]
    assert version == b"HTTP/1.1"
    return int(code)


def error(response: bytes) -> str:
    found = json.loads(response.split(b"\r\n\r\n", 1)[1])
    return str(found["error"])


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\xff\x16\x03\x01 this is TLS or worse\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\n\r\n",  # no Host
        b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1e9\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST "
        + PATH.encode()
        + b" HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 100_000,
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: a\r\n" * 20_000,
    ],
)
def test_bytes_that_are_not_http(strict: LiveServer, data: bytes) -> None:
    response = exchange(strict, data)
    # A client that is still sending may lose the answer to a reset.
    if response:
        assert status(response) in {400, 404, 431}
        assert error(response)


def test_heads_that_are_the_same_and_others_between(strict: LiveServer) -> None:
    """A head is read once for requests with the same one; each has its own body all the same."""
    with connect(strict) as client:
        for scale in (1.0, -1.0, 1.0, 10.0):
            body = json.dumps(tensor_json(scale * X)).encode()
            for _ in range(2):
                client.sendall(head(len(body)) + body)
                answer = bytearray()
                while not answer.endswith(b"]}]}"):
                    answer += client.recv(65536)
                found = json.loads(bytes(answer).split(b"\r\n\r\n", 1)[1])
                assert found["outputs"][0]["data"] == expected(scale * X)[0].tolist()


def test_a_head_that_never_ends(strict: LiveServer) -> None:
    assert exchange(strict, b"") == b""
    assert exchange(strict, b"GET /v2 HTTP/1.1\r\nHost:") == b""


def test_a_head_byte_by_byte_does_not_extend_its_time(strict: LiveServer) -> None:
    with connect(strict) as client:
        sent = sum(1 for _ in trickle(client, b"GET /v2 HTTP/1.1\r\nA: " + b"a" * 1000))
    assert sent < 500  # of 10 ms each, where 0.4 s are allowed


def trickle(client: socket.socket, data: bytes) -> Iterator[int]:
    """Send a byte each 10 ms until the server closes."""
    client.settimeout(0.01)
    for byte in data:
        with contextlib.suppress(TimeoutError):
            try:
                client.sendall(bytes([byte]))
                if client.recv(10) == b"":
                    return
            except ConnectionError:
                return
        yield byte


def test_an_idle_connection_is_closed_in_the_end(strict: LiveServer) -> None:
    response = exchange(strict, b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n")
    assert status(response) == 200


def test_a_body_that_never_ends(strict: LiveServer) -> None:
    response = exchange(strict, head(100) + b"{")
    assert status(response) == 408
    assert "only 1 bytes of the body came within 0.6 s" in error(response)


def test_a_body_cut_short(strict: LiveServer) -> None:
    assert exchange(strict, head(100) + b"{", half_close=True) == b""


def test_a_client_that_goes_away_in_the_body(strict: LiveServer) -> None:
    with connect(strict) as client:
        client.sendall(head(100) + b"{")
        strict.wait_for(lambda: bool(strict.server.server_state.tasks))
    strict.wait_for(lambda: not strict.server.server_state.tasks)
    assert b'reason="CANCELED"' in strict.request("GET", "/metrics").body


def test_a_complete_request_on_a_half_closed_connection(strict: LiveServer) -> None:
    body = json.dumps(tensor_json(X)).encode()
    response = exchange(strict, head(len(body)) + body, half_close=True)
    assert status(response) == 200
    assert json.loads(response.split(b"\r\n\r\n", 1)[1])["model_name"] == "fake"


def test_two_requests_in_one_packet(strict: LiveServer) -> None:
    body = json.dumps(tensor_json(X)).encode()
    one = head(len(body)) + body
    last = head(len(body), "Connection: close") + body
    response = exchange(strict, one + one + last)
    assert response.count(b"HTTP/1.1 200") == 3


def test_two_requests_of_a_client_that_sends_no_more(strict: LiveServer) -> None:
    """The end of what it sends comes when the second one's body has come but is not asked for."""
    body = json.dumps(tensor_json(X)).encode()
    for _ in range(20):
        response = exchange(strict, 2 * (head(len(body)) + body), half_close=True)
        assert response.count(b"HTTP/1.1 200") == 2


def test_lines_that_end_in_a_line_feed_alone(strict: LiveServer) -> None:
    for data in (b"GET / HTTP/1.1\nHost: x\n\n", b"GET / HTTP/1.1\r\nHost: x\n\r"):
        with connect(strict) as client:
            client.sendall(data)
            client.settimeout(LIMITS.head_s / 2)
            response = client.recv(65536)
        assert status(response) == 400
        assert "must end in CR LF" in error(response)


def test_clients_that_are_gone_before_they_are_refused(caplog: pytest.LogCaptureFixture) -> None:
    with serving(FakeEngine, replace(LIMITS, connections=1, keep_alive_s=5)) as server:
        server.wait_for(server.announced.is_set)
        with connect(server) as kept:
            kept.sendall(b"GET /v2 HTTP/1.1\r\nHost: x\r\n\r\n")
            assert kept.recv(65536)
            for _ in range(50):
                with connect(server) as client:
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            server.wait_for(lambda: len(server.server.server_state.connections) <= 1)
    assert not caplog.records


def test_a_declared_body_over_the_limit(strict: LiveServer) -> None:
    response = exchange(strict, head(10_001) + bytes(10_001))
    assert status(response) == 413
    assert "limit is 10000" in error(response)


def test_a_streamed_body_over_the_limit(strict: LiveServer) -> None:
    fields = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    response = exchange(
        strict, fields + b"1000\r\n" + bytes(4096) + b"\r\n" + b"3000\r\n" + bytes(9000)
    )
    assert status(response) == 413


def test_an_endless_body_is_read_for_a_bounded_time(strict: LiveServer) -> None:
    with connect(strict) as client:
        client.sendall(head(10**12))
        with pytest.raises(ConnectionError):
            send_for_ever(client)


def send_for_ever(client: socket.socket) -> None:
    while True:
        client.sendall(bytes(100_000))


def test_json_over_its_limit(strict: LiveServer) -> None:
    reply = strict.request("POST", PATH, b" " * 9000)
    assert reply.status == 413
    assert "send tensors as binary data" in reply.json["error"]


def test_bodies_over_the_limit_together() -> None:
    with serving(FakeEngine, Limits(buffered_bytes=15_000)) as server:
        server.wait_for(server.announced.is_set)
        with connect(server) as one:
            one.sendall(head(9000, "Connection: close") + bytes(8999))
            server.wait_for(lambda: status(exchange(server, big_request())) == 503)
            one.sendall(b"x")
            assert status(read_all(one)) == 400
        # What the first one held can be used again.
        assert status(exchange(server, big_request())) == 400


def big_request() -> bytes:
    return head(9000, "Connection: close") + bytes(9000)


def test_more_connections_than_allowed() -> None:
    with serving(FakeEngine, Limits(connections=4)) as server, contextlib.ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(connect(server))
        server.wait_for(lambda: len(server.server.server_state.connections) == 4)
        response = exchange(server, b"")
        assert status(response) == 503
        assert "too many connections, limit connections is 4" in error(response)
        assert b"\r\nretry-after: 1\r\n" in response


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "\xff" * 100])
def test_a_compressed_body_is_refused(strict: LiveServer, coding: str) -> None:
    body = gzip.compress(json.dumps(tensor_json(X)).encode())
    reply = strict.request("POST", PATH, body, {"Content-Encoding": coding})
    assert reply.status == 415
    assert "send the body uncompressed" in reply.json["error"]


def test_curl_waits_for_100_continue(strict: LiveServer) -> None:
    body = json.dumps(tensor_json(X)).encode()
    with connect(strict) as client:
        client.sendall(head(len(body), "Expect: 100-continue", "Connection: close"))
        assert status(client.recv(1000)) == 100
        client.sendall(body)
        assert status(read_all(client)) == 200


def test_answers_do_not_wait_for_acknowledgements(strict: LiveServer) -> None:
    with connect(strict):
        strict.wait_for(lambda: bool(strict.server.server_state.connections))
        (connection,) = strict.server.server_state.connections
        accepted = connection.transport.get_extra_info("socket")
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


def test_an_upgrade_is_not_taken(strict: LiveServer) -> None:
    lines = ("Connection: upgrade", "Upgrade: websocket")
    request = "\r\n".join(("GET /v2 HTTP/1.1", "Host: x", *lines)) + "\r\n\r\n"
    assert status(exchange(strict, request.encode(), half_close=True)) == 200


def test_pings_between_requests(strict: LiveServer) -> None:
    request = b"\r\n\r\nGET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    assert exchange(strict, 3 * request, half_close=True).count(b"HTTP/1.1 200") == 3


def test_an_old_client(strict: LiveServer) -> None:
    response = exchange(strict, b"GET /v2/health/live HTTP/1.0\r\n\r\n")
    assert status(response) == 200
    assert b"\r\nconnection: close\r\n" in response


def test_a_head_alone_has_no_body(strict: LiveServer) -> None:
    request = b"HEAD /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    response = exchange(strict, request)
    assert status(response) == 200
    assert response.endswith(b"\r\n\r\n")
    assert b"\r\ncontent-length: 0\r\n" not in response


def test_a_body_nobody_asks_for_is_skipped(strict: LiveServer) -> None:
    first = (
        b"POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\n" + b"GET / " * 6 + b"rest"
    )
    last = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    response = exchange(strict, first + last)
    assert response.count(b"HTTP/1.1 ") == 2
    assert response.count(b"HTTP/1.1 404") == response.count(b"HTTP/1.1 200") == 1


def test_an_early_answer_reaches_a_client_that_still_sends(strict: LiveServer) -> None:
    with connect(strict) as client:
        client.sendall(head(10**9).replace(PATH.encode(), b"/nothing"))
        client.sendall(bytes(300_000))
        response = read_all(client)
    assert status(response) == 404
    assert b"\r\nconnection: close\r\n" in response


@pytest.mark.parametrize("way", ["close", "reset"])
def test_a_client_that_goes_cancels_what_it_waits_for(way: str) -> None:
    engine = FakeEngine()
    with serving(lambda: engine) as server:
        server.wait_for(server.announced.is_set)
        engine.passing.clear()
        body = json.dumps(tensor_json(X)).encode()
        client = connect(server)
        client.sendall(head(len(body)) + body)
        server.wait_for(lambda: len(engine.calls) == 1)
        if way == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        server.wait_for(lambda: not server.server.server_state.tasks)
        assert b'reason="CANCELED",version="1"} 1.0' in server.request("GET", "/metrics").body
        engine.passing.set()
        assert server.infer(tensor_json(X)).status == 200


def test_a_half_closed_client_that_waits_long_is_answered() -> None:
    engine = FakeEngine()
    with serving(lambda: engine) as server:
        server.wait_for(server.announced.is_set)
        engine.passing.clear()
        body = json.dumps(tensor_json(X)).encode()
        with connect(server) as client:
            client.sendall(head(len(body)) + body)
            client.shutdown(socket.SHUT_WR)
            # Interim answers are how the server finds out whether the client is there.
            assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            engine.passing.set()
            response = read_all(client)
        assert response.count(b"HTTP/1.1 200 OK") == 1


def test_a_client_that_does_not_take_its_answers(strict: LiveServer) -> None:
    with connect(strict) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        request = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"
        with contextlib.suppress(ConnectionError, TimeoutError):
            client.settimeout(0.5)
            client.sendall(20_000 * request)
        # It never reads; the server drops it all the same.
        strict.wait_for(lambda: not strict.server.server_state.connections)
        strict.wait_for(lambda: not strict.server.server_state.tasks)
    assert strict.infer(tensor_json(X)).status == 200


GOOD_BODY, GOOD_HEADERS = tensor_binary(X)
GOOD_LENGTH = GOOD_HEADERS["Inference-Header-Content-Length"]


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    length=st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), max_size=20)
    | st.integers(-10, 10**20).map(str)
    | st.just(GOOD_LENGTH),
    body=st.binary(max_size=300)
    | st.builds(
        lambda at, junk: GOOD_BODY[:at] + junk + GOOD_BODY[at + len(junk) :],
        st.integers(0, len(GOOD_BODY)),
        st.binary(max_size=5),
    ),
)
def test_any_header_and_body_is_answered(strict: LiveServer, length: str, body: bytes) -> None:
    reply = strict.request("POST", PATH, body, {"Inference-Header-Content-Length": length})
    assert reply.status in {200, 400}
    if reply.status == 400:
        assert list(reply.json) == ["error"]
