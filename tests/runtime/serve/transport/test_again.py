# SPDX-License-Identifier: Apache-2.0
"""A large request is expected again, with other tensors; whatever comes instead is right."""

import gc
import http.client
import itertools
import json
import os
import socket
import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine, LiveServer, expected, serving, tensor_binary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from aio.runtime.serve.limits import Limits
from aio.runtime.serve.security.guard import Policy
from aio.runtime.serve.security.token import Token
from aio.runtime.serve.transport import body, connection
from aio.runtime.serve.transport.body import ChunkedBody, SizedBody

LIMITS = Limits(batch=20_000, body_s=0.6, keep_alive_s=5)
SAMPLES = 6000  # 144 kB, more than is read before the head is looked at
PATH = "/v2/models/fake/infer"

Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with serving(FakeEngine, LIMITS) as server:
        server.wait_for(server.announced.is_set)
        yield server


@pytest.fixture
def expected_again(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the lengths of heads that were expected again, and came."""
    found: list[int] = []

    original = connection.Connection._take_again

    def take(self: connection.Connection, body: SizedBody, nbytes: int) -> None:
        before = len(self._pending)
        original(self, body, nbytes)
        if len(self._pending) == before and self._exchange is not None:
            found.append(nbytes)

    monkeypatch.setattr(connection.Connection, "_take_again", take)
    return found


@final
class Client:
    """A kept connection on which bytes are sent as they are."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._came = self.socket.makefile("rb")

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *error: object) -> None:
        self._came.close()
        self.socket.close()

    def line(self) -> bytes:
        return self._came.readline()

    def answer(self) -> tuple[int, bytes]:
        status = int(self._came.readline().split()[1])
        headers = http.client.parse_headers(self._came)
        if status == 100:
            return self.answer()
        return status, self._came.read(int(headers["content-length"]))

    def ask(self, data: bytes, cuts: tuple[int, ...] = ()) -> tuple[int, bytes]:
        """Send in pieces that the server sees one by one, as far as can be arranged."""
        places = [0, *sorted(cut % len(data) for cut in cuts), len(data)]
        for begin, end in itertools.pairwise(places):
            self.socket.sendall(data[begin:end])
            if cuts:
                os.sched_yield()
        return self.answer()


def tensors(seed: int, samples: int = SAMPLES) -> Samples:
    return np.random.default_rng(seed).random((samples, *SHAPE), dtype=np.float32)


def request(x: Samples, *lines: str) -> bytes:
    body, headers = tensor_binary(x, parameters={"binary_data_output": True})
    fields = [f"{name}: {value}" for name, value in headers.items()]
    first = (f"POST {PATH} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}")
    return "\r\n".join((*first, *fields, *lines)).encode() + b"\r\n\r\n" + body


def check(answer: tuple[int, bytes], x: Samples) -> None:
    status, body = answer
    assert status == 200, body
    y = expected(x)
    assert body.endswith(y.tobytes())


