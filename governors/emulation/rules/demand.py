# SPDX-License-Identifier: Apache-2.0
"""Governors that sample the load: ondemand and conservative.

After drivers/cpufreq/cpufreq_{governor,ondemand,conservative}.c of the kernel. The load is the
busy part of the time since the last sample, which is taken every 10 ms; of several CPUs the
busiest counts. Not simulated: io_is_busy, ignore_nice_load, powersave_bias.
"""

from __future__ import annotations

from aio.governors.emulation.rules.base import KernelGovernor, Window

SAMPLING_NS = 10_000_000


class LoadSampler(KernelGovernor):
    """What both have in common: the sampling period and the load after a long sleep."""

    period_ns: int | None = SAMPLING_NS
    wake_ns = SAMPLING_NS

    def __init__(self, sampling_ns: int = SAMPLING_NS) -> None:
        self._sampling_ns = sampling_ns
        self.period_ns = self.wake_ns = sampling_ns
        self._previous_load = 0
        self._idle_periods = 0

    def sampled_load(self, window: Window) -> int:
        """Return the load in percent (dbs_update).

        After idling for more than two periods the load before the sleep is used, once: a task
        that wakes up should not start at the lowest clock because it slept.
        """
        idle_ns = max(window.elapsed_ns - window.busy_ns, 0)
        slept = idle_ns > 2 * self._sampling_ns
        self._idle_periods = idle_ns // self._sampling_ns if slept else 0
        if slept and self._previous_load:
            load, self._previous_load = self._previous_load, 0
            return load
        self._previous_load = window.load
        return self._previous_load


class Ondemand(LoadSampler):
    """Jump to the maximum when busy, else a clock proportional to the load.

    Args:
        up_threshold: load in percent above which the clock jumps; the kernel uses 95 where idle
            time is measured finely, which is everywhere with NO_HZ, else 80.
        sampling_down_factor: how many periods the maximum is kept before looking again.
        sampling_ns: time between samples.
    """

    name = "ondemand"

    def __init__(
        self,
        up_threshold: int = 80,
        sampling_down_factor: int = 1,
        sampling_ns: int = SAMPLING_NS,
    ) -> None:
        super().__init__(sampling_ns)
        self._up_threshold = up_threshold
        self._down_factor = sampling_down_factor

    def update(self, window: Window) -> int:
        """Sample the load and answer (od_update)."""
        load = self.sampled_load(window)
        self.period_ns = self._sampling_ns
        allowed = window.allowed
        if load > self._up_threshold:
            if window.cur_khz < allowed.max_khz:
                self.period_ns = self._sampling_ns * self._down_factor
            return allowed.max_khz
        low, high = window.hardware.min_khz, window.hardware.max_khz
        return allowed.closest(low + load * (high - low) // 100)


class Conservative(LoadSampler):
    """One step up when busy, one step down when not.

    Args:
        up_threshold: load in percent above which the clock goes up.
        down_threshold: load in percent below which it goes down.
        freq_step: size of a step in percent of the highest clock allowed.
        sampling_down_factor: a step down is tried only every so many periods.
        sampling_ns: time between samples.
    """

    name = "conservative"

    def __init__(
        self,
        up_threshold: int = 80,
        down_threshold: int = 20,
        freq_step: int = 5,
        sampling_down_factor: int = 1,
        sampling_ns: int = SAMPLING_NS,
    ) -> None:
        super().__init__(sampling_ns)
        self._up, self._down = up_threshold, down_threshold
        self._freq_step = freq_step
        self._down_factor = sampling_down_factor
        self._down_skip = 0
        # What was asked for, which lies between operating points: small steps add up.
        self._requested_khz = 0

    def start(self, window: Window) -> int:
        """Begin at the clock of now."""
        clock = super().start(window)
        self._requested_khz = clock
        return clock

    def update(self, window: Window) -> int:
        """Sample the load and move by one step at most (cs_dbs_update)."""
        load = self.sampled_load(window)
        low, high = window.allowed.min_khz, window.allowed.max_khz
        if not low <= self._requested_khz <= high:
            self._requested_khz = window.cur_khz
        step = max(high * self._freq_step // 100, 5 if self._freq_step else 0)
        if self._idle_periods:
            self._requested_khz = max(self._requested_khz - self._idle_periods * step, low)
        if load > self._up:
            self._down_skip = 0
            if self._requested_khz == high:
                return window.cur_khz
            self._requested_khz = min(self._requested_khz + step, high)
            return window.allowed.at_most(self._requested_khz)
        self._down_skip += 1
        if self._down_skip < self._down_factor:
            return window.cur_khz
        self._down_skip = 0
        if load < self._down and self._requested_khz != low:
            self._requested_khz = max(self._requested_khz - step, low)
            return window.allowed.at_least(self._requested_khz)
        return window.cur_khz
