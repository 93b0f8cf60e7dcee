# SPDX-License-Identifier: Apache-2.0
"""Figures of samples: percentiles, spread, misses, energy, levels.

Percentiles are by nearest rank (the smallest value with that part of the samples at or below it),
so each is a latency that occurred, and p99.9 of fewer than 1000 samples is the largest. The
interval of a median is the one by order statistics, which assumes nothing about the distribution
(Le Boudec, Performance Evaluation of Computer and Communication Systems, 2010, section 2.2).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median, stdev

from aio.runtime.profiling.samples import COLD, STEADY, WARMUP, Sample

Z95 = 1.96
MIN_BIN = 10  # samples at a clock before their median counts for the spread
SAME_CLOCK = 1.03
DEADLINE_SLACK = 1.2


@dataclass(frozen=True, slots=True)
class Latency:
    """Of steady samples, in ms. `cv` is the standard deviation over the mean."""

    count: int
    min_ms: float
    mean_ms: float
    stdev_ms: float
    cv: float
    p50_ms: float
    p50_low_ms: float
    p50_high_ms: float
    p90_ms: float
    p95_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    worst_over_best: float


@dataclass(frozen=True, slots=True)
class LevelShare:
    """The part of the calls and of their time that a level was the sparsest one planned."""

    level: int
    ratio: float
    calls: float
    time: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured of a subject at a point, or over all points.

    `cold_ms` is the first call after loading, where it was here; `warmup_ms` the median of the
    warm-up. `deadline_misses` is the part of steady calls whose response, waiting included, took
    longer than `deadline_ms`. `energy_mj` is per call, of the whole device, pauses included.
    `accuracy` is the mean over calls of the lowest recorded accuracy among the levels used.
    `rate` are calls per second as they came.
    """

    latency: Latency
    cold_ms: float | None
    warmup_ms: float | None
    warmup_count: int
    seen_khz: int | None
    temperature_mc: int | None
    throttled: float | None
    deadline_ms: float | None
    deadline_misses: float | None
    energy_mj: float | None
    levels: tuple[LevelShare, ...]
    level_changes: int | None
    replans: int | None
    ratio: float | None
    accuracy: float | None
    rate: float | None


