# SPDX-License-Identifier: Apache-2.0
"""The levels of a model against each other, through `Runtime` as users see it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from aio.governors import ClockSample
from aio.runtime.benchmark.spread import Spread, spread
from aio.runtime.records import LevelInfo
from aio.runtime.runtime import Runtime

MIN_ROUNDS = 5
_SEED = 0


@dataclass(frozen=True, slots=True)
class LevelResult:
    """Latency of one level. `gflops` counts kept weights only, two operations each."""

    info: LevelInfo
    latency_ms: Spread
    speedup: float
    gflops: float


@dataclass(frozen=True, slots=True)
class LevelBenchmark:
    """All levels, and the clock before and after."""

    results: tuple[LevelResult, ...]
    rounds: int
    before: ClockSample
    after: ClockSample

    @property
    def clock_change(self) -> float | None:
        """Return by which part the clock changed meanwhile, None if it is not known."""
        if self.before.cpu_khz is None or self.after.cpu_khz is None:
            return None
        return self.after.cpu_khz / self.before.cpu_khz - 1


def bench_levels(
    runtime: Runtime,
    *,
    batch: int = 1,
    seconds: float = 3.0,
    progress: Callable[[float], object] = lambda part: None,
) -> LevelBenchmark:
    """Measure every level in rounds of random order until the time is over.

    Args:
        runtime: the loaded model.
        batch: samples per call.
        seconds: how long to measure; five rounds are made in any case.
        progress: is told which part of the work is done.
    """
    generator = np.random.default_rng(_SEED)
    x = generator.standard_normal((batch, *runtime.inputs[0].shape), dtype=np.float32)
    count = len(runtime.levels)
    for level in range(count):
        runtime.run(x, level=level)
    times: list[list[float]] = [[] for _ in range(count)]
    before = runtime.clock
    begin_s = time.monotonic()
    while (elapsed_s := time.monotonic() - begin_s) < seconds or len(times[0]) < MIN_ROUNDS:
        progress(min(elapsed_s / seconds, len(times[0]) / MIN_ROUNDS, 1.0))
        for level in generator.permutation(count):
            runtime.run(x, level=level)  # pays for the caches the level before left behind
            times[level].append(runtime.run(x, level=level).record.latency_ms)
    spreads = [spread(values) for values in times]
    results = tuple(
        LevelResult(
            info=info,
            latency_ms=latency_ms,
            speedup=spreads[0].median / latency_ms.median,
            gflops=2 * info.macs * batch / (latency_ms.median * 1e6),
        )
        for info, latency_ms in zip(runtime.levels, spreads, strict=True)
    )
    return LevelBenchmark(results, len(times[0]), before, runtime.clock)
