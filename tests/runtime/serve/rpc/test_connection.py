# SPDX-License-Identifier: Apache-2.0
"""What HTTP/2 allows and grpcio does not do: odd calls, slow and silent clients, bounds."""

import gzip
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import cycle

import grpc
import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine, LiveServer, expected, serving
from h2.settings import SettingCodes
from h2_client import H2Client, frame, framed
from rpc_client import Client, floats, infer_request

from aio.runtime.serve.errors import NO_MEMORY
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rpc import connection
from aio.runtime.serve.rpc.connection import ENVELOPE_BYTES, PING_STRIKES, WINDOW_BYTES
from aio.runtime.serve.rpc.messages import INFERENCE, message
from aio.runtime.serve.rpc.status import Code

X = np.arange(6, dtype=np.float32).reshape(1, *SHAPE)
GZIP = ("grpc-encoding", "gzip")
DATA, HEADERS, SETTINGS, CONTINUATION = 0, 1, 4, 9
BLOCK = b"\x83\x86\x84"  # POST, http, /
ENHANCE_YOUR_CALM = 11


@contextmanager
def raw_client(limits: Limits | None = None) -> Iterator[tuple[LiveServer, H2Client, FakeEngine]]:
    engine = FakeEngine()
    with serving(lambda: engine, limits, grpc=True) as live:
        live.wait_for(live.announced.is_set)
        with closing(H2Client(live.grpc)) as client:
            yield live, client, engine


def held_bytes(live: LiveServer) -> int:
    rpc = live.server._rpc
    assert rpc is not None
    return rpc._shared.buffers.held


def test_calls_that_are_no_grpc() -> None:
    with raw_client() as (_, client, _):
        for status, call in {
            "405": client.begin(method="GET"),
            "415": client.begin(content_type="application/json"),
        }.items():
            answer = client.answer(call)
            assert answer.headers[":status"] == status
            assert "grpc-status" not in answer.headers


def test_calls_that_are_refused_before_their_message() -> None:
    with raw_client() as (_, client, _):
        for code, call in {
            Code.UNIMPLEMENTED: client.begin(path="/inference.GRPCInferenceService/Nothing"),
            Code.INVALID_ARGUMENT: client.begin(("grpc-timeout", "soon")),
            Code.RESOURCE_EXHAUSTED: client.begin(("long", "x" * 17_000)),
        }.items():
            assert client.answer(call).code == code
        unknown = client.answer(client.begin(("grpc-encoding", "snappy")))
        assert unknown.code == Code.UNIMPLEMENTED
        assert "use one of identity,gzip,deflate" in unknown.details
        assert client.answer(client.begin(("grpc-timeout", "0n"))).code == Code.DEADLINE_EXCEEDED


@pytest.mark.parametrize("timeout", ["0n", "1n", "0S"])
def test_a_deadline_that_has_passed_when_the_call_comes(timeout: str) -> None:
    with raw_client() as (_, client, engine):
        call = client.begin(("grpc-timeout", timeout), message=infer_request(X))
        answer = client.answer(call)
        assert answer.code == Code.DEADLINE_EXCEEDED
        assert answer.details == "the deadline of the call has passed"
        assert "retry-after-ms" not in answer.headers
        assert not engine.calls


def test_headers_far_beyond_the_limit() -> None:
    """A byte may stand for a header that came before, so there is an end to politeness."""
    again = [("x", "y" * 3900)]
    with raw_client() as (live, client, _):
        assert client.answer(client.begin(*again * 5)).code == Code.RESOURCE_EXHAUSTED
        client.begin(*again * 17)
        client.wait_for_end()
        assert client.sent_away == ENHANCE_YOUR_CALM
        with closing(H2Client(live.grpc)) as other:
            call = other.begin()
            other.send(call, framed(infer_request(X)))
            assert other.answer(call).code == Code.OK


