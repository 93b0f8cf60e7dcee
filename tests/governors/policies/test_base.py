# SPDX-License-Identifier: Apache-2.0
"""What every policy shares: checks of the outlook, decisions, reasons, the journal of changes."""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from dataclasses import asdict
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outlooks import MS, decide, outlook, questions, targets, times

from aio.governors import AdaptivePolicy, FixedPolicy, Plan, RatioPolicy, TablePolicy
from aio.governors.policies.base import HISTORY, Journal, ms_words, target_words

POLICIES: list[Callable[[], RatioPolicy]] = [AdaptivePolicy, TablePolicy]
every_policy = pytest.mark.parametrize("make", POLICIES)


@pytest.mark.parametrize(
    ("predicted_ms", "target_ms", "allowed", "message"),
    [
        ([], 12.0, None, "a prediction for every level, got none"),
        ([1.0, 2.0], 12.0, [], r"allowed=\[\]: must name at least one level from 0 to 1"),
        ([1.0, 2.0], 12.0, [2], r"allowed=\[2\]: must"),
        ([1.0, 2.0], 12.0, [-1, 0], r"allowed=\[-1, 0\]: must"),
        ([1.0, 2.0], 0.0, None, "target_ms=0.0: must be above 0"),
        ([1.0, 2.0], -3.0, None, "target_ms=-3.0: must"),
        ([1.0, 2.0], math.nan, None, "target_ms=nan: must"),
    ],
)
def test_wrong_values_of_an_outlook_are_named(
    predicted_ms: list[float], target_ms: float, allowed: list[int] | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        outlook(predicted_ms, target_ms, allowed=allowed)


@pytest.mark.parametrize("slowdown", [0.0, -1.0, math.inf, math.nan])
def test_slowdown_out_of_range(slowdown: float) -> None:
    with pytest.raises(ValueError, match=f"slowdown={slowdown}: must be a number above 0"):
        outlook([1.0], slowdown=slowdown)


def test_an_outlook_expects_what_was_measured() -> None:
    question = outlook([10.0, 4.0], slowdown=1.5, allowed=[1, 0, 1])
    assert question.expected_ms == (15.0, 6.0)
    assert question.levels == [0, 1]
    assert outlook([10.0, 4.0]).levels == [0, 1]


def test_durations_in_words() -> None:
    assert [ms_words(ms) for ms in (12.34, 1.234, 0.01234)] == ["12.3 ms", "1.23 ms", "0.012 ms"]
    assert target_words(math.inf) == "no target"
    assert target_words(3.0) == "target 3.00 ms"


def test_the_reason_begins_with_what_moved() -> None:
    journal = Journal()

    def reason(
        plan: Plan, khz: int | None = 1_510_400, target_ms: float = 12.0, slowdown: float = 1.0
    ) -> str:
        question = outlook([5.0], target_ms, khz=khz, slowdown=slowdown)
        return journal.decide(question, plan, "why", 5.0).reason

    one, two = Plan.uniform(0), Plan.uniform(1)
    assert reason(one) == "cpu 1510 MHz: why"
    assert reason(two, khz=806_400) == "cpu 1510 -> 806 MHz: why"
    assert reason(one, khz=806_400, target_ms=8.0) == "cpu 806 MHz, target 12.0 ms before: why"
    assert reason(two, khz=806_400, target_ms=8.0, slowdown=1.5) == (
        "cpu 806 MHz, measured 1.00 -> 1.50 of predicted: why"
    )
    assert reason(one, khz=None, target_ms=8.0, slowdown=1.5) == "cpu clock unknown: why"


def test_only_changes_are_kept_and_the_last_of_them() -> None:
    journal = Journal(length=3)
    assert journal.last is None
    assert journal.history() == ()
    first = journal.decide(outlook([5.0]), Plan.uniform(0), "why", 5.0)
    again = journal.decide(outlook([5.0], now_ms=1), Plan.uniform(0), "why", 5.0)
    assert (first.changed, again.changed) == (True, False)
    assert (first.previous, again.previous) == (None, Plan.uniform(0))
    assert journal.history() == (first,)
    assert journal.last is first
    for now_ms in range(2, 10):
        journal.decide(outlook([5.0], now_ms=now_ms), Plan.uniform(now_ms), "why", 5.0)
    assert [change.time_ns // MS for change in journal.history()] == [7, 8, 9]


@every_policy
def test_wrong_levels_are_refused_before_any_choice(make: Callable[[], RatioPolicy]) -> None:
    policy = make()
    with pytest.raises(ValueError, match="must name"):
        decide(policy, [1.0], allowed=[1])
    assert policy.history() == ()


@every_policy
def test_no_target_and_no_clock(make: Callable[[], RatioPolicy]) -> None:
    decision = decide(make(), [30.0, 20.0], target_ms=math.inf, khz=None)
    assert (decision.level, decision.cpu_khz, decision.target_met) == (0, None, True)
    assert decision.reason == "cpu clock unknown: level 0 takes 30.0 ms, no target"


@every_policy
def test_numpy_numbers_leave_as_plain_ones(make: Callable[[], RatioPolicy]) -> None:
    decision = decide(make(), list(np.array([30.0, 9.0])), np.float64(12.0))
    assert json.loads(json.dumps(asdict(decision)))["target_met"] is True


@every_policy
def test_nonsense_predictions_give_the_sparsest(make: Callable[[], RatioPolicy]) -> None:
    decision = decide(make(), [math.nan, math.inf, -1.0])
    assert (decision.level, decision.target_met) == (2, False)
    assert "no allowed level meets" in decision.reason


@every_policy
@given(st.lists(st.tuples(questions(), targets, st.integers(0, 300)), min_size=1, max_size=20))
def test_levels_are_always_allowed_and_the_account_is_right(
    make: Callable[[], RatioPolicy],
    steps: list[tuple[tuple[list[float], list[int] | None], float, int]],
) -> None:
    policy, now_ms, previous, changes = make(), 0, None, 0
    for (predicted_ms, allowed), target_ms, wait_ms in steps:
        now_ms += wait_ms
        decision = decide(policy, predicted_ms, target_ms, now_ms, allowed=allowed)
        levels = sorted(set(allowed)) if allowed else list(range(len(predicted_ms)))
        assert {decision.plan.first, decision.plan.rest} <= set(levels)
        assert decision.previous == previous
        assert decision.reason
        changes += decision.plan != previous
        previous = decision.plan
    assert len(policy.history()) == min(changes, HISTORY)


@every_policy
def test_the_history_can_be_read_while_decisions_are_made(make: Callable[[], RatioPolicy]) -> None:
    policy = make()
    done = threading.Event()
    histories = []

    def read() -> None:
        while not done.is_set():
            histories.append(policy.history())

    reader = threading.Thread(target=read)
    reader.start()
    for step in range(3000):
        khz = 3_000_000 if step % 3 else 400_000
        decide(policy, times(khz), 6.0, 1000 * step, khz=khz)
    done.set()
    reader.join()
    assert len(policy.history()) == HISTORY
    for history in histories:
        assert all(b.previous == a.plan for a, b in pairwise(history))


def test_policies_have_the_names_of_the_options() -> None:
    policies: list[RatioPolicy] = [AdaptivePolicy(), TablePolicy(), FixedPolicy(0)]
    assert [policy.name for policy in policies] == ["adaptive", "table", "fixed"]
    assert [policy.replans for policy in policies] == [True, False, False]
