# SPDX-License-Identifier: Apache-2.0
"""A device whose time passes only when it is told to work or to sleep.

Work is given as cycles, which take as long as the clock of the moment makes them, and a fixed
time, which stands for memory and does not care about the clock; both progress in proportion. On
the way everything happens that would happen on a board: the governor samples, the trace moves
on, heat throttles, the quota runs out. Between such moments a call costs O(1).

Simulated is one cpufreq policy, by default the fastest: where the work runs. The same seed and
the same calls give the same times.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

from aio.governors.devices import Device, Ladder, ladder, load_device
from aio.governors.emulation.trace import Change, Trace, load_trace
from aio.governors.emulation.virtual import sampling
from aio.governors.emulation.virtual.clock import FOREVER_NS, PolicyClock
from aio.governors.emulation.virtual.limits import Limits
from aio.governors.emulation.virtual.quota import Quota
from aio.governors.emulation.virtual.thermal import (
    MAX_COOLING_STATES,
    ThermalModel,
    ThermalState,
)

if TYPE_CHECKING:
    from aio.governors.base import DeviceSample
    from aio.governors.emulation.rules import KernelGovernor

DEFAULT_PERIOD_US = 100_000


class VirtualDevice:
    """A simulated device.

    Args:
        device: the board, or its name.
        governor: the cpufreq governor, or its name; by default userspace where the trace sets
            speeds, else that of the board.
        policy: number of the cpufreq policy the work runs on; by default the fastest.
        freqs: operating points to use instead of all of the policy, such as `ladder(d).span(3)`.
        threads: how many CPUs the work keeps busy.
        trace: what happens and when, or the name of a trace that ships.
        thermal: how it heats up; None for a device that stays cool.
        quota_cpus: CPU bandwidth of the container, None for no limit.
        quota_period_us: its period.
        hidden_cap: a firmware cap that no file shows, as a fraction of the highest clock.
        battery_limit: the cap while on battery, as a fraction of the highest clock.
        noise: spread of the durations: sigma of the logarithm, drawn anew for each `run`.
        seed: of the noise.

    Raises:
        ValueError: an argument is out of range or does not fit the board.
    """

    def __init__(
        self,
        device: Device | str,
        *,
        governor: KernelGovernor | str | None = None,
        policy: int | None = None,
        freqs: Ladder | None = None,
        threads: int = 1,
        trace: Trace | str | None = None,
        thermal: ThermalModel | None = None,
        quota_cpus: float | None = None,
        quota_period_us: int = DEFAULT_PERIOD_US,
        hidden_cap: float | None = None,
        battery_limit: float = 0.6,
        noise: float = 0.0,
        seed: int = 0,
    ) -> None:
        self.device = load_device(device) if isinstance(device, str) else device
        self.policy = self.device.policy(policy)
        self.hardware = ladder(self.device, self.policy.number) if freqs is None else freqs
        _check(threads, noise, hidden_cap, battery_limit, len(self.policy.cpus))
        self.threads = threads
        self.trace = load_trace(trace) if isinstance(trace, str) else trace
        self._random = random.Random(seed)
        self._noise = noise
        self._now_ns = 0
        limits = Limits(battery_limit, hidden_cap=hidden_cap or math.inf)
        self._clock = PolicyClock(self.device, self.policy, self.hardware, limits, threads)
        self._quota_period_us = quota_period_us
        self._quota: Quota | None = None
        self._set_quota(quota_cpus)
        self._model = thermal or ThermalModel()
        trip_c = self._model.trip_c or self.device.trip_mc / 1000
        states = min(len(self.hardware.freqs_khz) - 1, MAX_COOLING_STATES)
        self._heat = ThermalState(self._model, trip_c, states, 0)
        self._heats_up = thermal is not None
        self._energy_j = 0.0
        self._has_supply = self.device.battery
        self._event_index = 0
        self._busy = False
        chosen = governor or default_governor(self.device, self.trace)
        check_governor(chosen, self.trace)
        for event in self.trace.events if self.trace else ():
            self._check_offline(event.change.offline_cpus or ())
        self._clock.select(chosen, 0)
        self._changed()
        self._catch_up()

    @property
    def now_ns(self) -> int:
        """Return the virtual time since the start."""
        return self._now_ns

    @property
    def governor(self) -> str:
        """Return the name of the cpufreq governor."""
        return self._clock.governor

    @property
    def shown_khz(self) -> int:
        """Return the clock as sysfs shows it."""
        return self._clock.shown_khz

    @property
    def actual_khz(self) -> float:
        """Return the clock that the work gets: below a hidden cap it is not the one shown."""
        return self._clock.actual_khz

    @property
    def offline_cpus(self) -> tuple[int, ...]:
        """Return the CPUs of the board that are switched off."""
        return self._clock.offline

    @property
    def next_event_ns(self) -> int | None:
        """Return when the trace does something next, None if it never does."""
        return None if self._event_ns == FOREVER_NS else self._event_ns

    @property
    def samples_load(self) -> bool:
        """Return whether the governor looks at the load, so that time must pass in small steps."""
        return self._clock.samples_load

    @property
    def visible_state(self) -> tuple[object, ...]:
        """Return what decides about the files of a tree, to see whether it changed."""
        clock = self._clock
        cooling = clock.limits.shown_cooling_state(self.hardware)
        limits = (clock.allowed, clock.limits.power, cooling)
        return (clock.shown_khz, clock.governor, clock.offline, *limits)

    @property
    def energy_j(self) -> float:
        """Return the energy used since the start, by the power model."""
        return self._energy_j

    def run(self, cycles: float, fixed_ns: float = 0.0) -> int:
        """Do work and return how many nanoseconds passed.

        Args:
            cycles: cycles of each thread.
            fixed_ns: time that does not depend on the clock, interleaved with the cycles.
        """
        if not (cycles >= 0.0 and fixed_ns >= 0.0 and cycles + fixed_ns < math.inf):
            raise ValueError(f"cycles={cycles}, fixed_ns={fixed_ns}: must be finite, at least 0")
        begin_ns = self._now_ns
        if not self._busy:
            self._wake()
        if self._noise:
            factor = math.exp(self._random.gauss(0.0, self._noise))
            cycles, fixed_ns = cycles * factor, fixed_ns * factor
        left = 1.0  # the part of the work still to do
        while True:
            whole_ns = cycles * 1e6 / self._clock.actual_khz + fixed_ns
            need_ns = round(left * whole_ns)
            stretch_ns = self._stretch(need_ns)
            self._advance(stretch_ns, busy=True)
            self._catch_up()
            if stretch_ns >= need_ns:
                return self._now_ns - begin_ns
            left -= stretch_ns / whole_ns

    def sleep(self, duration_ns: int) -> None:
        """Let time pass without work."""
        if duration_ns < 0:
            raise ValueError(f"can't sleep for {duration_ns} ns")
        if self._busy:
            self._busy = False
            self._plan()
        self._idle(self._now_ns + duration_ns)

    def occupy(self, duration_ns: int) -> None:
        """Keep the CPU busy for a time, however much work that is."""
        if duration_ns < 0:
            raise ValueError(f"can't be busy for {duration_ns} ns")
        if not self._busy:
            self._wake()
        end_ns = self._now_ns + duration_ns
        while self._now_ns < end_ns:
            self._advance(min(end_ns, self._stop_ns) - self._now_ns, busy=True)
            self._catch_up()

    def set_speed(self, fraction: float) -> None:
        """Write to scaling_setspeed the highest operating point within a fraction of the maximum.

        Raises:
            ValueError: the governor is not userspace, or the fraction not from 0 to 1.
        """
        self._clock.set_speed(fraction, self._now_ns)
        self._changed()

    def apply(self, change: Change) -> None:
        """Do what an event of a trace does, now."""
        clock, limits = self._clock, self._clock.limits
        if change.quota_period_us is not None:
            self._quota_period_us = change.quota_period_us
        if change.quota_cpus is not None:
            self._set_quota(None if math.isinf(change.quota_cpus) else change.quota_cpus)
        if change.ambient_c is not None:
            self._heat.ambient_c = change.ambient_c
        if change.offline_cpus is not None:
            self._check_offline(change.offline_cpus)
            clock.offline = change.offline_cpus
        if change.power is not None:
            limits.power = change.power
            self._has_supply = True
        for name in ("max_speed", "thermal_cap", "hidden_cap"):
            value = getattr(change, name)
            if value is not None:
                setattr(limits, name, value)
        clock.limit(self._now_ns)
        if change.governor is not None and change.governor != clock.governor:
            clock.select(change.governor, self._now_ns)
        if change.speed is not None and clock.governor == "userspace":
            clock.set_speed(change.speed, self._now_ns)
        self._changed()

    def sample(self) -> DeviceSample:
        """Return what the sensors of the device would say now.

        The hidden cap is not among it, and the quota not in the clock.
        """
        return sampling.device_sample(
            sampling.State(
                now_ns=self._now_ns,
                device=self.device,
                policy=self.policy,
                hardware=self.hardware,
                allowed=self._clock.allowed,
                online_cpus=self._clock.online,
                shown_khz=self._clock.shown_khz,
                governor=self._clock.governor,
                cooling_state=self._clock.limits.shown_cooling_state(self.hardware),
                max_cooling_state=self._heat.max_state,
                temperature_c=self._heat.temperature_c,
                quota=self._quota,
                power=self._clock.limits.power if self._has_supply else None,
                power_w=self._busy_w if self._busy else self._model.static_w,
                energy_j=self._energy_j,
            )
        )

    def _stretch(self, need_ns: int) -> int:
        """Return how long work can go on undisturbed, first waiting for the quota if need be."""
        quota = self._quota
        if quota is None or not quota.binding:
            return min(need_ns, self._stop_ns - self._now_ns)
        runnable_ns = quota.runnable_ns(self._now_ns)
        if runnable_ns <= 0 < need_ns:
            before_ns = self._now_ns
            self._busy = False
            self._plan()
            self._idle(before_ns + quota.stall_ns(before_ns))
            if self._quota is not None:  # an event may have lifted it
                self._quota.throttled_ns += self._now_ns - before_ns
            self._wake()
            # A clock or a quota may have changed meanwhile, so the caller works it out again.
            return 0
        stretch_ns = min(need_ns, self._stop_ns - self._now_ns, runnable_ns)
        quota.used(stretch_ns)
        return stretch_ns

    def _idle(self, end_ns: int) -> None:
        while self._now_ns < end_ns:
            self._advance(min(end_ns, self._stop_ns) - self._now_ns, busy=False)
            self._catch_up()

    def _wake(self) -> None:
        """Begin to work: the governor's hook is called when a task is enqueued."""
        self._busy = True
        self._clock.wake(self._now_ns)
        self._changed()

    def _advance(self, dt_ns: int, *, busy: bool) -> None:
        self._now_ns += dt_ns
        self._clock.account(dt_ns, busy=busy)
        energy_j = (self._busy_w if busy else self._model.static_w) * dt_ns * 1e-9
        self._energy_j += energy_j
        if self._heats_up:
            self._heat.add(energy_j)

    def _catch_up(self) -> None:
        """Do everything that is due."""
        while self._now_ns >= self._stop_ns:
            if self._now_ns >= self._event_ns:
                self._next_event()
            if self._now_ns >= self._governor_ns:
                self._clock.update(self._now_ns)
            if self._heats_up and self._now_ns >= self._heat.next_ns:
                self._look_at_heat()
            self._changed()

    def _look_at_heat(self) -> None:
        if self._heat.look(self._now_ns):
            self._clock.limits.cooling_state = self._heat.cooling_state
            self._clock.limit(self._now_ns)

    def _changed(self) -> None:
        """Work out what follows from the clock, once for all calls until it changes again."""
        speed = self._clock.actual_khz / self.hardware.max_khz
        self._busy_w = self._model.power_w(speed, busy=True)
        self._plan()

    def _plan(self) -> None:
        """Find out when something happens next."""
        event = self.trace.event(self._event_index) if self.trace else None
        self._event_ns = event.at_ns if event else FOREVER_NS
        self._governor_ns = self._clock.next_ns(busy=self._busy)
        heat_ns = self._heat.next_ns if self._heats_up else FOREVER_NS
        self._stop_ns = min(self._event_ns, self._governor_ns, heat_ns)

    def _next_event(self) -> None:
        event = self.trace.event(self._event_index) if self.trace else None
        self._event_index += 1
        if event is not None:
            self.apply(event.change)

    def _check_offline(self, cpus: tuple[int, ...]) -> None:
        unknown = set(cpus) - set(self.device.cpus)
        if unknown:
            raise ValueError(f"{self.device.name} has no CPU {min(unknown)}")
        if set(self.policy.cpus) <= set(cpus):
            raise ValueError(f"all CPUs of policy {self.policy.number} would be offline")

    def _set_quota(self, cpus: float | None) -> None:
        throttled_ns = self._quota.throttled_ns if self._quota else 0
        if cpus is None:
            self._quota = None
            return
        self._quota = Quota(cpus, self._quota_period_us, self.threads, self._now_ns)
        self._quota.throttled_ns = throttled_ns


