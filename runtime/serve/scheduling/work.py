# SPDX-License-Identifier: Apache-2.0
"""A piece of work that waits for the one executor: how long it takes, and until when.

Times are seconds of `time.monotonic`, which is also the clock of asyncio's loop. Costs are ms.
"""

import asyncio
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

DEFAULT_PRIORITY = 5  # of requests that name none; 1 is the highest, larger numbers wait longer
PATIENCE_S = 1.0  # work without a limit is ordered as if this were its limit, so it never starves

_sequence = itertools.count()


class Turn(NamedTuple):
    """What a piece of work may know when its turn comes.

    Attributes:
        waited_ms: for how long it waited because others ran; of several, the longest wait.
        room_ms: how long it may take before it makes the deadline of a request behind it
            impossible, infinity if none has one.
        crowded: whether others wait behind it.
        expect: to be called with how many ms it will take, as soon as that is known; None if
            nobody can ask meanwhile.
    """

    waited_ms: float
    room_ms: float
    crowded: bool
    expect: Callable[[float], None] | None


class Runner(Protocol):
    """Runs pieces of work together, in the executor thread."""

    def __call__(self, works: "Sequence[Work]", turn: Turn, /) -> "Sequence[object]":
        """Return what each piece of work awaits, in their order."""


class Work:
    """One piece of work; made in the event loop whose task awaits it.

    Args:
        run: runs it, and others of the same `group` with it.
        payload: what `run` needs to know of it.
        priority: 1 is the highest, 0 the default one.
        cost_ms: the least time it takes in the executor as far as is known, None if nobody knows.
        deadline_s: when it must have been answered, None for no such time.
        start_by_s: when it must have begun, infinity for no such time.
        aim_s: when it should have been answered, infinity for no such time.
        owner: whose work it is, such as a model; only compared.
        group: work of equal groups may run together; None never does.
        samples: its part of the size of what runs together.
        brief: whether it is so short that the event loop may run it itself.
    """

    __slots__ = (
        "aim_s",
        "brief",
        "cost_ms",
        "deadline_s",
        "future",
        "group",
        "loop",
        "order",
        "owner",
        "payload",
        "priority",
        "queued_s",
        "run",
        "samples",
        "start_by_s",
        "timer",
    )

    def __init__(
        self,
        run: Runner,
        payload: Any,
        *,
        queued_s: float,
        priority: int = 0,
        cost_ms: float | None = None,
        deadline_s: float | None = None,
        start_by_s: float = math.inf,
        aim_s: float = math.inf,
        owner: object = None,
        group: object = None,
        samples: int = 1,
        brief: bool = False,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()
        self.timer: asyncio.TimerHandle | None = None
        self.run = run
        self.payload = payload
        self.priority = priority if priority > 0 else DEFAULT_PRIORITY
        self.cost_ms = cost_ms
        self.deadline_s = deadline_s
        self.start_by_s = start_by_s
        self.aim_s = aim_s
        self.queued_s = queued_s
        self.owner = owner
        self.group = group
        self.samples = samples
        self.brief = brief
        # Earliest limit first within a priority, and first come first served among equals.
        self.order = (self.priority, min(self.limit_s, queued_s + PATIENCE_S), next(_sequence))

    @property
    def limit_s(self) -> float:
        """When it is of no use any more to let it wait."""
        return self.start_by_s if self.deadline_s is None else self.deadline_s

    def settle(self, result: object, error: BaseException | None = None) -> None:
        """Give the awaiting task its answer, unless it has gone; in the work's own loop."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if self.future.done():
            return
        if error is None:
            self.future.set_result(result)
        elif isinstance(error, StopIteration):  # which a future does not take
            self.future.set_exception(RuntimeError(f"the work raised {error!r}"))
        else:
            self.future.set_exception(error)


def run_call(works: Sequence[Work], _: Turn) -> list[object]:
    """Run work that is a plain function."""
    return [work.payload() for work in works]
