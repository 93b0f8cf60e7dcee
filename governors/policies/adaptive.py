# SPDX-License-Identifier: Apache-2.0
"""Hold the target: the plan whose expected time, measurements included, is the target.

Feed-forward from the clock, multiplied by what measured latencies say beyond it, and met exactly
by mixing two levels across layers. A plan stays as long as it is expected near the target; it is
replaced at once when it would be late, and after a dwell when it would be early, unless it is so
early that the clock must have risen.
"""

from __future__ import annotations

import math

from aio.governors.plan import Plan
from aio.governors.policies.base import Decision, Journal, Outlook, ms_words, target_words


class AdaptivePolicy:
    """The default policy: latency stays at the target whatever the clocks do.

    Args:
        late: how far above the target, as a part of it, a plan in force may be expected.
        early: how far below.
        leap: a plan expected this far below is replaced without waiting.
        dwell_s: time since the last change before a denser plan is taken.
    """

    name = "adaptive"
    replans = True

    def __init__(
        self,
        late: float = 0.025,
        early: float = 0.035,
        leap: float = 0.1,
        dwell_s: float = 0.1,
    ) -> None:
        if not (0.0 <= late < 1.0 and 0.0 <= early <= leap < 1.0):
            raise ValueError(
                f"late={late}, early={early}, leap={leap}: must be parts of the target, "
                "early not above leap"
            )
        if not 0.0 <= dwell_s < math.inf:
            raise ValueError(f"dwell_s={dwell_s}: must be a number of seconds, at least 0")
        self._late = late
        self._early = early
        self._leap = leap
        self._dwell_ns = round(dwell_s * 1e9)
        self._journal = Journal()

    def choose(self, outlook: Outlook) -> Decision:
        """Return the plan to use now; see RatioPolicy."""
        expected_ms, last = outlook.expected_ms, self._journal.last
        if last is not None and (why := self._keeps(last, outlook)):
            present_ms = outlook.shares.plan_ms(last.plan, expected_ms)
            return self._journal.decide(outlook, last.plan, why, present_ms)
        plan, met = outlook.shares.plan_within(expected_ms, outlook.target_ms, outlook.levels)
        takes_ms = outlook.shares.plan_ms(plan, expected_ms)
        why = f"{plan} takes {ms_words(takes_ms)}, {target_words(outlook.target_ms)}"
        if not met:
            why = f"no allowed level meets {target_words(outlook.target_ms)}; the sparsest, {why}"
        elif last is not None and last.plan != plan:
            why = _why_left(last.plan, outlook) + why
        return self._journal.decide(outlook, plan, why, takes_ms)

    def history(self) -> tuple[Decision, ...]:
        """Return the last changes of plan, oldest first."""
        return self._journal.history()

    def _keeps(self, last: Decision, outlook: Outlook) -> str:
        """Return why the plan in force stays, "" if it does not."""
        plan, levels, target_ms = last.plan, outlook.levels, outlook.target_ms
        if not _allowed(plan, outlook):
            return ""
        takes_ms = outlook.shares.plan_ms(plan, outlook.expected_ms)
        words = f"{plan} takes {ms_words(takes_ms)}, {target_words(target_ms)}"
        if not 0.0 <= takes_ms <= (1.0 + self._late) * target_ms:
            return ""
        if takes_ms >= (1.0 - self._early) * target_ms or plan == Plan.uniform(levels[0]):
            return words
        wait_ns = last.time_ns + self._dwell_ns - outlook.now_ns
        if takes_ms >= (1.0 - self._leap) * target_ms and wait_ns > 0:
            return f"{words}; a denser one must wait {ms_words(wait_ns / 1e6)}"
        return ""


def _allowed(plan: Plan, outlook: Outlook) -> bool:
    return {plan.first, plan.rest} <= set(outlook.levels)


def _why_left(plan: Plan, outlook: Outlook) -> str:
    """Return what is wrong with the plan in force, "" if another one is only better."""
    if not _allowed(plan, outlook):
        return f"{plan} is no longer allowed; "
    takes_ms = outlook.shares.plan_ms(plan, outlook.expected_ms)
    return "" if takes_ms <= outlook.target_ms else f"{plan} would take {ms_words(takes_ms)}; "