def test_compressed_messages() -> None:
    request = infer_request(X)
    with raw_client(Limits(body_bytes=100_000)) as (_, client, _):
        for piece in (1, 16000):
            call = client.begin(GZIP)
            client.send(call, framed(gzip.compress(request), 1), piece=piece)
            answer = client.answer(call)
            assert answer.code == Code.OK
            result = message("inference.ModelInferResponse").FromString(answer.data[5:])
            np.testing.assert_array_equal(floats(result), expected(X))
        for headers, data, code, text in (
            ((GZIP,), b"nothing", Code.INVALID_ARGUMENT, "not valid gzip"),
            ((), request, Code.INVALID_ARGUMENT, "no header grpc-encoding"),
            ((GZIP,), gzip.compress(bytes(10**7)), Code.RESOURCE_EXHAUSTED, "the limit is"),
        ):
            call = client.begin(*headers)
            client.send(call, framed(data, 1))
            answer = client.answer(call)
            assert answer.code == code
            assert text in answer.details


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_client_that_compresses(compression: grpc.Compression) -> None:
    x = np.zeros((1000, *SHAPE), np.float32)
    with serving(FakeEngine, grpc=True) as live, closing(Client(live.grpc)) as client:
        live.wait_for(live.announced.is_set)
        answer = client.method("ModelInfer")(infer_request(x), compression=compression)
        result = message("inference.ModelInferResponse").FromString(answer)
        np.testing.assert_array_equal(floats(result), expected(x))


def test_a_second_message_is_not_read() -> None:
    with raw_client() as (live, client, engine):
        call = client.begin()
        client.send(call, framed(infer_request(X)) * 2)
        assert client.answer(call).code == Code.OK
        assert len(engine.calls) == 1
        assert live.server.cut_off == 0


def test_a_message_that_is_announced_and_too_long() -> None:
    with raw_client(Limits(body_bytes=1000)) as (_, client, _):
        call = client.begin()
        size = 1000 + ENVELOPE_BYTES + 1
        client.send(call, b"\x00" + size.to_bytes(4, "big"), end=False)
        answer = client.answer(call)
        assert answer.code == Code.RESOURCE_EXHAUSTED
        assert f"has {size} bytes" in answer.details


def test_bytes_count_while_they_arrive() -> None:
    limits = Limits(buffered_bytes=100_000)
    with raw_client(limits) as (live, client, _), closing(H2Client(live.grpc)) as other:
        head = b"\x00" + (90_000).to_bytes(4, "big")
        half = client.begin()
        client.send(half, head + bytes(80_000), end=False)
        live.wait_for(lambda: held_bytes(live) == 80_000)
        late = other.begin()
        other.send(late, head + bytes(30_000), end=False)
        answer = other.answer(late)
        assert answer.code == Code.UNAVAILABLE
        assert int(answer.headers["retry-after-ms"]) > 0
        client.h2.reset_stream(half)
        client.flush()
        again = other.begin()
        other.send(again, framed(infer_request(X)))
        assert other.answer(again).code == Code.OK


def test_a_client_that_only_pings() -> None:
    with raw_client() as (_, client, _):
        for _ in range(PING_STRIKES + 2):
            client.h2.ping(b"are you?")
            client.flush()
        client.wait_for_end()
        assert client.closed


def test_pings_during_calls_are_fine() -> None:
    with raw_client() as (_, client, _):
        for _ in range(4 * PING_STRIKES):
            call = client.begin()
            client.h2.ping(b"are you?")
            client.send(call, framed(infer_request(X)))
            assert client.answer(call).code == Code.OK


def test_an_idle_connection_is_ended() -> None:
    with raw_client(Limits(keep_alive_s=1, head_s=0.5)) as (_, client, _):
        start_s = time.monotonic()
        client.wait_for_end()
        assert time.monotonic() - start_s >= 0.9


@pytest.mark.parametrize(
    "cut",
    [
        frame(HEADERS, 0, 1, BLOCK),
        frame(HEADERS, 0, 1, BLOCK) + frame(CONTINUATION, 0, 1, b"")[:4],
        frame(HEADERS, 4, 1, BLOCK)[:-1],
        frame(SETTINGS, 0, 0, b"")[:3],
    ],
)
def test_what_is_begun_and_not_ended(cut: bytes) -> None:
    with raw_client(Limits(head_s=0.4)) as (_, client, _):
        client.receive()
        client.socket.sendall(cut)
        start_s = time.monotonic()
        client.wait_for_end()
        assert client.sent_away == 0
        assert 0.3 < time.monotonic() - start_s < 5


