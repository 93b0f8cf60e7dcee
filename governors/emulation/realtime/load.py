# SPDX-License-Identifier: Apache-2.0
"""How busy a program keeps its CPUs, as far as they are its own.

/proc/stat is of no use for this: where the kernel counts CPU time by its tick, thieves in step
with the tick get all of it or none. The processor-time clocks of the processes are exact. They
do not say on which CPU: two threads that work half of the time each count as one full CPU.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

RESCAN_NS = 50_000_000
# Clocks of other processes have the numbers that clock_getcpuclockid() would give.
_CPUCLOCK_SCHED = 2


class ProgramLoad:
    """The load of a process and all its descendants.

    Args:
        pid: the process.
        besides: descendants that do not count.
    """

    def __init__(self, pid: int, besides: tuple[int, ...] = ()) -> None:
        self._pid = pid
        self._besides = frozenset(besides)
        self._used_ns: dict[int, int] = {}
        self._scanned_ns = 0
        self.busy_ns()

    def busy_ns(self) -> int:
        """Return the processor time used since the last call."""
        now_ns = time.monotonic_ns()
        if not self._scanned_ns or now_ns - self._scanned_ns >= RESCAN_NS:
            self._scanned_ns = now_ns
            for pid in descendants(self._pid) - self._besides:
                # What it used before it was found counts, or short ones would never count.
                self._used_ns.setdefault(pid, 0)
        total_ns = 0
        for pid, before_ns in list(self._used_ns.items()):
            used_ns = cpu_time_ns(pid)
            if used_ns is None:
                del self._used_ns[pid]
                continue
            total_ns += used_ns - before_ns
            self._used_ns[pid] = used_ns
        return total_ns


def cpu_time_ns(pid: int) -> int | None:
    """Return the processor time of a process so far, None if it is gone."""
    try:
        return time.clock_gettime_ns((~pid << 3) | _CPUCLOCK_SCHED)
    except OSError:
        return None


def descendants(pid: int) -> set[int]:
    """Return a process and all its descendants."""
    found, waiting = {pid}, [pid]
    while waiting:
        for child in _children(waiting.pop()) - found:
            found.add(child)
            waiting.append(child)
    return found


def _children(pid: int) -> set[int]:
    children: set[int] = set()
    try:
        tasks = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - the fastest, and only names
        for task in tasks:
            text = Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="ascii")
            children.update(map(int, text.split()))
    except OSError:
        pass  # it ended meanwhile, or the kernel lacks CONFIG_PROC_CHILDREN
    return children
