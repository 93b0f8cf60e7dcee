# SPDX-License-Identifier: Apache-2.0
"""Counts of a model as Prometheus metrics, read back by the reference parser."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from fake_engine import FakeEngine, record
from metric_samples import samples

from aio.runtime.serve.hosting.host import Host, ServedModel
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.telemetry.metrics import Metrics
from aio.runtime.serve.telemetry.statistics import Served

if TYPE_CHECKING:
    from collections.abc import Iterator

MODEL = "model=fake|version=1"


@contextmanager
def hosted() -> Iterator[tuple[ServedModel, Callable[[], dict[str, float]]]]:
    host = Host(Dispatcher(limit=1))
    model = asyncio.run(host.load(FakeEngine))
    metrics = Metrics()
    metrics.watch_models(lambda: host.models)
    yield model, lambda: samples(metrics)
    assert host.close(timeout_s=5)


def served(
    ratio: float = 0.0,
    *,
    level: int = 0,
    predicted_ms: float | None = 0.25,
    late: bool = False,
    cause: str = "governor",
) -> Served:
    how = record(level, ratio, predicted_ms=predicted_ms)
    return Served(how, cause, 3, 1000.0, 2000.0, 3_000_000.0, 4000.0, late=late)


def test_triton_names_and_units() -> None:
    with hosted() as (model, read):
        model.statistics.served(served())
        found = read()
        assert {
            name: found[f"nv_inference_{name}|{MODEL}"]
            for name in ("request_success", "count", "exec_count", "pending_request_count")
        } == {"request_success": 1, "count": 3, "exec_count": 1, "pending_request_count": 0}
        durations = {
            name: found[f"nv_inference_{name}_duration_us|{MODEL}"]
            for name in ("request", "queue", "compute_input", "compute_infer", "compute_output")
        }
        assert durations == pytest.approx(
            {
                "request": 3007.0,
                "queue": 2.0,
                "compute_input": 1.0,
                "compute_infer": 3000.0,
                "compute_output": 4.0,
            }
        )


def test_histograms_are_cumulative() -> None:
    with hosted() as (model, read):
        model.statistics.served(served(level=2))  # half a millisecond
        found = read()
        name = "aio_inference_duration_seconds"
        assert found[f"{name}_bucket|le=0.0002|level=2|model=fake"] == 0
        assert found[f"{name}_bucket|le=0.0005|level=2|model=fake"] == 1
        assert found[f"{name}_bucket|le=+Inf|level=2|model=fake"] == 1
        assert found[f"{name}_count|level=2|model=fake"] == 1
        assert found[f"{name}_sum|level=2|model=fake"] == pytest.approx(0.0005)
        assert found["aio_queue_duration_seconds_count|model=fake"] == 1


def test_a_missing_prediction_is_no_sample() -> None:
    with hosted() as (model, read):
        model.statistics.served(served(predicted_ms=None))
        found = read()
        assert found["aio_active_level|model=fake"] == 0
        assert "aio_predicted_duration_seconds|model=fake" not in found


def test_switches_are_counted_by_ratio_and_reason() -> None:
    with hosted() as (model, read):
        for ratio, cause in ((0.0, ""), (0.0, ""), (0.5, "load"), (0.0, "governor"), (0.5, "load")):
            model.statistics.served(served(ratio, cause=cause))
        found = read()
        assert found["aio_ratio_switches_total|from=0|model=fake|reason=load|to=0.5"] == 2
        assert found["aio_ratio_switches_total|from=0.5|model=fake|reason=governor|to=0"] == 1


def test_failures_by_reason_and_missed_deadlines() -> None:
    with hosted() as (model, read):
        for reason in ("OTHER", "REJECTED", "OTHER"):
            model.statistics.failed(reason, late=reason == "REJECTED")
        model.statistics.served(served(late=True))
        found = read()
        assert found["nv_inference_request_failure|model=fake|reason=OTHER|version=1"] == 2
        assert found["nv_inference_request_failure|model=fake|reason=REJECTED|version=1"] == 1
        assert found["aio_deadline_misses_total|model=fake"] == 2
