# SPDX-License-Identifier: Apache-2.0
"""Prometheus metrics: our own `aio_*` in base units, and the `nv_inference_*` of Triton.

Triton's counters have no `_total` suffix, which prometheus-client adds to every counter; they
are exposed as untyped, so that dashboards made for Triton find them under their names.
Requests are counted here; device and governor are read when Prometheus asks.
Labels come from loaded models only, never from a request, so their number is bounded.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.metrics_core import UnknownMetricFamily

from aio.runtime.serve.telemetry.device_metrics import DeviceCollector
from aio.runtime.serve.telemetry.governor_metrics import GovernorCollector

if TYPE_CHECKING:
    from aio.governors import DeviceSample
    from aio.runtime.records import InferenceRecord
    from aio.runtime.serve.hosting.engine import Engine

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
BUCKETS_S = tuple(
    base * scale for scale in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0) for base in (1, 2, 5)
)


class TritonCounters:
    """Collector of counters under the exact names of Triton."""

    def __init__(self) -> None:
        self._counts: Tally[tuple[str, tuple[tuple[str, str], ...]]] = Tally()
        self._help = {
            "nv_inference_request_success": "Requests answered.",
            "nv_inference_request_failure": "Requests not answered, by reason.",
            "nv_inference_count": "Samples inferred; a batch of n counts n.",
            "nv_inference_exec_count": "Executions; a batch counts 1.",
        }

    def add(self, name: str, labels: Mapping[str, str], amount: int = 1) -> None:
        """Raise the counter `name` by `amount`."""
        self._counts[name, tuple(labels.items())] += amount

    def collect(self) -> Iterator[Metric]:
        """Yield every counter that has counted."""
        for name, text in self._help.items():
            family = UnknownMetricFamily(name, text)
            for (counted, labels), value in self._counts.items():
                if counted == name:
                    family.add_sample(name, dict(labels), float(value))
            yield family


class Metrics:
    """All metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._triton = TritonCounters()
        self._registry.register(self._triton)
        self._previous: dict[str, float] = {}
        model = ("model",)
        self._duration = Histogram(
            "aio_inference_duration_seconds",
            "Time in the executor.",
            ("model", "level"),
            buckets=BUCKETS_S,
            registry=self._registry,
        )
        self._switches = Counter(
            "aio_ratio_switches",
            "Changes of the pruning ratio between two inferences.",
            ("model", "from", "to"),
            registry=self._registry,
        )
        self._level = self._gauge("aio_active_level", "Level of the last inference.", model)
        self._ratio = self._gauge(
            "aio_active_sparsity_ratio", "Pruning ratio of the last inference.", model
        )
        self._predicted = self._gauge(
            "aio_predicted_duration_seconds", "Predicted time of the last inference.", model
        )

    def watch_device(self, sample: "Callable[[], DeviceSample | None]") -> None:
        """Expose clocks, heat and power; the function returns None while nothing reads them."""
        self._registry.register(DeviceCollector(sample))

    def watch_governors(self, engines: "Callable[[], Mapping[str, Engine]]") -> None:
        """Expose targets, residuals and changes of plan of the models that are loaded."""
        self._registry.register(GovernorCollector(engines))

    def watch_pending(self, pending: Callable[[], int]) -> None:
        """Expose the length of the queue."""
        gauge = self._gauge("nv_inference_pending_request_count", "Requests waiting or running.")
        gauge.set_function(pending)

    def succeeded(self, model: str, version: str, samples: int, record: "InferenceRecord") -> None:
        """Count a request that was answered."""
        labels = {"model": model, "version": version}
        self._triton.add("nv_inference_request_success", labels)
        self._triton.add("nv_inference_count", labels, samples)
        self._triton.add("nv_inference_exec_count", labels)
        self._duration.labels(model, str(record.level)).observe(record.latency_ms / 1e3)
        self._level.labels(model).set(record.level)
        self._ratio.labels(model).set(record.ratio)
        if record.predicted_ms is not None:
            self._predicted.labels(model).set(record.predicted_ms / 1e3)
        previous = self._previous.get(model, record.ratio)
        if previous != record.ratio:
            self._switches.labels(model, f"{previous:g}", f"{record.ratio:g}").inc()
        self._previous[model] = record.ratio

    def failed(self, model: str, version: str, reason: str) -> None:
        """Count a request to a known model that was not answered."""
        labels = {"model": model, "version": version, "reason": reason}
        self._triton.add("nv_inference_request_failure", labels)

    def exposition(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def _gauge(self, name: str, text: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry)
