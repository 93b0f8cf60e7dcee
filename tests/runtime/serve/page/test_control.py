# SPDX-License-Identifier: Apache-2.0
"""Controls change what they name, all or nothing, and `null` is how the server was started."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fake_engine import FakeEngine, LiveServer, Reply, serving

from aio.runtime.records import LevelInfo

ACCURACIES = (0.99, 0.95, 0.9)
JSON = {"content-type": "application/json"}


@pytest.fixture
def accurate() -> Iterator[tuple[LiveServer, FakeEngine]]:
    levels = tuple(LevelInfo(i, i / 4, value, 1, 1, None) for i, value in enumerate(ACCURACIES))
    engine = FakeEngine(levels=levels, given_target_ms=5.0)
    with serving(lambda: engine) as live:
        live.wait_for(live.announced.is_set)
        yield live, engine


def post(live: LiveServer, value: object, **headers: str) -> Reply:
    return live.request("POST", "/control", json.dumps(value).encode(), {**JSON, **headers})


def control(live: LiveServer, **members: object) -> Any:
    reply = post(live, {"model": "fake", **members})
    assert reply.status == 200, reply.body
    return reply.json


def test_what_is_set_is_in_force_until_it_is_reset(
    accurate: tuple[LiveServer, FakeEngine],
) -> None:
    live, engine = accurate
    assert control(live, target_ms=20) == {
        "model": "fake",
        "target_ms": 20.0,
        "given_target_ms": 20.0,
        "battery_target_ms": None,
        "min_accuracy": None,
        "allowed_levels": [0, 1, 2],
    }
    assert engine.target_ms == 20.0
    assert control(live, min_accuracy=0.93)["allowed_levels"] == [0, 1]
    assert engine.min_accuracy == 0.93
    assert control(live, battery_target_ms=40)["battery_target_ms"] == 40.0
    back = control(live, target_ms=None, min_accuracy=None, battery_target_ms=None)
    assert (back["target_ms"], back["min_accuracy"], back["battery_target_ms"]) == (5.0, None, None)
    assert live.request("GET", "/state").json["models"][0]["target_ms"] == 5.0


def test_nothing_changes_when_one_value_is_wrong(accurate: tuple[LiveServer, FakeEngine]) -> None:
    live, engine = accurate
    reply = post(live, {"model": "fake", "target_ms": 7.0, "min_accuracy": 0.999})
    assert reply.status == 400
    assert reply.json["error"] == "min_accuracy=0.999: the best level has 0.99"
    assert (engine.target_ms, engine.min_accuracy) == (5.0, None)


@pytest.mark.parametrize(
    ("request_", "status", "message"),
    [
        ([], 400, "must be a JSON object"),
        ({"target_ms": 1}, 400, "expected a JSON object with the members model"),
        ({"model": "fake", "level": 1}, 400, "unknown member 'level'"),
        ({"model": "fake", "target_ms": "20"}, 400, "target_ms is '20', expected a number"),
        ({"model": "fake", "target_ms": True}, 400, "target_ms is 'True', expected a number"),
        ({"model": "fake", "target_ms": 0}, 400, "target_ms=0.0: expected more than 0 ms"),
        ({"model": "fake", "target_ms": -1}, 400, "expected more than 0 ms"),
        ({"model": "fake", "target_ms": 10**400}, 400, "larger than a number can be"),
        ({"model": "fake", "min_accuracy": 1.5}, 400, "expected 0 to 1"),
        ({"model": "other"}, 404, "no model is named 'other'"),
    ],
)
def test_wrong_requests_say_what_is_wrong(
    live: LiveServer, request_: object, status: int, message: str
) -> None:
    reply = post(live, request_)
    assert reply.status == status
    # The fake records no accuracy; its range is checked all the same.
    assert message in reply.json["error"]


@pytest.mark.parametrize("body", [b"", b"{", b'{"model": NaN}', b"\xff", b"[" * 4000])
def test_bodies_that_are_not_json(live: LiveServer, body: bytes) -> None:
    reply = live.request("POST", "/control", body, JSON)
    assert reply.status == 400
    assert "JSON" in reply.json["error"]


def test_a_form_of_another_site_can_not_send_it(live: LiveServer, engine: FakeEngine) -> None:
    before = engine.target_ms
    body = b'{"model": "fake", "target_ms": 99}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        reply = live.request("POST", "/control", body, {"content-type": kind})
        assert reply.status == 400
    assert engine.target_ms == before


def test_a_huge_body_is_refused(live: LiveServer) -> None:
    assert live.request("POST", "/control", b" " * 20_000, JSON).status == 413
