# SPDX-License-Identifier: Apache-2.0
"""Follow the clock alone: the densest whole level whose calibrated time meets the target.

The scheme of the All-in-One paper (arXiv 2212.05122): each execution frequency has its pruning
ratio. Feed-forward: the same clock always gives the same level, up to hysteresis, and what no
sensor shows is not seen. Going sparser is immediate, because a deadline is at risk; going denser
needs a margin and some time since the last change, so that noise in the clock never makes it flap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from aio.governors.plan import Plan, densest_within, within
from aio.governors.policies.base import Decision, Journal, Outlook, ms_words, target_words


class TablePolicy:
    """The densest level that meets the target at the clock of now.

    Args:
        margin: a denser level must be predicted this part below the target; less than what the
            default target leaves above the densest level, which else would never be taken again.
        dwell_s: time since the last change before a denser level is taken.
    """

    name = "table"
    replans = False

    def __init__(self, margin: float = 0.02, dwell_s: float = 0.1) -> None:
        if not 0.0 <= margin < 1.0:
            raise ValueError(f"margin={margin}: must be at least 0 and below 1")
        if not 0.0 <= dwell_s < math.inf:
            raise ValueError(f"dwell_s={dwell_s}: must be a number of seconds, at least 0")
        self._margin = margin
        self._dwell_ns = round(dwell_s * 1e9)
        self._journal = Journal()

    def choose(self, outlook: Outlook) -> Decision:
        """Return the level to use now; see RatioPolicy."""
        level, why = self._pick(outlook)
        return self._journal.decide(outlook, Plan.uniform(level), why, outlook.predicted_ms[level])

    def history(self) -> tuple[Decision, ...]:
        """Return the last changes of level, oldest first."""
        return self._journal.history()

    def _pick(self, outlook: Outlook) -> tuple[int, str]:
        """Return the level and why."""
        predicted_ms, levels = outlook.predicted_ms, outlook.levels
        best, met = densest_within(predicted_ms, outlook.target_ms, levels)
        takes = f"level {best} takes {ms_words(predicted_ms[best])}"
        target = target_words(outlook.target_ms)
        last = self._journal.last
        if not met:
            return best, f"no allowed level meets {target}; the sparsest, {takes}"
        fits = f"{takes}, {target}"
        if last is None or best == last.level:
            return best, fits
        if last.level not in levels:
            return best, f"level {last.level} is no longer allowed; {fits}"
        present = f"{ms_words(predicted_ms[last.level])}, {target}"
        if not within(predicted_ms[last.level], outlook.target_ms):
            # At once, also in the odd case that a denser level is the one predicted to be faster.
            return best, f"level {last.level} would take {present}"
        # The present level meets the target, so `best` is a denser one.
        denser = [level for level in levels if best <= level < last.level]
        level, wait = self._rise(last, outlook, denser)
        if wait:
            return level, f"level {level} takes {present}; {wait}"
        return level, f"level {level} takes {ms_words(predicted_ms[level])}, {target}"

    def _rise(self, last: Decision, outlook: Outlook, denser: Sequence[int]) -> tuple[int, str]:
        """Return the densest level that margin and dwell allow, or the present one and why."""
        limit_ms = outlook.target_ms * (1.0 - self._margin)
        level, clear = densest_within(outlook.predicted_ms, limit_ms, denser)
        if not clear:
            return last.level, f"level {denser[0]} would be within {self._margin:.0%} of it"
        wait_ns = last.time_ns + self._dwell_ns - outlook.now_ns
        if wait_ns > 0:
            return last.level, f"level {level} must wait {ms_words(wait_ns / 1e6)}"
        return level, ""
