# SPDX-License-Identifier: Apache-2.0
"""How long a request may take in the runtime, and what it is told when that is not enough."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from fake_engine import SHAPE, FakeEngine, expected
from pieces_of_work import until

from aio.runtime.serve.errors import UnavailableError
from aio.runtime.serve.hosting.host import ServedModel
from aio.runtime.serve.protocol.schema import InferRequest, InferResult, Tensor
from aio.runtime.serve.scheduling.batching import Batching
from aio.runtime.serve.scheduling.dispatcher import Dispatcher

TARGET_MS = 10_000.0  # so large that a slow machine does not use it up
TIMEOUT_MS = 60_000.0


def request(
    samples: int = 1,
    *,
    level: int | None = None,
    timeout_ms: float | None = None,
    priority: int = 0,
    value: float = 0.0,
) -> InferRequest:
    x = np.full((samples, *SHAPE), value, np.float32)
    return InferRequest(None, {"image": x}, (), level, timeout_ms, priority)


async def infer(model: ServedModel, request: InferRequest, arrived_s: float) -> InferResult:
    return await model.infer(request, arrived_s, lambda result: result)


@contextmanager
def serving(
    batching: Batching | None = None,
) -> Iterator[tuple[ServedModel, FakeEngine, Dispatcher]]:
    engine = FakeEngine(given_target_ms=TARGET_MS, predicted_ms=1.0)
    dispatcher = Dispatcher(16, batching=batching or Batching())
    yield ServedModel(engine, dispatcher), engine, dispatcher
    engine.passing.set()
    assert dispatcher.close(timeout_s=5)


def answers(
    model: ServedModel, engine: FakeEngine, dispatcher: Dispatcher, *requests: InferRequest
) -> list[InferResult | BaseException]:
    """Return what comes of requests that all wait while the first one runs."""

    async def run() -> list[InferResult | BaseException]:
        engine.passing.clear()
        tasks = []
        for number, each in enumerate(requests, 1):
            tasks.append(asyncio.ensure_future(infer(model, each, time.monotonic())))
            await until(lambda number=number: dispatcher.pending == number)  # type: ignore[misc]
            await until(lambda: len(engine.calls) == 1)
        engine.passing.set()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    return asyncio.run(run())


def test_alone_the_target_decides_or_the_deadline_or_the_level() -> None:
    with serving() as (model, engine, _):
        for each in (request(), request(timeout_ms=TIMEOUT_MS), request(level=2)):
            asyncio.run(infer(model, each, time.monotonic()))
        assert engine.budgets == [None, None, None]
        deadlines = [deadline_ms for _, deadline_ms, _ in engine.calls]
        assert (deadlines[0], deadlines[2]) == (None, None)
        assert deadlines[1] is not None
        assert 0.9 * TIMEOUT_MS < deadlines[1] < TIMEOUT_MS


def test_waiting_for_others_is_taken_from_the_target() -> None:
    with serving() as (model, engine, dispatcher):
        answers(model, engine, dispatcher, request(), request(3))
        first_ms, second_ms = engine.budgets
        assert first_ms is None
        assert second_ms is not None
        assert 0.0 < second_ms < 3 * TARGET_MS
        assert second_ms == pytest.approx(3 * TARGET_MS, rel=0.5)
        assert engine.calls[1][1] is None  # no deadline, which would count as missed


def test_a_deadline_far_away_is_no_licence_to_be_slow_while_others_wait() -> None:
    with serving() as (model, engine, dispatcher):
        timed = request(timeout_ms=TIMEOUT_MS)
        answers(model, engine, dispatcher, request(), timed, timed)
        _, second_ms, third_ms = engine.budgets
        assert second_ms is not None
        assert second_ms < TARGET_MS
        assert third_ms is None  # nobody waits behind it
        assert engine.calls[2][1] is not None


def test_deadlines_of_those_behind_are_kept_room_for() -> None:
    with serving() as (model, engine, dispatcher):
        engine.target_ms = math.inf
        behind = request(priority=9, timeout_ms=TIMEOUT_MS)
        answers(model, engine, dispatcher, request(), request(), behind)
        _, second_ms, third_ms = engine.budgets
        assert second_ms is not None
        assert TIMEOUT_MS / 2 < second_ms < TIMEOUT_MS
        assert third_ms is None


def test_a_pinned_level_is_kept_whatever_the_load() -> None:
    with serving() as (model, engine, dispatcher):
        answers(model, engine, dispatcher, request(), request(level=1), request())
        assert [level for _, _, level in engine.calls] == [None, 1, None]
        assert engine.budgets[1] is None


@pytest.mark.parametrize(
    ("each", "said"),
    [
        (request(100, timeout_ms=50.0), "the fastest level allowed takes 100.00 ms"),
        (request(20, level=0, timeout_ms=50.0), "the fastest level allowed takes 60.00 ms"),
        (request(timeout_ms=1e-6), "before the request was read"),
    ],
)
def test_what_no_allowed_level_can_do_is_refused_at_once(each: InferRequest, said: str) -> None:
    with serving() as (model, engine, _):
        with pytest.raises(UnavailableError, match=said) as refused:
            asyncio.run(infer(model, each, time.monotonic()))
        assert refused.value.retry_after_s is not None
        assert engine.calls == []
        assert model.statistics.deadline_misses == 1
        assert model.statistics.failures == {"REJECTED": 1}


def test_the_time_since_arrival_counts() -> None:
    with serving() as (model, engine, _):
        with pytest.raises(UnavailableError):
            asyncio.run(infer(model, request(timeout_ms=1000.0), time.monotonic() - 1.0))
        assert engine.calls == []


def test_without_a_calibration_everything_is_tried() -> None:
    with serving() as (model, engine, _):
        engine.predicted_ms = None
        asyncio.run(infer(model, request(1000, timeout_ms=TIMEOUT_MS), time.monotonic()))
        assert len(engine.calls) == 1


def test_a_request_without_timeout_waits_only_so_long() -> None:
    with serving() as (model, engine, dispatcher):

        async def run() -> None:
            engine.passing.clear()
            running = asyncio.ensure_future(infer(model, request(), time.monotonic()))
            await until(lambda: len(engine.calls) == 1)
            dispatcher.max_queue_ms = 1.0
            with pytest.raises(UnavailableError, match="wait"):
                await infer(model, request(), time.monotonic())
            assert (model.pending, dispatcher.pending) == (1, 1)
            engine.passing.set()
            await running

        asyncio.run(run())
        assert model.statistics.failures == {"REJECTED": 1}


def test_a_cancelled_request_is_counted_and_does_not_run() -> None:
    with serving() as (model, engine, dispatcher):

        async def run() -> None:
            engine.passing.clear()
            running = asyncio.ensure_future(infer(model, request(), time.monotonic()))
            await until(lambda: len(engine.calls) == 1)
            waiting = asyncio.ensure_future(infer(model, request(), time.monotonic()))
            await until(lambda: dispatcher.pending == 2)
            waiting.cancel()
            await asyncio.wait([waiting])
            engine.passing.set()
            await running

        asyncio.run(run())
        assert len(engine.calls) == 1
        assert model.statistics.failures == {"CANCELED": 1}
        assert (model.statistics.success.count, model.statistics.deadline_misses) == (1, 0)


def parts(*sizes: int) -> list[Tensor]:
    return [
        expected(np.full((size, *SHAPE), value, np.float32)) for value, size in enumerate(sizes)
    ]


def test_merged_requests_get_their_own_answers() -> None:
    with serving(batching=Batching(max_batch=8)) as (model, engine, dispatcher):
        sizes = (1, 2, 1, 3)
        requests = [request(size, value=float(value)) for value, size in enumerate(sizes)]
        found = answers(model, engine, dispatcher, *requests)
        assert [shape[0] for shape, _, _ in engine.calls] == [1, 6]
        for result, outputs in zip(found, parts(*sizes), strict=True):
            assert isinstance(result, InferResult)
            np.testing.assert_array_equal(result.outputs["logits"], outputs)
        # All of them wait for the whole run, so the target of one sample is what it may take.
        budget_ms = engine.budgets[1]
        assert budget_ms is not None
        assert budget_ms < TARGET_MS
        statistics = model.statistics
        assert (statistics.success.count, statistics.execution_count) == (4, 2)
        assert statistics.inference_count == 7


def test_an_error_of_a_merged_run_reaches_everybody() -> None:
    with serving(batching=Batching(max_batch=8)) as (model, engine, dispatcher):
        engine.error = RuntimeError("broken")
        found = answers(model, engine, dispatcher, *[request()] * 4)
        assert [str(error) for error in found] == ["broken"] * 4
        assert model.statistics.failures == {"BACKEND": 4}
