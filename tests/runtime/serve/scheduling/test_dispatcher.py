# SPDX-License-Identifier: Apache-2.0
"""The bounded queue in front of the one thread."""

import asyncio
import threading
from functools import partial

import pytest
from pieces_of_work import Executor, until

from aio.runtime.serve.errors import UnavailableError
from aio.runtime.serve.scheduling.dispatcher import Dispatcher


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
