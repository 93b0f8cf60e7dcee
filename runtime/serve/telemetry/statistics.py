# SPDX-License-Identifier: Apache-2.0
"""What one model has done since it was loaded: the counts of Triton's statistics extension.

Everything here is plain numbers that only grow, written and read in the event loop alone; the
statistics endpoints, gRPC and the metrics are three views of them.

    success = compute_input + queue + compute_infer + compute_output

`compute_input` is the time from a request's arrival until it waits for its turn (reading,
decoding), `compute_infer` the time in the runtime, `compute_output` what it takes to hand the
answer back. A merged run counts for each of its requests, but as one execution.
"""

import bisect
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from aio.runtime.records import InferenceRecord

NS_PER_MS = 1_000_000
BUCKETS_S = tuple(
    base * scale for scale in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0) for base in (1, 2, 5)
)


@dataclass(slots=True)
class Duration:
    """How often something happened and how long it took altogether."""

    count: int = 0
    ns: int = 0

    def add(self, ns: float) -> None:
        """Count one that took `ns`; a clock that seems to run backwards counts as no time."""
        self.count += 1
        self.ns += max(0, round(ns))

    def as_dict(self) -> dict[str, int]:
        """Return both, as in the protocol."""
        return {"count": self.count, "ns": self.ns}


@dataclass(slots=True)
class BatchCount:
    """The executions of one batch size."""

    compute_input: Duration = field(default_factory=Duration)
    compute_infer: Duration = field(default_factory=Duration)
    compute_output: Duration = field(default_factory=Duration)

    def as_dict(self) -> dict[str, dict[str, int]]:
        """Return the three durations, as in the protocol."""
        return {
            "compute_input": self.compute_input.as_dict(),
            "compute_infer": self.compute_infer.as_dict(),
            "compute_output": self.compute_output.as_dict(),
        }


class Histogram:
    """Counts of durations by size, for one metric.

    Args:
        bounds_s: the largest duration of each bucket, ascending; larger ones have one more.
    """

    __slots__ = ("bounds_s", "counts", "sum_s")

    def __init__(self, bounds_s: Sequence[float] = BUCKETS_S) -> None:
        self.bounds_s = bounds_s
        self.counts = [0] * (len(bounds_s) + 1)
        self.sum_s = 0.0

    def add(self, duration_s: float) -> None:
        """Count one duration."""
        self.counts[bisect.bisect_left(self.bounds_s, duration_s)] += 1
        self.sum_s += duration_s


class Served(NamedTuple):
    """How long one answered request took on its way, in nanoseconds, and how it was run.

    `leads` is True for one request of each execution: the one that an execution counts with.
    `cause` is why its plan was the one it was: one of a few words.
    """

    record: "InferenceRecord"
    cause: str
    samples: int
    compute_input_ns: float
    queue_ns: float
    compute_infer_ns: float
    compute_output_ns: float
    leads: bool = True
    late: bool = False

    @property
    def total_ns(self) -> float:
        """Return how long it was in the server."""
        return (
            self.compute_input_ns + self.queue_ns + self.compute_infer_ns + self.compute_output_ns
        )


class ModelStatistics:
    """The counts of one model."""

    def __init__(self) -> None:
        self.inference_count = 0
        self.execution_count = 0
        self.last_inference_ms = 0  # since the epoch; 0 before the first
        self.success = Duration()
        self.fail = Duration()
        self.queue = Duration()
        self.compute_input = Duration()
        self.compute_infer = Duration()
        self.compute_output = Duration()
        # There is no response cache; the protocol has the fields all the same.
        self.cache_hit = Duration()
        self.cache_miss = Duration()
        self.batches: dict[int, BatchCount] = {}
        self.failures: Counter[str] = Counter()
        self.deadline_misses = 0
        self.queue_histogram = Histogram()
        self.level_histograms: dict[int, Histogram] = {}
        self.switches: Counter[tuple[float, float, str]] = Counter()
        self.last: InferenceRecord | None = None

    def served(self, one: Served) -> None:
        """Count a request that was answered."""
        record = one.record
        self.inference_count += one.samples
        self.last_inference_ms = time.time_ns() // NS_PER_MS
        self.success.add(one.total_ns)
        self.queue.add(one.queue_ns)
        self.compute_input.add(one.compute_input_ns)
        self.compute_infer.add(one.compute_infer_ns)
        self.compute_output.add(one.compute_output_ns)
        self.queue_histogram.add(one.queue_ns / 1e9)
        self.deadline_misses += one.late
        if one.leads:
            self._executed(one, record)

    def failed(self, reason: str, ns: float = 0, *, late: bool = False) -> None:
        """Count a request that was not answered with a result.

        Args:
            reason: the label of `nv_inference_request_failure`.
            ns: how long it was in the server.
            late: its deadline passed, or could not have been kept.
        """
        self.fail.add(ns)
        self.failures[reason] += 1
        self.deadline_misses += late

    def wasted(self, one: Served, reason: str) -> None:
        """Count a request that was executed, but whose answer could not be made."""
        self.failed(reason, one.total_ns)
        if one.leads:
            self._executed(one, one.record)

    def as_dict(self) -> dict[str, object]:
        """Return the counts as the statistics extension has them, without name and version."""
        durations: Mapping[str, Duration] = {
            "success": self.success,
            "fail": self.fail,
            "queue": self.queue,
            "compute_input": self.compute_input,
            "compute_infer": self.compute_infer,
            "compute_output": self.compute_output,
            "cache_hit": self.cache_hit,
            "cache_miss": self.cache_miss,
        }
        return {
            "last_inference": self.last_inference_ms,
            "inference_count": self.inference_count,
            "execution_count": self.execution_count,
            "inference_stats": {name: value.as_dict() for name, value in durations.items()},
            "batch_stats": [
                {"batch_size": size, **count.as_dict()}
                for size, count in sorted(self.batches.items())
            ],
        }

    def _executed(self, one: Served, record: "InferenceRecord") -> None:
        self.execution_count += 1
        count = self.batches.get(record.batch)
        if count is None:
            count = self.batches[record.batch] = BatchCount()
        count.compute_input.add(one.compute_input_ns)
        count.compute_infer.add(one.compute_infer_ns)
        count.compute_output.add(one.compute_output_ns)
        histogram = self.level_histograms.get(record.level)
        if histogram is None:
            histogram = self.level_histograms[record.level] = Histogram()
        histogram.add(record.latency_ms / 1e3)
        last, self.last = self.last, record
        if last is not None and last.ratio != record.ratio:
            self.switches[last.ratio, record.ratio, one.cause] += 1
