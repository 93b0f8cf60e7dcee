# SPDX-License-Identifier: Apache-2.0
"""How much slower does a program really get? Measured with a loop on the CPUs concerned.

Full speed and the speed under test alternate, because machines drift; the slow-down is the
median of the ratios of neighbours. The loop works in registers and the first cache level, so
this is the slow-down of computation.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio.governors.emulation.realtime import thief

if TYPE_CHECKING:
    from aio.governors.emulation.realtime.thieves import ClockThieves

WARN_ERROR = 0.10
ROUNDS = 8
SLICE_S = 0.02
SETTLE_PERIODS = 10
# The kernel wants a part of each second without real-time threads, or it stops them for a while.
PAUSE = 0.15
CHUNK = 400  # iterations between looks at the time: some 10 us
CALIBRATION_SPEED = 0.5
CALIBRATION_PERIODS = 60
MAX_COST_NS = 60_000  # more is the noise of the machine


@dataclass(frozen=True, slots=True)
class CheckedPoint:
    """A speed, and how much slower than at full speed a program was and should have been.

    `spread` is half the distance between the quartiles of the measured slow-downs.
    """

    speed: float
    wanted: float
    achieved: float
    spread: float

    @property
    def error(self) -> float:
        """Return the relative error of the slow-down."""
        return self.achieved / self.wanted - 1.0

    @property
    def off(self) -> bool:
        """Return whether the error is worth a warning."""
        return abs(self.error) > WARN_ERROR


def calibrate(thieves: ClockThieves) -> int:
    """Measure what an interruption costs programs, and let the thieves take less by as much.

    The median interruption that a loop sees is compared with the time that is to be stolen. This
    does not depend on how fast the machine is at the moment.

    Returns:
        The cost in nanoseconds.
    """
    thieves.set_cost_ns(0)
    stolen_ns = round((1.0 - CALIBRATION_SPEED) * thieves.period_us * 1000)
    gaps: list[int] = []
    with _probe(thieves):
        thieves.set_speed(CALIBRATION_SPEED)
        for cpu in thieves.cpus:
            os.sched_setaffinity(0, {cpu})
            _settle(thieves, SLICE_S)
            gaps += _gaps(stolen_ns // 2, CALIBRATION_PERIODS * thieves.period_us * 1000)
    cost_ns = round(statistics.median(gaps)) - stolen_ns if gaps else 0
    cost_ns = min(max(cost_ns, 0), MAX_COST_NS)
    thieves.set_cost_ns(cost_ns)
    return cost_ns


def check_speeds(
    thieves: ClockThieves, speeds: Iterable[float], rounds: int = ROUNDS, slice_s: float = SLICE_S
) -> tuple[CheckedPoint, ...]:
    """Measure the slow-down at every speed, on each CPU in turn; leaves the CPUs at full speed."""
    with _probe(thieves):
        return tuple(_check(thieves, speed, rounds, slice_s) for speed in speeds)


@contextlib.contextmanager
def _probe(thieves: ClockThieves) -> Iterator[None]:
    """Let the calling thread run wherever it wants, at a priority just below the thieves'.

    Other programs on the machine are not what is measured.
    """
    affinity = os.sched_getaffinity(0)
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(thief.PRIORITY - 1))
    try:
        yield
    finally:
        thieves.set_speed(1.0)
        os.sched_setaffinity(0, affinity)
        os.sched_setscheduler(0, policy, priority)


def _check(thieves: ClockThieves, speed: float, rounds: int, slice_s: float) -> CheckedPoint:
    ratios = []
    for turn in range(rounds):
        os.sched_setaffinity(0, {thieves.cpus[turn % len(thieves.cpus)]})
        order = (1.0, speed) if turn // len(thieves.cpus) % 2 else (speed, 1.0)
        rates = [_rate(thieves, each, slice_s) for each in order]
        ratios.append(rates[order.index(1.0)] / rates[order.index(speed)])
    return CheckedPoint(speed, 1.0 / speed, statistics.median(ratios), _spread(ratios))


def _settle(thieves: ClockThieves, slice_s: float) -> None:
    time.sleep(SETTLE_PERIODS * thieves.period_us / 1e6 + PAUSE * slice_s)


def _rate(thieves: ClockThieves, speed: float, slice_s: float) -> float:
    """Return chunks of work per second at a speed."""
    thieves.set_speed(speed)
    _settle(thieves, slice_s)
    # Whole periods, or the part of one would count for the whole.
    period_s = thieves.period_us / 1e6
    slice_s = max(round(slice_s / period_s), 1) * period_s
    begin = now = time.perf_counter()
    chunks = 0
    while now < begin + slice_s:
        for _ in range(CHUNK):
            pass
        chunks += 1
        now = time.perf_counter()
    return chunks / (now - begin)


def _gaps(least_ns: int, duration_ns: int) -> list[int]:
    """Return how long the calling thread was interrupted each time, if for `least_ns` or more."""
    gaps = []
    now_ns = time.perf_counter_ns
    begin_ns = last_ns = now_ns()
    while last_ns < begin_ns + duration_ns:
        time_ns = now_ns()
        if time_ns - last_ns >= least_ns:
            gaps.append(time_ns - last_ns)
        last_ns = time_ns
    return gaps


def _spread(values: Sequence[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4)
    return (high - low) / 2.0
