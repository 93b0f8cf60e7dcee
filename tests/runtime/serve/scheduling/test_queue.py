# SPDX-License-Identifier: Apache-2.0
"""The order in which work waits."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pieces_of_work import Executor

from aio.runtime.serve.scheduling.queue import WorkQueue
from aio.runtime.serve.scheduling.work import DEFAULT_PRIORITY, Work

WANTED = st.lists(
    st.tuples(st.integers(0, 9), st.one_of(st.none(), st.floats(1, 900)), st.booleans()),
    max_size=12,
)


def made(wanted: list[tuple[int, float | None, bool]]) -> list[Work]:
    """Return work of these priorities and deadlines, numbered in the order of arrival."""

    async def make() -> list[Work]:
        executor = Executor()
        return [
            executor.work(number, priority=priority, within_ms=within_ms)
            for number, (priority, within_ms, _) in enumerate(wanted)
        ]

    return asyncio.run(make())


@given(WANTED)
def test_priority_then_deadline_then_arrival_whatever_is_taken_out(
    wanted: list[tuple[int, float | None, bool]],
) -> None:
    works, queue = made(wanted), WorkQueue()
    for work in works:
        queue.add(work)
    gone = [work for work, (_, _, taken) in zip(works, wanted, strict=True) if taken]
    assert [queue.remove(work) for work in gone] == [True] * len(gone)
    assert not any(queue.remove(work) for work in gone)
    assert len(queue) == len(works) - len(gone)
    found = list(queue)
    assert found == sorted(
        (work for work in works if work not in gone),
        key=lambda work: (
            work.priority,
            min(work.limit_s, work.queued_s + 1.0),
            work.payload,
        ),
    )
    assert (queue.first, queue.last) == ((found[0], found[-1]) if found else (None, None))
    assert queue.clear() == found
    assert len(queue) == 0


def test_no_priority_is_the_default_one() -> None:
    names: list[Any] = []
    queue = WorkQueue()
    for work in made([(DEFAULT_PRIORITY + 1, None, False), (0, None, False), (1, 900.0, False)]):
        queue.add(work)
    while (first := queue.first) is not None:
        names.append(first.payload)
        queue.remove(first)
    assert names == [2, 1, 0]


def test_room_is_what_the_tightest_deadline_leaves() -> None:
    async def room() -> tuple[float, float, float]:
        executor, queue = Executor(), WorkQueue()
        now_s = executor.work().queued_s
        empty_ms = queue.room_ms(now_s, 1.0)
        queue.add(executor.work(cost_ms=5.0))
        unlimited_ms = queue.room_ms(now_s, 1.0)
        queue.add(executor.work(cost_ms=10.0, within_ms=100.0))
        queue.add(executor.work(cost_ms=20.0, within_ms=110.0))
        return empty_ms, unlimited_ms, queue.room_ms(now_s, 1.0)

    empty_ms, unlimited_ms, room_ms = asyncio.run(room())
    assert (empty_ms, unlimited_ms) == (math.inf, math.inf)
    # Both run before what has no limit: 1 + 10 + 1 + 20 of 110 ms.
    assert room_ms == pytest.approx(78.0, abs=5.0)
