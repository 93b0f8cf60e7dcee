# SPDX-License-Identifier: Apache-2.0
"""The paths of the protocol, over a real socket."""

import json
import threading

import numpy as np
import pytest
from fake_engine import (
    CLASSES,
    SHAPE,
    FakeEngine,
    LiveServer,
    Reply,
    expected,
    record,
    serving,
    tensor_binary,
    tensor_json,
)

from aio.runtime.errors import AioError, InputError
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.metadata import EXTENSIONS

X = np.arange(6, dtype=np.float32).reshape(1, *SHAPE)
HEADER = "inference-header-content-length"


def test_health_and_server_metadata(live: LiveServer) -> None:
    assert live.request("GET", "/v2/health/live").json == {"live": True}
    assert live.request("GET", "/v2/health/ready").json == {"live": True, "ready": True}
    server = live.request("GET", "/v2").json
    assert server["name"] == "aio-serve"
    assert server["extensions"] == list(EXTENSIONS)


@pytest.mark.parametrize("path", ["/v2/models/fake", "/v2/models/fake/versions/1"])
def test_model_metadata_and_ready(live: LiveServer, path: str) -> None:
    assert live.request("GET", path).json == {
        "name": "fake",
        "versions": ["1"],
        "platform": "aio_safetensors",
        "inputs": [{"name": "image", "datatype": "FP32", "shape": [-1, *SHAPE]}],
        "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, CLASSES]}],
    }
    assert live.request("GET", f"{path}/ready").json == {"name": "fake", "ready": True}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/fake/versions/2", 404),
        ("GET", "/v2/models/fake/versions/2/ready", 404),
        ("POST", "/v2/models/other/infer", 404),
        ("GET", "/v2/models/fake/infer", 405),
        ("POST", "/v2", 405),
        ("DELETE", "/v2/models/fake", 405),
        ("GET", "/nothing", 404),
        ("GET", "/v2/", 404),
        ("GET", "/v2/models/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/v2/models/%00%ff", 404),
        ("GET", "/v2/models/" + "a" * 5000, 404),
    ],
)
def test_wrong_paths_have_an_error_body(
    live: LiveServer, method: str, path: str, status: int
) -> None:
    reply = live.request(method, path)
    assert reply.status == status
    assert list(reply.json) == ["error"]
    assert len(reply.body) < 1000


def test_a_strange_host_header_is_no_problem(live: LiveServer) -> None:
    reply = live.request("GET", "/nothing", headers={"Host": "[:::"})
    assert reply.status == 404
    assert "/nothing" in reply.json["error"]


def test_infer_json(live: LiveServer) -> None:
    reply = live.infer(tensor_json(X, id="request 7"))
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    answer = reply.json
    assert answer["parameters"].pop("aio_queue_ms") >= 0.0
    assert answer == {
        "model_name": "fake",
        "model_version": "1",
        "id": "request 7",
        "parameters": {
            "aio_level": 0,
            "aio_ratio": 0.0,
            "aio_plan": "level 0",
            "aio_replans": 0,
            "aio_latency_ms": 0.5,
            "aio_predicted_ms": 0.25,
            "aio_cpu_khz": 1_510_000,
            "aio_reason": "fits the target",
        },
        "outputs": [
            {
                "name": "logits",
                "datatype": "FP32",
                "shape": [1, CLASSES],
                "data": expected(X)[0].tolist(),
            }
        ],
    }


def test_a_reading_that_is_missing_is_left_out(live: LiveServer, engine: FakeEngine) -> None:
    engine.record = record(cpu_khz=None, predicted_ms=None)
    parameters = live.infer(tensor_json(X)).json["parameters"]
    assert "aio_cpu_khz" not in parameters
    assert "aio_predicted_ms" not in parameters


