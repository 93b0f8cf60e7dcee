# SPDX-License-Identifier: Apache-2.0
"""The bounded queue in front of the one thread."""

import asyncio
import gc
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pieces_of_work import Executor, until

from aio.runtime.serve.errors import UnavailableError
from aio.runtime.serve.scheduling.admission import DeadlineError
from aio.runtime.serve.scheduling.batching import Batching
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.scheduling.work import Turn, Work

LIMIT = 4
# Of each request: priority, whether it has a deadline it can keep, whether its client goes, and
# how many steps of the event loop pass before the next one comes.
REQUESTS = st.lists(
    st.tuples(st.integers(0, 7), st.booleans(), st.booleans(), st.integers(0, 3)), max_size=16
)


@contextmanager
def dispatching(
    limit: int = 64, batching: Batching | None = None
) -> Iterator[tuple[Dispatcher, Executor]]:
    """Yield a dispatcher whose executor is busy; it is let go in the end."""
    dispatcher = Dispatcher(limit, batching=batching or Batching())
    executor = Executor()
    try:
        yield dispatcher, executor
    finally:
        executor.passing.set()
        assert dispatcher.close(timeout_s=5)
        assert dispatcher.pending == 0


async def busy(dispatcher: Dispatcher, executor: Executor) -> asyncio.Future[object]:
    """Let the executor be busy until it is let pass."""
    executor.passing.clear()
    running = asyncio.ensure_future(dispatcher.submit(executor.work("first")))
    await until(lambda: executor.ran == [["first"]])
    return running


def test_work_runs_one_at_a_time_in_order_in_another_thread() -> None:
    dispatcher = Dispatcher(limit=10)
    order: list[int] = []
    threads: set[int] = set()

    def work(number: int) -> int:
        threads.add(threading.get_ident())
        order.append(number)
        return number * 2

    async def run() -> list[int]:
        return list(await asyncio.gather(*(dispatcher.run(partial(work, n)) for n in range(10))))

    assert asyncio.run(run()) == [n * 2 for n in range(10)]
    assert order == list(range(10))
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    assert dispatcher.close(timeout_s=5)
    assert dispatcher.pending == 0


def test_what_the_work_raises_passes() -> None:
    dispatcher = Dispatcher(limit=1)

    def work() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        asyncio.run(dispatcher.run(work))
    assert dispatcher.close(timeout_s=5)


def test_a_client_that_gave_up_still_counts_while_its_work_runs() -> None:
    dispatcher, executor = Dispatcher(limit=2), Executor()
    executor.passing.clear()

    async def run() -> None:
        running = asyncio.ensure_future(dispatcher.submit(executor.work("runs")))
        await until(lambda: executor.ran == [["runs"]])
        waiting = asyncio.ensure_future(dispatcher.submit(executor.work("waits")))
        await until(lambda: dispatcher.pending == 2)
        with pytest.raises(UnavailableError, match="2 requests are waiting"):
            await dispatcher.submit(executor.work("refused"))
        waiting.cancel()
        running.cancel()
        await asyncio.wait((waiting, running))
        assert dispatcher.pending == 1

    asyncio.run(run())
    assert not dispatcher.close(timeout_s=0)
    executor.passing.set()
    assert dispatcher.close(timeout_s=5)
    assert executor.ran == [["runs"]]


@settings(max_examples=40, deadline=None)
@given(REQUESTS, st.booleans(), st.booleans())
def test_every_request_ends_in_exactly_one_way(
    requests: list[tuple[int, bool, bool, int]], blocked: bool, merging: bool
) -> None:
    """Never more than the limit, none lost, whoever cancels at whatever time."""
    batching = Batching(3, delay_ms=0.1) if merging else None
    with dispatching(LIMIT, batching) as (dispatcher, executor):

        async def run() -> list[object]:
            first = await busy(dispatcher, executor) if blocked else None
            tasks = []
            for number, (priority, timed, goes, steps) in enumerate(requests):
                work = executor.work(
                    number,
                    priority=priority,
                    within_ms=60_000 if timed else None,
                    cost_ms=0.0,
                    group="all",
                )
                task = asyncio.ensure_future(dispatcher.submit(work))
                tasks.append(task)
                for _ in range(steps):
                    await asyncio.sleep(0)
                assert dispatcher.pending <= LIMIT
                if goes:
                    task.cancel()
            executor.passing.set()
            found = await asyncio.gather(*tasks, return_exceptions=True)
            if first is not None:
                assert await first == ("done", "first")
            return found

        found = asyncio.run(run())
    ran = [number for batch in executor.ran for number in batch]
    assert len(ran) == len(set(ran))
    for number, (outcome, (_, _, goes, _)) in enumerate(zip(found, requests, strict=True)):
        if outcome == ("done", number):
            assert number in ran
        elif isinstance(outcome, UnavailableError):
            assert number not in ran
            assert outcome.retry_after_s is not None
        else:
            assert isinstance(outcome, asyncio.CancelledError)
            assert goes


