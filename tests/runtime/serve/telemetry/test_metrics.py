# SPDX-License-Identifier: Apache-2.0
"""The exposition, read back by the reference parser."""

from metric_samples import samples

from aio.runtime.serve.telemetry.metrics import Metrics


def test_nothing_is_zero_before_anything_happened() -> None:
    metrics = Metrics()
    metrics.watch_models(lambda: ())
    metrics.watch_device(lambda: None)
    metrics.watch_governors(dict)
    assert samples(metrics) == {}
