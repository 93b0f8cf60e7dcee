# SPDX-License-Identifier: Apache-2.0
"""The way from the event loop to the one executor thread and back.

One thread, because the executor runs one inference at a time on all its threads; more would
only wait in another place, where nothing can refuse them. The queue is shared with the thread,
which takes the next piece of work itself: asking the event loop for it would leave the executor
idle meanwhile. Waiting work can be taken out at any time, running work can't.

To wake the thread and be woken by it costs as much as a small network, so brief work that is alone
runs in the event loop. Nothing waits behind it unseen: what comes meanwhile finds it done.
"""

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

from aio.runtime.serve.errors import UnavailableError
from aio.runtime.serve.scheduling.admission import DeadlineError, ExpiredError, admit, total_ms
from aio.runtime.serve.scheduling.batching import Batching, hold_until_s, mates
from aio.runtime.serve.scheduling.queue import WorkQueue
from aio.runtime.serve.scheduling.work import Turn, Work, run_call

T = TypeVar("T")

TURN_RATE = 0.05  # how fast the time between two pieces of work is learned
MAX_TURN_MS = 10.0


class Dispatcher:
    """Runs work in one thread; refuses what would wait behind too much.

    Args:
        limit: pieces of work that may wait or run at one time.
        max_queue_ms: how long work without a deadline may wait, infinity for no limit.
        batching: how work of one group is merged.

    Attributes:
        requests: tells how many requests have come and are not answered, those included that no
            task has looked at yet; None where nobody counts them.
    """

    def __init__(
        self,
        limit: int,
        max_queue_ms: float = math.inf,
        batching: Batching = Batching(),  # noqa: B008 -- it is immutable
    ) -> None:
        self._limit = limit
        self.max_queue_ms = max_queue_ms
        self.batching = batching
        self.requests: Callable[[], int] | None = None
        self._queue = WorkQueue()
        self._lock = threading.Lock()  # around the queue and what runs
        self._running: tuple[Work, ...] = ()
        self._busy_until_s = 0.0  # as expected of what runs
        self._freed_s = -math.inf  # when the executor last became free
        self._turn_ms = 0.0
        self._closed = False
        self._tokens: SimpleQueue[None] = SimpleQueue()  # a token wakes the thread
        self._asleep = False  # whether it needs one
        self._arriving = 0  # brief work that looks whether it is alone
        self._thread = threading.Thread(target=self._serve, name="aio-infer", daemon=True)
        self._thread.start()

    @property
    def pending(self) -> int:
        """Pieces of work that wait or run, also those whose client has gone while they ran."""
        return len(self._queue) + len(self._running)

    def pending_of(self, owner: object) -> int:
        """Return how many of them are of one owner."""
        with self._lock:
            return sum(work.owner is owner for work in (*self._queue, *self._running))

    @property
    def backlog_ms(self) -> float:
        """The least time until everything that is here now is done, as far as is known."""
        with self._lock:
            return self._busy_ms(time.monotonic()) + total_ms(self._queue, self._turn_ms)

    async def run(self, work: Callable[[], T]) -> T:
        """Return what `work` returns, computed in the thread; it waits like a request.

        For the server's own work, such as loading a model: it is never refused for the length of
        the queue.
        """
        piece = Work(run_call, work, queued_s=time.monotonic())
        with self._lock:
            wake = self._add(piece)
        if wake:
            self._tokens.put(None)
        return cast("T", await self._result(piece))

    async def submit(self, work: Work) -> Any:
        """Return what `work` results in. Cancelling the task takes it out of the queue.

        Raises:
            DeadlineError: it can't be done in time, or was not.
            UnavailableError: the queue is full, or the server stops.
        """
        if self._idle(work) and await self._alone() and self._idle(work):
            return self._run_here(work)
        self._admit(work)
        return await self._result(work)

    def close(self, timeout_s: float) -> bool:
        """Drop what waits, and return whether the running work ended within the time."""
        with self._lock:
            self._closed = True
            dropped = self._queue.clear()
        for work in dropped:
            _settle(work, None, UnavailableError("the server is stopping"))
        self._tokens.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    async def _result(self, work: Work) -> Any:
        try:
            return await work.future
        except asyncio.CancelledError:
            with self._lock:
                self._queue.remove(work)
            work.settle(None)
            raise

    async def _alone(self) -> bool:
        """Return whether no other brief work has come with this."""
        if self.requests is not None and self.requests() == 1:
            return True
        self._arriving += 1
        try:
            await asyncio.sleep(0)  # whatever has come already is counted now
            return self._arriving == 1
        finally:
            self._arriving -= 1

    def _idle(self, work: Work) -> bool:
        """Return whether brief work could run here: nothing runs, waits, or is to be merged."""
        free = not (self._running or self._closed) and self._queue.first is None
        return work.brief and free and self.batching.max_batch == 1

    def _run_here(self, work: Work) -> Any:
        if work.deadline_s is not None:
            admit(work, self._queue, now_s=time.monotonic(), busy_ms=0.0, turn_ms=0.0)
        with self._lock:
            self._running = (work,)
        try:
            turn = Turn(waited_ms=0.0, room_ms=math.inf, crowded=False, expect=None)
            (result,) = work.run((work,), turn)
        finally:
            with self._lock:
                self._running = ()
                self._freed_s = time.monotonic()
        return result

    def _admit(self, work: Work) -> None:
        displaced: Work | None = None
        now_s = time.monotonic()
        with self._lock:
            busy_ms = self._busy_ms(now_s)
            if len(self._queue) + len(self._running) >= self._limit:
                displaced = self._displace(work, busy_ms)
            try:
                admit(work, self._queue, now_s=now_s, busy_ms=busy_ms, turn_ms=self._turn_ms)
            except DeadlineError:
                if displaced is not None:
                    self._queue.add(displaced)
                raise
            waits = bool(self._running or self._queue)
            wake = self._add(work)
        if wake:
            self._tokens.put(None)
        if displaced is not None:
            why = UnavailableError(
                "requests of higher priority fill the queue; retry later", self.backlog_ms / 1e3
            )
            _settle(displaced, None, why)
        if waits and work.limit_s < math.inf:
            work.timer = work.loop.call_at(work.limit_s, self._expire, work)

    def _add(self, work: Work) -> bool:
        """Let work wait, and return whether the thread needs a token; the caller has the lock."""
        if self._closed:
            raise UnavailableError("the server is stopping")
        self._queue.add(work)
        asleep, self._asleep = self._asleep, False
        return asleep

    def _displace(self, work: Work, busy_ms: float) -> Work:
        """Take out the last that waits if it is of lower priority, to make place for `work`."""
        last = self._queue.last
        if last is None or last.priority <= work.priority:
            raise UnavailableError(
                f"{self.pending} requests are waiting, which is the limit; retry later",
                (busy_ms + total_ms(self._queue, self._turn_ms)) / 1e3,
            )
        self._queue.remove(last)
        return last

    def _expire(self, work: Work) -> None:
        """Refuse work whose time passed while it waited; in the event loop."""
        with self._lock:
            waited = self._queue.remove(work)
        if waited:
            work.settle(None, self._expired(work))

    def _expired(self, work: Work) -> ExpiredError:
        waited_ms = (time.monotonic() - work.queued_s) * 1e3
        limit = "timeout" if work.deadline_s is not None else "longest wait"
        return ExpiredError(
            f"the {limit} passed before the request's turn, after {waited_ms:.1f} ms",
            self.backlog_ms / 1e3,
        )

    def _busy_ms(self, now_s: float) -> float:
        return max(0.0, self._busy_until_s - now_s) * 1e3 if self._running else 0.0

    def _serve(self) -> None:
        while True:
            wait_s = self._turn()
            if wait_s is None and self._closed:
                return
            if wait_s != 0.0:
                with contextlib.suppress(Empty):
                    self._tokens.get(timeout=wait_s)

    def _turn(self) -> float | None:
        """Run what is next, if there is anything.

        Returns:
            How long to sleep: not at all after a run, for a time where a batch may still grow,
            and until something comes where nothing waits (None).
        """
        expired: list[Work] = []
        try:
            with self._lock:
                now_s = time.monotonic()
                while (first := self._queue.first) is not None and first.limit_s <= now_s:
                    self._queue.remove(first)
                    expired.append(first)
                self._asleep = True
                if first is None:
                    return None
                batch = [first, *mates(first, self._queue, now_s, self.batching.max_batch)]
                wait_s = hold_until_s(batch, now_s, self.batching) - now_s
                if wait_s > 0.0 and not self._closed:
                    return wait_s
                self._asleep = False
                turn = self._begin(batch, now_s)
        finally:
            for late in expired:
                _settle(late, None, self._expired(late))
        self._run(batch, turn)
        return 0.0

    def _begin(self, batch: Sequence[Work], now_s: float) -> Turn:
        """Take a batch out of the queue; the caller holds the lock."""
        for work in batch:
            self._queue.remove(work)
        oldest_s = min(work.queued_s for work in batch)
        if self._freed_s > oldest_s:  # it waited for its turn: learn what a turn costs
            turn_ms = min((now_s - self._freed_s) * 1e3, MAX_TURN_MS)
            self._turn_ms += TURN_RATE * (turn_ms - self._turn_ms)
        self._running = tuple(batch)
        self._busy_until_s = now_s + sum(work.cost_ms or 0.0 for work in batch) / 1e3
        return Turn(
            waited_ms=max(0.0, self._freed_s - oldest_s) * 1e3,
            room_ms=self._queue.room_ms(now_s, self._turn_ms),
            crowded=len(self._queue) > 0,
            expect=self._expect,
        )

    def _expect(self, takes_ms: float) -> None:
        self._busy_until_s = time.monotonic() + takes_ms / 1e3

    def _run(self, works: Sequence[Work], turn: Turn) -> None:
        results: Sequence[object] = (None,) * len(works)
        failure: BaseException | None = None
        try:
            results = works[0].run(works, turn)
        except BaseException as error:  # noqa: BLE001 -- passed on to who awaits it
            failure = error
        with self._lock:
            self._running = ()
            self._freed_s = time.monotonic()
        for work, result in zip(works, results, strict=True):
            _settle(work, result, failure)


def _settle(work: Work, result: object, error: BaseException | None = None) -> None:
    """Answer the task that awaits `work`, from any thread; a loop that was closed has none."""
    with contextlib.suppress(RuntimeError):
        work.loop.call_soon_threadsafe(work.settle, result, error)
