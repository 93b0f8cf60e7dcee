# SPDX-License-Identifier: Apache-2.0
"""The clock of a simulated policy: what the governor wants, within limits, seen and unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aio.governors.emulation.rules import KernelGovernor, Window, make_governor
from aio.governors.emulation.rules.static import Userspace

if TYPE_CHECKING:
    from aio.governors.devices import CpuPolicy, Device, Ladder
    from aio.governors.emulation.virtual.limits import Limits

FOREVER_NS = 1 << 62


class PolicyClock:
    """The governor of a policy and the clock it has set.

    Args:
        device: the board.
        policy: its policy.
        hardware: the operating points.
        limits: what keeps the clock low; call `limit` after changing them.
        threads: how many CPUs the work wants.

    Attributes:
        shown_khz: the clock as sysfs shows it.
        actual_khz: the clock that each thread gets.
        allowed: the operating points within the limits that show.
        offline: CPUs of the board that are switched off; call `limit` after changing them.
    """

    def __init__(
        self, device: Device, policy: CpuPolicy, hardware: Ladder, limits: Limits, threads: int
    ) -> None:
        self.limits = limits
        self.allowed = limits.allowed(hardware)
        self.offline: tuple[int, ...] = ()
        self.shown_khz = 0
        self.actual_khz = 0.0
        self._device, self._policy, self._hardware = device, policy, hardware
        self._threads = threads
        self._governor = KernelGovernor()
        self._accounts = False
        self._updated_ns = 0
        self._busy_ns = 0

    @property
    def governor(self) -> str:
        """Return what scaling_governor shows."""
        return self._governor.name

    @property
    def samples_load(self) -> bool:
        """Return whether the governor looks at the load."""
        return self._governor.period_ns is not None

    @property
    def online(self) -> tuple[int, ...]:
        """Return the CPUs of the policy that are switched on."""
        return tuple(cpu for cpu in self._policy.cpus if cpu not in self.offline)

    def select(self, governor: KernelGovernor | str, now_ns: int) -> None:
        """Change the governor.

        Raises:
            ValueError: there is none of that name.
        """
        made = make_governor(governor, self._device) if isinstance(governor, str) else governor
        self._governor = made
        self._accounts = type(made).account is not KernelGovernor.account
        if not self.shown_khz:  # the device was idle so far
            busy = made.period_ns is None
            self.shown_khz = self._hardware.max_khz if busy else self._hardware.min_khz
        self._show(made.start(self._window(now_ns)))
        self._begin(now_ns)

    def set_speed(self, fraction: float, now_ns: int) -> None:
        """Write the operating point within a fraction of the maximum to scaling_setspeed.

        Raises:
            ValueError: the governor is not userspace, or the fraction not from 0 to 1.
        """
        if not 0.0 < fraction <= 1.0:
            raise ValueError(f"a speed of {fraction}: expected more than 0, at most 1")
        if not isinstance(self._governor, Userspace):
            raise ValueError(f"the governor is {self.governor}: only userspace takes a speed")
        khz = self._hardware.at_fraction(fraction)
        self._show(self._governor.set_speed(khz, self._window(now_ns)))

    def limit(self, now_ns: int) -> None:
        """Follow limits that changed."""
        self.allowed = self.limits.allowed(self._hardware)
        self._show(self._governor.limit(self._window(now_ns)))

    def account(self, dt_ns: int, *, busy: bool) -> None:
        """Note that time has passed."""
        if busy:
            self._busy_ns += dt_ns
        if self._accounts:
            speed = self.shown_khz / self._hardware.max_khz
            self._governor.account(dt_ns, busy=busy, speed=speed)

    def update(self, now_ns: int) -> None:
        """Let the governor choose anew."""
        self._show(self._governor.update(self._window(now_ns)))
        self._begin(now_ns)

    def wake(self, now_ns: int) -> None:
        """Let the governor choose because work begins, if its last choice is long enough ago."""
        if self.samples_load and now_ns - self._updated_ns >= self._governor.wake_ns:
            self.update(now_ns)

    def next_ns(self, *, busy: bool) -> int:
        """Return when the governor chooses next."""
        governor = self._governor
        if governor.period_ns is None:
            return FOREVER_NS
        return self._updated_ns + (governor.period_ns if busy else governor.idle_ns)

    def _window(self, now_ns: int) -> Window:
        return Window(
            elapsed_ns=now_ns - self._updated_ns,
            busy_ns=self._busy_ns,
            cur_khz=self.shown_khz,
            allowed=self.allowed,
            hardware=self._hardware,
        )

    def _begin(self, now_ns: int) -> None:
        self._updated_ns = now_ns
        self._busy_ns = 0

    def _show(self, khz: int) -> None:
        self.shown_khz = khz
        cap_khz = self.limits.hidden_cap * self._hardware.max_khz
        # More threads than CPUs take turns.
        share = min(1.0, len(self.online) / self._threads)
        self.actual_khz = min(khz, cap_khz) * share