def test_headers_that_come_slowly() -> None:
    """Bytes do not give more time, nor do frames that are no call."""
    with raw_client(Limits(head_s=0.8)) as (_, client, _):
        headers = frame(HEADERS, 0, 1, BLOCK + b"\x90" * 10000)
        assert 0.7 < _sent_until_the_end(client, headers) < 5
    settings = frame(SETTINGS, 0, 0, b"")
    with raw_client(Limits(head_s=0.8, keep_alive_s=1)) as (_, client, _):
        client.socket.sendall(settings[:4])
        assert _sent_until_the_end(client, settings[4:] + settings[:4]) < 5


def _sent_until_the_end(client: H2Client, piece: bytes) -> float:
    """Send a byte at a time, over and over; return how long that went on."""
    start_s = time.monotonic()
    with suppress(ConnectionError):
        for byte in cycle(piece):
            client.socket.sendall(bytes([byte]))
            time.sleep(0.02)
            if time.monotonic() - start_s > 10:
                break
    return time.monotonic() - start_s


def test_calls_go_on_while_headers_are_unfinished() -> None:
    with raw_client(Limits(head_s=0.2)) as (_, client, engine):
        client.receive()  # so that it has nothing to say in between
        engine.passing.clear()
        call = client.begin()
        client.send(call, framed(infer_request(X)))
        client.socket.sendall(frame(HEADERS, 0, call + 2, BLOCK))
        time.sleep(0.8)
        engine.passing.set()
        assert client.answer(call).code == Code.OK
        client.wait_for_end()


def test_a_message_that_is_cut_short() -> None:
    with raw_client(Limits(body_s=0.3)) as (_, client, _):
        client.receive()
        call = client.begin()
        client.socket.sendall(frame(DATA, 0, call, framed(bytes(100)))[:50])
        assert client.answer(call).code == Code.DEADLINE_EXCEEDED


def test_a_client_that_waits_is_asked_whether_it_is_there() -> None:
    with raw_client(Limits(keep_alive_s=1, head_s=0.5)) as (_, client, _):
        call = client.begin(path=f"/{INFERENCE}/ModelStreamInfer")
        client.send(call, framed(infer_request(X)), end=False)
        silent_s = time.monotonic()
        while time.monotonic() - silent_s < 3:  # it answers pings, so it may stay
            client.receive()
        assert not client.closed
        # What does not answer is gone.
        data = b"-"
        while data:
            data = client.socket.recv(65536)


def test_answers_that_are_not_taken() -> None:
    with raw_client(Limits(head_s=0.3)) as (live, client, _):
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        client.flush()
        call = client.begin()
        client.send(call, framed(infer_request(X)))
        assert client.answer(call).reset is not None
        with closing(Client(live.grpc)) as good:
            np.testing.assert_array_equal(floats(good.infer(infer_request(X))), expected(X))


@pytest.mark.parametrize(
    ("limits", "last"),
    [
        (Limits(head_s=0.3), b""),
        # Closed with bytes still to be taken, and not for long.
        (Limits(linger_s=0.3), frame(6, 0, 0, bytes(8)) * 200),
    ],
)
def test_a_client_that_reads_nothing(limits: Limits, last: bytes) -> None:
    x = np.zeros((1000, *SHAPE), np.float32)
    with raw_client(limits) as (live, client, engine):
        rpc = live.server._rpc
        assert rpc is not None
        live.wait_for(lambda: bool(rpc._shared.connections))
        (connection,) = rpc._shared.connections
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**31 - 1})
        client.h2.increment_flow_control_window(2**31 - 1 - 65535)
        client.flush()
        call = client.begin(path=f"/{INFERENCE}/ModelStreamInfer")
        wire = _stream(client, call, infer_request(x), 400)
        client.socket.settimeout(0.2)
        start_s = time.monotonic()
        with suppress(OSError):
            client.socket.sendall(wire)
        live.wait_for(lambda: connection._full_s is not None or not rpc._shared.connections)
        with suppress(OSError):
            client.socket.sendall(last)
        live.wait_for(lambda: not rpc._shared.connections)
        assert time.monotonic() - start_s < 8
        assert engine.calls


