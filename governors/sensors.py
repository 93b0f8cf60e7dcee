# SPDX-License-Identifier: Apache-2.0
"""The chosen driver of every quantity, read together as one sample of the device.

The CPU clock is read every time, the other quantities when they are due, and of the slow ones at
most one per reading, so that a reading never costs much more than its clock. A driver that fails
leaves its quantity out (None) and is asked again when it is next due; the capability report says
what went wrong and how old the last value is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Generic, TypeVar, final

from aio.governors.base import (
    READ_ERRORS,
    Capability,
    ClockSample,
    DeviceSample,
    Driver,
    EnergySample,
    GpuSample,
    PowerSample,
    QuotaSample,
    SensorError,
    Status,
    ThermalSample,
)

SampleT = TypeVar("SampleT")


@final
class Channel(Generic[SampleT]):
    """One quantity: the driver that was chosen for it and the newest value.

    Args:
        driver: None if none of the chain answers.
        capabilities: what every driver of the chain said when it was tried.
        period_s: time between readings; 0 reads every time.
    """

    def __init__(
        self,
        driver: Driver[SampleT] | None,
        capabilities: Iterable[Capability],
        period_s: float = 0.0,
    ) -> None:
        self.driver = driver
        self.value: SampleT | None = None
        self.period_ns = int(period_s * 1e9)
        self.due_ns = 0
        self._capabilities = tuple(capabilities)
        # Error and time of the last good value, in one attribute: read by other threads.
        self._state: tuple[str | None, int | None] = (None, None)

    @property
    def error(self) -> str | None:
        """Return why the last reading gave nothing, None if it gave a value."""
        return self._state[0]

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """Return what the drivers said, the chosen one's answer being that of its last reading."""
        return tuple(self._present(item) for item in self._capabilities)

    def read(self, now_ns: int) -> SampleT | None:
        """Ask the driver and return its value; without one `error` says why."""
        if self.driver is None:
            return None
        self.due_ns = now_ns + self.period_ns
        value: SampleT | None = None
        try:
            value = self.driver.read()
            # A clock says itself that it has no value.
            reason = value.error if isinstance(value, ClockSample) else None
        except SensorError as error:
            reason = str(error)
        except READ_ERRORS as error:
            reason = f"{self.driver.name} failed: {type(error).__name__}: {error}"
        self.value = value
        self._state = (reason, now_ns if reason is None else self._state[1])
        return value

    def close(self) -> None:
        """Close the driver."""
        if self.driver is not None:
            self.driver.close()

    def _present(self, item: Capability) -> Capability:
        if item.status is not Status.VALUE:
            return item
        # Only the chosen driver said that it has a value.
        error, good_ns = self._state
        status, reason = (item.status, item.reason) if error is None else (Status.ERROR, error)
        return Capability(item.driver, item.quantity, status, reason, good_ns)


@final
class DeviceSensors:
    """The sensors of this process, as a SensorSource; registry.open_sensors() makes them."""

    name = "sensors"

    def __init__(
        self,
        *,
        clock: Channel[ClockSample],
        gpus: Channel[tuple[GpuSample, ...]],
        quota: Channel[QuotaSample],
        thermal: Channel[ThermalSample],
        power: Channel[PowerSample],
        energy: Channel[EnergySample],
    ) -> None:
        self._clock = clock
        self._gpus = gpus
        self._quota = quota
        self._thermal = thermal
        self._power = power
        self._energy = energy
        self._channels = (clock, gpus, quota, thermal, power, energy)
        self._slow = [c for c in self._channels[1:] if c.driver is not None]
        self._next_due_ns = 0

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """Return what every driver of every quantity said when it was tried, or says by now."""
        return tuple(item for channel in self._channels for item in channel.capabilities)

    def read(self) -> DeviceSample:
        """Return a sample; in the first one every quantity is new."""
        clock = self._read_clock()
        if clock.time_ns >= self._next_due_ns:
            self._read_due(clock.time_ns)
        return DeviceSample(
            clock.time_ns,
            clock,
            self._gpus.value or (),
            self._quota.value,
            self._thermal.value,
            self._power.value,
            self._energy.value,
        )

    def close(self) -> None:
        """Free all descriptors."""
        for channel in self._channels:
            channel.close()

    def _read_clock(self) -> ClockSample:
        now_ns = time.monotonic_ns()
        clock = self._clock.read(now_ns)
        if clock is None:
            return ClockSample(now_ns, None, None, self.name, (), self._clock.error or "no driver")
        return clock

    def _read_due(self, now_ns: int) -> None:
        """Read the quantity that waits longest; at the very first time all of them."""
        due = sorted((c for c in self._slow if c.due_ns <= now_ns), key=lambda c: c.due_ns)
        for channel in due if self._next_due_ns == 0 else due[:1]:
            channel.read(now_ns)
        self._next_due_ns = min((channel.due_ns for channel in self._slow), default=sys.maxsize)
