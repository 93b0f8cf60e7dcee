# SPDX-License-Identifier: Apache-2.0
"""The port and its limits: tokens, slow and hostile clients, cancelling, the end."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import grpc
import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine, LiveServer, expected, serving
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from rpc_client import PATIENCE_S, Client, floats, infer_request

from aio.runtime.errors import InputError
from aio.runtime.serve.hosting.host import Host, State
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rpc.messages import INFERENCE
from aio.runtime.serve.rpc.reserve import address, reserve
from aio.runtime.serve.rpc.server import RpcServer
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.transport.listen import bind

X = np.arange(6, dtype=np.float32).reshape(1, *SHAPE)
Code = grpc.StatusCode


@contextmanager
def grpc_server(limits: Limits) -> Iterator[tuple[LiveServer, Client, FakeEngine]]:
    engine = FakeEngine()
    with serving(lambda: engine, limits, grpc=True) as live, closing(Client(live.grpc)) as client:
        live.wait_for(live.announced.is_set)
        yield live, client, engine


def failure(call: Callable[[], object]) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


class OneToken:
    def matches(self, presented: bytes) -> bool:
        return presented == b"open sesame"


def metadata(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple(("authorization", value) for value in values)


def test_only_probes_need_no_token() -> None:
    async def ask() -> None:
        host = Host(Dispatcher(1))
        await host.load(FakeEngine)
        reserved = bind("127.0.0.1", 0)
        place = address(reserved)
        server = RpcServer(host, Limits(), reserved, OneToken())
        await server.start()
        async with grpc.aio.insecure_channel(place) as channel:
            infer = channel.unary_unary(f"/{INFERENCE}/ModelInfer")
            for wrong in WRONG_TOKENS:
                with pytest.raises(grpc.RpcError) as caught:
                    await infer(infer_request(X), metadata=metadata(*wrong), timeout=PATIENCE_S)
                assert caught.value.code() is Code.UNAUTHENTICATED
                assert "Bearer TOKEN" in caught.value.details()
            for right in ("Bearer open sesame", "bearer open sesame"):
                assert await infer(infer_request(X), metadata=metadata(right), timeout=PATIENCE_S)
            for method in ("ServerLive", "ServerReady"):
                assert await channel.unary_unary(f"/{INFERENCE}/{method}")(b"", timeout=PATIENCE_S)
            with pytest.raises(grpc.RpcError) as caught:
                await channel.unary_unary(f"/{INFERENCE}/ServerMetadata")(b"", timeout=PATIENCE_S)
            assert caught.value.code() is Code.UNAUTHENTICATED
            assert await channel.unary_unary("/grpc.health.v1.Health/Check")(b"")
        assert await server.stop(0) == 0
        assert host.close(5)

    asyncio.run(ask())


WRONG_TOKENS = (
    (),
    ("",),
    ("Bearer",),
    ("Bearer ",),
    ("Bearer open",),
    ("Basic open sesame",),
    ("open sesame",),
    ("Bearer open sesame", "Bearer open sesame"),
)


def test_a_message_over_the_limit() -> None:
    with grpc_server(Limits(body_bytes=100_000)) as (_, client, _):
        large = infer_request(np.zeros((10_000, *SHAPE), np.float32))
        assert failure(lambda: client.infer(large)).code() is Code.RESOURCE_EXHAUSTED
        np.testing.assert_array_equal(floats(client.infer(infer_request(X))), expected(X))


def test_typed_contents_over_the_limit() -> None:
    with grpc_server(Limits(json_bytes=1000)) as (_, client, _):
        large = infer_request(np.zeros((100, *SHAPE), np.float32), typed=True)
        error = failure(lambda: client.infer(large))
        assert error.code() is Code.RESOURCE_EXHAUSTED
        assert "send tensors as raw_input_contents" in error.details()


def test_more_bytes_than_may_be_held() -> None:
    with grpc_server(Limits(buffered_bytes=10)) as (_, client, _):
        error = failure(lambda: client.infer(infer_request(X)))
        assert error.code() is Code.UNAVAILABLE
        assert "retry later" in error.details()


def test_a_message_that_does_not_come() -> None:
    with grpc_server(Limits(body_s=0.2)) as (_, client, _):
        never = threading.Event()

        def requests() -> Iterator[bytes]:
            never.wait(PATIENCE_S)
            yield b""

        call = client.channel.stream_unary(f"/{INFERENCE}/ModelInfer")
        error = failure(lambda: call(requests(), timeout=PATIENCE_S))
        never.set()
        assert error.code() is Code.DEADLINE_EXCEEDED
        assert "did not come within 0.2 s" in error.details()
        error = failure(lambda: call(iter(()), timeout=PATIENCE_S))
        assert error.code() is Code.INVALID_ARGUMENT


def test_a_queue_that_is_full() -> None:
    with grpc_server(Limits(queue=1)) as (live, client, engine):
        engine.passing.clear()
        running = client.method("ModelInfer").future(infer_request(X))
        live.wait_for(lambda: live.server.host.dispatcher.pending == 1)
        with closing(Client(live.grpc)) as other:
            error = failure(lambda: other.infer(infer_request(X)))
        assert error.code() is Code.UNAVAILABLE
        assert int(dict(error.trailing_metadata())["retry-after-ms"]) > 0
        engine.passing.set()
        assert running.result()


@pytest.mark.parametrize("how", ["cancel", "deadline", "close"])
def test_a_client_that_goes_drops_what_waits(how: str) -> None:
    with grpc_server(Limits()) as (live, client, engine), closing(Client(live.grpc)) as other:
        engine.passing.clear()
        running = client.method("ModelInfer").future(infer_request(X))
        live.wait_for(lambda: len(engine.calls) == 1)
        timeout = 0.3 if how == "deadline" else None
        waiting = other.method("ModelInfer").future(infer_request(X + 1), timeout=timeout)
        live.wait_for(lambda: live.server.host.dispatcher.pending == 2)
        if how == "cancel":
            waiting.cancel()
        elif how == "close":
            other.close()
        live.wait_for(lambda: live.server.host.dispatcher.pending == 1)
        engine.passing.set()
        assert running.result()
        assert waiting.code() is (Code.DEADLINE_EXCEEDED if timeout else Code.CANCELLED)
        client.infer(infer_request(X + 2))
        assert len(engine.calls) == 2  # what was dropped was never run


def test_a_deadline_that_load_leaves_no_time_for() -> None:
    with grpc_server(Limits()) as (_, client, engine):
        engine.predicted_ms = 1000 * PATIENCE_S
        error = failure(lambda: client.infer(infer_request(X), timeout=PATIENCE_S / 2))
        assert error.code() is Code.UNAVAILABLE
        assert "are left of the timeout" in error.details()
        assert "retry-after-ms" in dict(error.trailing_metadata())


def test_a_timeout_of_the_request_within_the_deadline_of_the_call() -> None:
    with grpc_server(Limits()) as (live, client, engine), closing(Client(live.grpc)) as other:
        engine.passing.clear()
        running = client.method("ModelInfer").future(infer_request(X))
        live.wait_for(lambda: len(engine.calls) == 1)
        timeout = {"timeout": {"int64_param": 50_000}}
        error = failure(lambda: other.infer(infer_request(X, parameters=timeout)))
        assert error.code() is Code.UNAVAILABLE
        assert "timeout passed before the request's turn" in error.details()
        engine.passing.set()
        assert running.result()


def test_hostile_bytes_and_half_open_connections() -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    attacks = (
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01" + bytes(200),
        np.random.default_rng(0).bytes(5000),
        preface,
        preface + b"\xff" * 1000,
        preface + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00" + b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
    )
    with grpc_server(Limits()) as (live, client, _), ExitStack() as stack:
        host, port = str(live.grpc).split(":")
        for attack in attacks * 3:
            raw = stack.enter_context(socket.create_connection((host, int(port)), PATIENCE_S))
            raw.sendall(attack)
            np.testing.assert_array_equal(floats(client.infer(infer_request(X))), expected(X))
    assert live.server.cut_off == 0


def test_a_handshake_that_does_not_come_is_ended() -> None:
    with grpc_server(Limits(head_s=0.3)) as (live, client, _):
        host, port = str(live.grpc).split(":")
        with socket.create_connection((host, int(port)), PATIENCE_S) as raw:
            while raw.recv(1000):  # the settings of the server, then the end
                pass
        assert client.call("ServerLive").live


def test_too_many_connections() -> None:
    with grpc_server(Limits(connections=3)) as (live, client, _), ExitStack() as stack:
        assert client.call("ServerLive").live
        host, port = str(live.grpc).split(":")
        for _ in range(10):
            stack.enter_context(socket.create_connection((host, int(port)), PATIENCE_S))
        with closing(Client(live.grpc)) as late:
            assert failure(lambda: late.call("ServerLive", 1.0)).code() in {
                Code.UNAVAILABLE,
                Code.DEADLINE_EXCEEDED,
            }
        assert client.call("ServerLive").live


def test_an_end_waits_for_the_answer() -> None:
    with grpc_server(Limits()) as (live, client, engine):
        engine.passing.clear()
        running = client.method("ModelInfer").future(infer_request(X))
        live.wait_for(lambda: len(engine.calls) == 1)
        live.server.should_exit = True
        live.wait_for(lambda: live.server.host.state is State.STOPPING)
        engine.passing.set()
        assert running.result()
        live.end()
        assert live.server.cut_off == 0


def test_an_end_does_not_wait_for_ever() -> None:
    with grpc_server(Limits(stop_s=1)) as (live, client, engine):
        engine.passing.clear()
        running = client.method("ModelInfer").future(infer_request(X))
        live.wait_for(lambda: len(engine.calls) == 1)
        live.end()
        assert live.server.cut_off == 1
        assert running.code() in {Code.CANCELLED, Code.UNAVAILABLE, Code.UNKNOWN}
        engine.passing.set()


def test_an_end_does_not_wait_for_streams_that_are_idle() -> None:
    never = threading.Event()

    def requests() -> Iterator[bytes]:
        yield infer_request(X)
        never.wait(PATIENCE_S)

    with grpc_server(Limits(stop_s=PATIENCE_S)) as (live, client, _):
        stream = client.channel.stream_stream(f"/{INFERENCE}/ModelStreamInfer")(requests())
        assert next(stream)
        start_s = time.monotonic()
        live.end()
        assert time.monotonic() - start_s < PATIENCE_S / 2
        assert live.server.cut_off == 0
        never.set()


def test_health_with_the_official_client() -> None:
    engine = FakeEngine()
    with serving(lambda: engine, grpc=True) as live, closing(Client(live.grpc)) as client:
        live.wait_for(live.announced.is_set)
        stub = health_pb2_grpc.HealthStub(client.channel)
        ask = health_pb2.HealthCheckRequest
        assert stub.Check(ask()).status == health_pb2.HealthCheckResponse.SERVING
        assert stub.Check(ask(service="fake")).status == health_pb2.HealthCheckResponse.SERVING
        assert failure(lambda: stub.Check(ask(service="other"))).code() is Code.NOT_FOUND
        unknown = stub.Watch(ask(service="other"))
        assert next(unknown).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        watch = stub.Watch(ask(service="fake"))
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        live.end()
        assert [answer.status for answer in watch] == [health_pb2.HealthCheckResponse.NOT_SERVING]


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"gRPC: port {port} .* --grpc-port"):
            reserve("127.0.0.1", port)
    with reserve("127.0.0.1", None) as nothing:
        assert nothing is None
    with pytest.raises(InputError, match="reachable from other machines"):
        reserve("0.0.0.0", 0)
