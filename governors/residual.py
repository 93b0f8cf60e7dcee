# SPDX-License-Identifier: Apache-2.0
"""What no sensor shows, learned from measured over predicted latencies.

A hidden firmware cap, a quota, a neighbour on the core: all of them make an inference take longer
than the calibration says at the clock of now. The logarithm of that ratio is modelled as a sum:

    log(measured / predicted) = residual + clock[bin] + gap[bin] + level[l] + noise

The *residual* moves fast and is common to everything. The other terms move slowly and refine the
calibration: a clock whose time is not what a/f + b says, the cold caches and sleeping workers
after an idle gap, a level measured on a disturbed machine. All follow the same error by least mean
squares (Widrow and Hoff 1960), each with its own rate, the slow ones less where there is noise. A
real step, such as a cap, is told from noise by a two-sided cumulative sum (Page 1954) and taken
over as a whole.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import median

RESIDUAL_RATE = 0.025
REFINEMENT_RATE = 0.005
CALIBRATION_WEIGHT = 20  # inferences that a calibration counts like
NOISE_RATE = 0.02
MIN_NOISE = 0.02  # standard deviation of the logarithm; below it a step could not be told apart
START_NOISE = 0.03
MAX_NOISE = 0.15
DRIFT = 0.75  # Page's k and h, in standard deviations
ALARM = 7.0
# One inference alone is no step: it counts as at most this part of what sets off the alarm.
MOST_OF_ALARM = 0.7
MAX_RUN = 64  # inferences looked at after a step
SLOWEST = math.log(30.0)  # of the residual
MAX_REFINEMENT = math.log(2.0)
# A clock that a sensor shows is believed: what is faster than it says may be a burst that ends, and
# a deadline missed is worse than accuracy lost. Re-planning in flight uses the time all the same.
FASTEST = math.log(0.8)
MIN_REFINEMENT = math.log(0.9)
# Where the sensor of the clock is slow, a step is the clock's: when the sensor catches up
# within this time, the step is taken back.
CATCH_UP_S = 0.5
CATCH_UP_TOLERANCE = 0.4  # of the step
GAP_EDGES_S = (0.0002, 0.002, 0.02, 0.1, 0.5)  # idle gaps are told apart this finely
GAP_FIRST = 4  # inferences after gaps of a kind whose median is taken as what it costs
MAX_GAP = math.log(8.0)
CLOCK_BINS_PER_OCTAVE = 8
ERRORS_KEPT = 512
TAIL_EVERY = 32
MAX_ERROR = 700.0  # logarithm; beyond it there is no such float


@dataclass(frozen=True, slots=True)
class Conditions:
    """What an inference ran under: the clock, the idle time before it, the sparsest level used."""

    cpu_khz: int | None
    gap_s: float
    level: int


@dataclass(frozen=True, slots=True)
class PredictionError:
    """How far predictions were off over the last `count` inferences, as parts of the prediction."""

    count: int
    median: float
    p95: float


class Residual:
    """Learns by how much longer inferences take than calibrated. One caller at a time.

    Args:
        levels: how many levels the model has.
    """

    def __init__(self, levels: int) -> None:
        self._log = 0.0
        self._noise = START_NOISE
        self._levels = [0.0] * levels
        self._gaps = [0.0] * (len(GAP_EDGES_S) + 1)
        self._first_gaps: list[list[float]] = [[] for _ in self._gaps]
        self._clocks: dict[int, float] = {}
        self._above = _Run()
        self._below = _Run()
        self._step: tuple[float, int] | None = None  # the last step and when it was taken over
        self._seen = CALIBRATION_WEIGHT  # inferences that the residual of now rests on
        self._errors: deque[float] = deque(maxlen=ERRORS_KEPT)
        self._observed = 0
        self._tail = 0.0  # the p95 of the errors, renewed now and then

    @property
    def residual(self) -> float:
        """Return the factor common to all inferences of now; 1 says that the sensors suffice."""
        return math.exp(self._log)

    def slowdown(self, gap_s: float) -> float:
        """Return measured over calibrated time expected for an inference after an idle gap."""
        return math.exp(self._log + self._gaps[_gap_bin(gap_s)])

    def gap_factor(self, gap_s: float) -> float:
        """Return by how much longer an inference takes after an idle gap than after none."""
        return math.exp(self._gaps[_gap_bin(gap_s)])

    def refine(self, predicted_ms: Sequence[float], cpu_khz: int | None) -> tuple[float, ...]:
        """Return the calibrated times of the levels at a clock as refined by measurements."""
        clock = self._clocks.get(_clock_bin(cpu_khz), 0.0)
        return tuple(
            takes_ms * math.exp(clock + level)
            for takes_ms, level in zip(predicted_ms, self._levels, strict=True)
        )

    def error(self) -> PredictionError | None:
        """Return how good the last predictions were, None before the first."""
        if not self._errors:
            return None
        errors = sorted(self._errors)
        rank = max(0, math.ceil(0.95 * len(errors)) - 1)
        return PredictionError(len(errors), median(errors), errors[rank])

    @property
    def usual_error(self) -> float:
        """Return about the p95 of `error`, at once; 0 before there is one."""
        return self._tail

    def observe(self, ratio: float, conditions: Conditions, now_ns: int) -> bool:
        """Learn from an inference; return whether a step was taken over.

        Args:
            ratio: measured time over the time predicted by `refine` for what was run.
            conditions: what it ran under.
            now_ns: time of the monotonic clock.
        """
        if not 0.0 < ratio < math.inf:
            return False
        gap = _gap_bin(conditions.gap_s)
        if gap > 0 and len(self._first_gaps[gap]) < GAP_FIRST:
            # Nothing is known yet of such gaps: what comes first is what they cost.
            self._first_gaps[gap].append(math.log(ratio) - self._log)
            self._gaps[gap] = _bounded(median(self._first_gaps[gap]), 0.0, MAX_GAP)
            return False
        error = math.log(ratio) - self._log - self._gaps[gap]
        self._errors.append(abs(math.expm1(min(error, MAX_ERROR))))
        self._observed += 1
        if self._observed % TAIL_EVERY == 1:
            error_now = self.error()
            self._tail = 0.0 if error_now is None else error_now.p95
        limit = ALARM * self._noise
        for run, sign in ((self._above, 1.0), (self._below, -1.0)):
            if run.add(sign * error, self._noise):
                return self._take_over(sign * run.typical(), len(run), now_ns)
        if abs(error) < limit:
            self._learn(error, gap, conditions)
        return False

    def clock_moved(self, factor: float, now_ns: int) -> None:
        """Hear that the predictions just changed by `factor` because the clock did.

        A step of about that factor a moment ago was this change, seen before the sensor saw it.
        """
        if self._step is None or factor <= 0.0:
            return
        step, time_ns = self._step
        explained = abs(math.log(factor) - step) < CATCH_UP_TOLERANCE * abs(step)
        if explained and now_ns - time_ns < CATCH_UP_S * 1e9:
            self._log = _bounded(self._log - math.log(factor), FASTEST, SLOWEST)
            self._step = None

    def _learn(self, error: float, gap: int, conditions: Conditions) -> None:
        self._noise += NOISE_RATE * (abs(error) * math.sqrt(math.pi / 2) - self._noise)
        self._noise = min(max(self._noise, MIN_NOISE), MAX_NOISE)
        # After a step the first inferences are averaged, so that its size is soon known well.
        self._seen += 1
        rate = max(RESIDUAL_RATE, 1.0 / self._seen)
        self._log = _bounded(self._log + rate * error, FASTEST, SLOWEST)
        slow = self._refinement_rate() * error
        if gap > 0:  # after no gap at all is what the calibration measured; a pause slows only
            self._gaps[gap] = _bounded(self._gaps[gap] + slow, 0.0, MAX_GAP)
        clock = _clock_bin(conditions.cpu_khz)
        self._clocks[clock] = _refined(self._clocks.get(clock, 0.0) + slow)
        self._levels[conditions.level] = _refined(self._levels[conditions.level] + slow)

    def _refinement_rate(self) -> float:
        """Return how fast the slow terms move: as with Kalman's gain, the less the more noise.

        They are what the calibration is corrected by. What a server measures under load tells
        little of that: the densest level, at work in the thick of it only, seemed to take 1.3
        times as long, and when the load had gone it was avoided for seconds.
        """
        return REFINEMENT_RATE * min(1.0, (START_NOISE / self._noise) ** 2)

    def _take_over(self, step: float, seen: int, now_ns: int) -> bool:
        """Move by a step as far as the bounds allow; return whether that is anywhere."""
        before, self._log = self._log, _bounded(self._log + step, FASTEST, SLOWEST)
        self._above = _Run()
        self._below = _Run()
        if self._log == before:
            return False
        self._seen = seen
        self._step = (self._log - before, now_ns)
        return True


class _Run:
    """One side of Page's cumulative sum, with the errors since it was last zero."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._errors: deque[float] = deque(maxlen=MAX_RUN)

    def add(self, error: float, noise: float) -> bool:
        """Add an error in this side's direction; return whether that sets off the alarm."""
        limit = ALARM * noise
        self._sum += min(error, MOST_OF_ALARM * limit) - DRIFT * noise
        if self._sum <= 0.0:
            self._sum = 0.0
            self._errors.clear()
            return False
        self._errors.append(error)
        return self._sum > limit

    def __len__(self) -> int:
        return len(self._errors)

    def typical(self) -> float:
        """Return the size of the step, in this side's direction.

        The run may have begun with noise before the step: the step is where the errors since then
        are the least likely to be noise.
        """
        errors = list(self._errors)
        sums = accumulate(reversed(errors))
        # Of so many last errors; a sum of n has n times the variance.
        evidence = [sum_ / math.sqrt(count) for count, sum_ in enumerate(sums, 1)]
        return median(errors[-1 - evidence.index(max(evidence)) :])


def _gap_bin(gap_s: float) -> int:
    return bisect_right(GAP_EDGES_S, gap_s)


def _clock_bin(cpu_khz: int | None) -> int:
    return round(CLOCK_BINS_PER_OCTAVE * math.log2(cpu_khz)) if cpu_khz and cpu_khz > 0 else -1


def _refined(value: float) -> float:
    return _bounded(value, MIN_REFINEMENT, MAX_REFINEMENT)


def _bounded(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
