# SPDX-License-Identifier: Apache-2.0
"""The policy that follows the clock: hysteresis, dwell, and what it says about them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outlooks import MS, brute_force, decide, predictions, questions, targets, times

from aio.governors import Plan, TablePolicy

DWELL_MS = 100


@pytest.mark.parametrize("margin", [-0.1, 1.0, math.nan])
def test_margin_out_of_range(margin: float) -> None:
    with pytest.raises(ValueError, match=f"margin={margin}"):
        TablePolicy(margin=margin)


@pytest.mark.parametrize("dwell_s", [-0.1, math.inf, math.nan])
def test_dwell_out_of_range(dwell_s: float) -> None:
    with pytest.raises(ValueError, match=f"dwell_s={dwell_s}"):
        TablePolicy(dwell_s=dwell_s)


def test_a_falling_clock_goes_sparser_at_once_and_says_why() -> None:
    policy = TablePolicy()
    first = decide(policy, [10.5, 7.0, 4.0])
    assert (first.level, first.previous, first.target_met) == (0, None, True)
    assert first.reason == "cpu 1510 MHz: level 0 takes 10.5 ms, target 12.0 ms"
    second = decide(policy, [19.8, 13.1, 7.5], now_ms=1, khz=806_400)
    assert (second.level, second.predicted_ms) == (2, 7.5)
    assert second.previous == Plan.uniform(0)
    assert second.reason == "cpu 1510 -> 806 MHz: level 0 would take 19.8 ms, target 12.0 ms"
    assert (second.time_ns, second.cpu_khz) == (MS, 806_400)
    assert policy.history() == (first, second)


def test_reasons_of_a_small_model_can_be_told_apart() -> None:
    policy = TablePolicy()
    decide(policy, [0.0834, 0.05], target_ms=0.09)
    reason = decide(policy, [0.0934, 0.055], target_ms=0.09, now_ms=1).reason
    assert reason.endswith("level 0 would take 0.093 ms, target 0.090 ms")


def test_what_was_measured_is_not_seen() -> None:
    decision = decide(TablePolicy(), [10.5, 7.0, 4.0], slowdown=2.0)
    assert (decision.level, decision.predicted_ms, decision.slowdown) == (0, 10.5, 2.0)


def test_a_rising_clock_waits_for_the_dwell() -> None:
    policy = TablePolicy()
    decide(policy, [19.8, 13.1, 7.5], khz=806_400)
    held = decide(policy, [10.5, 7.0, 4.0], now_ms=40)
    assert (held.level, held.previous) == (2, Plan.uniform(2))
    # The clock is no longer the one that the level was chosen at.
    assert held.reason == (
        "cpu 806 -> 1510 MHz: level 2 takes 4.00 ms, target 12.0 ms; level 0 must wait 60.0 ms"
    )
    freed = decide(policy, [10.5, 7.0, 4.0], now_ms=100)
    assert freed.level == 0
    assert freed.reason == "cpu 806 -> 1510 MHz: level 0 takes 10.5 ms, target 12.0 ms"
    assert len(policy.history()) == 2


def test_a_denser_level_needs_the_margin() -> None:
    policy = TablePolicy(margin=0.05)
    decide(policy, [20.0, 13.0, 8.0])
    tight = decide(policy, [20.0, 11.9, 7.0], now_ms=500)
    assert tight.level == 2
    assert tight.reason.endswith(
        "level 2 takes 7.00 ms, target 12.0 ms; level 1 would be within 5% of it"
    )
    assert decide(policy, [20.0, 11.3, 7.0], now_ms=501).level == 1


def test_a_denser_level_with_margin_is_taken_when_a_still_denser_one_lacks_it() -> None:
    policy = TablePolicy(margin=0.05)
    decide(policy, [30.0, 20.0, 8.0])
    assert decide(policy, [11.9, 9.0, 4.0], now_ms=500).level == 1


def test_nothing_meets_the_target() -> None:
    policy = TablePolicy()
    decide(policy, [9.0, 5.0, 3.0])
    missed = decide(policy, [9.0, 5.0, 3.0], target_ms=2.0)
    assert (missed.level, missed.target_met) == (2, False)
    assert missed.reason == (
        "cpu 1510 MHz, target 12.0 ms before: "
        "no allowed level meets target 2.00 ms; the sparsest, level 2 takes 3.00 ms"
    )
    again = decide(policy, [9.0, 5.0, 3.0], target_ms=2.0)
    assert (again.level, again.previous) == (2, Plan.uniform(2))
    assert len(policy.history()) == 2


def test_a_level_that_is_no_longer_allowed_is_left_at_once() -> None:
    policy = TablePolicy()
    decide(policy, [30.0, 20.0, 8.0])
    decision = decide(policy, [30.0, 11.9, 8.0], now_ms=1, allowed=[0, 1])
    assert decision.level == 1
    assert "level 2 is no longer allowed; level 1 takes 11.9 ms" in decision.reason


def test_predictions_out_of_order_do_not_make_it_flap() -> None:
    policy = TablePolicy()
    decide(policy, [20.0, 11.0, 9.0])
    noisy = [11.9, 13.0, 9.0]  # the denser level predicted to be the faster one
    levels = [decide(policy, noisy, now_ms=now).level for now in range(0, 1000, 10)]
    assert set(levels) == {0}


@given(questions(), targets)
def test_the_first_level_is_whole_and_the_densest_that_fits(
    question: tuple[list[float], list[int] | None], target_ms: float
) -> None:
    predicted_ms, allowed = question
    levels = sorted(set(allowed)) if allowed else list(range(len(predicted_ms)))
    decision = decide(TablePolicy(), predicted_ms, target_ms, allowed=allowed)
    best = brute_force(predicted_ms, target_ms, levels)
    assert decision.plan == Plan.uniform(levels[-1] if best is None else best)
    assert decision.target_met == (best is not None)


@given(predictions, predictions, targets, st.lists(st.integers(0, 200), max_size=30))
def test_at_a_constant_clock_the_level_changes_at_most_once(
    before: list[float], after: list[float], target_ms: float, waits_ms: list[int]
) -> None:
    size = min(len(before), len(after))
    policy, now_ms = TablePolicy(), 0
    levels = [decide(policy, before[:size], target_ms).level]
    for wait_ms in waits_ms:
        now_ms += wait_ms
        levels.append(decide(policy, after[:size], target_ms, now_ms).level)
    assert sum(a != b for a, b in pairwise(levels)) <= 1


@given(
    st.lists(st.tuples(st.integers(300_000, 3_000_000), st.integers(0, 120)), max_size=40),
    targets,
)
def test_clock_moves(trace: list[tuple[int, int]], target_ms: float) -> None:
    """A lower clock never gives a denser level; a denser one comes only after the dwell."""
    policy, now_ms, changed_ms = TablePolicy(margin=0.05), 0, 0
    last_khz, last_level = 3_000_000, decide(policy, times(3_000_000), target_ms).level
    for khz, wait_ms in trace:
        now_ms += wait_ms
        level = decide(policy, times(khz), target_ms, now_ms, khz=khz).level
        if level < last_level:
            assert now_ms - changed_ms >= DWELL_MS
            assert times(khz)[level] <= target_ms * 0.95
        if khz < last_khz and now_ms - changed_ms < DWELL_MS:
            assert level >= last_level
        if level != last_level:
            changed_ms = now_ms
        last_khz, last_level = khz, level


@given(st.integers(300_000, 3_000_000), st.integers(300_000, 3_000_000), targets)
def test_a_lower_clock_never_means_a_denser_level(a_khz: int, b_khz: int, target_ms: float) -> None:
    low, high = sorted((a_khz, b_khz))
    policy = TablePolicy(dwell_s=0.0)
    at_high = decide(policy, times(high), target_ms, 0, khz=high)
    at_low = decide(policy, times(low), target_ms, 1000, khz=low)
    assert at_low.level >= at_high.level
