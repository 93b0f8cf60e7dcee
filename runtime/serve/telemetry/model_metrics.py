# SPDX-License-Identifier: Apache-2.0
"""What every model has done, as Prometheus metrics: `nv_inference_*` of Triton and our `aio_*`.

Triton's counters have no `_total` suffix, which prometheus-client adds to every counter; they
are exposed as untyped, so that dashboards made for Triton find them under their names.
Labels come from loaded models and fixed words only, never from a request.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client.core import Metric
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    UnknownMetricFamily,
)

from aio.runtime.serve.telemetry.statistics import Histogram, ModelStatistics

if TYPE_CHECKING:
    from aio.runtime.serve.hosting.host import ServedModel

_MODEL = ("model",)
_VERSION = ("model", "version")

_COUNTS: tuple[tuple[str, str, Callable[[ModelStatistics], float]], ...] = (
    ("request_success", "Requests answered.", lambda of: of.success.count),
    ("count", "Samples inferred; a batch of n counts n.", lambda of: of.inference_count),
    ("exec_count", "Executions; a batch counts 1.", lambda of: of.execution_count),
    ("request_duration_us", "Time of answered requests.", lambda of: of.success.ns / 1e3),
    ("queue_duration_us", "Time waiting for a turn.", lambda of: of.queue.ns / 1e3),
    ("compute_input_duration_us", "Time to decode.", lambda of: of.compute_input.ns / 1e3),
    ("compute_infer_duration_us", "Time in the runtime.", lambda of: of.compute_infer.ns / 1e3),
    ("compute_output_duration_us", "Time to hand back.", lambda of: of.compute_output.ns / 1e3),
)


class ModelCollector:
    """Collector of the statistics of all models.

    Args:
        models: returns the models that are loaded.
    """

    def __init__(self, models: "Callable[[], Iterable[ServedModel]]") -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        """Yield the counts of all models, then what is known of their last inferences."""
        models = list(self._models())
        for name, text, value_of in _COUNTS:
            family = UnknownMetricFamily(f"nv_inference_{name}", text, labels=_VERSION)
            for model in models:
                family.add_metric(_labels(model), value_of(model.statistics))
            yield family
        yield _failures(models)
        yield _pending(models)
        yield from _histograms(models)
        yield from _totals(models)
        yield from _last(models)


def _failures(models: "Iterable[ServedModel]") -> Metric:
    family = UnknownMetricFamily(
        "nv_inference_request_failure",
        "Requests not answered, by reason.",
        labels=(*_VERSION, "reason"),
    )
    for model in models:
        for reason, count in sorted(model.statistics.failures.items()):
            family.add_metric((*_labels(model), reason), count)
    return family


def _pending(models: "Iterable[ServedModel]") -> Metric:
    family = GaugeMetricFamily(
        "nv_inference_pending_request_count", "Requests waiting or running.", labels=_VERSION
    )
    for model in models:
        family.add_metric(_labels(model), model.pending)
    return family


def _histograms(models: "Iterable[ServedModel]") -> Iterator[Metric]:
    inferences = HistogramMetricFamily(
        "aio_inference_duration_seconds", "Time in the executor.", labels=("model", "level")
    )
    waits = HistogramMetricFamily(
        "aio_queue_duration_seconds", "Time requests waited for their turn.", labels=_MODEL
    )
    for model in models:
        statistics = model.statistics
        for level, histogram in sorted(statistics.level_histograms.items()):
            _add_histogram(inferences, (model.spec.name, str(level)), histogram)
        _add_histogram(waits, (model.spec.name,), statistics.queue_histogram)
    yield from (inferences, waits)


def _totals(models: "Iterable[ServedModel]") -> Iterator[Metric]:
    misses = CounterMetricFamily(
        "aio_deadline_misses",
        "Requests answered after their timeout, or refused because of it.",
        labels=_MODEL,
    )
    switches = CounterMetricFamily(
        "aio_ratio_switches",
        "Changes of the pruning ratio between two inferences.",
        labels=("model", "from", "to", "reason"),
    )
    for model in models:
        name = model.spec.name
        misses.add_metric((name,), model.statistics.deadline_misses)
        for (before, after, cause), count in model.statistics.switches.items():
            switches.add_metric((name, f"{before:g}", f"{after:g}", cause), count)
    yield from (misses, switches)


def _last(models: "Iterable[ServedModel]") -> Iterator[Metric]:
    level = GaugeMetricFamily("aio_active_level", "Level of the last inference.", labels=_MODEL)
    ratio = GaugeMetricFamily(
        "aio_active_sparsity_ratio", "Pruning ratio of the last inference.", labels=_MODEL
    )
    predicted = GaugeMetricFamily(
        "aio_predicted_duration_seconds", "Predicted time of the last inference.", labels=_MODEL
    )
    for model in models:
        record, labels = model.statistics.last, (model.spec.name,)
        if record is None:
            continue
        level.add_metric(labels, record.level)
        ratio.add_metric(labels, record.ratio)
        if record.predicted_ms is not None:
            predicted.add_metric(labels, record.predicted_ms / 1e3)
    yield from (level, ratio, predicted)


def _labels(model: "ServedModel") -> tuple[str, str]:
    return model.spec.name, model.spec.version


def _add_histogram(
    family: HistogramMetricFamily, labels: tuple[str, ...], histogram: Histogram
) -> None:
    buckets, below = [], 0
    bounds = (*map(str, histogram.bounds_s), "+Inf")
    for bound, count in zip(bounds, histogram.counts, strict=True):
        below += count
        buckets.append((bound, float(below)))
    family.add_metric(labels, buckets=buckets, sum_value=histogram.sum_s)
