# SPDX-License-Identifier: Apache-2.0
"""The policy of one level."""

from __future__ import annotations

import pytest
from outlooks import decide

from aio.governors import FixedPolicy, Plan


def test_the_level_stays_whatever_the_clock_does() -> None:
    policy = FixedPolicy(1)
    assert policy.history() == ()
    first = decide(policy, [10.0, 8.0, 4.0])
    assert (first.plan, first.previous, first.target_met) == (Plan.uniform(1), None, True)
    assert first.reason == "cpu 1510 MHz: level 1 is fixed"
    second = decide(policy, [30.0, 24.0, 12.0], khz=500_000)
    assert (second.level, second.previous, second.target_met) == (1, Plan.uniform(1), False)
    assert policy.history() == (first,)


def test_the_prediction_includes_what_was_measured() -> None:
    decision = decide(FixedPolicy(1), [10.0, 8.0], slowdown=2.0)
    assert (decision.predicted_ms, decision.target_met) == (16.0, False)


def test_a_level_that_is_not_allowed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"level 1 is fixed but not allowed; allowed: \[0\]"):
        decide(FixedPolicy(1), [10.0, 8.0], allowed=[0])
    with pytest.raises(ValueError, match="level=-1"):
        FixedPolicy(-1)
