# SPDX-License-Identifier: Apache-2.0
"""What a simulated cpufreq governor is told and what it answers. Frequencies are kHz."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio.governors.devices import Ladder


@dataclass(frozen=True, slots=True)
class Window:
    """The time since the last update, and the limits of now.

    `allowed` holds the operating points within scaling_min_freq and scaling_max_freq,
    `hardware` all of them; `cur_khz` is the clock in force.
    """

    elapsed_ns: int
    busy_ns: int
    cur_khz: int
    allowed: Ladder
    hardware: Ladder

    @property
    def load(self) -> int:
        """Return the part of the time that the CPU was busy, in whole percent as the kernel."""
        return 100 * min(self.busy_ns, self.elapsed_ns) // self.elapsed_ns if self.elapsed_ns else 0


class KernelGovernor:
    """The base of the rules, which by itself never changes the clock.

    Attributes:
        name: what scaling_governor shows.
        period_ns: time between updates while the CPU is busy; None when there are none.
        wake_ns: time since the last update after which waking up triggers one.
        idle_ns: time between updates while the CPU is idle.
    """

    name = "none"
    period_ns: int | None = None
    wake_ns = 0
    # Idle CPUs have no tick. While others are awake, the idle balancer ages the load of sleeping
    # ones about every LOAD_AVG_PERIOD and calls the governor's hook (update_blocked_averages).
    idle_ns = 32_000_000

    def start(self, window: Window) -> int:
        """Return the clock when the governor is selected; by default what it was, within limits."""
        return window.allowed.closest(window.cur_khz)

    def limit(self, window: Window) -> int:
        """Return the clock after the limits changed (cpufreq_policy_apply_limits)."""
        allowed = window.allowed
        return min(max(window.cur_khz, allowed.min_khz), allowed.max_khz)

    def account(self, dt_ns: int, *, busy: bool, speed: float) -> None:
        """Note a stretch of time, with the clock as a fraction of the highest one."""

    def update(self, window: Window) -> int:
        """Return the clock to use from now on."""
        return window.cur_khz
