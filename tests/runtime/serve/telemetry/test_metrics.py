# SPDX-License-Identifier: Apache-2.0
"""The exposition, read back by the reference parser."""

from fake_engine import record
from metric_samples import samples

from aio.runtime.serve.telemetry.metrics import Metrics


def test_nothing_is_zero_before_anything_happened() -> None:
    assert samples(Metrics()) == {}


def test_a_missing_prediction_is_no_sample() -> None:
    metrics = Metrics()
    metrics.succeeded("m", "1", 1, record(predicted_ms=None))
    found = samples(metrics)
    assert found["aio_active_level|model=m"] == 0
    assert "aio_predicted_duration_seconds|model=m" not in found


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
