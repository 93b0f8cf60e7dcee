# SPDX-License-Identifier: Apache-2.0
"""Governors that do not look at the load: performance, powersave, userspace.

After drivers/cpufreq/cpufreq_{performance,powersave,userspace}.c of the kernel.
"""

from __future__ import annotations

from aio.governors.emulation.rules.base import KernelGovernor, Window


class Performance(KernelGovernor):
    """scaling_max_freq, always."""

    name = "performance"

    def start(self, window: Window) -> int:
        """Return the highest clock allowed."""
        return window.allowed.max_khz

    limit = start


class Powersave(KernelGovernor):
    """scaling_min_freq, always."""

    name = "powersave"

    def start(self, window: Window) -> int:
        """Return the lowest clock allowed."""
        return window.allowed.min_khz

    limit = start


class Userspace(KernelGovernor):
    """What was last written to scaling_setspeed, within the limits; the wish is remembered."""

    name = "userspace"

    def __init__(self) -> None:
        self._wish_khz: int | None = None

    def set_speed(self, khz: float, window: Window) -> int:
        """Return the clock for a write to scaling_setspeed (relation L)."""
        self._wish_khz = window.hardware.at_least(khz)
        return self.limit(window)

    def start(self, window: Window) -> int:
        """Keep the clock of now and remember it as the wish."""
        if self._wish_khz is None:
            self._wish_khz = window.cur_khz
        return self.limit(window)

    def limit(self, window: Window) -> int:
        """Return the wish within the limits: it comes back when a limit goes."""
        wish = window.cur_khz if self._wish_khz is None else self._wish_khz
        return window.allowed.at_least(max(wish, window.allowed.min_khz))
