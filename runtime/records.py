# SPDX-License-Identifier: Apache-2.0
"""What the runtime tells about itself: levels, inferences, statistics.

Latencies are ms, clocks kHz, times nanoseconds of the monotonic clock; what is not known is None.
"""

import math
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from aio.governors import ClockSample, Decision, DeviceSample, Plan, PredictionError


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output of the model; the shape is without the batch axis."""

    name: str
    shape: tuple[int, ...]
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class LevelInfo:
    """One level of the model. `predicted_ms` is for one sample at the clock of now."""

    index: int
    ratio: float
    accuracy: float | None
    nonzero_weights: int
    macs: int
    predicted_ms: float | None


class InferenceRecord(NamedTuple):
    """How one call of `infer` went.

    `plan` is how it began; `replans` says how often layers still to run were moved to other
    levels, and `levels` which ones were in use (in the last sample of a batch), densest first.
    `level` is the sparsest one planned, `ratio` its pruning ratio. `latency_ms` is the whole call
    as a stopwatch around it sees it; `wait_ms` is the part spent waiting for other calls.
    `predicted_ms` is for the whole batch, `target_ms` for one sample. `slowdown` is measured over
    calibrated time as expected beforehand.
    """

    time_ns: int
    plan: Plan
    levels: tuple[int, ...]
    replans: int
    ratio: float
    batch: int
    latency_ms: float
    wait_ms: float
    predicted_ms: float | None
    target_ms: float
    deadline_ms: float | None
    slowdown: float
    reason: str
    sample: DeviceSample

    @property
    def level(self) -> int:
        """Return the sparsest level of the plan."""
        return self.plan.level

    @property
    def clock(self) -> ClockSample:
        """Return the CPU clock that the choice was made for, with where it is from."""
        return self.sample.clock

    @property
    def cpu_khz(self) -> int | None:
        """Return the CPU clock that the choice was made for."""
        return self.clock.cpu_khz

    @property
    def max_khz(self) -> int | None:
        """Return the CPU clock at full speed."""
        return self.clock.max_khz

    @property
    def deadline_met(self) -> bool | None:
        """Return whether the call kept its deadline, None if it had none."""
        return None if self.deadline_ms is None else self.latency_ms <= self.deadline_ms

    def as_dict(self) -> dict[str, object]:
        """Return the record as plain data, ready for JSON; infinity becomes None."""
        return {
            "level": self.level,
            "levels": list(self.levels),
            "plan": str(self.plan),
            "replans": self.replans,
            "ratio": self.ratio,
            "batch": self.batch,
            "latency_ms": self.latency_ms,
            "wait_ms": self.wait_ms,
            "predicted_ms": self.predicted_ms,
            "target_ms": _finite(self.target_ms),
            "deadline_ms": _finite(self.deadline_ms),
            "deadline_met": self.deadline_met,
            "slowdown": self.slowdown,
            "cpu_khz": self.cpu_khz,
            "max_khz": self.max_khz,
            "clock_driver": self.clock.driver,
            "reason": self.reason,
        }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


@dataclass(frozen=True, slots=True)
class LevelUse:
    """How often a level was used, and for how long altogether."""

    level: int
    inferences: int
    busy_ms: float


@dataclass(frozen=True, slots=True)
class LatencySummary:
    """Percentiles over the last `count` calls, nearest rank."""

    count: int
    min_ms: float
    mean_ms: float
    p50_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True)
class RuntimeStats:
    """Everything since the model was loaded.

    `latency` and `prediction_error` are None before the first call. `switches` counts changes of
    plan from one call to the next, whoever asked for them, `plan_changes` those that the policy
    made, its first plan included, and `replans` those inside calls. `residual` is by how much
    longer inferences take now than sensors and calibration explain. `decisions` are the governor's
    last changes, with their reasons.
    """

    inferences: int
    samples: int
    switches: int
    plan_changes: int
    replans: int
    deadlines: int
    deadlines_missed: int
    levels: tuple[LevelUse, ...]
    latency: LatencySummary | None
    residual: float
    prediction_error: PredictionError | None
    decisions: tuple[Decision, ...]

    def as_dict(self) -> dict[str, object]:
        """Return the statistics as plain data, ready for JSON; infinity becomes None."""
        decisions = [decision_dict(decision) for decision in self.decisions]
        return {**asdict(replace(self, decisions=())), "decisions": decisions}


def decision_dict(decision: Decision) -> dict[str, object]:
    """Return a decision as plain data, ready for JSON; infinity and NaN become None."""
    return {
        "plan": str(decision.plan),
        "previous": None if decision.previous is None else str(decision.previous),
        "level": decision.level,
        "reason": decision.reason,
        "predicted_ms": _finite(decision.predicted_ms),
        "target_ms": _finite(decision.target_ms),
        "target_met": decision.target_met,
        "slowdown": decision.slowdown,
        "cpu_khz": decision.cpu_khz,
        "time_ns": decision.time_ns,
    }


class Journal:
    """Collects records; one lock, held for microseconds only."""

    RING = 4096

    def __init__(self, levels: int) -> None:
        self._lock = threading.Lock()
        self._latencies: deque[float] = deque(maxlen=self.RING)
        self._counts = [0] * levels
        self._busy_ms = [0.0] * levels
        self._samples = 0
        self._switches = 0
        self._replans = 0
        self._deadlines = 0
        self._missed = 0
        self.last: InferenceRecord | None = None

    def note(self, record: InferenceRecord) -> None:
        """Add a finished call."""
        with self._lock:
            last, self.last = self.last, record
            level = record.level
            self._switches += last is not None and last.plan != record.plan
            self._replans += record.replans
            self._counts[level] += 1
            self._busy_ms[level] += record.latency_ms - record.wait_ms
            self._samples += record.batch
            self._latencies.append(record.latency_ms)
            if record.deadline_ms is not None:
                self._deadlines += 1
                self._missed += not record.deadline_met

    def stats(
        self,
        decisions: tuple[Decision, ...],
        plan_changes: int,
        residual: float,
        prediction_error: PredictionError | None,
    ) -> RuntimeStats:
        """Return the statistics so far, with what the governor says of itself."""
        with self._lock:
            latencies = sorted(self._latencies)
            uses = tuple(
                LevelUse(level, count, busy_ms)
                for level, (count, busy_ms) in enumerate(
                    zip(self._counts, self._busy_ms, strict=True)
                )
            )
            return RuntimeStats(
                inferences=sum(self._counts),
                samples=self._samples,
                switches=self._switches,
                plan_changes=plan_changes,
                replans=self._replans,
                deadlines=self._deadlines,
                deadlines_missed=self._missed,
                levels=uses,
                latency=summarize(latencies) if latencies else None,
                residual=residual,
                prediction_error=prediction_error,
                decisions=decisions,
            )


def summarize(ordered_ms: Sequence[float]) -> LatencySummary:
    """Return the percentiles of latencies in ascending order, at least one."""
    count = len(ordered_ms)

    def rank(percent: int) -> float:
        return ordered_ms[max(0, math.ceil(percent / 100 * count) - 1)]

    return LatencySummary(
        count=count,
        min_ms=ordered_ms[0],
        mean_ms=math.fsum(ordered_ms) / count,
        p50_ms=rank(50),
        p90_ms=rank(90),
        p95_ms=rank(95),
        p99_ms=rank(99),
        max_ms=ordered_ms[-1],
    )
