# SPDX-License-Identifier: Apache-2.0
"""What policies decide on and what they answer. Nothing here looks at a sensor.

A level is an index into the model's ladder of pruning ratios, 0 being the densest. Latencies are
milliseconds of one sample. Every decision has a reason in words, and those that changed something
are kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aio.governors.plan import LayerShares, Plan, check_levels, within

if TYPE_CHECKING:
    from aio.governors.base import ClockSample

HISTORY = 64


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is known when an inference begins.

    `predicted_ms` is how long each level takes at the clock of `clock`, as calibrated; `slowdown`
    is by how much longer everything has been measured to take than that, `overhead_ms` what comes
    on top of it. `allowed` are the levels that may be used, such as those accurate enough; None
    means all.

    Raises:
        ValueError: a value is empty or out of range.
    """

    predicted_ms: tuple[float, ...]
    target_ms: float
    clock: ClockSample
    now_ns: int
    shares: LayerShares
    slowdown: float = 1.0
    overhead_ms: float = 0.0
    allowed: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        check_levels(self.predicted_ms, self.allowed)
        if not self.target_ms > 0.0:
            raise ValueError(
                f"target_ms={self.target_ms}: must be above 0; infinity means no target"
            )
        if not 0.0 < self.slowdown < math.inf:
            raise ValueError(f"slowdown={self.slowdown}: must be a number above 0")

    @property
    def levels(self) -> list[int]:
        """Return the levels that may be used, densest first."""
        return check_levels(self.predicted_ms, self.allowed)

    @property
    def expected_ms(self) -> tuple[float, ...]:
        """Return how long each level takes as far as is known, measurements included."""
        overhead_ms = self.overhead_ms
        return tuple(self.slowdown * takes_ms + overhead_ms for takes_ms in self.predicted_ms)


@dataclass(frozen=True, slots=True)
class Decision:
    """A plan with the reason for it; `previous` equals `plan` when nothing changed."""

    plan: Plan
    previous: Plan | None
    reason: str
    predicted_ms: float
    target_ms: float
    slowdown: float
    cpu_khz: int | None
    time_ns: int
    target_met: bool

    @property
    def level(self) -> int:
        """Return the sparsest level of the plan."""
        return self.plan.level

    @property
    def changed(self) -> bool:
        """Return whether another plan was in force before."""
        return self.plan != self.previous


class RatioPolicy(Protocol):
    """What decides the plan of each inference. One caller at a time; `history` from any thread."""

    @property
    def name(self) -> str:
        """Return the policy's name in reports and options."""

    @property
    def replans(self) -> bool:
        """Return whether its plans may be changed while they run."""

    def choose(self, outlook: Outlook) -> Decision:
        """Return the plan for an inference that begins now."""

    def history(self) -> tuple[Decision, ...]:
        """Return the last decisions that changed the plan, oldest first."""


class Journal:
    """The decisions that changed something. One writer at a time; `history` from any thread."""

    def __init__(self, length: int = HISTORY) -> None:
        self._length = length
        # Replaced as a whole: copying a deque while another thread appends to it may fail.
        self._changes: tuple[Decision, ...] = ()
        self.last: Decision | None = None  # the decision that set the present plan

    def decide(self, outlook: Outlook, plan: Plan, why: str, predicted_ms: float) -> Decision:
        """Return the decision for a plan, and remember it if the plan is a new one."""
        last = self.last
        decision = Decision(
            plan=plan,
            previous=None if last is None else last.plan,
            reason=f"{_cause(last, outlook)}: {why}",
            predicted_ms=float(predicted_ms),  # may be NumPy's; a decision goes into JSON
            target_ms=float(outlook.target_ms),
            slowdown=float(outlook.slowdown),
            cpu_khz=outlook.clock.cpu_khz,
            time_ns=outlook.now_ns,
            target_met=bool(within(predicted_ms, outlook.target_ms)),
        )
        if decision.changed:
            self.last = decision
            self._changes = (*self._changes, decision)[-self._length :]
        return decision

    def history(self) -> tuple[Decision, ...]:
        """Return the last changes, oldest first."""
        return self._changes


def _cause(before: Decision | None, outlook: Outlook) -> str:
    """Say what the clock is and, given the decision in force, what moved since."""
    new = outlook.clock.cpu_khz
    text = "cpu clock unknown" if new is None else f"cpu {_mhz(new)} MHz"
    if before is None:
        return text
    old = before.cpu_khz
    if old is not None and new is not None and _mhz(old) != _mhz(new):
        text = f"cpu {_mhz(old)} -> {_mhz(new)} MHz"
    if before.target_ms != outlook.target_ms:
        text += f", {target_words(before.target_ms)} before"
    if abs(outlook.slowdown / before.slowdown - 1.0) > 0.02:
        text += f", measured {before.slowdown:.2f} -> {outlook.slowdown:.2f} of predicted"
    return text


def target_words(target_ms: float) -> str:
    """Return a target in words."""
    return "no target" if target_ms == math.inf else f"target {ms_words(target_ms)}"


def ms_words(duration_ms: float) -> str:
    """Return a duration with more decimals for short times: small models take below 0.1 ms."""
    decimals = 1 if duration_ms >= 10.0 else 2 if duration_ms >= 1.0 else 3
    return f"{duration_ms:.{decimals}f} ms"


def _mhz(khz: int) -> str:
    return f"{khz / 1000:.0f}"
