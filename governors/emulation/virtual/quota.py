# SPDX-License-Identifier: Apache-2.0
"""CPU bandwidth control of a container (Documentation/scheduler/sched-bwc.rst of the kernel).

In every period the group may use quota * period of CPU time, by all its threads together. When
that is used up they stand still until the next period begins. Slices are not simulated.
"""

from __future__ import annotations

# What the kernel accepts.
MIN_PERIOD_US, MAX_PERIOD_US = 1_000, 1_000_000
MIN_QUOTA_US = 1_000


class Quota:
    """A budget of CPU time that is filled up at the start of every period.

    Args:
        cpus: how many CPUs the group may use on average; 1.5 is one and a half.
        period_us: the period.
        threads: how many threads run when work is done.
        now_ns: start of the first period.
    """

    def __init__(self, cpus: float, period_us: int, threads: int, now_ns: int) -> None:
        if not MIN_PERIOD_US <= period_us <= MAX_PERIOD_US:
            limits = f"{MIN_PERIOD_US} to {MAX_PERIOD_US}"
            raise ValueError(f"a quota period of {period_us} us: expected {limits}")
        if not cpus * period_us >= MIN_QUOTA_US:
            raise ValueError(
                f"a quota of {cpus} CPUs is {cpus * period_us:g} us per period of {period_us} us: "
                f"the kernel wants at least {MIN_QUOTA_US}"
            )
        self.cpus = cpus
        self.period_us = period_us
        self.throttled_ns = 0
        self._threads = threads
        self._period_ns = period_us * 1000
        self._budget_ns = int(cpus * self._period_ns)
        self._left_ns = self._budget_ns
        self._end_ns = now_ns + self._period_ns

    @property
    def binding(self) -> bool:
        """Return whether the threads can ever use the budget up."""
        return self._budget_ns < self._threads * self._period_ns

    def runnable_ns(self, now_ns: int) -> int:
        """Return how long work may go on before the budget or the period ends; 0 when stalled."""
        if now_ns >= self._end_ns:
            periods = (now_ns - self._end_ns) // self._period_ns + 1
            self._end_ns += periods * self._period_ns
            self._left_ns = self._budget_ns
        return min(self._left_ns // self._threads, self._end_ns - now_ns)

    def used(self, dt_ns: int) -> None:
        """Note that all threads have run for a time."""
        self._left_ns -= dt_ns * self._threads

    def stall_ns(self, now_ns: int) -> int:
        """Return how long the threads must wait for the next period."""
        return max(self._end_ns - now_ns, 0)
