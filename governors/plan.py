# SPDX-License-Identifier: Apache-2.0
"""Plans: which level each layer of an inference runs at, and how long that would take.

A plan runs the first layers at one level and the rest at a denser one, so that a latency between
those of two levels can be met too. The sparser layers come first: what is still dense later can
give way if the clock falls meanwhile. "Layers" are the executor's steps, in execution order.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise


@dataclass(frozen=True, slots=True)
class Plan:
    """`cut` layers at level `first`, the others at level `rest`.

    A plan of one level has both the same and a cut of 0.
    """

    first: int
    rest: int
    cut: int = 0

    @classmethod
    def uniform(cls, level: int) -> Plan:
        """Return the plan that runs every layer at `level`."""
        return cls(level, level)

    @property
    def level(self) -> int:
        """Return the sparsest level in use: the one whose accuracy the plan is not below."""
        return max(self.first, self.rest)

    @property
    def mixed(self) -> bool:
        """Return whether two levels are in use."""
        return self.first != self.rest

    def levels(self, layers: int) -> list[int]:
        """Return the level of each of so many layers."""
        return [self.first] * self.cut + [self.rest] * (layers - self.cut)

    def __str__(self) -> str:
        """Say the plan in words."""
        if not self.mixed:
            return f"level {self.rest}"
        return f"level {self.first} for {self.cut} layers, then {self.rest}"


class LayerShares:
    """Which part of a level's whole time each layer takes; parts hardly depend on the clock.

    Args:
        shares: levels x layers, not negative. Each level's are scaled to a sum of 1. A network
            without layers has levels of no shares.

    Raises:
        ValueError: the table is not rectangular, or a level has no time at all or an infinite one.
    """

    def __init__(self, shares: Sequence[Sequence[float]]) -> None:
        if not shares or any(len(row) != len(shares[0]) for row in shares):
            raise ValueError("shares must be a table of levels x layers with equally long rows")
        self._before: list[list[float]] = []  # by level and layer: the part of the layers before
        for level, row in enumerate(shares):
            sums = [0.0, *accumulate(row)]
            if row and not (min(row) >= 0.0 and 0.0 < sums[-1] < math.inf):
                raise ValueError(f"level {level}: shares {list(row)} are no parts of a time")
            self._before.append([part / (sums[-1] or 1.0) for part in sums])

    @classmethod
    def whole(cls, levels: int) -> LayerShares:
        """Return the shares of a network that is looked at as one layer."""
        return cls([[1.0]] * levels)

    @property
    def layers(self) -> int:
        """Return the number of layers."""
        return len(self._before[0]) - 1

    def rows(self) -> list[list[float]]:
        """Return the table, each level's shares with a sum of 1."""
        return [[after - before for before, after in pairwise(row)] for row in self._before]

    def plan_ms(self, plan: Plan, level_ms: Sequence[float]) -> float:
        """Return how long a plan takes, given how long each level takes as a whole."""
        first_part = self._before[plan.first][plan.cut]
        rest_part = 1.0 - self._before[plan.rest][plan.cut]
        return level_ms[plan.first] * first_part + level_ms[plan.rest] * rest_part

    def plan_within(
        self, level_ms: Sequence[float], budget_ms: float, allowed: Sequence[int] | None = None
    ) -> tuple[Plan, bool]:
        """Return the densest plan predicted within the budget, and True.

        The plan mixes the densest level that fits with its denser neighbour, as far as that fits
        too. If no level fits, it is the sparsest one allowed, and False.

        Raises:
            ValueError: there is no level, or an allowed one does not exist.
        """
        levels = check_levels(level_ms, allowed)
        level, met = densest_within(level_ms, budget_ms, levels)
        if not met or level == levels[0]:
            return Plan.uniform(level), met
        denser = levels[levels.index(level) - 1]

        def fits(cut: int) -> bool:
            return within(self.plan_ms(Plan(level, denser, cut), level_ms), budget_ms)

        # All layers at the sparser level fit, none does not, and more of them hardly ever take
        # longer: the first cut that fits is found by halving. What is found fits in any case.
        cuts = range(1, self.layers)
        at = bisect.bisect_left(cuts, True, key=fits)
        return (Plan(level, denser, cuts[at]) if at < len(cuts) else Plan.uniform(level)), True


def densest_within(
    level_ms: Sequence[float], budget_ms: float, allowed: Sequence[int] | None = None
) -> tuple[int, bool]:
    """Return the densest allowed level predicted within the budget, and True.

    If there is none, the sparsest allowed level and False. A prediction that is negative or no
    finite number is never within a budget.

    Raises:
        ValueError: there is no level, or an allowed one does not exist.
    """
    levels = check_levels(level_ms, allowed)
    for level in levels:
        if within(level_ms[level], budget_ms):
            return level, True
    return levels[-1], False


def within(predicted_ms: float, budget_ms: float) -> bool:
    """Return whether a prediction is a time and not above the budget."""
    return 0.0 <= predicted_ms <= budget_ms and predicted_ms < math.inf


def check_levels(level_ms: Sequence[float], allowed: Sequence[int] | None) -> list[int]:
    """Return the allowed levels in order, densest first.

    Raises:
        ValueError: there is no level, or an allowed one does not exist.
    """
    count = len(level_ms)
    if count == 0:
        raise ValueError("there must be a prediction for every level, got none")
    if allowed is None:
        return list(range(count))
    levels = sorted({int(level) for level in allowed})
    if not levels or levels[0] < 0 or levels[-1] >= count:
        raise ValueError(f"allowed={levels}: must name at least one level from 0 to {count - 1}")
    return levels