@dataclass(frozen=True, slots=True)
class AtClock:
    """The steady samples at about one clock."""

    cpu_khz: int
    count: int
    p5_ms: float
    p50_ms: float
    p95_ms: float
    ratio: float | None


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Return a percentile of ascending values, at least one, by nearest rank."""
    # The product may be a hair above a whole number that it is in exact arithmetic.
    return ordered[max(0, math.ceil(round(percent / 100 * len(ordered), 9)) - 1)]


def median_interval(ordered: Sequence[float]) -> tuple[float, float]:
    """Return the 95 % confidence interval of the median of ascending values, at least one."""
    count = len(ordered)
    reach = Z95 * math.sqrt(count) / 2
    low = max(0, math.floor(count / 2 - reach) - 1)
    high = min(count - 1, math.ceil(count / 2 + reach))
    return ordered[low], ordered[high]


def latency_figures(values_ms: Sequence[float]) -> Latency:
    """Return the figures of latencies, at least one."""
    ordered = sorted(values_ms)
    mean_ms = math.fsum(ordered) / len(ordered)
    deviation_ms = stdev(ordered) if len(ordered) > 1 else 0.0
    low_ms, high_ms = median_interval(ordered)
    return Latency(
        count=len(ordered),
        min_ms=ordered[0],
        mean_ms=mean_ms,
        stdev_ms=deviation_ms,
        cv=deviation_ms / mean_ms,
        p50_ms=percentile(ordered, 50),
        p50_low_ms=low_ms,
        p50_high_ms=high_ms,
        p90_ms=percentile(ordered, 90),
        p95_ms=percentile(ordered, 95),
        p99_ms=percentile(ordered, 99),
        p999_ms=percentile(ordered, 99.9),
        max_ms=ordered[-1],
        worst_over_best=ordered[-1] / ordered[0],
    )


def figures(
    samples: Sequence[Sample],
    accuracies: Sequence[float | None] = (),
    deadline_ms: float | None = None,
) -> Figures | None:
    """Return the figures of one subject's samples; None if none of them is steady.

    Args:
        samples: in the order they were taken.
        accuracies: recorded ones of the levels, densest first.
        deadline_ms: what a response may take.
    """
    steady = [sample for sample in samples if sample.phase == STEADY]
    if not steady:
        return None
    warmup = [s.latency_ms for s in samples if s.phase == WARMUP]
    limits = [bool(s.throttle) for s in steady if s.throttle is not None]
    late = None
    if deadline_ms is not None:
        late = sum(s.response_ms > deadline_ms for s in steady) / len(steady)
    return Figures(
        latency=latency_figures([s.latency_ms for s in steady]),
        cold_ms=next((s.latency_ms for s in samples if s.phase == COLD), None),
        warmup_ms=median(warmup) if warmup else None,
        warmup_count=len(warmup),
        seen_khz=_middle([s.cpu_khz for s in steady]),
        temperature_mc=_middle([s.temperature_mc for s in steady]),
        throttled=sum(limits) / len(limits) if limits else None,
        deadline_ms=deadline_ms,
        deadline_misses=late,
        energy_mj=energy_per_call_mj(steady),
        levels=_shares(steady),
        level_changes=_level_changes(steady),
        replans=_replans(steady),
        ratio=_mean([s.ratio for s in steady]),
        accuracy=_accuracy(steady, accuracies),
        rate=_rate(steady),
    )


def by_clock(samples: Sequence[Sample]) -> tuple[AtClock, ...]:
    """Return the steady samples of one subject grouped by clock, ascending; rare clocks left out.

    Clocks within 3 % are one: a clock that is measured, not read, is never twice the same.
    """
    steady = sorted(
        (s.cpu_khz, s.latency_ms, s.ratio)
        for s in samples
        if s.phase == STEADY and s.cpu_khz is not None
    )
    groups: list[list[tuple[int, float, float | None]]] = []
    for item in steady:
        if groups and item[0] <= SAME_CLOCK * groups[-1][0][0]:
            groups[-1].append(item)
        else:
            groups.append([item])
    return tuple(_at_clock(group) for group in groups if len(group) >= MIN_BIN)


def frequency_spread(clocks: Sequence[AtClock]) -> float | None:
    """Return (max - min) / mean over the medians by clock; None with fewer than two clocks."""
    medians = [clock.p50_ms for clock in clocks]
    if len(medians) < 2:
        return None
    return (max(medians) - min(medians)) / (math.fsum(medians) / len(medians))


def energy_per_call_mj(steady: Sequence[Sample]) -> float | None:
    """Return energy over calls, from a counter or else from power; None without a rail.

    The time between turns belongs to others and is left out.
    """
    energy_mj, calls = 0.0, 0
    for _, group in groupby(steady, key=lambda sample: sample.turn):
        turn = list(group)
        seconds = (turn[-1].time_ns - turn[0].time_ns) / 1e9
        first, last = turn[0].energy_uj, turn[-1].energy_uj
        powers = [s.power_mw for s in turn if s.power_mw is not None]
        if first is not None and last is not None and last > first:  # less: it began anew
            energy_mj += (last - first) / 1e3
        elif powers and first is None:
            energy_mj += math.fsum(powers) / len(powers) * seconds
        else:
            continue
        calls += len(turn) - 1
    return energy_mj / calls if calls else None


def _at_clock(group: Sequence[tuple[int, float, float | None]]) -> AtClock:
    ordered = sorted(latency_ms for _, latency_ms, _ in group)
    return AtClock(
        cpu_khz=round(median(khz for khz, _, _ in group)),
        count=len(group),
        p5_ms=percentile(ordered, 5),
        p50_ms=percentile(ordered, 50),
        p95_ms=percentile(ordered, 95),
        ratio=_mean([ratio for _, _, ratio in group]),
    )


def _shares(steady: Sequence[Sample]) -> tuple[LevelShare, ...]:
    total_ms = math.fsum(s.latency_ms for s in steady)
    ratios: Mapping[int, float] = {
        s.level: s.ratio for s in steady if s.level is not None and s.ratio is not None
    }
    shares = []
    for level, ratio in sorted(ratios.items()):
        own = [s.latency_ms for s in steady if s.level == level]
        shares.append(LevelShare(level, ratio, len(own) / len(steady), math.fsum(own) / total_ms))
    return tuple(shares)


def _level_changes(steady: Sequence[Sample]) -> int | None:
    if steady[0].level is None:
        return None
    pairs = pairwise(steady)
    return sum(a.level != b.level for a, b in pairs if a.turn == b.turn)


def _replans(steady: Sequence[Sample]) -> int | None:
    counts = [s.replans for s in steady if s.replans is not None]
    return sum(counts) if counts else None


def _accuracy(steady: Sequence[Sample], accuracies: Sequence[float | None]) -> float | None:
    if not accuracies:
        return None
    worst: list[float] = []
    for sample in steady:
        used = [accuracies[level] for level in sample.levels or (0,)]
        known = [value for value in used if value is not None]
        if len(known) != len(used):
            return None
        worst.append(min(known))
    return _mean(worst)


def _rate(steady: Sequence[Sample]) -> float | None:
    """Return calls per second within turns."""
    seconds, calls = 0.0, 0
    for a, b in pairwise(steady):
        if a.turn == b.turn:
            seconds += (b.time_ns - a.time_ns) / 1e9
            calls += 1
    return calls / seconds if seconds else None


def _middle(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return round(median(known)) if known else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if known else None
