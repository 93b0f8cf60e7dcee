# SPDX-License-Identifier: Apache-2.0
"""Records and statistics: what they count, and that they are JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from outlooks import decide

from aio.governors import (
    AdaptivePolicy,
    ClockSample,
    Decision,
    DeviceSample,
    Plan,
    PredictionError,
)
from aio.runtime.records import InferenceRecord, Journal, RuntimeStats, summarize

CLOCK = ClockSample(0, 1_500_000, 2_000_000, "fake")


def record(
    level: int = 0,
    latency_ms: float = 2.0,
    deadline_ms: float | None = None,
    batch: int = 1,
    *,
    plan: Plan | None = None,
    replans: int = 0,
) -> InferenceRecord:
    plan = plan or Plan.uniform(level)
    return InferenceRecord(
        time_ns=1,
        plan=plan,
        levels=tuple(sorted({plan.first, plan.rest})),
        replans=replans,
        ratio=plan.level / 10,
        batch=batch,
        latency_ms=latency_ms,
        wait_ms=0.5,
        predicted_ms=None,
        target_ms=math.inf,
        deadline_ms=deadline_ms,
        slowdown=1.5,
        reason="why",
        sample=DeviceSample(1, CLOCK),
    )


def stats(
    journal: Journal, decisions: tuple[Decision, ...] = (), error: PredictionError | None = None
) -> RuntimeStats:
    return journal.stats(decisions, len(decisions), 1.25, error)


def test_a_record_answers_about_clocks_and_deadlines() -> None:
    assert record(3).level == 3
    assert record(plan=Plan(2, 1, 4)).level == 2
    assert record().clock is CLOCK
    assert (record().cpu_khz, record().max_khz) == (1_500_000, 2_000_000)
    assert record().deadline_met is None
    assert record(deadline_ms=2.0).deadline_met is True
    assert record(deadline_ms=1.9).deadline_met is False


def test_a_record_is_json() -> None:
    text = json.dumps(record(2, deadline_ms=math.inf).as_dict(), allow_nan=False)
    document = json.loads(text)
    assert document["level"] == 2
    assert document["target_ms"] is document["deadline_ms"] is None
    assert document["clock_driver"] == "fake"
    assert (document["plan"], document["levels"], document["slowdown"]) == ("level 2", [2], 1.5)
    assert document["reason"] == "why"
    mixed = record(plan=Plan(2, 1, 4), replans=3).as_dict()
    assert mixed["plan"] == "level 2 for 4 layers, then 1"
    assert (mixed["level"], mixed["levels"], mixed["replans"]) == (2, [1, 2], 3)


def test_a_journal_counts() -> None:
    journal = Journal(3)
    assert journal.last is None
    assert stats(journal).latency is None
    for level, deadline_ms in ((0, None), (2, 1.0), (2, 3.0), (0, None)):
        journal.note(record(level, deadline_ms=deadline_ms, batch=2))
    found = stats(journal)
    assert (found.inferences, found.samples, found.switches) == (4, 8, 2)
    assert (found.deadlines, found.deadlines_missed) == (2, 1)
    assert [use.inferences for use in found.levels] == [2, 0, 2]
    assert [use.busy_ms for use in found.levels] == pytest.approx([3.0, 0.0, 3.0])
    assert journal.last == record(0, batch=2)
    assert json.dumps(found.as_dict(), allow_nan=False)


def test_a_journal_counts_what_was_re_planned() -> None:
    journal = Journal(3)
    for plan, replans in ((Plan.uniform(2), 0), (Plan(2, 1, 3), 2), (Plan(2, 1, 4), 1)):
        journal.note(record(plan=plan, replans=replans))
    found = stats(journal)
    assert (found.switches, found.replans) == (2, 3)
    assert [use.inferences for use in found.levels] == [0, 0, 3]


def test_what_the_governor_says_of_itself_is_in_the_stats() -> None:
    decisions = (decide(AdaptivePolicy(), [30.0, math.nan], math.inf, khz=None),)
    error = PredictionError(7, 0.03, 0.11)
    found = stats(Journal(1), decisions, error)
    assert (found.residual, found.prediction_error, found.decisions) == (1.25, error, decisions)
    assert found.plan_changes == 1
    document = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert document["prediction_error"] == {"count": 7, "median": 0.03, "p95": 0.11}
    assert document["decisions"] == [
        {
            "plan": "level 0",
            "previous": None,
            "level": 0,
            "reason": "cpu clock unknown: level 0 takes 30.0 ms, no target",
            "predicted_ms": 30.0,
            "target_ms": None,
            "target_met": True,
            "slowdown": 1.0,
            "cpu_khz": None,
            "time_ns": 0,
        }
    ]


def test_a_journal_forgets_old_latencies_but_not_counts() -> None:
    journal = Journal(1)
    for latency_ms in (100.0, *[1.0] * Journal.RING):
        journal.note(record(latency_ms=latency_ms))
    found = stats(journal)
    assert found.inferences == Journal.RING + 1
    assert found.latency is not None
    assert found.latency.count == Journal.RING
    assert found.latency.max_ms == 1.0


@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_percentiles_are_those_of_numpy(values: list[float]) -> None:
    summary = summarize(sorted(values))
    found = (summary.p50_ms, summary.p90_ms, summary.p95_ms, summary.p99_ms)
    expected = np.percentile(values, (50, 90, 95, 99), method="inverted_cdf")
    assert found == pytest.approx(tuple(expected))
    assert (summary.min_ms, summary.max_ms) == (min(values), max(values))
    assert summary.mean_ms == pytest.approx(np.mean(values))
