# SPDX-License-Identifier: Apache-2.0
"""What is logged of a call, and that nothing is made for it where nobody reads the log."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine, LiveServer, serving
from h2_client import H2Client
from rpc_client import PATIENCE_S, Client, infer_request

from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rpc import connection
from aio.runtime.serve.rpc.messages import HEALTH, INFERENCE
from aio.runtime.serve.telemetry.logs import JsonFormatter
from aio.runtime.serve.telemetry.request_log import logger

X = np.zeros((1, *SHAPE), np.float32)
TRACE = "0af7651916cd43dd8448eb211c80319c"
NAMED = (("x-request-id", "q"), ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"))
INFER = f"/{INFERENCE}/ModelInfer"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[tuple[LiveServer, Client]]:
    """Yield a server whose calls are logged, and a client."""
    with (
        caplog.at_level(logging.INFO, logger.name),
        serving(FakeEngine, Limits(body_s=0.5), grpc=True) as server,
        closing(Client(server.grpc)) as client,
    ):
        server.wait_for(server.announced.is_set)
        yield server, client


@pytest.fixture
def records(
    logged: tuple[LiveServer, Client], caplog: pytest.LogCaptureFixture
) -> Callable[[int], list[dict[str, Any]]]:
    """Return what waits for as many records, and returns their fields."""

    def found() -> list[dict[str, Any]]:
        return [vars(record)["fields"] for record in caplog.records if record.name == logger.name]

    def wait(count: int) -> list[dict[str, Any]]:
        logged[0].wait_for(lambda: len(found()) >= count)
        time.sleep(0.05)  # for one too many
        assert len(found()) == count
        return found()

    return wait


Records = Callable[[int], list[dict[str, Any]]]


def test_an_inference(
    logged: tuple[LiveServer, Client], records: Records, caplog: pytest.LogCaptureFixture
) -> None:
    _, client = logged
    client.method("ModelInfer")(infer_request(X, id="seven"), metadata=NAMED, timeout=PATIENCE_S)
    (fields,) = records(1)
    peer, duration_ms = fields.pop("client"), fields.pop("duration_ms")
    assert peer.startswith("127.0.0.1:")
    assert 0 < duration_ms < 10_000
    assert fields == {
        "method": "gRPC",
        "path": INFER,
        "grpc_status": "OK",
        "model": "fake",
        "request_id": "q",
        "trace_id": TRACE,
        "aio_level": 0,
        "aio_ratio": 0.0,
        "aio_latency_ms": 0.5,
    }
    assert f"gRPC {INFER} OK " in caplog.text
    entry = json.loads(JsonFormatter().format(caplog.records[-1]))
    assert (entry["grpc_status"], entry["trace_id"]) == ("OK", TRACE)


def test_an_inference_without_headers_is_named_by_its_message(
    logged: tuple[LiveServer, Client], records: Records
) -> None:
    for _ in range(2):  # decoded, and looked up
        logged[1].infer(infer_request(X, id="seven"))
    assert [fields["request_id"] for fields in records(2)] == ["seven", "seven"]


def test_refused_calls_say_why(logged: tuple[LiveServer, Client], records: Records) -> None:
    _, client = logged
    client.code_of(infer_request(np.zeros((1, 9), np.float32), id="eight"))
    client.code_of(infer_request(X, model="other"))
    assert client.method("Nothing").future(b"", timeout=PATIENCE_S).code()
    assert client.method("ModelInfer").future(b"\xff", timeout=PATIENCE_S).code()
    found = records(4)
    codes = ["INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "INVALID_ARGUMENT"]
    assert [fields["grpc_status"] for fields in found] == codes
    assert (found[0]["model"], found[0]["request_id"]) == ("fake", "eight")
    assert "shape" in found[0]["error"]
    assert "no model is named 'other'" in found[1]["error"]
    assert found[2]["path"] == f"/{INFERENCE}/Nothing"
    assert all(fields["error"] for fields in found)


def test_calls_whose_clients_go(logged: tuple[LiveServer, Client], records: Records) -> None:
    _, client = logged
    watch = client.channel.unary_stream(f"/{HEALTH}/Watch")(b"")
    assert next(watch)
    watch.cancel()
    (fields,) = records(1)
    assert (fields["path"], fields["grpc_status"]) == (f"/{HEALTH}/Watch", "CANCELLED")


def test_a_stream_is_one_record(logged: tuple[LiveServer, Client], records: Records) -> None:
    _, client = logged
    stream = client.channel.stream_stream(f"/{INFERENCE}/ModelStreamInfer")
    messages = [infer_request(X, id="a"), b"\xff", infer_request(X, id="c")]
    assert len(list(stream(iter(messages), timeout=PATIENCE_S))) == 3
    (fields,) = records(1)
    assert (fields["grpc_status"], fields["model"], fields["request_id"]) == ("OK", "fake", "c")
    assert fields["error"]  # of the one that was refused


def test_calls_that_are_refused_before_their_message(
    logged: tuple[LiveServer, Client], records: Records
) -> None:
    with closing(H2Client(logged[0].grpc)) as client:
        client.answer(client.begin(("authorization", "hidden"), ("long", "x" * 17_000)))
        client.answer(client.begin(("authorization", "hidden"), ("grpc-timeout", "soon")))
        client.answer(client.begin(("grpc-encoding", "snappy")))
        client.answer(client.begin(("grpc-timeout", "0n")))
        client.answer(client.begin(path="/v2?token=hidden", method="GET"))
    found = records(5)
    assert [fields.get("grpc_status") for fields in found] == [
        "RESOURCE_EXHAUSTED",
        "INVALID_ARGUMENT",
        "UNIMPLEMENTED",
        "DEADLINE_EXCEEDED",
        None,
    ]
    assert [fields["path"] for fields in found] == [None, INFER, INFER, INFER, "/v2"]
    assert (found[4]["method"], found[4]["status"]) == ("GET", 405)
    assert all(fields["error"] for fields in found)
    assert "hidden" not in str(found)


def test_no_record_is_made_where_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(connection, "CallRecord", made)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        with serving(FakeEngine, grpc=True) as server, closing(Client(server.grpc)) as client:
            server.wait_for(server.announced.is_set)
            assert client.infer(infer_request(X))
            assert client.method("Nothing").future(b"", timeout=PATIENCE_S).code()
    finally:
        logger.setLevel(before)
