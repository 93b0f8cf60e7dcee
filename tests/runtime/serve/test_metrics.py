# SPDX-License-Identifier: Apache-2.0
"""The exposition, read back by the reference parser."""

from dataclasses import replace

from fake_engine import record
from prometheus_client.parser import text_string_to_metric_families

from aio.governors.base import PolicySample
from aio.runtime.serve.metrics import Metrics


def samples(metrics: Metrics) -> dict[str, float]:
    text = metrics.exposition().decode()
    return {
        "|".join((sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items())))): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_nothing_is_zero_before_anything_happened() -> None:
    assert samples(Metrics()) == {}


def test_a_missing_prediction_is_no_sample() -> None:
    metrics = Metrics()
    metrics.succeeded("m", "1", 1, record(predicted_ms=None))
    found = samples(metrics)
    assert found["aio_active_level|model=m"] == 0
    assert "aio_predicted_duration_seconds|model=m" not in found


def policy(name: str, khz: int | None) -> PolicySample:
    return PolicySample(name, (0,), khz, None, None, None, None, None)


def test_clocks() -> None:
    measured = record(cpu_khz=2_000_000).clock
    for clock, expected in (
        (None, {}),
        (measured, {"aio_cpu_frequency_hertz|policy=fake": 2e9}),
        (record(cpu_khz=None).clock, {}),
        (
            replace(measured, policies=(policy("policy0", 5), policy("policy4", None))),
            {"aio_cpu_frequency_hertz|policy=policy0": 5e3},
        ),
    ):
        metrics = Metrics()
        metrics.watch_clock(lambda clock=clock: clock)  # type: ignore[misc]
        assert samples(metrics) == expected


def test_switches_are_counted_by_ratio() -> None:
    metrics = Metrics()
    for ratio in (0.0, 0.0, 0.5, 0.0, 0.5):
        metrics.succeeded("m", "1", 1, record(ratio=ratio))
    found = samples(metrics)
    assert found["aio_ratio_switches_total|from=0|model=m|to=0.5"] == 2
    assert found["aio_ratio_switches_total|from=0.5|model=m|to=0"] == 1


def test_failures_by_reason() -> None:
    metrics = Metrics()
    metrics.watch_pending(lambda: 3)
    for reason in ("OTHER", "REJECTED", "OTHER"):
        metrics.failed("m", "1", reason)
    found = samples(metrics)
    assert found["nv_inference_request_failure|model=m|reason=OTHER|version=1"] == 2
    assert found["nv_inference_request_failure|model=m|reason=REJECTED|version=1"] == 1
    assert found["nv_inference_pending_request_count"] == 3
