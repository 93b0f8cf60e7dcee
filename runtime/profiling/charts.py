# SPDX-License-Identifier: Apache-2.0
"""What the charts show, the same in the HTML report and in pictures.

Colours are those of Okabe and Ito, which colour-blind readers tell apart, on light and on dark.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from aio.runtime.profiling.result import Profile
from aio.runtime.profiling.samples import Sample
from aio.runtime.profiling.statistics import percentile

# The runtime's own policies first; each subject keeps its colour in every chart.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999")
ADAPTIVE = "adaptive"
MAX_POINTS = 4000  # of a time series: more makes a report slow and shows nothing more
ECDF_STEPS = 400


@dataclass(frozen=True, slots=True)
class Band:
    """Latency by clock of a subject: median and the 5th to 95th percentile, in ms and MHz."""

    subject: str
    mhz: list[float]
    low_ms: list[float]
    p50_ms: list[float]
    high_ms: list[float]


@dataclass(frozen=True, slots=True)
class Series:
    """Every call of a subject in time: seconds since the first, ms, MHz and the pruning ratio."""

    subject: str
    seconds: list[float]
    latency_ms: list[float]
    mhz: list[float | None]
    ratio: list[float | None]


@dataclass(frozen=True, slots=True)
class Box:
    """The latencies of a subject at a point: percentiles 1, 25, 50, 75 and 99, in ms."""

    subject: str
    point: str
    p1_ms: float
    p25_ms: float
    p50_ms: float
    p75_ms: float
    p99_ms: float


def colours(profile: Profile) -> dict[str, str]:
    """Return the colour of each subject; the adaptive policy's is always the first."""
    names = [info.name for info in profile.subjects]
    names.sort(key=lambda name: name != ADAPTIVE)
    return {name: PALETTE[k % len(PALETTE)] for k, name in enumerate(names)}


def bands(profile: Profile) -> list[Band]:
    """Return latency by clock for every subject whose clock is known."""
    return [
        Band(
            name,
            [clock.cpu_khz / 1e3 for clock in clocks],
            [clock.p5_ms for clock in clocks],
            [clock.p50_ms for clock in clocks],
            [clock.p95_ms for clock in clocks],
        )
        for name, clocks in profile.clocks.items()
        if clocks
    ]


def series(profile: Profile) -> list[Series]:
    """Return the calls of every subject in time, warm-up included."""
    samples = profile.recording.samples
    origin_ns = min((sample.time_ns for sample in samples), default=0)
    return [
        _series(info.name, _thinned(profile.samples(info.name)), origin_ns)
        for info in profile.subjects
    ]


def boundaries(profile: Profile) -> list[tuple[float, str]]:
    """Return when each point began, in seconds since the first call, and its label."""
    samples = profile.recording.samples
    origin_ns = min((sample.time_ns for sample in samples), default=0)
    found = []
    for index, visit in enumerate(profile.recording.visits):
        times = [sample.time_ns for sample in samples if sample.point == index]
        if times:
            found.append(((min(times) - origin_ns) / 1e9, visit.point.label))
    return found


def boxes(profile: Profile) -> list[Box]:
    """Return the distribution of every subject at every point."""
    found = []
    for index, visit in enumerate(profile.recording.visits):
        for info in profile.subjects:
            values = sorted(s.latency_ms for s in profile.steady(info.name, index))
            if values:
                ranks = (percentile(values, percent) for percent in (1, 25, 50, 75, 99))
                found.append(Box(info.name, visit.point.label, *ranks))
    return found


def cumulative(values_ms: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return latencies and the part of the calls that took at most as long, at least one value."""
    ordered = sorted(values_ms)
    count = min(ECDF_STEPS, len(ordered))
    parts = [(k + 1) / count for k in range(count)]
    return [percentile(ordered, 100 * part) for part in parts], parts


def _series(name: str, samples: Sequence[Sample], origin_ns: int) -> Series:
    return Series(
        name,
        [(sample.time_ns - origin_ns) / 1e9 for sample in samples],
        [sample.latency_ms for sample in samples],
        [None if sample.cpu_khz is None else sample.cpu_khz / 1e3 for sample in samples],
        [sample.ratio for sample in samples],
    )


def _thinned(samples: Sequence[Sample]) -> Sequence[Sample]:
    step = -(-len(samples) // MAX_POINTS)
    return samples[:: max(step, 1)]