def test_a_stream_waits_for_its_client() -> None:
    """Answers beyond what a client takes are not made, and none is lost."""
    x = np.zeros((1000, *SHAPE), np.float32)
    count = 200
    with raw_client() as (live, client, engine):
        call = client.begin(path=f"/{INFERENCE}/ModelStreamInfer")
        sender = threading.Thread(
            target=client.socket.sendall, args=(_stream(client, call, infer_request(x), count),)
        )
        sender.start()
        sender.join()
        live.wait_for(lambda: bool(engine.calls))
        time.sleep(0.5)
        assert len(engine.calls) < count
        answer = client.answer(call)
        assert answer.code == Code.OK
        assert answer.data.count(b"logits") == count


def test_a_stream_that_is_sent_faster_than_answered() -> None:
    """Requests that wait are held up to the call's window; compressed ones are not unpacked."""
    request, count = infer_request(np.zeros((1000, *SHAPE), np.float32)), 1000
    with raw_client() as (live, client, engine):
        engine.passing.clear()
        call = client.begin(GZIP, path=f"/{INFERENCE}/ModelStreamInfer")
        flood = framed(gzip.compress(bytes(10**7)), 1) * 100
        sender = threading.Thread(target=client.send, args=(call, framed(request) * count + flood))
        sender.start()
        live.wait_for(lambda: held_bytes(live) > WINDOW_BYTES - len(request))
        time.sleep(0.3)
        assert held_bytes(live) < WINDOW_BYTES + count * 1024
        assert len(engine.calls) == 1
        engine.passing.set()
        sender.join()
        answer = client.answer(call)
        assert answer.code == Code.OK
        assert answer.data.count(b"logits") == count
        assert held_bytes(live) == 0


def _stream(client: H2Client, call: int, request: bytes, count: int) -> bytes:
    """Return the bytes of a whole stream of requests, without a look at the server's window."""
    while not client.h2.local_flow_control_window(call) > 1_000_000:
        client.receive()
    for _ in range(count):
        data = framed(request)
        for at in range(0, len(data), 16000):
            client.h2.send_data(call, data[at : at + 16000])
    client.h2.end_stream(call)
    return bytes(client.h2.data_to_send())


def test_http_1_is_told_nothing_and_ended() -> None:
    with raw_client() as (_, client, _):
        client.socket.sendall(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n")
        client.wait_for_end()
        assert client.closed


def test_streams_that_say_nothing_leave_calls_to_others() -> None:
    limits = Limits(connections=8, body_s=0.5)
    with raw_client(limits) as (live, silent, _), closing(Client(live.grpc)) as other:
        stream = f"/{INFERENCE}/ModelStreamInfer"
        kept = [silent.begin(path=stream) for _ in range(4)]
        refused = silent.answer(silent.begin(path=stream))
        assert refused.code == Code.RESOURCE_EXHAUSTED
        assert refused.details.startswith("4 streams are open, the limit")
        np.testing.assert_array_equal(floats(other.infer(infer_request(X))), expected(X))
        time.sleep(2 * limits.body_s)  # a stream may wait for its first message
        silent.send(kept[0], b"")
        assert silent.answer(kept[0]).code == Code.OK
        assert silent.answer(silent.begin(path=stream, message=b"")).code == Code.OK
        assert not any(silent.answers[call].ended for call in kept[1:])


def test_a_watch_that_says_nothing_is_ended() -> None:
    with raw_client(Limits(body_s=0.3)) as (_, client, _):
        answer = client.answer(client.begin(path="/grpc.health.v1.Health/Watch"))
        assert answer.code == Code.DEADLINE_EXCEEDED
        assert "0.3 s" in answer.details


def test_a_message_there_is_no_memory_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The session refuses it like one that is too long; the limit tells which of the two it is."""
    with raw_client(Limits(body_bytes=1000)) as (_, client, _):
        assert client.answer(client.begin(message=infer_request(X))).code == Code.OK
        large = client.begin(message=bytes(100_000))
        assert client.answer(large).code == Code.RESOURCE_EXHAUSTED
        monkeypatch.setattr(connection.Connection, "message_bytes", 100_000)
        answer = client.answer(client.begin(message=bytes(100_000)))
        assert (answer.code, answer.details) == (Code.UNAVAILABLE, NO_MEMORY)
        assert answer.headers["retry-after-ms"] == "1000"
