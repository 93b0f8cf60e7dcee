# SPDX-License-Identifier: Apache-2.0
"""The statistics extension, and what our own governor adds to it."""

import math

import numpy as np
from fake_engine import SHAPE, FakeEngine, record, serving, tensor_json
from outlooks import decide

from aio.governors import AdaptivePolicy

X = np.arange(6, dtype=np.float32).reshape(1, *SHAPE)
COUNTS = {"inference_count", "execution_count", "last_inference", "inference_stats", "batch_stats"}


def test_stats_tell_what_was_done_and_why() -> None:
    engine = FakeEngine(decisions=(decide(AdaptivePolicy(), [30.0, 9.0], math.inf),))
    with serving(lambda: engine) as live:
        live.wait_for(live.announced.is_set)
        (before,) = live.request("GET", "/v2/models/fake/stats").json["model_stats"]
        assert (before["aio"]["last"], before["aio"]["stats"]["latency"]) == (None, None)
        engine.record = record(replans=1)
        live.infer(tensor_json(X))
        reply = live.request("GET", "/v2/models/fake/versions/1/stats")
        everything = live.request("GET", "/v2/models/stats")
        assert live.request("GET", "/v2/models/other/stats").status == 404
    assert reply.status == everything.status == 200
    assert reply.json == everything.json
    (found,) = reply.json["model_stats"]
    assert (found["name"], found["version"]) == ("fake", "1")
    assert set(found) >= COUNTS
    for name in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"):
        assert set(found["inference_stats"][name]) == {"count", "ns"}
    ours = found["aio"]
    assert (ours["policy"], ours["target_ms"]) == ("adaptive", 1.0)
    assert (ours["stats"]["inferences"], ours["stats"]["replans"]) == (1, 1)
    assert ours["last"]["reason"] == "fits the target"
    (decision,) = ours["stats"]["decisions"]
    assert decision["reason"] == "cpu 1510 MHz: level 0 takes 30.0 ms, no target"
    assert (decision["plan"], decision["previous"]) == ("level 0", None)
    assert decision["target_ms"] is None