def default_governor(device: Device, trace: Trace | None) -> str:
    """Return userspace for a trace that sets speeds, else the governor of the board."""
    return "userspace" if trace is not None and trace.sets_speed else device.governor


def check_governor(governor: KernelGovernor | str, trace: Trace | None) -> None:
    """Refuse a trace whose speeds nobody would follow.

    Raises:
        ValueError: the trace sets speeds, the governor is not userspace and stays so.
    """
    name = governor if isinstance(governor, str) else governor.name
    if trace is None or not trace.sets_speed or name == "userspace" or trace.sets_governor:
        return
    raise ValueError(
        f"trace {trace.name} sets speeds, which the governor {name} ignores: use userspace"
    )


def _check(
    threads: int, noise: float, hidden_cap: float | None, battery_limit: float, cpus: int
) -> None:
    if not 1 <= threads <= cpus:
        raise ValueError(f"threads={threads}: the policy has {cpus} CPUs")
    if not 0.0 <= noise <= 1.0:
        raise ValueError(f"noise={noise}: expected 0 to 1")
    for name, value in (("hidden_cap", hidden_cap), ("battery_limit", battery_limit)):
        if value is not None and not 0.0 < value <= 1.0:
            raise ValueError(f"{name}={value}: expected more than 0, at most 1")
