# SPDX-License-Identifier: Apache-2.0
"""Measure how long each level takes here, in rounds over all levels in random order.

Interleaving makes every level see the same drift of the machine, and the median over rounds
forgives interruptions. The order is random because some disturbances come at a fixed time after
the clock was read (a worker that went to sleep meanwhile costs half a millisecond to wake): in a
fixed order they would always hit the same level. Small models take some tenths of a second, large
ones a few seconds. How a level's time is shared among its layers is measured apart, because
reading the clock between layers takes time too.
"""

import math
import random
import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Protocol

from aio.governors import ClockSample
from aio.runtime.latency_model import LatencyModel, Observation, fit

BUDGET_S = 0.4
MAX_S = 4.0
MIN_ROUNDS = 5
MAX_ROUNDS = 2000
LAYER_ROUNDS = 7
_SEED = 0


class Turn(Protocol):
    """Leave to use the processor alone, for a program that has other work for it as well.

    A calibration enters it, and calls `offer` between measurements, where others may go first.
    """

    def __enter__(self) -> object:
        """Wait until nothing else runs."""

    def __exit__(self, *error: object) -> bool | None:
        """Let others run."""

    def offer(self) -> None:
        """Let others run if they wait, and wait until they are done."""


def no_offer() -> None:
    """Go on: nobody else wants the processor."""


def calibrate(
    run_level: Callable[[int], object],
    layer_times: Callable[[int], Sequence[float]],
    levels: int,
    read_clock: Callable[[], ClockSample],
    *,
    budget_s: float = BUDGET_S,
    max_s: float = MAX_S,
    offer: Callable[[], None] = no_offer,
) -> LatencyModel:
    """Return the latency model of a network.

    Args:
        run_level: makes one inference of one sample at a level.
        layer_times: does the same and returns the time of every layer, in any unit.
        levels: how many there are.
        read_clock: reads the CPU clock.
        budget_s: time after which no round starts once there are enough for a median.
        max_s: time after which no round starts but the first of each kind.
        offer: called between measurements, where other work may have the processor.
    """
    begin_s = time.monotonic()
    observations = observe(
        run_level, levels, read_clock, budget_s=budget_s, max_s=max_s, offer=offer
    )
    end_s = begin_s + max_s
    return fit(observations, layer_shares(layer_times, levels, end_s=end_s, offer=offer))


def observe(
    run_level: Callable[[int], object],
    levels: int,
    read_clock: Callable[[], ClockSample],
    *,
    budget_s: float = BUDGET_S,
    max_s: float = MAX_S,
    offer: Callable[[], None] = no_offer,
) -> list[Observation]:
    """Return rounds over all levels at the clock of now; see `calibrate`."""
    for level in range(levels):
        offer()
        run_level(level)  # the first run of a level touches memory no other run did
    begin_s = time.monotonic()
    observations: list[Observation] = []
    order = list(range(levels))
    generator = random.Random(_SEED)
    while True:
        generator.shuffle(order)
        observations.append(_round(run_level, order, read_clock, offer))
        elapsed_s = time.monotonic() - begin_s
        enough = len(observations) >= MIN_ROUNDS and elapsed_s >= budget_s
        if enough or elapsed_s >= max_s or len(observations) >= MAX_ROUNDS:
            return observations


def layer_shares(
    layer_times: Callable[[int], Sequence[float]],
    levels: int,
    *,
    end_s: float = math.inf,
    offer: Callable[[], None] = no_offer,
) -> list[list[float]]:
    """Return the part of each layer in its level's time: medians, as one run is often disturbed.

    After `end_s` of the monotonic clock no round starts but the first.
    """
    rounds: list[list[Sequence[float]]] = []
    while not rounds or (len(rounds) < LAYER_ROUNDS and time.monotonic() < end_s):
        rounds.append([])
        for level in range(levels):
            offer()
            rounds[-1].append(layer_times(level))
    shares = []
    for level in range(levels):
        times = [median(values) for values in zip(*(r[level] for r in rounds), strict=True)]
        total = sum(times)
        # A network without layers takes no time; then there is nothing to share.
        shares.append([value / total for value in times] if total > 0 else [1.0] * len(times))
    return shares


def _round(
    run_level: Callable[[int], object],
    order: list[int],
    read_clock: Callable[[], ClockSample],
    offer: Callable[[], None],
) -> Observation:
    latency_ms = [0.0] * len(order)
    offer()
    before = read_clock().cpu_khz
    offer()
    run_level(order[0])  # wakes the threads that went to sleep while the clock was read
    for level in order:
        offer()
        # The first of two runs pays for the caches the other level, or other work, left behind.
        # In use, levels stay for many inferences.
        latency_ms[level] = min(_time_ms(run_level, level) for _ in range(2))
    offer()
    after = read_clock().cpu_khz
    clock = None if before is None or after is None else (before + after) // 2
    return Observation(clock, tuple(latency_ms))


def _time_ms(run_level: Callable[[int], object], level: int) -> float:
    begin_ns = time.perf_counter_ns()
    run_level(level)
    return (time.perf_counter_ns() - begin_ns) / 1e6
