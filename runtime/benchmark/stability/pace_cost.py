# SPDX-License-Identifier: Apache-2.0
"""What it costs to hold the time against the plan between layers."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from aio.runtime.benchmark.spread import Spread, spread
from aio.runtime.calibration import layer_shares
from aio.runtime.lowering import build_executor
from aio.runtime.model_file import read_model_file

MIN_PAIRS = 25
_SEED = 0


@dataclass(frozen=True, slots=True)
class PaceCost:
    """One level run with and without looking for a reason to re-plan, in pairs.

    `overhead` is the median of with over without, minus 1; `standard_error` is that of the median.
    """

    level: int
    without_us: Spread
    overhead: float
    standard_error: float


def pace_cost(path: Path, *, level: int, seconds: float) -> PaceCost:
    """Measure a level of a model on one thread, without anything to re-plan for."""
    model = read_model_file(path)
    executor = build_executor(model, threads=1, isa=None)
    shape = (1, *model.manifest.input.shape)
    x = np.random.default_rng(_SEED).standard_normal(shape, dtype=np.float32)
    executor.set_level(level)

    def profiled(_: int) -> list[int]:
        executor.set_profiling(True)
        executor.run(x)
        executor.set_profiling(False)
        return executor.layer_ns()

    shares = np.array(layer_shares(profiled, 1)[0])
    typical_ns = float(np.median([_ns(lambda: executor.run(x)) for _ in range(9)]))
    executor.set_pace(np.tile(shares * typical_ns, (executor.levels, 1)), [level])
    runs = [
        partial(executor.run_paced, x, budget_ns=typical_ns, slowdown=1.0, replan=replan)
        for replan in (False, True)
    ]
    without: list[float] = []
    ratios: list[float] = []
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s or len(without) < MIN_PAIRS:
        # There and back again: what a drift gives to the one it takes from the other.
        first, second, third, fourth = (_ns(runs[i]) for i in (0, 1, 1, 0))
        without.append((first + fourth) / 2e3)
        ratios.append((second + third) / (first + fourth))
    ordered = spread(ratios)
    # Of a median: 1.25 standard deviations over the root of n; 1.48 MAD is a standard deviation.
    error = 1.25 * 1.48 * ordered.mad / len(ratios) ** 0.5
    return PaceCost(level, spread(without), ordered.median - 1.0, error)


def _ns(run: Callable[[], object]) -> int:
    begin_ns = time.perf_counter_ns()
    run()
    return time.perf_counter_ns() - begin_ns
