# SPDX-License-Identifier: Apache-2.0
"""Pieces of work for the scheduler that say when they began and wait for a sign to end."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aio.runtime.serve.scheduling.work import Turn, Work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PATIENCE_S = 30


@dataclass
class Executor:
    """Remembers what ran, in which order and together with what, and at which turn."""

    ran: list[list[Any]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    # Set: work passes. Cleared: it waits, as if it took long.
    passing: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.passing.set()

    def run(self, works: Sequence[Work], turn: Turn) -> list[object]:
        self.ran.append([work.payload for work in works])
        self.turns.append(turn)
        assert self.passing.wait(PATIENCE_S)
        return [("done", work.payload) for work in works]

    def work(
        self,
        payload: object = None,
        *,
        priority: int = 0,
        cost_ms: float | None = None,
        within_ms: float | None = None,
        start_within_ms: float = math.inf,
        owner: object = None,
        group: object = None,
        samples: int = 1,
    ) -> Work:
        """Return work that must be done, or begin, within a time from now."""
        now_s = time.monotonic()
        return Work(
            self.run,
            payload,
            queued_s=now_s,
            priority=priority,
            cost_ms=cost_ms,
            deadline_s=None if within_ms is None else now_s + within_ms / 1e3,
            start_by_s=now_s + start_within_ms / 1e3,
            owner=owner,
            group=group,
            samples=samples,
        )


async def until(condition: Callable[[], bool]) -> None:
    """Wait in an event loop until something holds."""
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, "timed out"
        await asyncio.sleep(0.001)
