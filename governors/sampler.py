# SPDX-License-Identifier: Apache-2.0
"""Sample a device in the background: often while requests flow, seldom when idle.

Readers take the newest sample without a lock. Nothing here raises into the application: a source
that fails gives samples with an error and is asked again. After a fork the child starts its own
thread at the first use.
"""

from __future__ import annotations

import functools
import os
import threading
import time
import weakref
from types import TracebackType
from typing import final

from aio.governors.base import READ_ERRORS, Capability, ClockSample, DeviceSample, SensorSource

IDLE_AFTER_S = 1.0
MAX_LOAD = 0.02  # part of a core sampling may use; an expensive source is asked less often
COST_READINGS = 64  # enough for every slow quantity to be among them at its true share
LOCK_WAIT_S = 0.005  # a request waits this long for a reading in progress, then uses the last one


@final
class Sampler:
    """Keeps the newest sample of a source. It does not close the source.

    Args:
        source: what to read; only this object may read it while sampling runs.
        period_s: time between samples while requests flow.
        idle_period_s: time between samples otherwise.
        idle_after_s: without `touch` for this long, requests no longer flow.
    """

    def __init__(
        self,
        source: SensorSource,
        period_s: float = 0.02,
        idle_period_s: float = 0.25,
        idle_after_s: float = IDLE_AFTER_S,
    ) -> None:
        if not 0.0 < period_s <= idle_period_s:
            raise ValueError(
                f"period_s={period_s} and idle_period_s={idle_period_s}: "
                "both must be positive and the idle one not the shorter"
            )
        self._source = source
        self._period_s = period_s
        self._idle_period_s = idle_period_s
        self._idle_after_s = idle_after_s
        self._cost_s: float | None = None
        self._count = 0  # of readings in the mean
        self._spent_ns: int | None = None  # CPU time of the sampling thread at its last sample
        self._touched_s = time.monotonic()
        self._running = False
        self._idle = False
        self._latest = _without_clock(source.name, "sampling has not started")
        self._thread: threading.Thread | None = None
        self._renew_locks()

    def __enter__(self) -> Sampler:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def cost_us(self) -> float | None:
        """Return the CPU time of a sample, the mean of the last ones; None before the first.

        It is all that the sampling thread uses, waking up included.
        """
        return None if self._cost_s is None else self._cost_s * 1e6

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """Return what the source's drivers can tell by now; safe in any thread."""
        return self._source.capabilities

    def start(self) -> None:
        """Take a first sample and start the thread. Does nothing if it runs."""
        _watch_forks()
        _started.add(self)
        with self._state_lock:
            if not self._running:
                self._running = True
                self._launch()

    def stop(self) -> None:
        """Stop the thread and wait for it, but never long. Can be started again."""
        with self._state_lock:
            self._running = False
            thread, self._thread = self._thread, None
            self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout=1.0)

    def latest(self) -> DeviceSample:
        """Return the newest sample, at once. Its age is up to the idle period."""
        if self._orphaned:
            self._revive()
        return self._latest

    def fresh(self, max_age_s: float) -> DeviceSample:
        """Return a sample not older than `max_age_s`, reading inline if there is none.

        If another thread is in the middle of a reading for long, the newest sample is returned
        whatever its age: a request never waits for a sensor that hangs.
        """
        sample = self.latest()
        if self._is_younger(max_age_s):
            return sample
        if not self._read_lock.acquire(timeout=LOCK_WAIT_S):
            return self._latest
        try:
            if not self._is_younger(max_age_s):
                self._read(time.thread_time_ns())
            return self._latest
        finally:
            self._read_lock.release()

    def touch(self) -> None:
        """Say that a request came: sample often for a while."""
        self._touched_s = time.monotonic()
        if self._orphaned:
            self._revive()
        if self._idle:
            self._wake.set()

    def _is_younger(self, max_age_s: float) -> bool:
        never_read = self._cost_s is None
        return not never_read and self._latest.age_s(time.monotonic_ns()) <= max_age_s

    def _renew_locks(self) -> None:
        self._read_lock = threading.Lock()
        self._state_lock = threading.Lock()
        self._wake = threading.Event()
        self._orphaned = False

    def _launch(self) -> None:
        """Read once and start a thread; the caller holds the state lock."""
        # Only a thread of an earlier start that hangs in its sensor can hold the lock for long.
        if self._read_lock.acquire(timeout=LOCK_WAIT_S):
            try:
                self._read(time.thread_time_ns())
            finally:
                self._read_lock.release()
        self._wake = threading.Event()
        self._spent_ns = None
        thread = threading.Thread(
            target=_sample_until_stopped,
            args=(weakref.ref(self), self._wake),
            name=f"aio-sensors-{self._source.name}",
            daemon=True,
        )
        self._thread = thread
        try:
            thread.start()
        except RuntimeError:
            # No more threads, or the interpreter is going down: fresh() still reads inline.
            self._thread = None

    def _revive(self) -> None:
        with self._state_lock:
            if self._orphaned:
                self._orphaned = False
                self._launch()

    def _forget_thread(self) -> None:
        """Adapt to life in a forked child: no thread, and locks in an unknown state."""
        self._thread = None
        self._renew_locks()
        self._orphaned = self._running

    def _tick(self) -> float | None:
        """Sample once; return how long to wait for the next one, None to end the thread."""
        if threading.current_thread() is not self._thread:
            return None
        begin_s = time.monotonic()
        # Everything this thread did since the sample before: waking up is a cost of sampling.
        begin_ns = time.thread_time_ns() if self._spent_ns is None else self._spent_ns
        with self._read_lock:
            self._spent_ns = self._read(begin_ns)
        # Before the time of the last touch is looked at: a touch in between sees it and wakes us.
        self._idle = True
        if time.monotonic() - self._touched_s < self._idle_after_s:
            self._idle = False
        period_s = self._idle_period_s if self._idle else self._period_s
        period_s = max(period_s, (self._cost_s or 0.0) / MAX_LOAD)
        return max(0.0, begin_s + period_s - time.monotonic())

    def _read(self, begin_ns: int) -> int:
        """Read the source; the caller holds the read lock.

        Args:
            begin_ns: CPU time of this thread from which on its work counts as the sample's cost.

        Returns:
            The CPU time of this thread afterwards.
        """
        try:
            sample = self._source.read()
        except READ_ERRORS as error:
            reason = f"{self._source.name} failed: {type(error).__name__}: {error}"
            sample = _without_clock(self._source.name, reason)
        # CPU time, not wall time: being preempted is no cost of the sensor.
        end_ns = time.thread_time_ns()
        self._count = min(self._count + 1, COST_READINGS)
        mean_s = self._cost_s or 0.0
        self._cost_s = mean_s + ((end_ns - begin_ns) / 1e9 - mean_s) / self._count
        self._latest = sample
        return end_ns


def _without_clock(name: str, reason: str) -> DeviceSample:
    now_ns = time.monotonic_ns()
    return DeviceSample(now_ns, ClockSample(now_ns, None, None, name, (), reason))


_started: weakref.WeakSet[Sampler] = weakref.WeakSet()


@functools.cache
def _watch_forks() -> None:
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_after_fork_in_child)


def _after_fork_in_child() -> None:
    for sampler in list(_started):
        sampler._forget_thread()


def _sample_until_stopped(ref: weakref.ref[Sampler], wake: threading.Event) -> None:
    """Run a sampler's thread without keeping the sampler alive."""
    while True:
        sampler = ref()
        wait_s = None if sampler is None else sampler._tick()
        del sampler
        if wait_s is None:
            return
        wake.wait(wait_s)
        wake.clear()