def test_infer_binary_in_and_out(live: LiveServer) -> None:
    x = np.random.default_rng(0).normal(size=(3, *SHAPE)).astype(np.float32)
    body, headers = tensor_binary(x, parameters={"binary_data_output": True})
    reply = live.request("POST", "/v2/models/fake/infer", body, headers)
    assert reply.status == 200
    split = int(reply.headers[HEADER])
    output = json.loads(reply.body[:split])["outputs"][0]
    assert output["parameters"] == {"binary_data_size": 3 * CLASSES * 4}
    found = np.frombuffer(reply.body[split:], dtype="<f4").reshape(output["shape"])
    np.testing.assert_array_equal(found, expected(x))


@pytest.mark.parametrize("padding", range(5))
def test_binary_data_at_any_offset(live: LiveServer, padding: int) -> None:
    body, headers = tensor_binary(X, id="i" * padding)
    reply = live.request("POST", "/v2/models/fake/infer", body, headers)
    assert reply.json["outputs"][0]["data"] == expected(X)[0].tolist()


def test_raw_request(live: LiveServer) -> None:
    reply = live.request("POST", "/v2/models/fake/infer", X.tobytes(), {HEADER: "0"})
    assert reply.status == 200
    split = int(reply.headers[HEADER])
    np.testing.assert_array_equal(
        np.frombuffer(reply.body[split:], dtype="<f4"), expected(X).ravel()
    )


def test_classification(live: LiveServer) -> None:
    outputs = [{"name": "logits", "parameters": {"classification": 2}}]
    output = live.infer(tensor_json(X, outputs=outputs)).json["outputs"][0]
    assert output == {
        "name": "logits",
        "datatype": "BYTES",
        "shape": [1, 2],
        "data": ["6:3:dog", "4:2:cat"],
    }


def test_level_and_timeout_reach_the_engine(live: LiveServer, engine: FakeEngine) -> None:
    reply = live.infer(tensor_json(X, parameters={"aio_level": 2, "timeout": 10_000_000}))
    assert reply.json["outputs"][0]["data"] == (expected(X)[0] + 2).tolist()
    shape, deadline_ms, level = engine.calls[-1]
    assert shape == (1, *SHAPE)
    assert level == 2
    assert deadline_ms is not None
    assert 0 < deadline_ms <= 10_000


def test_nan_answers_need_binary_data(live: LiveServer) -> None:
    x = np.full((1, *SHAPE), np.nan, dtype=np.float32)
    body, headers = tensor_binary(x)
    reply = live.request("POST", "/v2/models/fake/infer", body, headers)
    assert reply.status == 400
    assert '"binary_data": true' in reply.json["error"]
    body, headers = tensor_binary(x, parameters={"binary_data_output": True})
    reply = live.request("POST", "/v2/models/fake/infer", body, headers)
    assert reply.status == 200
    split = int(reply.headers[HEADER])
    assert np.isnan(np.frombuffer(reply.body[split:], dtype="<f4")).all()


def test_an_answer_that_can_not_be_encoded_is_a_failure(live: LiveServer) -> None:
    statistics = live.server.host.models[0].statistics
    before = statistics.success.count, statistics.failures["OTHER"], statistics.execution_count
    body, headers = tensor_binary(np.full((1, *SHAPE), np.nan, dtype=np.float32))
    assert live.request("POST", "/v2/models/fake/infer", body, headers).status == 400
    live.wait_for(lambda: statistics.execution_count == before[2] + 1)  # it is counted later
    assert (statistics.success.count, statistics.failures["OTHER"]) == (before[0], before[1] + 1)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (InputError("level 9 is too high"), 400, "level 9 is too high"),
        (AioError("the executor is broken"), 500, "the executor is broken"),
        (RuntimeError("/home/secret/path"), 500, "internal error"),
        (MemoryError("secret"), 503, "no memory left for this request; retry later"),
    ],
)
def test_errors_of_the_engine(
    live: LiveServer, engine: FakeEngine, error: Exception, status: int, said: str
) -> None:
    engine.error = error
    reply = live.infer(tensor_json(X))
    assert reply.status == status
    assert said in reply.json["error"]
    assert b"secret" not in reply.body
    assert b"Traceback" not in reply.body
    engine.error = None
    assert live.infer(tensor_json(X)).status == 200