def test_what_waits_runs_by_priority_and_deadline() -> None:
    with dispatching() as (dispatcher, executor):

        async def run() -> None:
            first = await busy(dispatcher, executor)
            tasks = [
                asyncio.ensure_future(dispatcher.submit(work))
                for work in (
                    executor.work("low", priority=9, within_ms=20_000),
                    executor.work("no limit"),
                    executor.work("soon", within_ms=500),
                    executor.work("sooner", within_ms=400),
                    executor.work("high", priority=1),
                )
            ]
            await until(lambda: dispatcher.pending == 6)
            executor.passing.set()
            await asyncio.gather(first, *tasks)

        asyncio.run(run())
    assert executor.ran == [["first"], ["high"], ["sooner"], ["soon"], ["no limit"], ["low"]]
    assert executor.turns[0].waited_ms == 0.0
    assert executor.turns[1].waited_ms > 0.0
    assert [turn.crowded for turn in executor.turns] == [False, True, True, True, True, False]


def test_waiting_work_is_told_when_its_time_is_over() -> None:
    with dispatching() as (dispatcher, executor):

        async def run() -> None:
            first = await busy(dispatcher, executor)
            with pytest.raises(DeadlineError, match="timeout passed before the request's turn"):
                await dispatcher.submit(executor.work(within_ms=50))
            with pytest.raises(DeadlineError, match="longest wait passed"):
                await dispatcher.submit(executor.work(start_within_ms=50))
            assert dispatcher.pending == 1
            executor.passing.set()
            await first

        asyncio.run(run())
    assert executor.ran == [["first"]]


def test_a_high_priority_takes_the_place_of_a_low_one_in_a_full_queue() -> None:
    with dispatching(limit=2) as (dispatcher, executor):

        async def run() -> None:
            first = await busy(dispatcher, executor)
            low = asyncio.ensure_future(dispatcher.submit(executor.work("low", priority=9)))
            await until(lambda: dispatcher.pending == 2)
            high = asyncio.ensure_future(dispatcher.submit(executor.work("high", priority=1)))
            with pytest.raises(UnavailableError, match="higher priority"):
                await low
            for priority in (1, 2, 9):  # of equals the first stays
                with pytest.raises(UnavailableError, match="2 requests are waiting"):
                    await dispatcher.submit(executor.work("none", priority=priority))
            executor.passing.set()
            await asyncio.gather(first, high)

        asyncio.run(run())
    assert executor.ran == [["first"], ["high"]]


def test_a_request_that_can_not_be_in_time_displaces_nobody() -> None:
    with dispatching(limit=2) as (dispatcher, executor):

        async def run() -> None:
            first = await busy(dispatcher, executor)
            low = asyncio.ensure_future(dispatcher.submit(executor.work("low", priority=9)))
            await until(lambda: dispatcher.pending == 2)
            hopeless = executor.work("none", priority=1, cost_ms=9000.0, within_ms=10.0)
            with pytest.raises(DeadlineError):
                await dispatcher.submit(hopeless)
            executor.passing.set()
            await asyncio.gather(first, low)

        asyncio.run(run())
    assert executor.ran == [["first"], ["low"]]


def test_cancelling_frees_place_and_memory_at_once() -> None:
    class Tensor:
        pass

    with dispatching(limit=2) as (dispatcher, executor):

        async def run() -> None:
            first = await busy(dispatcher, executor)
            tensor = Tensor()
            alive = weakref.ref(tensor)
            waiting = asyncio.ensure_future(dispatcher.submit(executor.work(tensor)))
            del tensor
            await until(lambda: dispatcher.pending == 2)
            waiting.cancel()
            await asyncio.wait([waiting])
            del waiting
            gc.collect()
            assert alive() is None
            assert dispatcher.pending == 1
            executor.passing.set()
            await first

        asyncio.run(run())


def test_pending_by_owner() -> None:
    with dispatching() as (dispatcher, executor):

        async def run() -> None:
            first = await busy(dispatcher, executor)
            mine = asyncio.ensure_future(dispatcher.submit(executor.work(owner="me")))
            await until(lambda: dispatcher.pending == 2)
            assert dispatcher.pending_of("me") == 1
            assert dispatcher.pending_of(None) == 1
            executor.passing.set()
            await asyncio.gather(first, mine)
            assert dispatcher.pending_of("me") == 0

        asyncio.run(run())


def test_closing_answers_what_waits() -> None:
    dispatcher, executor = Dispatcher(limit=2), Executor()

    async def run() -> None:
        first = await busy(dispatcher, executor)
        waiting = asyncio.ensure_future(dispatcher.submit(executor.work()))
        await until(lambda: dispatcher.pending == 2)
        assert not dispatcher.close(timeout_s=0)
        with pytest.raises(UnavailableError, match="stopping"):
            await waiting
        with pytest.raises(UnavailableError, match="stopping"):
            await dispatcher.submit(executor.work())
        executor.passing.set()
        assert await first == ("done", "first")

    asyncio.run(run())
    assert dispatcher.close(timeout_s=5)


