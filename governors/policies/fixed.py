# SPDX-License-Identifier: Apache-2.0
"""Always the same level, whatever the clock does."""

from __future__ import annotations

from aio.governors.plan import Plan
from aio.governors.policies.base import Decision, Journal, Outlook


class FixedPolicy:
    """Always the same level.

    Args:
        level: the level to use; it must be among those allowed.
    """

    name = "fixed"
    replans = False

    def __init__(self, level: int) -> None:
        if level < 0:
            raise ValueError(f"level={level}: levels count from 0")
        self._level = level
        self._journal = Journal()

    def choose(self, outlook: Outlook) -> Decision:
        """Return the fixed level; see RatioPolicy."""
        level = self._level
        if level not in outlook.levels:
            raise ValueError(f"level {level} is fixed but not allowed; allowed: {outlook.levels}")
        return self._journal.decide(
            outlook, Plan.uniform(level), f"level {level} is fixed", outlook.expected_ms[level]
        )

    def history(self) -> tuple[Decision, ...]:
        """Return the first decision, the only change there is."""
        return self._journal.history()
