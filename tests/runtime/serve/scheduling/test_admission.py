# SPDX-License-Identifier: Apache-2.0
"""Who is let in, and what those are told who are not."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from pieces_of_work import Executor

from aio.runtime.serve.scheduling.admission import DeadlineError, ExpiredError, admit, total_ms
from aio.runtime.serve.scheduling.queue import WorkQueue


@dataclass
class Case:
    """What waits as (cost, within, priority), what arrives, and how long the executor is busy."""

    arrives: dict[str, Any]
    waiting: list[dict[str, Any]] = field(default_factory=list)
    busy_ms: float = 0.0
    turn_ms: float = 0.0


def admitted(case: Case) -> DeadlineError | None:
    async def run() -> DeadlineError | None:
        executor, queue = Executor(), WorkQueue()
        for other in case.waiting:
            queue.add(executor.work(**other))
        work = executor.work(**case.arrives)
        try:
            admit(
                work,
                queue,
                now_s=time.monotonic(),
                busy_ms=case.busy_ms,
                turn_ms=case.turn_ms,
            )
        except DeadlineError as error:
            return error
        assert total_ms([work], case.turn_ms) == case.turn_ms + (work.cost_ms or 0.0)
        return None

    return asyncio.run(run())


LATE = {"cost_ms": 100.0, "within_ms": 2000.0}


@pytest.mark.parametrize(
    "case",
    [
        Case({"cost_ms": 100.0}),
        Case({"cost_ms": 100.0, "within_ms": 2000.0}),
        Case({"cost_ms": None, "within_ms": 10_000.0}, busy_ms=1e6),  # nothing is known
        Case({"cost_ms": 100.0, "within_ms": 900.0}, [LATE] * 15),  # earlier than they
        Case({"cost_ms": 100.0, "within_ms": 1000.0, "priority": 1}, [{"cost_ms": 5000.0}]),
        # A higher priority may make others late.
        Case({"cost_ms": 500.0, "within_ms": 900.0, "priority": 1}, [LATE] * 17),
        # They are late all the same.
        Case({"cost_ms": 500.0, "within_ms": 900.0}, [{"cost_ms": 9000.0, "within_ms": 2000.0}]),
    ],
)
def test_what_can_be_in_time_is_let_in(case: Case) -> None:
    assert admitted(case) is None


@pytest.mark.parametrize(
    ("case", "said", "retry_s"),
    [
        (Case({"cost_ms": 500.0, "within_ms": 300.0}), "fastest level allowed takes 500.00", 0.0),
        (Case({"cost_ms": 500.0, "within_ms": 900.0}, busy_ms=4000.0), "4000.00 ms of work", 4.0),
        (
            Case({"cost_ms": 500.0, "within_ms": 900.0}, [{"cost_ms": 600.0, "priority": 1}]),
            "600.00 ms of work come before",
            0.6,
        ),
        (
            Case({"cost_ms": 1.0, "within_ms": 900.0}, [{"priority": 1}] * 10, turn_ms=100.0),
            "1000.00 ms of work",
            1.0,
        ),
        (
            Case({"cost_ms": 500.0, "within_ms": 900.0}, [LATE] * 17),
            "would make a request late",
            1.7,
        ),
        (
            Case({"start_within_ms": 100.0}, [{"cost_ms": 300.0, "start_within_ms": 90.0}] * 2),
            "at most 100 ms are allowed without a timeout",
            0.6,
        ),
        (
            Case(
                {"cost_ms": 500.0, "within_ms": 900.0},
                [{"cost_ms": 1.0, "start_within_ms": 950.0, "priority": 5}],
                busy_ms=460.0,
            ),
            "500.00 ms",
            0.461,
        ),
    ],
)
def test_what_can_not_is_refused_with_the_time_of_what_is_before(
    case: Case, said: str, retry_s: float
) -> None:
    error = admitted(case)
    assert error is not None
    assert said in str(error)
    assert error.retry_after_s == pytest.approx(retry_s)


@pytest.mark.parametrize(
    ("arrives", "limit"),
    [
        ({"cost_ms": 5.0, "within_ms": -0.3}, "timeout"),
        ({"cost_ms": None, "within_ms": -0.3}, "timeout"),
        ({"cost_ms": 5.0, "start_within_ms": -0.3}, "longest wait"),
    ],
)
def test_what_is_late_already_is_told_so(arrives: dict[str, Any], limit: str) -> None:
    error = admitted(Case(arrives, [{"cost_ms": 600.0, "priority": 1}]))
    assert isinstance(error, ExpiredError)
    assert str(error) == f"the {limit} passed before the request could be queued; retry later"
    assert error.retry_after_s == pytest.approx(0.6)
