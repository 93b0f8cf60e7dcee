# SPDX-License-Identifier: Apache-2.0
"""How long each level takes at a clock, T(f) = cycles / f + fixed, and which part each layer has.

Computing takes a number of cycles, so its time scales with the clock; memory and peripherals take
a fixed time. Frequencies are kHz and times ms, so their product is a plain count of cycles.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

# Clocks this far apart tell cycles from fixed time; closer ones only tell noise.
MIN_CLOCK_SPAN = 1.2
_SAME_CLOCK = 1.05
# Noise in the clock readings makes the fixed part look larger than it is, and a model that believes
# in a fixed time no longer reacts to the clock. Half is more than networks on CPUs show.
MAX_FIXED_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Observation:
    """One round over all levels: their latencies, and the clock meanwhile if it is known."""

    cpu_khz: int | None
    latency_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class LatencyModel:
    """Predicts the latency of every level; a sparser level is never predicted slower.

    `cycles` is None when no clock was known; then `reference_ms` is the prediction at any clock.
    `layer_shares` is levels x layers: the part of the level's time that each layer takes.
    """

    reference_ms: tuple[float, ...]
    cycles: tuple[float, ...] | None
    fixed_ms: tuple[float, ...]
    layer_shares: tuple[tuple[float, ...], ...]

    def predict(self, cpu_khz: float | None) -> tuple[float, ...]:
        """Return the latency of every level in ms at the clock, the calibrated one if unknown."""
        if cpu_khz is None or self.cycles is None or cpu_khz <= 0:
            return self.reference_ms
        best = math.inf
        predicted = []
        for cycles, fixed_ms in zip(self.cycles, self.fixed_ms, strict=True):
            best = min(best, cycles / cpu_khz + fixed_ms)
            predicted.append(best)
        return tuple(predicted)


def fit(
    observations: Sequence[Observation], layer_shares: Sequence[Sequence[float]]
) -> LatencyModel:
    """Return the model that explains the observations best.

    Args:
        observations: rounds over all levels.
        layer_shares: levels x layers, the part of the level's time that each layer takes.

    Raises:
        ValueError: there is no observation.
    """
    if not observations:
        raise ValueError("a latency model needs at least one observation")
    reference_ms = _typical(observations)
    shares = tuple(tuple(row) for row in layer_shares)
    clusters = _clusters(observations)
    if not clusters:
        return LatencyModel(reference_ms, None, (0.0,) * len(reference_ms), shares)
    points = [
        _Point(median(_khz(o) for o in cluster), _typical(cluster), len(cluster))
        for cluster in clusters
    ]
    pairs = [_fit_level(points, level) for level in range(len(reference_ms))]
    return LatencyModel(
        reference_ms,
        tuple(cycles for cycles, _ in pairs),
        tuple(fixed for _, fixed in pairs),
        shares,
    )


@dataclass(frozen=True, slots=True)
class _Point:
    khz: float
    latency_ms: tuple[float, ...]
    weight: int


def _khz(observation: Observation) -> int:
    return observation.cpu_khz or 0


def _clusters(observations: Sequence[Observation]) -> list[list[Observation]]:
    """Group observations of about the same clock; those without one are left out."""
    clusters: list[list[Observation]] = []
    for observation in sorted((o for o in observations if o.cpu_khz), key=_khz):
        if clusters and _khz(observation) <= _SAME_CLOCK * _khz(clusters[-1][0]):
            clusters[-1].append(observation)
        else:
            clusters.append([observation])
    return clusters


def _typical(observations: Sequence[Observation]) -> tuple[float, ...]:
    by_level = zip(*(o.latency_ms for o in observations), strict=True)
    return tuple(non_increasing([median(values) for values in by_level]))


def _fit_level(points: Sequence[_Point], level: int) -> tuple[float, float]:
    """Return cycles and fixed ms of one level by weighted least squares, neither negative."""
    slowest, fastest = points[0], points[-1]
    weights = [point.weight for point in points]
    inverse = [1 / point.khz for point in points]
    times = [point.latency_ms[level] for point in points]
    fixed_ms = 0.0
    if fastest.khz >= MIN_CLOCK_SPAN * slowest.khz:
        fixed_ms = _intercept(weights, inverse, times)
        fixed_ms = min(max(fixed_ms, 0.0), MAX_FIXED_SHARE * min(times))
    squares = sum(w * x * x for w, x in zip(weights, inverse, strict=True))
    products = sum(w * x * (t - fixed_ms) for w, x, t in zip(weights, inverse, times, strict=True))
    return products / squares, fixed_ms


def _intercept(weights: Sequence[int], x: Sequence[float], y: Sequence[float]) -> float:
    total = sum(weights)
    mean_x = sum(w * a for w, a in zip(weights, x, strict=True)) / total
    mean_y = sum(w * b for w, b in zip(weights, y, strict=True)) / total
    spread = sum(w * (a - mean_x) ** 2 for w, a in zip(weights, x, strict=True))
    shared = sum(w * (a - mean_x) * (b - mean_y) for w, a, b in zip(weights, x, y, strict=True))
    return mean_y - shared / spread * mean_x


def non_increasing(values: Sequence[float]) -> list[float]:
    """Return the closest non-increasing sequence in least squares (pool adjacent violators)."""
    pools: list[tuple[float, int]] = []  # sum and count; means fall from pool to pool
    for value in values:
        total, count = value, 1
        while pools and pools[-1][0] * count < total * pools[-1][1]:
            before, members = pools.pop()
            total, count = total + before, count + members
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]
