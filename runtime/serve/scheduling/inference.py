# SPDX-License-Identifier: Apache-2.0
"""Requests to one model as work for the executor, and how long each may take there.

The runtime plans for its target as long as nobody waits. Time that a request waited because
others ran is taken from what it may take itself, so a loaded server answers sparser instead of
later; and what runs leaves enough time for the deadlines of those that wait behind it.
"""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from aio.runtime.serve.hosting.engine import Engine
from aio.runtime.serve.protocol.schema import InferRequest, Tensor
from aio.runtime.serve.scheduling.admission import DeadlineError
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.scheduling.work import Turn, Work

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aio.runtime.records import InferenceRecord

# Why a plan was the one it was; few words, because they are labels of metrics.
PINNED, DEADLINE, LOAD, GOVERNOR = "pinned", "deadline", "load", "governor"
LEAST_MS = 1e-3  # a budget that is used up: the sparsest level, which is what a tiny one gets


class Answer(NamedTuple):
    """What came of a request in the executor; times in seconds of the monotonic clock."""

    outputs: "Mapping[str, Tensor]"
    record: "InferenceRecord"
    cause: str
    queued_s: float
    began_s: float
    ended_s: float
    leads: bool


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
        max_queue_ms: how long a request without a timeout may wait, infinity for no limit.
    """

    def __init__(
        self, engine: Engine, dispatcher: Dispatcher, max_queue_ms: float = math.inf
    ) -> None:
        self._engine = engine
        self._dispatcher = dispatcher
        self._max_queue_s = max_queue_ms / 1e3

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
                raise DeadlineError(
                    f"the timeout of {request.timeout_ms:g} ms passed before the request was read",
                    self._dispatcher.backlog_ms / 1e3,
                )
        samples = request.samples
        work = Work(
            self._run,
            request,
            queued_s=queued_s,
            priority=request.priority,
            cost_ms=self._engine.predict_ms(samples, request.level),
            deadline_s=deadline_s,
            start_by_s=queued_s + self._max_queue_s,
            owner=self,
            samples=samples,
        )
        answer: Answer = await self._dispatcher.submit(work)
        return answer

    def _run(self, works: Sequence[Work], turn: Turn) -> list[Answer]:
        began_s = time.monotonic()
        (work,) = works
        request: InferRequest = work.payload
        budget = self._budget(work, turn, began_s)
        turn.expect(self._expected_ms(work, budget))
        outputs, record = self._engine.run(
            request.inputs,
            deadline_ms=budget.deadline_ms,
            level=request.level,
            budget_ms=budget.budget_ms,
        )
        ended_s = time.monotonic()
        return [Answer(outputs, record, budget.cause, work.queued_s, began_s, ended_s, leads=True)]

    def _budget(self, work: Work, turn: Turn, now_s: float) -> Budget:
        """Return how long a run that begins now may take, and what decides that."""
        deadline_ms = None
        if work.deadline_s is not None:
            deadline_ms = max(LEAST_MS, (work.deadline_s - now_s) * 1e3)
        if work.payload.level is not None:
            return Budget(deadline_ms, None, PINNED)
        target_ms = self._engine.target_ms * work.samples
        own_ms = target_ms if deadline_ms is None else deadline_ms
        shared_ms = turn.room_ms
        # A deadline takes the place of the target, but not at the cost of who waits behind.
        if turn.waited_ms > 0.0 if deadline_ms is None else turn.crowded:
            shared_ms = min(shared_ms, target_ms - turn.waited_ms)
        if shared_ms < own_ms:
            return Budget(deadline_ms, max(LEAST_MS, shared_ms), LOAD)
        return Budget(deadline_ms, None, GOVERNOR if deadline_ms is None else DEADLINE)

    def _expected_ms(self, work: Work, budget: Budget) -> float:
        """Return about how long the run will take: as long as it may, but no more than it can."""
        least_ms = work.cost_ms
        if least_ms is None:
            return 0.0
        if budget.cause == PINNED:
            return least_ms
        may_ms = budget.budget_ms
        if may_ms is None:
            may_ms = budget.deadline_ms
        if may_ms is None:
            may_ms = self._engine.target_ms * work.samples
        densest_ms = self._engine.predict_ms(work.samples, self._engine.allowed_levels[0])
        if densest_ms is not None:
            may_ms = min(may_ms, densest_ms)
        return max(least_ms, may_ms)
