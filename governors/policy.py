# SPDX-License-Identifier: Apache-2.0
"""Choose the level from the predicted latencies: feed-forward, with hysteresis and a reason.

A level is an index into the model's ladder of pruning ratios, 0 being the densest. Whoever calls
predicts, in milliseconds, how long each level takes at the clock of now; this module never looks
at a sensor. Going sparser is immediate, because a deadline is at risk; going denser needs a
margin and some time since the last change, so that noise in the clock never makes it flap.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from aio.governors.base import ClockSample


@dataclass(frozen=True, slots=True)
class Decision:
    """A level with the reason for it; `previous` equals `level` when nothing changed."""

    level: int
    previous: int | None
    reason: str
    predicted_ms: float
    target_ms: float
    cpu_khz: int | None
    time_ns: int
    target_met: bool


class RatioPolicy(Protocol):
    """What decides the level of each inference. Safe to use from several threads."""

    def choose(
        self,
        predicted_ms: Sequence[float],
        target_ms: float,
        clock: ClockSample,
        now_ns: int,
        allowed: Sequence[int] | None = None,
    ) -> Decision:
        """Return the level to use now.

        Args:
            predicted_ms: how long each level would take at the clock of now.
            target_ms: the latency to stay below; infinity if there is no target.
            clock: the sample the predictions come from.
            now_ns: time of the monotonic clock.
            allowed: the levels that may be used, such as those accurate enough; None means all.

        Raises:
            ValueError: an argument is empty or out of range.
        """

    def history(self) -> tuple[Decision, ...]:
        """Return the last changes of level, oldest first."""


def densest_within(
    predicted_ms: Sequence[float], budget_ms: float, allowed: Sequence[int] | None = None
) -> tuple[int, bool]:
    """Return the densest allowed level predicted within the budget, and True.

    If there is none, the sparsest allowed level and False. A prediction that is negative or no
    finite number is never within a budget.

    Raises:
        ValueError: there is no level, or an allowed one does not exist.
    """
    return _densest(predicted_ms, budget_ms, _check_levels(predicted_ms, allowed))


class LevelPolicy:
    """Follow the clock: the densest level that meets the target.

    Args:
        margin: a denser level must be predicted this part below the target.
        dwell_s: time since the last change before a denser level is taken.
        history: how many changes to remember.
    """

    def __init__(self, margin: float = 0.05, dwell_s: float = 0.1, history: int = 64) -> None:
        if not 0.0 <= margin < 1.0:
            raise ValueError(f"margin={margin}: must be at least 0 and below 1")
        if not 0.0 <= dwell_s < math.inf:
            raise ValueError(f"dwell_s={dwell_s}: must be a number of seconds, at least 0")
        self._margin = margin
        self._dwell_ns = round(dwell_s * 1e9)
        self._lock = threading.Lock()
        self._changes: deque[Decision] = deque(maxlen=history)
        self._last: Decision | None = None  # the decision that set the present level

    def choose(
        self,
        predicted_ms: Sequence[float],
        target_ms: float,
        clock: ClockSample,
        now_ns: int,
        allowed: Sequence[int] | None = None,
    ) -> Decision:
        """Return the level to use now; see RatioPolicy."""
        levels = _check_levels(predicted_ms, allowed)
        _check_target(target_ms)
        with self._lock:
            level, why = self._pick(predicted_ms, target_ms, now_ns, levels)
            decision = _decide(
                level=level,
                why=why,
                last=self._last,
                predicted_ms=predicted_ms,
                target_ms=target_ms,
                clock=clock,
                now_ns=now_ns,
            )
            if level != decision.previous:
                self._last = decision
                self._changes.append(decision)
        return decision

    def history(self) -> tuple[Decision, ...]:
        """Return the last changes of level, oldest first."""
        with self._lock:
            return tuple(self._changes)

    def _pick(
        self, predicted_ms: Sequence[float], target_ms: float, now_ns: int, levels: Sequence[int]
    ) -> tuple[int, str]:
        """Return the level and why; the caller holds the lock."""
        best, met = _densest(predicted_ms, target_ms, levels)
        takes = f"level {best} takes {_ms(predicted_ms[best])}"
        target = _target(target_ms)
        last = self._last
        if not met:
            return best, f"no allowed level meets {target}; the sparsest, {takes}"
        fits = f"{takes}, {target}"
        if last is None or best == last.level:
            return best, fits
        if last.level not in levels:
            return best, f"level {last.level} is no longer allowed; {fits}"
        present = f"{_ms(predicted_ms[last.level])}, {target}"
        if not _within(predicted_ms[last.level], target_ms):
            # At once, also in the odd case that a denser level is the one predicted to be faster.
            return best, f"level {last.level} would take {present}"
        # The present level meets the target, so `best` is a denser one.
        denser = [level for level in levels if best <= level < last.level]
        level, wait = self._rise(last, predicted_ms, target_ms, now_ns, denser)
        if wait:
            return level, f"level {level} takes {present}; {wait}"
        return level, f"level {level} takes {_ms(predicted_ms[level])}, {target}"

    def _rise(
        self,
        last: Decision,
        predicted_ms: Sequence[float],
        target_ms: float,
        now_ns: int,
        denser: Sequence[int],
    ) -> tuple[int, str]:
        """Return the densest level that margin and dwell allow, or the present one and why."""
        level, clear = _densest(predicted_ms, target_ms * (1.0 - self._margin), denser)
        if not clear:
            return last.level, f"level {denser[0]} would be within {self._margin:.0%} of it"
        wait_ns = last.time_ns + self._dwell_ns - now_ns
        if wait_ns > 0:
            return last.level, f"level {level} must wait {_ms(wait_ns / 1e6)}"
        return level, ""


class FixedPolicy:
    """Always the same level, whatever the clock does.

    Args:
        level: the level to use.
    """

    def __init__(self, level: int) -> None:
        if level < 0:
            raise ValueError(f"level={level}: levels count from 0")
        self._level = level
        self._first: Decision | None = None

    def choose(
        self,
        predicted_ms: Sequence[float],
        target_ms: float,
        clock: ClockSample,
        now_ns: int,
        allowed: Sequence[int] | None = None,
    ) -> Decision:
        """Return the fixed level; see RatioPolicy. It must be among those allowed."""
        levels = _check_levels(predicted_ms, allowed)
        _check_target(target_ms)
        if self._level not in levels:
            raise ValueError(f"level {self._level} is fixed but not allowed; allowed: {levels}")
        decision = _decide(
            level=self._level,
            why=f"level {self._level} is fixed",
            last=self._first,
            predicted_ms=predicted_ms,
            target_ms=target_ms,
            clock=clock,
            now_ns=now_ns,
        )
        if self._first is None:
            self._first = decision
        return decision

    def history(self) -> tuple[Decision, ...]:
        """Return the first decision, the only change there is."""
        return () if self._first is None else (self._first,)


def _decide(
    *,
    level: int,
    why: str,
    last: Decision | None,
    predicted_ms: Sequence[float],
    target_ms: float,
    clock: ClockSample,
    now_ns: int,
) -> Decision:
    before = last if last is not None and last.level != level else None
    # Callers may hand in NumPy numbers; a decision goes into JSON.
    takes_ms, goal_ms = float(predicted_ms[level]), float(target_ms)
    return Decision(
        level=level,
        previous=None if last is None else last.level,
        reason=f"{_cause(before, goal_ms, clock)}: {why}",
        predicted_ms=takes_ms,
        target_ms=goal_ms,
        cpu_khz=clock.cpu_khz,
        time_ns=now_ns,
        target_met=_within(takes_ms, goal_ms),
    )


def _cause(before: Decision | None, target_ms: float, clock: ClockSample) -> str:
    """Say what the clock is and, given the decision being replaced, what moved since."""
    text = "cpu clock unknown" if clock.cpu_khz is None else f"cpu {_mhz(clock.cpu_khz)} MHz"
    if before is None:
        return text
    old, new = before.cpu_khz, clock.cpu_khz
    if old is not None and new is not None and _mhz(old) != _mhz(new):
        text = f"cpu {_mhz(old)} -> {_mhz(new)} MHz"
    if before.target_ms != target_ms:
        text += f", {_target(before.target_ms)} before"
    return text


def _within(predicted_ms: float, budget_ms: float) -> bool:
    return 0.0 <= predicted_ms <= budget_ms and predicted_ms < math.inf


def _densest(
    predicted_ms: Sequence[float], budget_ms: float, levels: Sequence[int]
) -> tuple[int, bool]:
    for level in levels:
        if _within(predicted_ms[level], budget_ms):
            return level, True
    return levels[-1], False


def _check_levels(predicted_ms: Sequence[float], allowed: Sequence[int] | None) -> list[int]:
    """Return the allowed levels in order, densest first."""
    count = len(predicted_ms)
    if count == 0:
        raise ValueError("predicted_ms is empty: there must be a prediction for every level")
    if allowed is None:
        return list(range(count))
    levels = sorted({int(level) for level in allowed})
    if not levels or levels[0] < 0 or levels[-1] >= count:
        raise ValueError(f"allowed={levels}: must name at least one level from 0 to {count - 1}")
    return levels


def _check_target(target_ms: float) -> None:
    if not target_ms > 0.0:
        raise ValueError(f"target_ms={target_ms}: must be above 0; infinity means no target")


def _target(target_ms: float) -> str:
    return "no target" if target_ms == math.inf else f"target {_ms(target_ms)}"


def _ms(duration_ms: float) -> str:
    """Return more decimals for short times: small models take less than 0.1 ms."""
    decimals = 1 if duration_ms >= 10.0 else 2 if duration_ms >= 1.0 else 3
    return f"{duration_ms:.{decimals}f} ms"


def _mhz(khz: int) -> str:
    return f"{khz / 1000:.0f}"
