# SPDX-License-Identifier: Apache-2.0
"""How busy a program would keep its CPUs, were they as slow as the thieves make them.

/proc/stat is of no use for this: where the kernel counts CPU time by its tick, thieves in step
with the tick get all of it or none. Best is what the scheduler knows of each thread: the time it
ran and the time it waited for a CPU, behind thieves as behind others, which together is the time
it would be busy. Without that (CONFIG_SCHED_INFO) the processor-time clocks of the processes must
do. Neither says on which CPU: two threads that work half of the time count as one full CPU.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

RESCAN_NS = 50_000_000
# Clocks of other processes have the numbers that clock_getcpuclockid() would give.
_CPUCLOCK_SCHED = 2


class ProgramLoad:
    """The load of a process and all its descendants.

    Args:
        pid: the process.
        besides: descendants, or threads of them, that do not count.
        waiting: whether the scheduler tells how long threads waited; None tries it out.
    """

    def __init__(
        self, pid: int, besides: Iterable[int] = (), *, waiting: bool | None = None
    ) -> None:
        self._pid = pid
        self._besides = frozenset(besides)
        self._waiting = bool(wanted_ns(os.getpid())) if waiting is None else waiting
        self._seen_ns: dict[int, int] = {}
        self._scanned_ns = 0
        self._busy_ns()

    def since_last(self, elapsed_ns: int, stolen_ns: int) -> float:
        """Return the load since the last call, from 0 to 1.

        Args:
            elapsed_ns: the time since the last call.
            stolen_ns: how much of it the thieves had.
        """
        busy_ns = self._busy_ns()
        whole_ns = elapsed_ns if self._waiting else elapsed_ns - stolen_ns
        return min(busy_ns / whole_ns, 1.0) if whole_ns > 0 else 0.0

    def _busy_ns(self) -> int:
        now_ns = time.monotonic_ns()
        if not self._scanned_ns or now_ns - self._scanned_ns >= RESCAN_NS:
            self._scanned_ns = now_ns
            for task in self._tasks() - self._besides:
                # What it used before it was found counts, or short ones would never count.
                self._seen_ns.setdefault(task, 0)
        read = wanted_ns if self._waiting else cpu_time_ns
        total_ns = 0
        for task, before_ns in list(self._seen_ns.items()):
            after_ns = read(task)
            if after_ns is None:
                del self._seen_ns[task]
                continue
            total_ns += after_ns - before_ns
            self._seen_ns[task] = after_ns
        return total_ns

    def _tasks(self) -> set[int]:
        processes = descendants(self._pid) - self._besides
        if not self._waiting:
            return processes
        return {thread for process in processes for thread in _threads(process)}


def wanted_ns(thread: int) -> int | None:
    """Return how long a thread ran or waited for a CPU so far; None if unknown or gone."""
    # Called hundreds of times per second for every thread, so without the comfort of Path.
    try:
        fd = os.open(f"/proc/{thread}/schedstat", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        ran_ns, waited_ns, _ = os.read(fd, 128).split()
    except (OSError, ValueError):
        return None
    finally:
        os.close(fd)
    return int(ran_ns) + int(waited_ns)


def cpu_time_ns(process: int) -> int | None:
    """Return the processor time of a process so far, None if it is gone."""
    try:
        return time.clock_gettime_ns((~process << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return None


def descendants(process: int) -> set[int]:
    """Return a process and all its descendants."""
    found, waiting = {process}, [process]
    while waiting:
        for child in _children(waiting.pop()) - found:
            found.add(child)
            waiting.append(child)
    return found


def _threads(process: int) -> list[int]:
    try:
        return list(map(int, os.listdir(f"/proc/{process}/task")))  # noqa: PTH208 - only names
    except OSError:
        return []  # it ended meanwhile


def _children(process: int) -> set[int]:
    children: set[int] = set()
    for thread in _threads(process):
        try:
            text = Path(f"/proc/{process}/task/{thread}/children").read_text(encoding="ascii")
        except OSError:
            continue  # it ended meanwhile, or the kernel lacks CONFIG_PROC_CHILDREN
        children.update(map(int, text.split()))
    return children
