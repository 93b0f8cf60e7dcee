# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from profile_parts import profile, sample, two_points

from aio.runtime.profiling.charts import (
    MAX_POINTS,
    PALETTE,
    bands,
    boundaries,
    boxes,
    colours,
    cumulative,
    series,
)


def test_what_the_charts_show() -> None:
    one = two_points()
    found = {band.subject: band for band in bands(one)}
    assert found["ort"].mhz == [500.0, 1000.0]
    assert found["ort"].p50_ms == [20.0, 10.0]
    assert max(found["adaptive"].p50_ms) - min(found["adaptive"].p50_ms) < 0.1
    assert boundaries(one) == [(0.0, "governor0"), (0.2, "governor1")]
    assert [(box.subject, box.point) for box in boxes(one)] == [
        (name, f"governor{k}") for k in (0, 1) for name in ("adaptive", "ort")
    ]
    adaptive, other = series(one)
    assert (len(adaptive.seconds), set(adaptive.ratio)) == (40, {0.5})
    assert set(other.ratio) == {None}
    assert colours(one)["adaptive"] == PALETTE[0]


def test_long_series_are_thinned() -> None:
    many = [sample(10.0, time_ns=k) for k in range(2 * MAX_POINTS + 1)]
    assert 0 < len(series(profile(many))[0].seconds) <= MAX_POINTS


def test_the_cumulative_distribution() -> None:
    values = np.random.default_rng(0).exponential(size=1000).tolist()
    latencies, parts = cumulative(values)
    assert (latencies[-1], parts[-1]) == (max(values), 1.0)
    for latency_ms, part in zip(latencies, parts, strict=True):
        assert np.mean(np.array(values) <= latency_ms) == np.ceil(round(part * 1000, 6)) / 1000
    assert cumulative([3.0]) == ([3.0], [1.0])


def test_nothing_was_measured() -> None:
    empty = profile([])
    assert (bands(empty), boxes(empty), boundaries(empty)) == ([], [], [])
