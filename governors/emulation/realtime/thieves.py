# SPDX-License-Identifier: Apache-2.0
"""Make CPUs slower for every program: a clock thief per CPU takes a part of every period.

A thief is a process under SCHED_FIFO (thief.py), because threads of one Python process share a
lock. What remains of each period is the speed. The kernel keeps a part of every second for
others (sched_rt_runtime_us, 95 %), so a CPU can't be made slower than about 6 % of its speed.

Shared memory holds a slot of eight 64-bit words per thief: the duty in millionths, what stealing
once costs programs in addition in ns, the time stolen so far in ns, and a state: 0 starting, 1
ready, negative the errno of what failed.
"""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from aio.governors.emulation.realtime import thief

PERIOD_US = 1000
MIN_PERIOD_US, MAX_PERIOD_US = 200, 100_000
MAX_DUTY = 0.95
MARGIN = 0.01  # what the thieves themselves cost, which counts as real-time, too
START_TIMEOUT_S = 20.0
WORD_BYTES = 8

REMEDY = (
    "emulated clocks need the right to use real-time priority (CAP_SYS_NICE): run as root, give "
    "a container --cap-add=SYS_NICE, or allow the user a priority of 1 (`ulimit -r`, or rtprio "
    "in /etc/security/limits.conf). In a control group of its own real-time needs "
    "cpu.rt_runtime_us > 0"
)


class ClockThieves:
    """Thieves on some CPUs, all with the same duty. A context manager.

    Enter it in a thread that lives as long as the thieves should: the kernel ends them with it.

    Args:
        cpus: the CPUs to make slower.
        period_us: how often they steal; shorter is smoother and costs more switching.

    Raises:
        ValueError: a CPU or the period is out of range.
    """

    def __init__(self, cpus: Iterable[int], period_us: int = PERIOD_US) -> None:
        self.cpus = tuple(sorted(set(cpus)))
        allowed = os.sched_getaffinity(os.getpid())
        if not self.cpus or not allowed.issuperset(self.cpus):
            raise ValueError(f"CPUs {self.cpus}: this process may use {tuple(sorted(allowed))}")
        if not MIN_PERIOD_US <= period_us <= MAX_PERIOD_US:
            limits = f"{MIN_PERIOD_US} to {MAX_PERIOD_US}"
            raise ValueError(f"a period of {period_us} us: expected {limits}")
        self.period_us = period_us
        self.min_speed = 1.0 - max_duty() + MARGIN
        self._memory: mmap.mmap | None = None
        self._words: memoryview[int] | None = None
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        fd = os.memfd_create("aio-thieves")
        try:
            os.ftruncate(fd, max(len(self.cpus) * thief.WORDS * WORD_BYTES, mmap.PAGESIZE))
            self._memory = mmap.mmap(fd, 0)
            self._words = memoryview(self._memory).cast("q")
            for slot, cpu in enumerate(self.cpus):
                self._processes.append(_start(fd, slot, cpu, self.period_us))
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise
        finally:
            os.close(fd)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the thieves; the CPUs are at full speed when this returns."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        self._processes = []
        if self._words is not None:
            self._words.release()
            self._words = None
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    @property
    def pids(self) -> tuple[int, ...]:
        """Return the processes, in the order of the CPUs."""
        return tuple(process.pid for process in self._processes)

    def alive(self) -> bool:
        """Return whether all thieves still run."""
        return all(process.poll() is None for process in self._processes)

    def set_speed(self, fraction: float) -> None:
        """Leave a fraction of every period to programs, from the next period on.

        Raises:
            ValueError: it is above 1, or the kernel does not allow to take as much.
        """
        if not self.min_speed <= fraction <= 1.0:
            raise ValueError(
                f"a speed of {fraction:.3f}: expected {self.min_speed:.2f} to 1, because the "
                "kernel keeps some time from real-time processes (sched_rt_runtime_us)"
            )
        self._tell(thief.DUTY, round((1.0 - fraction) * thief.WHOLE))

    def set_cost_ns(self, cost_ns: int) -> None:
        """Take less by what interrupting programs once per period costs them by itself.

        That is interrupts and cold caches, which no clock of the thief sees; see selfcheck.py.
        """
        self._tell(thief.COST, max(cost_ns, 0))

    def stolen_ns(self) -> int:
        """Return the time taken from each CPU so far, on average."""
        words = self._started()
        slots = range(len(self.cpus))
        return sum(words[slot * thief.WORDS + thief.STOLEN] for slot in slots) // len(self.cpus)

    def _tell(self, field: int, value: int) -> None:
        words = self._started()
        for slot in range(len(self.cpus)):
            words[slot * thief.WORDS + field] = value

    def _started(self) -> memoryview[int]:
        if self._words is None:
            raise RuntimeError("the clock thieves are not running")
        return self._words

    def _wait_until_ready(self) -> None:
        words = self._started()
        end_s = time.monotonic() + START_TIMEOUT_S
        for slot, process in enumerate(self._processes):
            while (state := words[slot * thief.WORDS + thief.STATE]) != thief.READY:
                if state in {-errno.EPERM, -errno.EACCES}:
                    raise PermissionError(REMEDY)
                if state < 0:
                    reason = os.strerror(-state).lower()
                    raise OSError(f"no clock thief on CPU {self.cpus[slot]}: {reason}")
                if process.poll() is not None or time.monotonic() > end_s:
                    raise OSError(f"the clock thief of CPU {self.cpus[slot]} did not start")
                time.sleep(0.001)


def max_duty(proc: Path = Path("/proc")) -> float:
    """Return which part of its time a CPU may spend on real-time processes, at most 95 %."""
    try:
        runtime_us, period_us = (
            int((proc / "sys/kernel" / name).read_text(encoding="ascii"))
            for name in ("sched_rt_runtime_us", "sched_rt_period_us")
        )
    except (OSError, ValueError):
        return MAX_DUTY
    return MAX_DUTY if runtime_us < 0 else min(runtime_us / period_us, MAX_DUTY)


def _start(fd: int, slot: int, cpu: int, period_us: int) -> subprocess.Popen[bytes]:
    arguments = (fd, slot, cpu, period_us * 1000, os.getpid())
    # In our process group: a job that is stopped from the terminal must not go on stealing.
    return subprocess.Popen(
        [sys.executable, "-I", "-S", thief.__file__, *map(str, arguments)],
        pass_fds=(fd,),
        stdin=subprocess.DEVNULL,
    )
