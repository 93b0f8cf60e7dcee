# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.governors import ClockSample
from aio.runtime.records import InferenceRecord, Journal, summarize

CLOCK = ClockSample(0, 1_500_000, 2_000_000, "fake")


def record(
    level: int = 0, latency_ms: float = 2.0, deadline_ms: float | None = None, batch: int = 1
) -> InferenceRecord:
    return InferenceRecord(
        time_ns=1,
        level=level,
        ratio=level / 10,
        batch=batch,
        latency_ms=latency_ms,
        wait_ms=0.5,
        predicted_ms=None,
        target_ms=math.inf,
        deadline_ms=deadline_ms,
        reason="why",
        clock=CLOCK,
    )


def test_a_record_answers_about_clocks_and_deadlines() -> None:
    assert record().levels == (0,)
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


def test_a_journal_counts() -> None:
    journal = Journal(3)
    assert journal.last is None
    assert journal.stats(()).latency is None
    for level, deadline_ms in ((0, None), (2, 1.0), (2, 3.0), (0, None)):
        journal.note(record(level, deadline_ms=deadline_ms, batch=2))
    stats = journal.stats(())
    assert (stats.inferences, stats.samples, stats.switches) == (4, 8, 2)
    assert (stats.deadlines, stats.deadlines_missed) == (2, 1)
    assert [use.inferences for use in stats.levels] == [2, 0, 2]
    assert [use.busy_ms for use in stats.levels] == pytest.approx([3.0, 0.0, 3.0])
    assert journal.last == record(0, batch=2)
    assert json.dumps(stats.as_dict())


def test_a_journal_forgets_old_latencies_but_not_counts() -> None:
    journal = Journal(1)
    for latency_ms in (100.0, *[1.0] * Journal.RING):
        journal.note(record(latency_ms=latency_ms))
    stats = journal.stats(())
    assert stats.inferences == Journal.RING + 1
    assert stats.latency is not None
    assert stats.latency.count == Journal.RING
    assert stats.latency.max_ms == 1.0


@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_percentiles_are_those_of_numpy(values: list[float]) -> None:
    summary = summarize(sorted(values))
    found = (summary.p50_ms, summary.p90_ms, summary.p95_ms, summary.p99_ms)
    expected = np.percentile(values, (50, 90, 95, 99), method="inverted_cdf")
    assert found == pytest.approx(tuple(expected))
    assert (summary.min_ms, summary.max_ms) == (min(values), max(values))
    assert summary.mean_ms == pytest.approx(np.mean(values))
