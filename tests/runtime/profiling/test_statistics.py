# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profile_parts import ACCURACIES, other, sample

from aio.runtime.profiling.samples import COLD, WARMUP
from aio.runtime.profiling.statistics import (
    MIN_BIN,
    by_clock,
    figures,
    frequency_spread,
    latency_figures,
    median_interval,
    percentile,
)

LATENCIES = st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=300)


@given(LATENCIES)
def test_figures_agree_with_numpy(values: list[float]) -> None:
    found = latency_figures(values)
    wanted = {"p50_ms": 50, "p90_ms": 90, "p95_ms": 95, "p99_ms": 99, "p999_ms": 99.9}
    for name, percent in wanted.items():
        assert getattr(found, name) == np.percentile(values, percent, method="inverted_cdf")
    assert found.mean_ms == pytest.approx(np.mean(values))
    deviation = np.std(values, ddof=1) if len(values) > 1 else 0.0
    assert found.stdev_ms == pytest.approx(deviation, abs=1e-6)
    assert found.cv == pytest.approx(deviation / np.mean(values), abs=1e-6)
    assert (found.min_ms, found.max_ms) == (min(values), max(values))
    assert found.worst_over_best == max(values) / min(values)
    assert found.p50_low_ms <= found.p50_ms <= found.p50_high_ms


@pytest.mark.parametrize("count", [1, 2, 9, 10, 999, 1000, 1001])
@pytest.mark.parametrize("percent", ["5", "10", "50", "90", "99", "99.9"])
def test_percentiles_are_exact_at_whole_ranks(count: int, percent: str) -> None:
    # numpy's rank of 99.9 % of 1000 is 1000: its product is a hair above 999.
    rank = math.ceil(Fraction(percent) / 100 * count)
    assert percentile([float(k) for k in range(1, count + 1)], float(percent)) == rank


def test_the_interval_covers_the_median_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(1000):
        low, high = median_interval(sorted(generator.exponential(size=50).tolist()))
        covered += low <= np.log(2) <= high
    assert 940 <= covered <= 990


def test_phases_are_apart() -> None:
    samples = [sample(50.0, phase=COLD), sample(20.0, phase=WARMUP), sample(10.0), sample(12.0)]
    found = figures(samples)
    assert found is not None
    assert (found.cold_ms, found.warmup_ms, found.warmup_count) == (50.0, 20.0, 1)
    assert (found.latency.count, found.latency.max_ms) == (2, 12.0)
    assert figures(samples[:2]) is None


def test_levels_accuracy_and_changes() -> None:
    samples = [
        *(sample(10.0, level=2, levels=(0, 2), ratio=0.8), sample(10.0), sample(20.0)),
        sample(10.0, level=2, levels=(2,), ratio=0.8, turn=1),
    ]
    found = figures(samples, ACCURACIES)
    assert found is not None
    assert [(share.level, share.calls, share.time) for share in found.levels] == [
        *((1, 0.5, 0.6), (2, 0.5, 0.4)),
    ]
    assert found.level_changes == 1  # not from one turn to the next
    assert found.accuracy == pytest.approx((0.7 + 0.8 + 0.8 + 0.7) / 4)
    assert found.ratio == pytest.approx(0.65)
    unknown = figures(samples, (0.9, None, 0.7))
    assert unknown is not None
    assert unknown.accuracy is None


def test_other_engines_have_no_levels_but_the_accuracy_of_the_densest() -> None:
    found = figures([other(10.0)], ACCURACIES[:1])
    assert found is not None
    assert (found.levels, found.level_changes, found.replans, found.ratio) == ((), None, None, None)
    assert found.accuracy == 0.9


def test_what_waiting_costs_is_a_miss() -> None:
    samples = [sample(10.0, queue_ms=0.0), sample(10.0, queue_ms=5.0)]
    found = figures(samples, deadline_ms=12.0)
    assert found is not None
    assert found.deadline_misses == 0.5
    without = figures(samples)
    assert without is not None
    assert without.deadline_misses is None


def energy_mj(*samples: dict[str, Any]) -> float | None:
    found = figures([sample(10.0, **fields) for fields in samples])
    assert found is not None
    return found.energy_mj


def test_energy() -> None:
    assert energy_mj({}, {}) is None
    counter: list[dict[str, Any]] = [
        {"energy_uj": 1000 * k, "time_ns": k * 10**9} for k in range(3)
    ]
    assert energy_mj(*counter) == pytest.approx(1.0)
    power = [{"power_mw": 500.0, "time_ns": k * 10**9} for k in range(3)]
    assert energy_mj(*power) == pytest.approx(500.0)
    # A counter that began anew, and the time between two turns, tell nothing.
    again = [{"energy_uj": 7, "turn": 1}, {"energy_uj": 3, "turn": 1}]
    assert energy_mj(*counter, *again) == pytest.approx(1.0)
    assert energy_mj(*again) is None


def test_throttling_is_unknown_or_a_part() -> None:
    found = figures([sample(1.0, throttle=""), sample(1.0, throttle="heat:cpu"), sample(1.0)])
    assert found is not None
    assert found.throttled == 0.5
    unknown = figures([sample(1.0)])
    assert unknown is not None
    assert unknown.throttled is None


def test_clocks_that_hardly_differ_are_one() -> None:
    near = [sample(10.0, cpu_khz=1_000_000 + 1000 * (k % 20)) for k in range(MIN_BIN)]
    far = [sample(20.0, cpu_khz=500_000) for _ in range(MIN_BIN)]
    rare = [sample(99.0, cpu_khz=2_000_000) for _ in range(MIN_BIN - 1)]
    found = by_clock([*near, *far, *rare, sample(99.0, cpu_khz=None)])
    assert [(clock.count, clock.p50_ms) for clock in found] == [(MIN_BIN, 20.0), (MIN_BIN, 10.0)]
    assert frequency_spread(found) == pytest.approx(10 / 15)
    assert frequency_spread(found[:1]) is None
