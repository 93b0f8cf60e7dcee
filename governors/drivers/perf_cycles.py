# SPDX-License-Identifier: Apache-2.0
"""CPU clock from the cycles that this process used, for machines whose kernel shows no clock.

Cycles divided by running time are the clock at which our own work really ran, whatever firmware
and hypervisor do. All threads count together: those that exist when the driver opens, and those
that they start later. Where only user mode may be counted, time spent in the kernel makes the
clock look a little lower than it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable
from typing import Protocol

from aio.governors.base import CPU_CLOCK, Capability, ClockSample, Status
from aio.governors.parsing import MAX_KHZ
from aio.governors.perf_event import CycleCount, CycleCounter
from aio.governors.sysfs import Sysfs, explain

# Less running time says too little. An idle process is kept busy for what is missing, so the
# first request after a pause finds the clock of now and not of the last request.
MIN_RUNNING_NS = 200_000
MAX_SPIN_NS = 2_000_000  # of wall time; a core that is shared takes longer to give running time
MAX_THREADS = 256  # one descriptor each

_NO_COUNTER = {
    errno.ENOENT: "this processor's cycle counter is not there, as in most virtual machines",
    errno.ENODEV: "this processor has no cycle counter",
    errno.EOPNOTSUPP: "this processor has no cycle counter",
    errno.ENOSYS: "the kernel has no performance counters, or a sandbox hides them",
}
_FORBIDDEN = {errno.EACCES, errno.EPERM}


class Counter(Protocol):
    """What counts the cycles of a thread and of those it starts."""

    def read(self) -> CycleCount:
        """Return the counts so far."""

    def close(self) -> None:
        """Stop counting."""


class PerfCyclesDriver:
    """The clock at which this process ran since the reading before.

    Args:
        sysfs: says whether the kernel has performance counters, and how strict it is.
        open_counter: opens the counter of a thread, with or without cycles in the kernel.
    """

    name = "perf_cycles"

    def __init__(
        self,
        sysfs: Sysfs,
        open_counter: Callable[[int, bool], Counter] = (
            lambda thread_id, kernel: CycleCounter(thread_id, kernel=kernel)
        ),
    ) -> None:
        self._sysfs = sysfs
        self._open_counter = open_counter
        self._counters: list[Counter] = []
        self._pid = 0
        self._last = CycleCount(0, 0)
        self._max_khz: int | None = None
        self._user_only = False
        self._closed = False

    def probe(self) -> Capability:
        """Count for a moment and say whether that gives a clock."""
        paranoid = self._sysfs.proc / "sys/kernel/perf_event_paranoid"
        strictness = self._sysfs.read_optional(paranoid)
        if strictness is None:  # documented as the way to tell whether the kernel has counters
            return self._answer(Status.UNSUPPORTED, f"{paranoid} does not exist")
        try:
            self._open()
        except OSError as error:
            if error.errno in _NO_COUNTER:
                return self._answer(Status.UNSUPPORTED, _NO_COUNTER[error.errno])
            reason = explain(error)
            if error.errno in _FORBIDDEN:
                reason += (
                    f": kernel.perf_event_paranoid is {strictness.strip()[:8]}; allow it with "
                    "sysctl kernel.perf_event_paranoid=2, or give CAP_PERFMON"
                )
            return self._answer(Status.ERROR, reason)
        sample = self.read()
        if sample.cpu_khz is None:
            return self._answer(Status.ERROR, sample.error or "no value")
        scope = "in user mode" if self._user_only else "in user mode and kernel"
        text = f"cycles of this process {scope}, about {sample.cpu_khz / 1000:.0f} MHz now"
        return self._answer(Status.VALUE, text)

    def read(self) -> ClockSample:
        """Return the mean clock of this process since the reading before."""
        try:
            khz = self._measure()
        except OSError as error:
            self._forget()  # opened anew by the next reading
            return self._without_clock(f"cycle counter: {explain(error)}")
        except ValueError as error:
            return self._without_clock(str(error))
        self._max_khz = max(khz, self._max_khz or 0)
        return ClockSample(time.monotonic_ns(), khz, self._max_khz, self.name)

    def close(self) -> None:
        """Free the counters."""
        self._closed = True
        self._forget()

    def _measure(self) -> int:
        if self._closed:
            raise ValueError("the driver is closed")
        if not self._counters or self._pid != os.getpid():
            self._open()
        now = self._count()
        if now.running_ns - self._last.running_ns < MIN_RUNNING_NS:
            now = self._spin()
        cycles = now.cycles - self._last.cycles
        running_ns = now.running_ns - self._last.running_ns
        self._last = now
        if running_ns <= 0 or cycles <= 0:
            # On a phone the counter may belong to another kind of cores than those in use.
            raise ValueError("the cycle counter stands still although this process runs")
        khz = round(cycles * 1_000_000 / running_ns)
        if khz > MAX_KHZ:
            raise ValueError(f"{cycles} cycles in {running_ns} ns are no clock")
        return khz

    def _spin(self) -> CycleCount:
        """Run until there is enough running time to tell a clock, but never long."""
        deadline_ns = time.monotonic_ns() + MAX_SPIN_NS
        while True:
            for _ in range(1000):
                pass
            now = self._count()
            missing_ns = self._last.running_ns + MIN_RUNNING_NS - now.running_ns
            if missing_ns <= 0 or time.monotonic_ns() >= deadline_ns:
                return now

    def _count(self) -> CycleCount:
        counts = [counter.read() for counter in self._counters]
        return CycleCount(sum(c.cycles for c in counts), sum(c.running_ns for c in counts))

    def _open(self) -> None:
        """Count every thread there is; in a forked child the parent's counters are left behind."""
        self._forget()
        self._pid = os.getpid()
        self._user_only = False
        try:
            self._counters.append(self._open_counter(self._pid, True))
        except PermissionError:
            self._user_only = True
            self._counters.append(self._open_counter(self._pid, False))
        for thread_id in self._other_threads()[:MAX_THREADS]:
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                self._counters.append(self._open_counter(thread_id, not self._user_only))
        self._last = self._count()

    def _other_threads(self) -> list[int]:
        names = self._sysfs.list_optional(self._sysfs.proc / "self/task")
        return [int(name) for name in names if name.isdecimal() and int(name) != self._pid]

    def _forget(self) -> None:
        counters, self._counters = self._counters, []
        for counter in counters:
            counter.close()

    def _without_clock(self, reason: str) -> ClockSample:
        return ClockSample(time.monotonic_ns(), None, self._max_khz, self.name, (), reason)

    def _answer(self, status: Status, reason: str) -> Capability:
        return Capability(self.name, CPU_CLOCK, status, reason)
