# SPDX-License-Identifier: Apache-2.0
"""Governors driven by utilisation: schedutil, and intel_pstate's own powersave.

schedutil after kernel/sched/cpufreq_schedutil.c and kernel/sched/pelt.c: utilisation is a
geometric average with a half-life of 32 ms, and the clock is 1.25 * max * utilisation. The
average ages with *work*, not with time (update_rq_clock_pelt): at half the clock it rises half
as fast, which is why a slow CPU takes so long to speed up. Not simulated: iowait boost,
util_est, uclamp, energy-aware placement.
"""

from __future__ import annotations

from aio.governors.emulation.rules.base import KernelGovernor, Window

HALF_LIFE_NS = 32_000_000
TICK_NS = 4_000_000  # CONFIG_HZ=250; a task that just runs is looked at once per tick


class Schedutil(KernelGovernor):
    """1.25 times the clock that the utilisation needs.

    Args:
        rate_limit_ns: least time between two changes; the kernel takes it from the transition
            latency of the driver.
        tick_ns: period of the scheduler's tick.
    """

    name = "schedutil"

    def __init__(self, rate_limit_ns: int = 1_000_000, tick_ns: int = TICK_NS) -> None:
        self.period_ns = max(tick_ns, rate_limit_ns)
        self.wake_ns = rate_limit_ns
        self.utilisation = 0.0

    def account(self, dt_ns: int, *, busy: bool, speed: float) -> None:
        """Let the average rise with the work done, or fall with the time."""
        if busy:
            self.utilisation = 1.0 - (1.0 - self.utilisation) * 2.0 ** (
                -dt_ns * speed / HALF_LIFE_NS
            )
        else:
            self.utilisation *= 2.0 ** (-dt_ns / HALF_LIFE_NS)

    def update(self, window: Window) -> int:
        """Return the lowest operating point that leaves a fifth of it idle (get_next_freq)."""
        return window.allowed.at_least(1.25 * window.hardware.max_khz * self.utilisation)


class PstatePowersave(KernelGovernor):
    """What intel_pstate and amd-pstate call powersave in active mode: it follows the load.

    After get_target_pstate() in drivers/cpufreq/intel_pstate.c: 1.25 times the maximum times the
    busy part of the last 10 ms; when falling, only half of the way.
    """

    name = "powersave"
    period_ns: int | None = 10_000_000
    wake_ns = 10_000_000

    def update(self, window: Window) -> int:
        """Return the clock for the busy part of the window."""
        top = window.hardware.max_khz
        target = 1.25 * top * window.busy_ns / window.elapsed_ns if window.elapsed_ns else 0.0
        if window.cur_khz > target:
            target += (window.cur_khz - target) / 2
        return window.allowed.at_least(target)
