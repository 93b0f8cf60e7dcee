# SPDX-License-Identifier: Apache-2.0
"""The figures of stability: how much latencies differ across clocks and across requests."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from aio.governors import Plan

# A clock with fewer requests than this is counted in all figures but the spread across clocks.
MIN_REQUESTS_PER_CLOCK = 20


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it went.

    `cpu_khz` is the clock when it began, `clock_changes` how often the clock changed since the
    request before began. `feasible` says whether some level could have kept the target.
    """

    latency_ms: float
    cpu_khz: int
    plan: Plan | None
    clock_changes: int = 0
    feasible: bool = True


@dataclass(frozen=True, slots=True)
class Stability:
    """The figures over many requests. Parts are of the mean, multiples of the target.

    `spread` is (max - min) / mean over the mean latencies of the clocks, `spread_of_medians` the
    same of medians. `plan_changes` counts changes between one request and the next,
    `clock_changes` those of the clock at any time. `worst_of_target` is over the requests that
    some level could have kept; None if there is none.
    """

    requests: int
    target_ms: float
    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float
    cv: float
    clocks: int
    spread: float
    spread_of_medians: float
    worst_of_target: float | None
    plan_changes: int
    clock_changes: int

    @property
    def changes_per_clock_change(self) -> float | None:
        """Return changes of plan per change of clock, None at a constant clock."""
        return self.plan_changes / self.clock_changes if self.clock_changes else None


def stability(requests: Sequence[Request], target_ms: float) -> Stability:
    """Return the figures of at least one request."""
    latencies = np.array([request.latency_ms for request in requests])
    by_clock: dict[int, list[float]] = defaultdict(list)
    for request in requests:
        by_clock[request.cpu_khz].append(request.latency_ms)
    often = [values for values in by_clock.values() if len(values) >= MIN_REQUESTS_PER_CLOCK]
    feasible = [request.latency_ms for request in requests if request.feasible]
    return Stability(
        requests=len(requests),
        target_ms=target_ms,
        mean_ms=float(latencies.mean()),
        p50_ms=float(np.quantile(latencies, 0.5)),
        p95_ms=float(np.quantile(latencies, 0.95)),
        p99_ms=float(np.quantile(latencies, 0.99)),
        max_ms=float(latencies.max()),
        cv=float(latencies.std() / latencies.mean()),
        clocks=len(often),
        spread=_spread([float(np.mean(values)) for values in often]),
        spread_of_medians=_spread([float(np.median(values)) for values in often]),
        worst_of_target=max(feasible) / target_ms if feasible else None,
        plan_changes=sum(a.plan != b.plan for a, b in pairwise(requests)),
        clock_changes=sum(request.clock_changes for request in requests[1:]),
    )


def _spread(values: Sequence[float]) -> float:
    return (max(values) - min(values)) / float(np.mean(values)) if values else 0.0
