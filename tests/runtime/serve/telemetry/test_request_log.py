# SPDX-License-Identifier: Apache-2.0
"""What is logged of a request, and what never is."""

import json
import logging
import socket
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine, LiveServer, serving, tensor_json

from aio.runtime.serve.limits import Limits
from aio.runtime.serve.telemetry.request_log import RequestLog, logger, note

X = np.zeros((1, *SHAPE), np.float32)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[LiveServer]:
    """Yield a server whose requests are logged."""
    with caplog.at_level(logging.INFO, logger.name), serving(FakeEngine) as server:
        server.wait_for(server.announced.is_set)
        yield server


def requests(
    caplog: pytest.LogCaptureFixture, live: LiveServer, count: int = 1
) -> list[dict[str, Any]]:
    """Return the fields of the first records, which are written after their answers."""

    def found() -> list[dict[str, Any]]:
        return [vars(record)["fields"] for record in caplog.records if record.name == logger.name]

    live.wait_for(lambda: len(found()) >= count)
    return found()


def test_an_inference(logged: LiveServer, caplog: pytest.LogCaptureFixture) -> None:
    assert logged.infer(tensor_json(X, id="seven", parameters={"aio_level": 1})).status == 200
    (fields,) = requests(caplog, logged)
    client, duration_ms = fields.pop("client"), fields.pop("duration_ms")
    assert client.startswith("127.0.0.1:")
    assert duration_ms > 0
    assert fields == {
        "method": "POST",
        "path": "/v2/models/fake/infer",
        "status": 200,
        "model": "fake",
        "request_id": "seven",
        "aio_level": 0,
        "aio_ratio": 0.0,
        "aio_latency_ms": 0.5,
    }
    assert "POST /v2/models/fake/infer 200 " in caplog.text
    assert "request_id=seven" in caplog.text


def test_secrets_are_not_logged(logged: LiveServer, caplog: pytest.LogCaptureFixture) -> None:
    headers = {"Authorization": "Bearer hidden-token", "Cookie": "hidden-cookie"}
    logged.request("GET", "/v2?token=hidden-query", headers=headers)
    logged.request("GET", "/none?token=hidden-query", headers=headers)
    first, second = requests(caplog, logged, 2)
    assert (first["path"], first["status"]) == ("/v2", 200)
    assert (second["path"], second["status"]) == ("/none", 404)
    assert "hidden" not in caplog.text
    assert "hidden" not in str([first, second])


def test_long_and_odd_paths(logged: LiveServer, caplog: pytest.LogCaptureFixture) -> None:
    logged.request("GET", "/" + "x" * 5000)
    logged.request("GET", "/%0Aaio-serve%1b")
    first, second = requests(caplog, logged, 2)
    assert len(first["path"]) == 200
    assert second["path"] == "/\naio-serve\x1b"  # the formatters escape it


def test_refused_and_failed_requests_too(
    logged: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    logged.request("POST", "/v2/models/fake/infer", b"{}", {"Origin": "null"})
    logged.request("POST", "/v2/models/fake/infer", b"{")
    statuses = [fields["status"] for fields in requests(caplog, logged, 2)]
    assert statuses == [403, 400]


def test_a_refused_inference_says_whose_it_was_and_why(
    logged: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    logged.infer(tensor_json(X, id="seven", parameters={"aio_level": 99}))
    logged.infer({"id": "eight", "inputs": 3})
    logged.infer(tensor_json(X, id="nine", parameters={"timeout": 1}))
    logged.infer(tensor_json(X), model="other")
    first, second, third, fourth = requests(caplog, logged, 4)
    assert (first["status"], first["model"], first["request_id"]) == (400, "fake", "seven")
    assert "aio_level must be 0 to 2" in first["error"]
    assert (second["status"], second["model"], second["request_id"]) == (400, "fake", "eight")
    assert "inputs" in second["error"]
    assert (third["status"], third["model"], third["request_id"]) == (503, "fake", "nine")
    assert "passed before the request was read" in third["error"]
    assert fourth["status"] == 404
    assert "no model is named 'other'" in fourth["error"]
    assert "error=no model is named" in caplog.text


def test_a_header_names_a_request_before_its_body_does(
    logged: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps(tensor_json(X, id="seven")).encode()
    logged.request("POST", "/v2/models/fake/infer", body, {"X-Request-Id": "7"})
    (fields,) = requests(caplog, logged)
    assert fields["request_id"] == "7"


def test_a_defect_is_logged_with_the_status_it_is_answered_with(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine = FakeEngine(error=ValueError("broken"))
    with caplog.at_level(logging.INFO, logger.name), serving(lambda: engine) as server:
        server.wait_for(server.announced.is_set)
        assert server.infer(tensor_json(X)).status == 500
        (fields,) = requests(caplog, server)
    assert fields["status"] == 500


def test_what_is_refused_before_it_is_a_request(caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(connections=1)
    with caplog.at_level(logging.INFO, logger.name), serving(FakeEngine, limits) as server:
        for data in (b"GET /?token=hidden\r\n\r\n", b"GET / HTTP/1.1\r\nA: " + b"a" * 20_000):
            server.wait_for(lambda: not server.server.server_state.connections)
            with socket.create_connection(("127.0.0.1", server.port)) as client:
                client.sendall(data)
                client.recv(1000)
        server.wait_for(lambda: not server.server.server_state.connections)
        with socket.create_connection(("127.0.0.1", server.port)):
            server.wait_for(lambda: bool(server.server.server_state.connections))
            assert server.request("GET", "/v2").status == 503
        first, second, third = requests(caplog, server, 3)
    assert [fields["status"] for fields in (first, second, third)] == [400, 431, 503]
    assert {fields["method"] for fields in (first, second, third)} == {None}
    assert first["client"].startswith("127.0.0.1:")
    assert first["error"] == "not an HTTP/1.1 request"
    assert "limited to 16384 bytes" in second["error"]
    assert "too many connections" in third["error"]
    assert "hidden" not in caplog.text
    assert "- - 431 - 127.0.0.1:" in caplog.text


def test_nothing_is_in_the_way_where_nobody_reads() -> None:
    async def app(*_: object) -> None:
        raise AssertionError

    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        assert RequestLog.around(app) is app
    finally:
        logger.setLevel(before)
    note(model="outside of a request")
