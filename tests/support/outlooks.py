# SPDX-License-Identifier: Apache-2.0
"""Outlooks for tests of the policies: a ladder of levels, clocks, and questions drawn at random."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hypothesis import strategies as st

from aio.governors import ClockSample, Decision, LayerShares, Outlook, RatioPolicy

MS = 1_000_000
FULL_KHZ = 1_510_400
# Per level a/f + b, f in GHz: what a real ladder looks like.
LADDER = ((12.0, 1.0), (8.0, 1.0), (5.0, 0.9), (3.0, 0.8), (1.5, 0.8))
ONE_LAYER = LayerShares.whole(9)

predictions = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=9)
# Nonsense included: what a broken fit or a missing clock may give.
wild = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=9)
targets = st.floats(0.1, 1e3)


def clock(khz: int | None = FULL_KHZ) -> ClockSample:
    return ClockSample(0, khz, FULL_KHZ, "cpufreq", (), None if khz else "unknown")


def times(khz: int) -> list[float]:
    """Return how long the levels of the ladder take at a clock."""
    return [a * 1e6 / khz + b for a, b in LADDER]


def outlook(
    predicted_ms: Sequence[float],
    target_ms: float = 12.0,
    now_ms: float = 0,
    *,
    khz: int | None = FULL_KHZ,
    slowdown: float = 1.0,
    allowed: Sequence[int] | None = None,
    shares: LayerShares = ONE_LAYER,
) -> Outlook:
    return Outlook(
        predicted_ms=tuple(predicted_ms),
        target_ms=target_ms,
        clock=clock(khz),
        now_ns=int(now_ms * MS),
        shares=shares,
        slowdown=slowdown,
        allowed=None if allowed is None else tuple(allowed),
    )


def decide(
    policy: RatioPolicy,
    predicted_ms: Sequence[float],
    target_ms: float = 12.0,
    now_ms: float = 0,
    *,
    khz: int | None = FULL_KHZ,
    slowdown: float = 1.0,
    allowed: Sequence[int] | None = None,
    shares: LayerShares = ONE_LAYER,
) -> Decision:
    """Return what a policy says to an outlook of these values."""
    return policy.choose(
        outlook(
            predicted_ms,
            target_ms,
            now_ms,
            khz=khz,
            slowdown=slowdown,
            allowed=allowed,
            shares=shares,
        )
    )


def brute_force(predicted_ms: Sequence[float], budget_ms: float, levels: list[int]) -> int | None:
    """Return the densest level within the budget, found in another way than the code does."""
    fits = [n for n in levels if 0 <= predicted_ms[n] <= budget_ms and predicted_ms[n] != math.inf]
    return min(fits, default=None)


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[float], list[int] | None]:
    """Draw predictions and the levels allowed."""
    predicted_ms = draw(st.one_of(predictions, wild))
    levels = st.lists(st.integers(0, len(predicted_ms) - 1), min_size=1)
    return predicted_ms, draw(st.none() | levels)


@st.composite
def ladders(draw: st.DrawFn) -> tuple[LayerShares, list[float]]:
    """Draw shares and times of levels where no layer takes longer at a sparser level."""
    levels, layers = draw(st.integers(1, 6)), draw(st.integers(1, 8))
    dense = draw(st.lists(st.floats(0.01, 10.0), min_size=layers, max_size=layers))
    factors = st.lists(st.floats(0.3, 1.0), min_size=layers, max_size=layers)
    table = [dense]
    for _ in range(levels - 1):
        table.append([a * b for a, b in zip(table[-1], draw(factors), strict=True)])
    return LayerShares(table), [sum(row) for row in table]