def test_work_of_one_group_runs_together() -> None:
    with dispatching(batching=Batching(max_batch=4)) as (dispatcher, executor):

        async def run() -> list[object]:
            first = await busy(dispatcher, executor)
            groups = ("a", "b", "a", None, "a", "a", "a")
            tasks = [
                asyncio.ensure_future(dispatcher.submit(executor.work(number, group=group)))
                for number, group in enumerate(groups)
            ]
            await until(lambda: dispatcher.pending == 8)
            executor.passing.set()
            return list(await asyncio.gather(first, *tasks))

        found = asyncio.run(run())
    assert executor.ran == [["first"], [0, 2, 4, 5], [1], [3], [6]]
    assert found[1:] == [("done", number) for number in range(7)]


def test_a_batch_waits_for_others_while_the_executor_is_free() -> None:
    with dispatching(batching=Batching(max_batch=3, delay_ms=20_000)) as (dispatcher, executor):

        async def run() -> None:
            tasks = []
            for number in range(3):
                assert executor.ran == []
                work = executor.work(number, group="a")
                tasks.append(asyncio.ensure_future(dispatcher.submit(work)))
                await asyncio.sleep(0.01)
            await asyncio.gather(*tasks)

        asyncio.run(run())
    assert executor.ran == [[0, 1, 2]]


def test_work_that_may_not_be_merged_does_not_wait_behind_a_batch_that_grows() -> None:
    with dispatching(batching=Batching(max_batch=3, delay_ms=50)) as (dispatcher, executor):

        async def run() -> None:
            grows = asyncio.ensure_future(dispatcher.submit(executor.work("grows", group="a")))
            await until(lambda: dispatcher.pending == 1)
            other = executor.work("other", within_ms=500)
            await asyncio.gather(grows, dispatcher.submit(other))

        asyncio.run(run())
    assert executor.ran == [["other"], ["grows"]]


def brief(threads: list[int], timeout_s: float = 60.0) -> Work:
    def run(works: Sequence[Work], _: Turn) -> list[str]:
        threads.append(threading.get_ident())
        return ["done" for _ in works]

    now_s = time.monotonic()
    return Work(run, None, queued_s=now_s, cost_ms=0.1, deadline_s=now_s + timeout_s, brief=True)


def test_brief_work_that_is_alone_runs_in_the_event_loop() -> None:
    here: list[int] = []

    async def scenario(dispatcher: Dispatcher) -> None:
        assert await dispatcher.submit(brief(here)) == "done"
        assert here == [threading.get_ident()]
        with pytest.raises(DeadlineError, match="the timeout passed before the request could be"):
            await dispatcher.submit(brief(here, timeout_s=0.0))
        assert dispatcher.pending == 0

    with dispatching() as (dispatcher, _):
        asyncio.run(scenario(dispatcher))
    assert len(here) == 1


def test_brief_work_in_company_waits_where_it_is_seen() -> None:
    threads: list[int] = []

    async def scenario(dispatcher: Dispatcher, executor: Executor) -> None:
        running = await busy(dispatcher, executor)
        late = [asyncio.ensure_future(dispatcher.submit(brief(threads))) for _ in range(3)]
        await until(lambda: dispatcher.pending == 4)
        executor.passing.set()
        assert await asyncio.gather(running, *late)
        together = await asyncio.gather(*(dispatcher.submit(brief(threads)) for _ in range(3)))
        assert together == ["done"] * 3
        # The last one to look may find all others done.
        assert threads[:5].count(threading.get_ident()) == 0

    with dispatching() as (dispatcher, executor):
        asyncio.run(scenario(dispatcher, executor))
    assert len(threads) == 6


@pytest.mark.parametrize("requests", [1, 2])
def test_brief_work_that_is_known_to_be_alone_runs_without_a_turn_of_the_loop(
    requests: int,
) -> None:
    """A turn would let whatever else came be seen; where nothing has there is no need."""
    threads: list[int] = []

    async def scenario(dispatcher: Dispatcher) -> None:
        dispatcher.requests = lambda: requests
        step = dispatcher.submit(brief(threads))
        if requests == 1:
            with pytest.raises(StopIteration, match="done"):
                step.send(None)
        else:
            assert step.send(None) is None
            step.close()

    with dispatching() as (dispatcher, _):
        asyncio.run(scenario(dispatcher))
    assert len(threads) == (requests == 1)


def test_brief_work_runs_in_the_thread_where_it_could_be_merged() -> None:
    threads: list[int] = []

    async def scenario(dispatcher: Dispatcher) -> object:
        return await dispatcher.submit(brief(threads))

    with dispatching(batching=Batching(4, 0.0)) as (dispatcher, _):
        assert asyncio.run(scenario(dispatcher)) == "done"
    assert threads != [threading.get_ident()]