def test_a_body_there_is_no_memory_for(
    server: LiveServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is taken at the announced length: for a new head, and for one that is expected again."""

    def aligned(*_: int) -> memoryview:
        raise MemoryError("Unable to allocate 63.3 MiB for an array")

    x = tensors(1)
    with Client(server.port) as client, Client(server.port) as other:
        check(client.ask(request(x)), x)
        with monkeypatch.context() as patch:
            patch.setattr(body, "aligned", aligned)
            answers = [each.ask(request(x)) for each in (client, other)]
    for status, text in answers:
        assert status == 503
        assert b"no memory left for this request; retry later" in text
    assert not caplog.records
    with Client(server.port) as client:
        check(client.ask(request(x)), x)


def test_the_same_head_again_and_again(server: LiveServer, expected_again: list[int]) -> None:
    with Client(server.port) as client:
        for seed in range(5):
            x = tensors(seed)
            check(client.ask(request(x)), x)
    assert len(expected_again) >= 3


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["same", "other", "smaller", "get", "chunks", "later", "pipelined"]),
            st.lists(st.integers(0, 300_000), max_size=4),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_whatever_comes_instead(server: LiveServer, steps: list[tuple[str, list[int]]]) -> None:
    with Client(server.port) as client:
        x = tensors(0)
        check(client.ask(request(x)), x)
        for seed, (kind, cuts) in enumerate(steps):
            x = tensors(seed, SAMPLES - (kind == "smaller"))
            lines = {"other": ("A: b",), "later": ("Expect: 100-continue",)}.get(kind, ())
            data = request(x, *lines)
            if kind == "get":
                assert client.ask(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")[0] == 200
            elif kind == "chunks":
                check(client.ask(in_chunks(data), tuple(cuts)), x)
            elif kind == "pipelined":
                client.socket.sendall(data + b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
                check(client.answer(), x)
                assert client.answer()[0] == 200
            else:
                check(client.ask(data, tuple(cuts)), x)


def in_chunks(data: bytes) -> bytes:
    head, body = data.split(b"\r\n\r\n", 1)
    lines = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Length")]
    lines.append(b"Transfer-Encoding: chunked")
    half = len(body) // 2
    parts = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:half], body[half:]))
    return b"\r\n".join(lines) + b"\r\n\r\n" + parts + b"0\r\n\r\n"


def test_a_client_that_waits_for_the_word_each_time(server: LiveServer) -> None:
    with Client(server.port) as client:
        for seed in range(3):
            x = tensors(seed)
            head, body = request(x, "Expect: 100-continue").split(b"\r\n\r\n", 1)
            client.socket.sendall(head + b"\r\n\r\n")
            assert client.line().split()[1] == b"100"
            assert client.line() == b"\r\n"
            check(client.ask(body), x)


def test_a_body_that_does_not_come_the_second_time(server: LiveServer) -> None:
    x = tensors(0)
    with Client(server.port) as client:
        check(client.ask(request(x)), x)
        client.socket.sendall(request(x)[:100_000])
        status, body = client.answer()
    assert status == 408
    assert b"bytes of the body came within 0.6 s" in body


def test_a_client_that_goes_the_second_time(server: LiveServer) -> None:
    x = tensors(0)
    with Client(server.port) as client:
        check(client.ask(request(x)), x)
        client.socket.sendall(request(x)[:100_000])
    server.wait_for(lambda: not server.server.server_state.connections)
    server.wait_for(lambda: not server.server.server_state.tasks)
    with Client(server.port) as client:
        check(client.ask(request(x)), x)


def test_no_more_bytes_than_all_may_hold() -> None:
    """The second request finds the server full; it is told so although it was expected."""
    x = tensors(0)
    data = request(x)
    limits = Limits(batch=20_000, buffered_bytes=2 * len(data) - 50_000)
    with serving(FakeEngine, limits) as server:
        server.wait_for(server.announced.is_set)
        with Client(server.port) as client, Client(server.port) as other:
            check(client.ask(data), x)
            check(other.ask(data), x)
            other.socket.sendall(data[:-1])
            server.wait_for(lambda: connection_held(server) > len(data) - 2000)
            client.socket.sendall(data)
            status, body = client.answer()
            assert (status, b"retry later" in body) == (503, True)
            other.socket.sendall(data[-1:])
            check(other.answer(), x)
        server.wait_for(lambda: not connection_held(server))


def connection_held(server: LiveServer) -> int:
    protocol: Any = server.server.config.http_protocol_class
    held: int = protocol.buffers.held
    return held


def test_a_token_that_is_no_longer_right(tmp_path: Path) -> None:
    """The body comes before the guard has looked; it is dropped, and so is the connection."""
    file = tmp_path / "token"
    file.write_text("first-token-of-this-test\n")
    file.chmod(0o600)
    token = Token.read(file)
    x = tensors(0)
    data = request(x, "Authorization: Bearer first-token-of-this-test")
    with serving(FakeEngine, LIMITS, Policy(token=token)) as server:
        server.wait_for(server.announced.is_set)
        with Client(server.port) as client:
            check(client.ask(data), x)
            check(client.ask(data), x)
            file.write_text("second-token-of-this-test\n")
            token.refresh()
            client.socket.sendall(data)
            assert client.answer()[0] == 401
        server.wait_for(lambda: not connection_held(server))


def bad_chunk(client: Client) -> None:
    client.socket.sendall(in_chunks(request(tensors(0)))[:-5] + b"zz\r\n")
    assert client.answer()[0] == 400


def late(client: Client) -> None:
    client.socket.sendall(request(tensors(0))[:-1])
    assert client.answer()[0] == 408


def too_many_bytes(client: Client) -> None:
    client.socket.sendall(request(tensors(0, 9 * SAMPLES)))
    assert client.answer()[0] == 503


def gone(client: Client) -> None:
    client.socket.sendall(request(tensors(0))[:-1])


def wrong_json(client: Client) -> None:
    data = request(tensors(0))
    assert client.ask(data.replace(b"FP32", b"FP33"))[0] == 400


def again(client: Client) -> None:
    for seed in range(4):
        check(client.ask(request(tensors(seed))), tensors(seed))


@pytest.mark.parametrize("act", [again, bad_chunk, late, too_many_bytes, gone, wrong_json])
def test_a_body_is_free_as_soon_as_it_is_answered(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[Client], None]
) -> None:
    """Without waiting for the garbage collector, which lets them pile up to any size."""
    bodies: list[weakref.ref[SizedBody | ChunkedBody]] = []

    class Sized(SizedBody):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            super().__init__(*arguments, **named)
            bodies.append(weakref.ref(self))

    class Chunked(ChunkedBody):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            bodies.append(weakref.ref(self))

    monkeypatch.setattr(connection, "SizedBody", Sized)
    monkeypatch.setattr(connection, "ChunkedBody", Chunked)
    limits = replace(LIMITS, buffered_bytes=1_000_000, batch=100_000)
    with serving(FakeEngine, limits) as server:
        server.wait_for(server.announced.is_set)
        gc.collect()
        gc.disable()
        try:
            with Client(server.port) as client:
                act(client)
            server.wait_for(lambda: not server.server.server_state.connections)
            server.wait_for(lambda: all(body() is None for body in bodies), timeout_s=2)
        finally:
            gc.enable()
    assert bodies


def test_statistics_have_what_was_answered_before(server: LiveServer) -> None:
    """Counting is done after an answer is sent, but before the next request is read."""
    path = "/v2/models/fake/stats"
    x = tensors(0, 1)
    with Client(server.port) as client, Client(server.port) as other:
        question = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()

        def count() -> int:
            found = json.loads(other.ask(question)[1])
            successes: int = found["model_stats"][0]["inference_stats"]["success"]["count"]
            return successes

        before = count()
        for done in range(1, 20):
            check(client.ask(request(x)), x)
            assert count() == before + done
