# SPDX-License-Identifier: Apache-2.0
"""Figures over the last seconds are exact, however few points are drawn."""

import random

import pytest

from aio.runtime.records import summarize
from aio.runtime.serve.page.points import POINT_COLUMNS, WINDOW_S, rows, thin, window_dict
from aio.runtime.serve.telemetry.recent import Point

NOW_S = 1000.0


def point(time_s: float, latency_ms: float, target_ms: float | None = 1.0) -> Point:
    return Point(time_s, latency_ms, 0.1, 2, 0.5, target_ms, None, "because")


def test_no_inference_has_no_percentiles() -> None:
    assert window_dict([], NOW_S) == {
        "seconds": WINDOW_S,
        "count": 0,
        "per_second": 0.0,
        "p50_ms": None,
        "p95_ms": None,
        "p99_ms": None,
        "max_ms": None,
        "over_target": None,
    }
    assert window_dict([point(NOW_S - WINDOW_S - 1, 5.0)], NOW_S)["count"] == 0


def test_old_points_do_not_count() -> None:
    points = [
        point(NOW_S - 11, 99.0),
        *(point(NOW_S - 9 + i / 10, 0.5 + i / 10) for i in range(10)),
    ]
    figures = window_dict(points, NOW_S)
    assert figures["count"] == 10
    assert figures["per_second"] == 1.0
    assert (figures["p50_ms"], figures["max_ms"]) == (0.9, 1.4)
    assert figures["over_target"] == 0.4


def test_the_rate_of_a_ring_that_holds_less_is_over_what_it_holds() -> None:
    points = [point(NOW_S - 2 + i / 1000, 1.0) for i in range(2000)]
    figures = window_dict(points, NOW_S)
    assert (figures["seconds"], figures["per_second"]) == (2.0, 1000.0)


def test_points_without_a_target_are_not_over_it() -> None:
    assert window_dict([point(NOW_S, 5.0, None)], NOW_S)["over_target"] is None
    mixed = [point(NOW_S, 5.0, None), point(NOW_S, 5.0, 1.0)]
    assert window_dict(mixed, NOW_S)["over_target"] == 1.0


@pytest.mark.parametrize("count", [0, 1, 59, 60, 61, 977, 4096])
def test_thinning_keeps_order_bound_and_extremes(count: int) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    latencies = random.Random(seed)
    points = [point(i / 100, latencies.random()) for i in range(count)]
    kept = thin(points, 60)
    assert len(kept) == count if count <= 60 else len(kept) <= 60
    assert [one.time_s for one in kept] == sorted(one.time_s for one in kept)
    if points:
        drawn, all_of_them = (
            summarize(sorted(one.latency_ms for one in some)) for some in (kept, points)
        )
        assert (drawn.min_ms, drawn.max_ms) == (all_of_them.min_ms, all_of_them.max_ms)


def test_rows_have_the_columns_they_say() -> None:
    (row,) = rows([point(1.0, 0.123456)], wall_offset_s=100.0)
    assert dict(zip(POINT_COLUMNS, row, strict=True)) == {
        "time_s": 101.0,
        "latency_ms": 0.1235,
        "queue_ms": 0.1,
        "level": 2,
        "ratio": 0.5,
        "target_ms": 1.0,
        "cpu_khz": None,
    }
