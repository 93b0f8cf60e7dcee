# SPDX-License-Identifier: Apache-2.0
"""What runs together, and how long it may wait for more."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any

import pytest
from pieces_of_work import Executor

from aio.runtime.serve.scheduling.batching import Batching, hold_until_s, mates

if TYPE_CHECKING:
    from aio.runtime.serve.scheduling.work import Work


def made(*members: dict[str, Any]) -> list[Work]:
    """Return work of one group, each of one millisecond unless it says otherwise."""

    async def make() -> list[Work]:
        executor = Executor()
        return [
            executor.work(number, **{"group": "a", "cost_ms": 1.0, **each})
            for number, each in enumerate(members)
        ]

    return asyncio.run(make())


def merged(works: list[Work], max_batch: int = 4) -> list[int]:
    first = works[0]
    return [work.payload for work in mates(first, works, first.queued_s, max_batch)]


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ([{}], []),
        ([{}, {}, {}], [1, 2]),
        ([{}] * 6, [1, 2, 3]),
        ([{"samples": 2}, {"samples": 3}, {"samples": 2}], [2]),
        ([{"samples": 4}, {}], []),
        ([{"group": None}, {"group": None}], []),
        ([{}, {"group": "b"}, {}], [2]),
        # Three of them take 3 ms: that is too long for a deadline of one of them.
        ([{"within_ms": 900.0, "cost_ms": 400.0}, *[{"cost_ms": 400.0}] * 2], [1]),
        ([{"cost_ms": 400.0}, {"cost_ms": 400.0, "within_ms": 500.0}], []),
    ],
)
def test_mates(members: list[dict[str, Any]], found: list[int]) -> None:
    assert merged(made(*members)) == found


def test_a_target_that_can_be_kept_is_kept_and_one_that_can_not_is_no_reason() -> None:
    works = made(*[{"cost_ms": 400.0}] * 4)
    for work in works:
        work.aim_s = work.queued_s + 0.9
    assert merged(works) == [1]
    for work in works:
        work.aim_s = work.queued_s + 0.3
    assert merged(works) == [1, 2, 3]


def test_hold() -> None:
    rule = Batching(max_batch=4, delay_ms=100.0)
    works = made(*[{}] * 4)
    now_s = works[0].queued_s
    assert hold_until_s(works[:2], now_s, rule) == pytest.approx(now_s + 0.1)
    assert hold_until_s(works, now_s, rule) == -math.inf
    assert hold_until_s(works[:2], now_s, Batching(max_batch=4)) == pytest.approx(now_s)
    (tight,) = made({"cost_ms": 10.0, "within_ms": 50.0})
    assert hold_until_s([tight], tight.queued_s, rule) == pytest.approx(tight.queued_s + 0.04)
    (alone,) = made({"group": None})
    assert hold_until_s([alone], alone.queued_s, rule) == -math.inf
