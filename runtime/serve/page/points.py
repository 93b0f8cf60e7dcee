# SPDX-License-Identifier: Apache-2.0
"""Recent inferences as figures and as few enough points to draw."""

import math
from collections.abc import Sequence

from aio.runtime.records import summarize
from aio.runtime.serve.telemetry.recent import Point

WINDOW_S = 10.0


def window_dict(points: Sequence[Point], now_s: float) -> dict[str, object]:
    """Return percentiles, rate and misses over the last WINDOW_S seconds of `points`.

    Every point counts, however few are drawn. `seconds` is shorter where the ring holds less, or
    where the first inference came later.

    Args:
        points: the whole ring, oldest first.
        now_s: the time, of the clock of the points.
    """
    recent = [point for point in points if now_s - point.time_s <= WINDOW_S]
    if not recent:
        figures = dict.fromkeys(("p50_ms", "p95_ms", "p99_ms", "max_ms", "over_target"))
        return {"seconds": WINDOW_S, "count": 0, "per_second": 0.0, **figures}
    older = len(recent) < len(points)
    seconds = WINDOW_S if older else min(max(now_s - recent[0].time_s, 1.0), WINDOW_S)
    summary = summarize(sorted(point.latency_ms for point in recent))
    aimed = [point for point in recent if point.target_ms is not None]
    late = sum(point.latency_ms > (point.target_ms or math.inf) for point in aimed)
    return {
        "seconds": round(seconds, 3),
        "count": len(recent),
        "per_second": round(len(recent) / seconds, 2),
        "p50_ms": round(summary.p50_ms, 4),
        "p95_ms": round(summary.p95_ms, 4),
        "p99_ms": round(summary.p99_ms, 4),
        "max_ms": round(summary.max_ms, 4),
        "over_target": round(late / len(aimed), 4) if aimed else None,
    }


def thin(points: Sequence[Point], most: int) -> Sequence[Point]:
    """Return at most `most` points: the fastest and the slowest of each of equal runs."""
    if len(points) <= most:
        return points
    runs = max(1, most // 2)
    kept: list[Point] = []
    for run in range(runs):
        part = points[run * len(points) // runs : (run + 1) * len(points) // runs]
        ends = {min(part, key=_latency), max(part, key=_latency)}
        kept += sorted(ends, key=lambda point: point.time_s)
    return kept


def rows(points: Sequence[Point], wall_offset_s: float) -> list[list[float | int | None]]:
    """Return the points as the columns of POINT_COLUMNS, times as seconds since 1970."""
    return [
        [
            round(point.time_s + wall_offset_s, 3),
            round(point.latency_ms, 4),
            round(point.queue_ms, 3),
            point.level,
            point.ratio,
            None if point.target_ms is None else round(point.target_ms, 4),
            point.cpu_khz,
        ]
        for point in points
    ]


POINT_COLUMNS = ("time_s", "latency_ms", "queue_ms", "level", "ratio", "target_ms", "cpu_khz")


def _latency(point: Point) -> float:
    return point.latency_ms