def test_not_ready_while_loading() -> None:
    engine = FakeEngine()
    loaded = threading.Event()

    def loader() -> FakeEngine:
        loaded.wait(30)
        return engine

    with serving(loader) as live:
        assert live.request("GET", "/v2/health/live").status == 200
        ready = live.request("GET", "/v2/health/ready")
        assert ready.status == 503
        assert ready.json == {"live": True, "ready": False}
        assert ready.headers["retry-after"] == "1"
        for reply in (live.infer(tensor_json(X)), live.request("GET", "/v2/models/fake/ready")):
            assert reply.status == 503
            assert "loaded" in reply.json["error"]
            assert reply.headers["retry-after"] == "1"
        loaded.set()
        live.wait_for(live.announced.is_set)
        assert live.request("GET", "/v2/health/ready").status == 200
        assert live.infer(tensor_json(X)).status == 200


def test_a_full_queue_refuses_and_recovers() -> None:
    engine = FakeEngine()
    with serving(lambda: engine, Limits(queue=2)) as live:
        live.wait_for(live.announced.is_set)
        engine.passing.clear()
        replies: list[Reply] = []
        threads = [
            threading.Thread(target=lambda: replies.append(live.infer(tensor_json(X))))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        live.wait_for(lambda: live.server.host.dispatcher.pending == 2)
        refused = live.infer(tensor_json(X))
        assert refused.status == 503
        assert refused.headers["retry-after"] == "1"
        assert live.request("GET", "/v2/health/ready").status == 200  # the loop is not blocked
        engine.passing.set()
        for thread in threads:
            thread.join()
        assert [reply.status for reply in replies] == [200, 200]
        assert live.infer(tensor_json(X)).status == 200


def test_a_timeout_that_passes_in_the_queue(engine: FakeEngine, live: LiveServer) -> None:
    engine.passing.clear()
    replies: list[Reply] = []
    late = tensor_json(X, parameters={"timeout": 1000})
    threads = [
        threading.Thread(target=lambda value=value: replies.append(live.infer(value)))
        for value in (tensor_json(X), late)
    ]
    threads[0].start()
    live.wait_for(lambda: live.server.host.dispatcher.pending == 1)
    threads[1].start()
    threads[1].join()
    # It is told when its time is over, not when the one before it is done.
    assert [reply.status for reply in replies] == [503]
    assert "timeout" in replies[0].json["error"]
    engine.passing.set()
    threads[0].join()
    assert [reply.status for reply in replies] == [503, 200]
    assert len(engine.calls) == 1


def test_metrics() -> None:
    engine = FakeEngine()
    with serving(lambda: engine) as live:
        live.wait_for(live.announced.is_set)
        live.infer(tensor_json(np.concatenate((X, X))))
        engine.record = record(level=2, ratio=0.9)
        live.infer(tensor_json(X))
        live.infer({"inputs": []})
        reply = live.request("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = reply.body.decode().splitlines()
    of_model = 'model="fake",version="1"'
    for line in (
        f"nv_inference_request_success{{{of_model}}} 2.0",
        f"nv_inference_count{{{of_model}}} 3.0",
        'nv_inference_request_failure{model="fake",reason="OTHER",version="1"} 1.0',
        'aio_active_level{model="fake"} 2.0',
        'aio_active_sparsity_ratio{model="fake"} 0.9',
        'aio_cpu_frequency_hertz{policy="fake"} 1.51e+09',
        'aio_predicted_duration_seconds{model="fake"} 0.00025',
        'aio_target_seconds{model="fake"} 0.001',
        'aio_residual_ratio{model="fake"} 1.0',
        'aio_replans_total{model="fake"} 0.0',
        'aio_governor_decisions_total{model="fake",policy="adaptive"} 0.0',
        'aio_ratio_switches_total{from="0",model="fake",reason="governor",to="0.9"} 1.0',
        'aio_inference_duration_seconds_count{level="0",model="fake"} 1.0',
        f"nv_inference_pending_request_count{{{of_model}}} 0.0",
    ):
        assert line in lines
