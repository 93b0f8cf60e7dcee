# SPDX-License-Identifier: Apache-2.0
"""A clock thief: a process that takes a part of every period of one CPU away from everybody.

Run by its path with an isolated interpreter, so it imports nothing but the standard library and
starts in some 20 ms. It gets its duty from shared memory and reports there; see thieves.py for
the layout. It ends when its parent does: the kernel kills it, and it looks itself, too.

All thieves begin their periods at the same moments. Threads that wait for each other in every
layer then lose the time once; out of step they would lose it once for every core.
"""

from __future__ import annotations

import ctypes
import gc
import mmap
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
# Of SCHED_FIFO: above all that is not real-time, and above the probe of the self-check.
PRIORITY = 2
# Fields of a slot, in 64-bit words.
DUTY, COST, STOLEN, STATE, WORDS = 0, 1, 2, 3, 8
# Duties are counted in millionths of a period.
WHOLE = 1_000_000
READY = 1
# At full speed there is nothing to do but to look for a new duty now and then.
IDLE_PERIODS = 4
# What is left of a period at least, so that a late start never eats the next one.
LEAST_GAP = 0.02


def main(fd: int, slot: int, cpu: int, period_ns: int, parent: int) -> int:
    """Prepare, say so in the slot, and steal until the parent is gone.

    Args:
        fd: descriptor of the shared memory.
        slot: which slot of it is this thief's.
        cpu: the CPU to steal from.
        period_ns: length of a period.
        parent: the process whose end is also ours.
    """
    # A Ctrl-C is meant for the program; the parent ends us when that has ended.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    words = memoryview(mmap.mmap(fd, 0)).cast("q")
    first = slot * WORDS
    try:
        if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
            raise OSError("prctl failed")
        os.sched_setaffinity(0, {cpu})
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError as error:
        words[first + STATE] = -(error.errno or 1)
        return 1
    gc.disable()
    words[first + STATE] = READY
    steal(words, first, period_ns, parent)
    return 0


def steal(words: memoryview[int], first: int, period_ns: int, parent: int) -> None:
    """Burn the duty of every period until the parent is another one."""
    now_ns, used_ns, parent_now = time.monotonic_ns, time.thread_time_ns, os.getppid
    stolen_ns = owed_ns = 0
    latest_ns = int(period_ns * (1.0 - LEAST_GAP))
    begin_ns = (now_ns() // period_ns + 1) * period_ns
    before_ns = used_ns()
    while parent_now() == parent:
        time.sleep(max(begin_ns - now_ns(), 0) / 1e9)
        duty_ns = words[first + DUTY] * period_ns // WHOLE
        if duty_ns:
            duty_ns = max(duty_ns - words[first + COST], 0)
            # Waking up is late and switching takes time, so what counts is the processor time
            # that the kernel says was used; the difference is made up for in the next period.
            end_ns = begin_ns + min(max(duty_ns + owed_ns, 0), latest_ns)
            while now_ns() < end_ns:
                pass
        after_ns = used_ns()
        burnt_ns, before_ns = after_ns - before_ns, after_ns
        stolen_ns += burnt_ns
        words[first + STOLEN] = stolen_ns
        if words[first + DUTY]:
            owed_ns = min(max(owed_ns + duty_ns - burnt_ns, -period_ns), period_ns)
            begin_ns += period_ns
        else:
            owed_ns = 0
            begin_ns += IDLE_PERIODS * period_ns
        behind_ns = now_ns() - begin_ns
        if behind_ns > 0:  # stopped meanwhile, by a debugger or a hypervisor
            begin_ns += (behind_ns // period_ns + 1) * period_ns


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
