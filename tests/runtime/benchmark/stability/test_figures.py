# SPDX-License-Identifier: Apache-2.0
"""The figures against ones computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

from aio.governors import Plan
from aio.runtime.benchmark.stability.figures import (
    MIN_REQUESTS_PER_CLOCK,
    Request,
    stability,
)

DENSE, SPARSE = Plan.uniform(0), Plan.uniform(1)


def requests(latency_ms: float, khz: int, count: int = MIN_REQUESTS_PER_CLOCK) -> list[Request]:
    return [Request(latency_ms, khz, DENSE) for _ in range(count)]


def test_spread_is_over_the_means_of_the_clocks() -> None:
    found = stability([*requests(10.0, 1000), *requests(14.0, 500)], 10.0)
    assert found.spread == pytest.approx(4.0 / 12.0)
    assert found.spread_of_medians == pytest.approx(4.0 / 12.0)
    assert found.clocks == 2
    assert found.mean_ms == pytest.approx(12.0)
    assert found.cv == pytest.approx(2.0 / 12.0)


def test_a_clock_seen_seldom_does_not_count_in_the_spread() -> None:
    seldom = requests(99.0, 500, MIN_REQUESTS_PER_CLOCK - 1)
    found = stability([*requests(10.0, 1000), *seldom], 10.0)
    assert (found.clocks, found.spread) == (1, 0.0)
    assert found.max_ms == 99.0


def test_percentiles() -> None:
    latencies = np.random.default_rng(0).random(1000)
    found = stability([Request(float(value), 1, None) for value in latencies], 1.0)
    assert found.p50_ms == pytest.approx(np.quantile(latencies, 0.5))
    assert found.p95_ms == pytest.approx(np.quantile(latencies, 0.95))
    assert found.p99_ms == pytest.approx(np.quantile(latencies, 0.99))


def test_what_no_level_could_keep_is_not_held_against_anyone() -> None:
    possible, impossible = Request(11.0, 1, None), Request(50.0, 1, None, feasible=False)
    assert stability([possible, impossible], 10.0).worst_of_target == pytest.approx(1.1)
    assert stability([impossible], 10.0).worst_of_target is None


def test_changes_of_plan_and_clock() -> None:
    found = stability(
        [
            Request(1.0, 1, DENSE, clock_changes=7),  # before the first request
            Request(1.0, 1, SPARSE, clock_changes=1),
            Request(1.0, 2, SPARSE, clock_changes=3),
            Request(1.0, 2, DENSE),
        ],
        1.0,
    )
    assert (found.plan_changes, found.clock_changes) == (2, 4)
    assert found.changes_per_clock_change == pytest.approx(0.5)
    assert stability([Request(1.0, 1, DENSE)], 1.0).changes_per_clock_change is None
