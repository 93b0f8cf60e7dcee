# SPDX-License-Identifier: Apache-2.0
"""The policy that holds the target: when a plan stays, when it goes, and what is said about it."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outlooks import MS, decide, ladders, targets

from aio.governors import AdaptivePolicy, LayerShares, Plan

Ladder = tuple[LayerShares, list[float]]
# Ten layers, so that a mix is never further than 3 % from what it should take.
TEN = LayerShares([[1.0] * 10] * 3)
LEVEL_MS = (12.0, 9.0, 6.0)
slowdowns = st.floats(0.1, 10.0)


def sparser_or_equal(a: Plan, b: Plan, layers: int) -> bool:
    return all(x >= y for x, y in zip(a.levels(layers), b.levels(layers), strict=True))


@pytest.mark.parametrize(
    "options",
    [
        {"late": -0.1},
        {"late": 1.0},
        {"late": math.nan},
        {"early": -0.1},
        {"early": 0.2, "leap": 0.1},
        {"leap": 1.0},
        {"leap": math.nan},
        {"dwell_s": -0.1},
        {"dwell_s": math.inf},
        {"dwell_s": math.nan},
    ],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}="):
        AdaptivePolicy(**options)


def test_a_target_between_two_levels_is_met_by_a_mix() -> None:
    decision = decide(AdaptivePolicy(), LEVEL_MS, 7.6, shares=TEN)
    assert decision.plan == Plan(2, 1, 5)
    assert decision.predicted_ms == pytest.approx(7.5)
    assert decision.target_met
    assert decision.reason == (
        "cpu 1510 MHz: level 2 for 5 layers, then 1 takes 7.50 ms, target 7.60 ms"
    )


def test_measured_latencies_count_like_the_clock() -> None:
    decision = decide(AdaptivePolicy(), LEVEL_MS, 7.6 * 1.25, slowdown=1.25, shares=TEN)
    assert decision.plan == Plan(2, 1, 5)
    assert decision.predicted_ms == pytest.approx(7.5 * 1.25)


def test_a_plan_that_would_be_late_is_left_at_once_and_the_reason_says_so() -> None:
    policy = AdaptivePolicy()
    decide(policy, LEVEL_MS, 12.0, shares=TEN)
    late = decide(policy, LEVEL_MS, 12.0, now_ms=1, slowdown=1.5, shares=TEN)
    assert late.plan == Plan(2, 1, 4)
    assert late.previous == Plan.uniform(0)
    assert late.reason == (
        "cpu 1510 MHz, measured 1.00 -> 1.50 of predicted: level 0 would take 18.0 ms; "
        "level 2 for 4 layers, then 1 takes 11.7 ms, target 12.0 ms"
    )
    assert len(policy.history()) == 2


def test_a_plan_near_the_target_stays() -> None:
    policy = AdaptivePolicy(late=0.025, early=0.035)
    first = decide(policy, LEVEL_MS, 7.5, shares=TEN)
    for now_ms, slowdown in ((1, 1.024), (2, 0.97), (3, 1.024), (1000, 0.97)):
        decision = decide(policy, LEVEL_MS, 7.5, now_ms, slowdown=slowdown, shares=TEN)
        assert decision.plan == first.plan
        assert decision.predicted_ms == pytest.approx(7.5 * slowdown)
    assert policy.history() == (first,)


def test_a_denser_plan_waits_for_the_dwell() -> None:
    policy = AdaptivePolicy(dwell_s=0.1)
    first = decide(policy, LEVEL_MS, 7.5, shares=TEN)
    held = decide(policy, LEVEL_MS, 7.5, now_ms=40, slowdown=0.94, shares=TEN)
    assert held.plan == first.plan
    assert held.reason.endswith(
        "level 2 for 5 layers, then 1 takes 7.05 ms, target 7.50 ms; a denser one must wait 60.0 ms"
    )
    freed = decide(policy, LEVEL_MS, 7.5, now_ms=100, slowdown=0.94, shares=TEN)
    assert freed.plan == Plan(2, 1, 4)


def test_a_plan_that_is_far_too_early_does_not_wait() -> None:
    policy = AdaptivePolicy(leap=0.1)
    decide(policy, LEVEL_MS, 7.5, khz=806_400, shares=TEN)
    decision = decide(policy, LEVEL_MS, 7.5, now_ms=1, slowdown=0.7, shares=TEN)
    assert decision.plan == Plan(1, 0, 5)
    assert decision.reason.startswith("cpu 806 -> 1510 MHz, measured 1.00 -> 0.70 of predicted: ")


def test_the_densest_plan_has_nothing_to_wait_for() -> None:
    policy = AdaptivePolicy()
    decide(policy, LEVEL_MS, 100.0, shares=TEN)
    decision = decide(policy, LEVEL_MS, 100.0, now_ms=1, shares=TEN)
    assert decision.plan == Plan.uniform(0)
    assert "wait" not in decision.reason


def test_another_target_or_other_levels_are_another_question() -> None:
    policy = AdaptivePolicy()
    decide(policy, LEVEL_MS, 12.0, shares=TEN)
    other = decide(policy, LEVEL_MS, 12.1, now_ms=1, shares=TEN)
    assert other.reason.startswith("cpu 1510 MHz, target 12.0 ms before: ")
    forbidden = decide(policy, LEVEL_MS, 12.1, now_ms=2, allowed=[1, 2], shares=TEN)
    assert forbidden.plan == Plan.uniform(1)
    assert "level 0 is no longer allowed; level 1 takes 9.00 ms" in forbidden.reason


def test_nothing_meets_the_target() -> None:
    policy = AdaptivePolicy()
    decision = decide(policy, LEVEL_MS, 5.0, shares=TEN)
    assert (decision.plan, decision.target_met) == (Plan.uniform(2), False)
    assert decision.reason == (
        "cpu 1510 MHz: no allowed level meets target 5.00 ms; the sparsest, "
        "level 2 takes 6.00 ms, target 5.00 ms"
    )
    assert not decide(policy, LEVEL_MS, 5.0, now_ms=1, shares=TEN).changed


@given(ladders(), slowdowns, slowdowns, targets, st.lists(st.integers(0, 200), max_size=30))
def test_at_constant_conditions_the_plan_changes_at_most_once(
    ladder: Ladder, before: float, after: float, target_ms: float, waits_ms: list[int]
) -> None:
    shares, level_ms = ladder
    policy, now_ms = AdaptivePolicy(), 0
    plans = [decide(policy, level_ms, target_ms, slowdown=before, shares=shares).plan]
    for wait_ms in waits_ms:
        now_ms += wait_ms
        decision = decide(policy, level_ms, target_ms, now_ms, slowdown=after, shares=shares)
        plans.append(decision.plan)
    assert sum(a != b for a, b in pairwise(plans)) <= 1


@given(ladders(), slowdowns, slowdowns, targets)
def test_a_slower_device_never_gets_a_denser_plan(
    ladder: Ladder, a: float, b: float, target_ms: float
) -> None:
    shares, level_ms = ladder
    fast, slow = sorted((a, b))
    policy = AdaptivePolicy(dwell_s=0.0)
    for now_ms in (0, 1):  # the second time the plan is settled
        before = decide(policy, level_ms, target_ms, now_ms, slowdown=fast, shares=shares)
    after = decide(policy, level_ms, target_ms, 1000, slowdown=slow, shares=shares)
    assert sparser_or_equal(after.plan, before.plan, shares.layers)


@given(ladders(), targets, st.lists(st.tuples(slowdowns, st.integers(0, 150)), max_size=40))
def test_late_is_immediate_and_early_waits(
    ladder: Ladder, target_ms: float, trace: list[tuple[float, int]]
) -> None:
    late, early, leap, dwell_ms = 0.025, 0.035, 0.1, 100
    shares, level_ms = ladder
    policy, now_ms, changed_ms = AdaptivePolicy(late, early, leap, dwell_ms / 1e3), 0, 0
    last = decide(policy, level_ms, target_ms, shares=shares).plan
    for slowdown, wait_ms in trace:
        now_ms += wait_ms
        decision = decide(policy, level_ms, target_ms, now_ms, slowdown=slowdown, shares=shares)
        expected_ms = [slowdown * takes_ms for takes_ms in level_ms]
        stays_ms = shares.plan_ms(last, expected_ms)
        best, met = shares.plan_within(expected_ms, target_ms)
        if stays_ms > (1 + late) * target_ms or not met:
            assert decision.plan == best
        elif stays_ms >= (1 - early) * target_ms or (
            stays_ms >= (1 - leap) * target_ms and now_ms - changed_ms < dwell_ms
        ):
            assert decision.plan == last
        else:
            assert decision.plan == best
        assert decision.target_met == (decision.predicted_ms <= target_ms)
        if decision.changed:
            assert decision.time_ns == now_ms * MS
            changed_ms = now_ms
        last = decision.plan
