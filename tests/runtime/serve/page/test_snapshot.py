# SPDX-License-Identifier: Apache-2.0
"""The state as plain data."""

import json
import math

import numpy as np
from fake_engine import SHAPE, FakeEngine, LiveServer, serving, tensor_json
from outlooks import decide

from aio.governors import AdaptivePolicy
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.page.snapshot import Seen, Snapshots
from aio.runtime.serve.scheduling.dispatcher import Dispatcher

X = np.zeros((1, *SHAPE), np.float32)


def test_state_before_a_model_is_loaded() -> None:
    dispatcher = Dispatcher(4)
    state = Snapshots(Host(dispatcher), Limits(queue=4)).whole()
    assert state["models"] == []
    assert state["device"] is None
    assert state["queue"] == {"length": 0, "limit": 4}
    assert state["server"]["state"] == "loading"  # type: ignore[index]
    assert dispatcher.close(1)


def test_state_after_an_inference(live: LiveServer) -> None:
    before = live.request("GET", "/state").json["models"][0]["counts"]["inferences"]
    assert live.infer(tensor_json(X)).status == 200
    reply = live.request("GET", "/state")
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    state = reply.json
    (model,) = state["models"]
    assert model["counts"]["inferences"] == before + 1
    assert model["inputs"] == [{"name": "image", "shape": list(SHAPE)}]
    assert model["outputs"][0]["labels"] == ["ant", "bee", "cat", "dog"]
    assert model["last"]["reason"] == "fits the target"
    assert model["last"]["plan_levels"] == [0]
    assert model["window"]["count"] >= 1
    assert model["window"]["p50_ms"] == 0.5
    time_s, latency_ms, queue_ms, *rest = model["points"][-1]
    assert abs(time_s - state["time_s"]) < 60
    assert latency_ms == 0.5
    assert queue_ms >= 0
    assert rest == [0, 0.0, 1.0, 1_510_000]
    assert [level["accuracy"] for level in model["levels"]] == [None] * 3
    assert state["device"]["clock"]["cpu_khz"] == 1_510_000


def test_news_come_once() -> None:
    engine = FakeEngine()
    with serving(lambda: engine) as live:
        live.wait_for(live.announced.is_set)
        snapshots, seen = Snapshots(live.server.host, Limits()), Seen()
        infer(live)
        snapshots.mark(seen)
        assert news(snapshots, seen) == (0, 0)
        engine.decisions = (decide(AdaptivePolicy(), [30.0, 9.0], 20.0),)
        for _ in range(2):
            infer(live)
        assert news(snapshots, seen) == (2, 1)
        assert news(snapshots, seen) == (0, 0)


def infer(live: LiveServer) -> None:
    """Wait until the answer is counted too, which is done after it is sent."""
    (model,) = live.server.host.models
    before = model.statistics.success.count
    assert live.infer(tensor_json(X)).status == 200
    live.wait_for(lambda: model.statistics.success.count > before)


def news(snapshots: Snapshots, seen: Seen) -> tuple[int, int]:
    """Return how many points and changes of plan are new."""
    (model,) = json.loads(json.dumps(snapshots.news(seen)))["models"]
    assert model["window"]["count"] >= 1
    return len(model["points"]), len(model["decisions"])


def test_what_json_lacks_becomes_null() -> None:
    engine = FakeEngine(given_target_ms=math.inf)
    engine.record = engine.record._replace(target_ms=math.inf, predicted_ms=None)
    with serving(lambda: engine) as live:
        live.wait_for(live.announced.is_set)
        assert live.infer(tensor_json(X)).status == 200
        text = live.request("GET", "/state").body

        def refuse(constant: str) -> None:
            raise AssertionError(constant)

        (model,) = json.loads(text, parse_constant=refuse)["models"]
    assert model["target_ms"] is None
    assert model["points"][0][5] is None
    assert model["window"]["over_target"] is None
