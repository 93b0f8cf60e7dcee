# SPDX-License-Identifier: Apache-2.0
"""The level policies: what they choose, when they move, and what they say about it."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.governors import (
    ClockSample,
    Decision,
    FixedPolicy,
    LevelPolicy,
    RatioPolicy,
    densest_within,
)

MS = 1_000_000
DWELL_NS = 100 * MS
# Per level a/f + b, f in GHz: what a real ladder looks like.
LADDER = ((12.0, 1.0), (8.0, 1.0), (5.0, 0.9), (3.0, 0.8), (1.5, 0.8))

predictions = st.lists(st.floats(0.01, 1e4), min_size=1, max_size=9)
# Nonsense included: what a broken fit or a missing clock may give.
wild = st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=9)
targets = st.floats(0.1, 1e3)


def clock(khz: int | None = 1_510_400) -> ClockSample:
    return ClockSample(0, khz, 1_510_400, "cpufreq", (), None if khz else "unknown")


def times(khz: int) -> list[float]:
    return [a * 1e6 / khz + b for a, b in LADDER]


def decide(
    policy: RatioPolicy,
    predicted_ms: Sequence[float],
    target_ms: float = 12.0,
    now_ms: float = 0,
    khz: int | None = 1_510_400,
    allowed: Sequence[int] | None = None,
) -> Decision:
    return policy.choose(predicted_ms, target_ms, clock(khz), int(now_ms * MS), allowed)


def brute_force(predicted_ms: Sequence[float], budget_ms: float, levels: list[int]) -> int | None:
    fits = [n for n in levels if 0 <= predicted_ms[n] <= budget_ms and predicted_ms[n] != math.inf]
    return min(fits, default=None)


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[float], list[int] | None]:
    predicted_ms = draw(st.one_of(predictions, wild))
    levels = st.lists(st.integers(0, len(predicted_ms) - 1), min_size=1)
    return predicted_ms, draw(st.none() | levels)


@given(questions(), targets)
def test_densest_within_is_the_densest_that_fits(
    question: tuple[list[float], list[int] | None], budget_ms: float
) -> None:
    predicted_ms, allowed = question
    levels = sorted(set(allowed)) if allowed else list(range(len(predicted_ms)))
    expected = brute_force(predicted_ms, budget_ms, levels)
    level, met = densest_within(predicted_ms, budget_ms, allowed)
    assert (level, met) == ((levels[-1], False) if expected is None else (expected, True))


@pytest.mark.parametrize("budget_ms", [0.0, -1.0, math.nan])
def test_a_budget_nothing_fits_gives_the_sparsest(budget_ms: float) -> None:
    assert densest_within([3.0, 2.0, 1.0], budget_ms) == (2, False)


def test_no_budget_gives_the_densest() -> None:
    assert densest_within([3.0, 2.0], math.inf) == (0, True)


@pytest.mark.parametrize("policy", [LevelPolicy(), FixedPolicy(0)])
@pytest.mark.parametrize(
    ("predicted_ms", "target_ms", "allowed", "message"),
    [
        ([], 12.0, None, "predicted_ms is empty"),
        ([1.0, 2.0], 12.0, [], r"allowed=\[\]: must name at least one level from 0 to 1"),
        ([1.0, 2.0], 12.0, [2], r"allowed=\[2\]: must"),
        ([1.0, 2.0], 12.0, [-1, 0], r"allowed=\[-1, 0\]: must"),
        ([1.0, 2.0], 0.0, None, "target_ms=0.0: must be above 0"),
        ([1.0, 2.0], -3.0, None, "target_ms=-3.0: must"),
        ([1.0, 2.0], math.nan, None, "target_ms=nan: must"),
    ],
)
def test_wrong_arguments_are_named(
    policy: RatioPolicy,
    predicted_ms: list[float],
    target_ms: float,
    allowed: list[int] | None,
    message: str,
) -> None:
    with pytest.raises(ValueError, match=message):
        decide(policy, predicted_ms, target_ms, allowed=allowed)


@pytest.mark.parametrize("margin", [-0.1, 1.0, math.nan])
def test_margin_out_of_range(margin: float) -> None:
    with pytest.raises(ValueError, match=f"margin={margin}"):
        LevelPolicy(margin=margin)


@pytest.mark.parametrize("dwell_s", [-0.1, math.inf, math.nan])
def test_dwell_out_of_range(dwell_s: float) -> None:
    with pytest.raises(ValueError, match=f"dwell_s={dwell_s}"):
        LevelPolicy(dwell_s=dwell_s)


def test_a_falling_clock_goes_sparser_at_once_and_says_why() -> None:
    policy = LevelPolicy()
    first = decide(policy, [10.5, 7.0, 4.0])
    assert (first.level, first.previous, first.target_met) == (0, None, True)
    assert first.reason == "cpu 1510 MHz: level 0 takes 10.5 ms, target 12.0 ms"
    second = decide(policy, [19.8, 13.1, 7.5], now_ms=1, khz=806_400)
    assert (second.level, second.previous, second.predicted_ms) == (2, 0, 7.5)
    assert second.reason == "cpu 1510 -> 806 MHz: level 0 would take 19.8 ms, target 12.0 ms"
    assert (second.time_ns, second.cpu_khz) == (MS, 806_400)
    assert policy.history() == (first, second)


def test_reasons_of_a_small_model_can_be_told_apart() -> None:
    policy = LevelPolicy()
    decide(policy, [0.0834, 0.05], target_ms=0.09)
    reason = decide(policy, [0.0934, 0.055], target_ms=0.09, now_ms=1).reason
    assert reason.endswith("level 0 would take 0.093 ms, target 0.090 ms")


def test_a_rising_clock_waits_for_the_dwell() -> None:
    policy = LevelPolicy()
    decide(policy, [19.8, 13.1, 7.5], khz=806_400)
    held = decide(policy, [10.5, 7.0, 4.0], now_ms=40)
    assert (held.level, held.previous) == (2, 2)
    assert held.reason == (
        "cpu 1510 MHz: level 2 takes 4.00 ms, target 12.0 ms; level 0 must wait 60.0 ms"
    )
    freed = decide(policy, [10.5, 7.0, 4.0], now_ms=100)
    assert freed.level == 0
    assert freed.reason == "cpu 806 -> 1510 MHz: level 0 takes 10.5 ms, target 12.0 ms"
    assert len(policy.history()) == 2


def test_a_denser_level_needs_the_margin() -> None:
    policy = LevelPolicy()
    decide(policy, [20.0, 13.0, 8.0])
    tight = decide(policy, [20.0, 11.9, 7.0], now_ms=500)
    assert tight.level == 2
    assert tight.reason.endswith(
        "level 2 takes 7.00 ms, target 12.0 ms; level 1 would be within 5% of it"
    )
    assert decide(policy, [20.0, 11.3, 7.0], now_ms=501).level == 1


def test_a_denser_level_with_margin_is_taken_when_a_still_denser_one_lacks_it() -> None:
    policy = LevelPolicy()
    decide(policy, [30.0, 20.0, 8.0])
    assert decide(policy, [11.9, 9.0, 4.0], now_ms=500).level == 1


def test_nothing_meets_the_target() -> None:
    policy = LevelPolicy()
    decide(policy, [9.0, 5.0, 3.0])
    missed = decide(policy, [9.0, 5.0, 3.0], target_ms=2.0)
    assert (missed.level, missed.target_met) == (2, False)
    assert missed.reason == (
        "cpu 1510 MHz, target 12.0 ms before: "
        "no allowed level meets target 2.00 ms; the sparsest, level 2 takes 3.00 ms"
    )
    again = decide(policy, [9.0, 5.0, 3.0], target_ms=2.0)
    assert (again.level, again.previous) == (2, 2)
    assert len(policy.history()) == 2


def test_level_that_is_no_longer_allowed_is_left_at_once() -> None:
    policy = LevelPolicy()
    decide(policy, [30.0, 20.0, 8.0])
    decision = decide(policy, [30.0, 11.9, 8.0], now_ms=1, allowed=[0, 1])
    assert decision.level == 1
    assert "level 2 is no longer allowed; level 1 takes 11.9 ms" in decision.reason


def test_no_target_and_no_clock() -> None:
    decision = decide(LevelPolicy(), [30.0, 20.0], target_ms=math.inf, khz=None)
    assert (decision.level, decision.cpu_khz, decision.target_met) == (0, None, True)
    assert decision.reason == "cpu clock unknown: level 0 takes 30.0 ms, no target"


def test_numpy_numbers_leave_as_plain_ones() -> None:
    decision = decide(LevelPolicy(), list(np.array([30.0, 9.0])), np.float64(12.0))
    assert json.loads(json.dumps(asdict(decision)))["target_met"] is True


def test_predictions_out_of_order_do_not_make_it_flap() -> None:
    policy = LevelPolicy()
    decide(policy, [20.0, 11.0, 9.0])
    noisy = [11.9, 13.0, 9.0]  # the denser level predicted to be the faster one
    levels = [decide(policy, noisy, now_ms=now).level for now in range(0, 1000, 10)]
    assert set(levels) == {0}


def test_nonsense_predictions_give_the_sparsest() -> None:
    decision = decide(LevelPolicy(), [math.nan, math.inf, -1.0])
    assert (decision.level, decision.target_met) == (2, False)


@given(st.lists(st.tuples(questions(), targets, st.integers(0, 300)), min_size=1, max_size=20))
def test_the_level_is_always_allowed_and_the_account_is_right(
    steps: list[tuple[tuple[list[float], list[int] | None], float, int]],
) -> None:
    policy, now_ms, previous, changes = LevelPolicy(), 0, None, 0
    for (predicted_ms, allowed), target_ms, wait_ms in steps:
        now_ms += wait_ms
        decision = decide(policy, predicted_ms, target_ms, now_ms, allowed=allowed)
        levels = sorted(set(allowed)) if allowed else list(range(len(predicted_ms)))
        assert decision.level in levels
        assert decision.previous == previous
        reachable = brute_force(predicted_ms, target_ms, levels) is not None
        assert decision.target_met == reachable
        if not reachable:
            assert decision.level == levels[-1]
        changes += decision.level != previous
        previous = decision.level
    assert len(policy.history()) == min(changes, 64)


@given(predictions, predictions, targets, st.lists(st.integers(0, 200), max_size=30))
def test_at_a_constant_clock_the_level_changes_at_most_once(
    before: list[float], after: list[float], target_ms: float, waits_ms: list[int]
) -> None:
    size = min(len(before), len(after))
    policy, now_ms = LevelPolicy(), 0
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
    policy, now_ms, changed_ms = LevelPolicy(), 0, 0
    last_khz, last_level = 3_000_000, decide(policy, times(3_000_000), target_ms).level
    for khz, wait_ms in trace:
        now_ms += wait_ms
        level = decide(policy, times(khz), target_ms, now_ms, khz).level
        if level < last_level:
            assert now_ms - changed_ms >= DWELL_NS / MS
            assert times(khz)[level] <= target_ms * 0.95
        if khz < last_khz and now_ms - changed_ms < DWELL_NS / MS:
            assert level >= last_level
        if level != last_level:
            changed_ms = now_ms
        last_khz, last_level = khz, level


@given(st.integers(300_000, 3_000_000), st.integers(300_000, 3_000_000), targets)
def test_a_lower_clock_never_means_a_denser_level(a_khz: int, b_khz: int, target_ms: float) -> None:
    low, high = sorted((a_khz, b_khz))
    policy = LevelPolicy(dwell_s=0.0)
    at_high = decide(policy, times(high), target_ms, 0, high)
    at_low = decide(policy, times(low), target_ms, 1000, low)
    assert at_low.level >= at_high.level


def test_history_is_a_ring() -> None:
    policy = LevelPolicy(history=3)
    for now_ms in range(0, 10_000, 1000):
        fast = now_ms % 2000 == 0
        decide(policy, [10.0, 5.0] if fast else [20.0, 10.0], now_ms=now_ms)
    assert [change.time_ns // MS for change in policy.history()] == [7000, 8000, 9000]


def test_many_threads_get_one_consistent_history() -> None:
    policy = LevelPolicy(dwell_s=0.0, history=10_000)
    gate = threading.Barrier(4)

    def work(seed: int) -> None:
        gate.wait()
        for step in range(300):
            khz = 3_000_000 if (step + seed) % 3 else 400_000
            decide(policy, times(khz), 6.0, step, khz)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    changes = policy.history()
    assert len(changes) > 1
    assert changes[0].previous is None
    assert all(b.previous == a.level for a, b in pairwise(changes))


def test_fixed_policy() -> None:
    policy = FixedPolicy(1)
    assert policy.history() == ()
    first = decide(policy, [10.0, 8.0, 4.0])
    assert (first.level, first.previous, first.target_met) == (1, None, True)
    assert first.reason == "cpu 1510 MHz: level 1 is fixed"
    second = decide(policy, [30.0, 24.0, 12.0], khz=500_000)
    assert (second.level, second.previous, second.target_met) == (1, 1, False)
    assert policy.history() == (first,)
    with pytest.raises(ValueError, match=r"level 1 is fixed but not allowed; allowed: \[0\]"):
        decide(policy, [10.0, 8.0], allowed=[0])
    with pytest.raises(ValueError, match="level=-1"):
        FixedPolicy(-1)
