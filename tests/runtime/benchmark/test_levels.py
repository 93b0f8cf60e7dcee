# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from model_parts import small_model

from aio.runtime import Runtime
from aio.runtime.benchmark.levels import MIN_ROUNDS, bench_levels
from aio.runtime.benchmark.spread import Spread, spread


def test_every_level_is_measured_equally_often(tmp_path: Path) -> None:
    path = small_model().write(tmp_path / "m.aio")
    done: list[float] = []
    with Runtime.load(path, calibrate=False) as runtime:
        result = bench_levels(runtime, seconds=0.001, progress=done.append)
        uses = runtime.stats().levels
    assert result.rounds >= MIN_ROUNDS
    assert {item.latency_ms.count for item in result.results} == {result.rounds}
    assert {use.inferences for use in uses} == {1 + 2 * result.rounds}
    assert done == sorted(done)
    assert all(0 <= part <= 1 for part in done)
    assert result.results[0].speedup == 1.0
    for item in result.results:
        gflops = 2 * item.info.macs / item.latency_ms.median / 1e6
        assert item.gflops == pytest.approx(gflops)


def test_spread() -> None:
    assert spread([3.0, 1.0, 2.0, 100.0]) == Spread(2.5, 1.0, 1.0, 4)
    assert spread([5.0]) == Spread(5.0, 0.0, 5.0, 1)
