# SPDX-License-Identifier: Apache-2.0
"""What the governor of every model holds, learns and changes, as Prometheus metrics.

Reasons are words: they are in the log, in responses and under `/v2/models/NAME/stats`.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

if TYPE_CHECKING:
    from aio.runtime.serve.hosting.engine import Engine

_MODEL = ("model",)


class GovernorCollector:
    """Collector of the state of every governor.

    Args:
        engines: returns the models that are loaded, by the names they are served as.
    """

    def __init__(self, engines: "Callable[[], Mapping[str, Engine]]") -> None:
        self._engines = engines

    def collect(self) -> Iterator[Metric]:
        """Yield targets, what was learned, and counts of changes."""
        target = GaugeMetricFamily("aio_target_seconds", "Latency to hold now.", labels=_MODEL)
        residual = GaugeMetricFamily(
            "aio_residual_ratio",
            "By how much longer inferences take than sensors and calibration explain.",
            labels=_MODEL,
        )
        error = GaugeMetricFamily(
            "aio_prediction_error_ratio",
            "How far the last predictions were off, as a part of the prediction.",
            labels=("model", "quantile"),
        )
        replans = CounterMetricFamily(
            "aio_replans", "Changes of level inside inferences.", labels=_MODEL
        )
        decisions = CounterMetricFamily(
            "aio_governor_decisions", "Changes of plan by the policy.", labels=("model", "policy")
        )
        for name, engine in self._engines().items():
            stats = engine.stats()
            if math.isfinite(engine.target_ms):
                target.add_metric((name,), engine.target_ms / 1e3)
            residual.add_metric((name,), stats.residual)
            if stats.prediction_error is not None:
                error.add_metric((name, "0.5"), stats.prediction_error.median)
                error.add_metric((name, "0.95"), stats.prediction_error.p95)
            replans.add_metric((name,), stats.replans)
            decisions.add_metric((name, engine.policy), stats.plan_changes)
        yield from (target, residual, error, replans, decisions)
