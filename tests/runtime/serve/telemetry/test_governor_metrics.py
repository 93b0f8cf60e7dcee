# SPDX-License-Identifier: Apache-2.0
"""Targets, what was learned, and counts of changes in the exposition."""

from __future__ import annotations

import math

from fake_engine import FakeEngine, record
from metric_samples import samples
from outlooks import decide

from aio.governors import AdaptivePolicy, PredictionError
from aio.runtime.serve.telemetry.metrics import Metrics


def exposed(*engines: FakeEngine) -> dict[str, float]:
    metrics = Metrics()
    metrics.watch_governors(lambda: {engine.name: engine for engine in engines})
    return samples(metrics)


def test_without_a_model_there_is_nothing() -> None:
    assert exposed() == {}


def test_a_model_that_has_not_answered_yet() -> None:
    assert exposed(FakeEngine(given_target_ms=math.inf)) == {
        "aio_residual_ratio|model=fake": 1.0,
        "aio_replans_total|model=fake": 0.0,
        "aio_governor_decisions_total|model=fake|policy=adaptive": 0.0,
    }


def test_what_the_governor_holds_learned_and_changed() -> None:
    decisions = (decide(AdaptivePolicy(), [30.0, 9.0]), decide(AdaptivePolicy(), [9.0]))
    engine = FakeEngine(
        given_target_ms=12.5,
        policy="table",
        decisions=decisions,
        residual=1.25,
        prediction_error=PredictionError(7, 0.03, 0.11),
    )
    engine.journal.note(record(replans=2))
    engine.journal.note(record(replans=1))
    assert exposed(engine) == {
        "aio_target_seconds|model=fake": 0.0125,
        "aio_residual_ratio|model=fake": 1.25,
        "aio_prediction_error_ratio|model=fake|quantile=0.5": 0.03,
        "aio_prediction_error_ratio|model=fake|quantile=0.95": 0.11,
        "aio_replans_total|model=fake": 3.0,
        "aio_governor_decisions_total|model=fake|policy=table": 2.0,
    }


def test_every_model_has_samples_of_its_own() -> None:
    found = exposed(FakeEngine(name="a", residual=0.5), FakeEngine(name="b", residual=2.0))
    assert found["aio_residual_ratio|model=a"] == 0.5
    assert found["aio_residual_ratio|model=b"] == 2.0
