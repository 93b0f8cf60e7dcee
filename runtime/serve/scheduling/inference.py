# SPDX-License-Identifier: Apache-2.0
"""Requests to one model as work for the executor, and how long each may take there.

The runtime plans for its target as long as nobody waits. Time that a request waited because
others ran is taken from what it may take itself, so a loaded server answers sparser instead of
later; and what runs leaves enough time for the deadlines of those that wait behind it.
"""

import itertools
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from aio.runtime.serve.hosting.engine import Engine
from aio.runtime.serve.protocol.schema import InferRequest, Tensor
from aio.runtime.serve.scheduling.admission import ExpiredError
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.scheduling.work import Turn, Work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio.runtime.records import InferenceRecord

# Why a plan was the one it was; few words, because they are labels of metrics.
PINNED, DEADLINE, LOAD, GOVERNOR = "pinned", "deadline", "load", "governor"
BRIEF_MS = 2.0  # what the event loop may spend on one request
LEAST_MS = 1e-3  # a budget that is used up: the sparsest level, which is what a tiny one gets


class Answer(NamedTuple):
    """What came of a request in the executor; times in seconds of the monotonic clock."""

    outputs: "Mapping[str, Tensor]"
    record: "InferenceRecord"
    cause: str
    queued_s: float
    began_s: float
    ended_s: float
    leads: bool  # it is the one of a merged run that counts for the run


class Budget(NamedTuple):
    """How long a run may take: None is as long as the runtime's target allows."""

    deadline_ms: float | None
    budget_ms: float | None
    cause: str


class Inferences:
    """The requests to one model.

    Args:
        engine: answers them.
        dispatcher: runs them.
    """

    def __init__(self, engine: Engine, dispatcher: Dispatcher) -> None:
        self._engine = engine
        self._dispatcher = dispatcher

    @property
    def pending(self) -> int:
        """Requests to this model that wait or run."""
        return self._dispatcher.pending_of(self)

    async def run(self, request: InferRequest, arrived_s: float) -> Answer:
        """Return what came of a request that arrived at that time.

        Raises:
            UnavailableError: the queue is full, or the time allowed is not enough.
        """
        queued_s = time.monotonic()
        deadline_s = None
        if request.timeout_ms is not None:
            deadline_s = arrived_s + request.timeout_ms / 1e3
            if deadline_s <= queued_s:
                raise ExpiredError(
                    f"the timeout of {request.timeout_ms:g} ms passed before the request was read",
                    self._dispatcher.backlog_ms / 1e3,
                )
        samples = request.samples
        cost_ms = self._engine.predict_ms(samples, request.level)
        most_ms = cost_ms
        if request.level is None:  # the densest level it may get
            most_ms = self._engine.predict_ms(samples, self._engine.allowed_levels[0])
        work = Work(
            self._run,
            request,
            queued_s=queued_s,
            priority=request.priority,
            cost_ms=cost_ms,
            deadline_s=deadline_s,
            start_by_s=queued_s + self._dispatcher.max_queue_ms / 1e3,
            aim_s=queued_s + self._engine.target_ms * samples / 1e3,
            owner=self,
            group=(self, request.level) if self._dispatcher.batching.max_batch > 1 else None,
            samples=samples,
            brief=most_ms is not None and most_ms <= BRIEF_MS,
        )
        answer: Answer = await self._dispatcher.submit(work)
        return answer

    def _run(self, works: Sequence[Work], turn: Turn) -> list[Answer]:
        began_s = time.monotonic()
        requests: list[InferRequest] = [work.payload for work in works]
        budget = self._budget(works, turn, began_s)
        if turn.expect is not None:
            turn.expect(self._expected_ms(works, budget))
        outputs, record = self._engine.run(
            _merged([request.inputs for request in requests]),
            deadline_ms=budget.deadline_ms,
            level=requests[0].level,
            budget_ms=budget.budget_ms,
        )
        parts = _parts(outputs, [work.samples for work in works])
        ended_s = time.monotonic()
        return [
            Answer(part, record, budget.cause, work.queued_s, began_s, ended_s, work is works[0])
            for work, part in zip(works, parts, strict=True)
        ]

    def _budget(self, works: Sequence[Work], turn: Turn, now_s: float) -> Budget:
        """Return how long a run that begins now may take, and what decides that."""
        deadlines_s = [work.deadline_s for work in works if work.deadline_s is not None]
        deadline_ms = None
        if deadlines_s:
            deadline_ms = max(LEAST_MS, (min(deadlines_s) - now_s) * 1e3)
        if works[0].payload.level is not None:
            return Budget(deadline_ms, None, PINNED)
        # Who is in a merged run waits for all of it, and the target is meant for each alone.
        target_ms = min(work.aim_s - work.queued_s for work in works) * 1e3
        own_ms = target_ms if deadline_ms is None else deadline_ms
        shared_ms = turn.room_ms
        # A deadline takes the place of the target, but not at the cost of who waits behind.
        waited = turn.waited_ms > 0.0 and len(deadlines_s) < len(works)
        if waited or (turn.crowded and deadlines_s) or len(works) > 1:
            shared_ms = min(shared_ms, target_ms - turn.waited_ms)
        if shared_ms < own_ms or len(works) > 1:
            return Budget(deadline_ms, max(LEAST_MS, shared_ms), LOAD)
        return Budget(deadline_ms, None, GOVERNOR if deadline_ms is None else DEADLINE)

    def _expected_ms(self, works: Sequence[Work], budget: Budget) -> float:
        """Return about how long the run will take: as long as it may, but no more than it can."""
        engine, samples = self._engine, sum(work.samples for work in works)
        least_ms = engine.predict_ms(samples, works[0].payload.level)
        densest_ms = engine.predict_ms(samples, engine.allowed_levels[0])
        if least_ms is None or densest_ms is None:
            return 0.0
        if budget.cause == PINNED:
            return least_ms
        limits_ms = [ms for ms in (budget.deadline_ms, budget.budget_ms) if ms is not None]
        may_ms = min(limits_ms, default=engine.target_ms * samples)
        return max(least_ms, min(may_ms, densest_ms))


def _merged(inputs: "Sequence[Mapping[str, Tensor]]") -> "Mapping[str, Tensor]":
    if len(inputs) == 1:
        return inputs[0]
    return {name: np.concatenate([each[name] for each in inputs]) for name in inputs[0]}


def _parts(outputs: "Mapping[str, Tensor]", samples: Sequence[int]) -> "list[Mapping[str, Tensor]]":
    """Return the outputs of each request of a merged run."""
    if len(samples) == 1:
        return [outputs]
    ends = list(itertools.accumulate(samples))
    return [
        {name: values[end - count : end] for name, values in outputs.items()}
        for end, count in zip(ends, samples, strict=True)
    ]
