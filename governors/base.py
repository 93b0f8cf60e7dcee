# SPDX-License-Identifier: Apache-2.0
"""What every sensor of this package says and does: samples, capabilities, the driver protocol.

A driver talks to one source of one quantity and decides nothing; which driver answers is decided
in registry.py, what follows from a clock in policy.py. Frequencies are kHz, as cpufreq gives
them, times are nanoseconds of the monotonic clock, and a reading that is missing is None.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol

CPU_CLOCK = "cpu_clock"


class Status(enum.Enum):
    """What a probe found."""

    VALUE = "value"
    UNSUPPORTED = "unsupported"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Capability:
    """The answer of one driver for one quantity, with the reason in words."""

    driver: str
    quantity: str
    status: Status
    reason: str


@dataclass(frozen=True, slots=True)
class PolicySample:
    """One cpufreq policy: its clock now and the limits that hold for it.

    `cpus` are the online CPUs it governs, empty when all are offline or the kernel does not say.
    `min_freq_khz` and `max_freq_khz` are the range of the hardware, `scaling_max_freq_khz` the
    limit in force. `available_khz` is ascending, and empty where the driver has no list.
    """

    name: str
    cpus: tuple[int, ...]
    cur_freq_khz: int | None
    min_freq_khz: int | None
    max_freq_khz: int | None
    scaling_max_freq_khz: int | None
    governor: str | None
    driver: str | None
    available_khz: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ClockSample:
    """The CPU clock at one moment.

    `cpu_khz` is None exactly when `error` says why. `max_khz` is the clock at full speed of the
    same CPUs. `policies` holds the cpufreq policies the value came from, if it came from there.
    """

    time_ns: int
    cpu_khz: int | None
    max_khz: int | None
    driver: str
    policies: tuple[PolicySample, ...] = ()
    error: str | None = None

    def age_s(self, now_ns: int) -> float:
        """Return how old the sample is at `now_ns` of the monotonic clock."""
        return (now_ns - self.time_ns) / 1e9


class ClockDriver(Protocol):
    """A source of the CPU clock. Not thread-safe: one caller at a time, see ClockSampler."""

    @property
    def name(self) -> str:
        """Return the driver's name in reports."""

    def probe(self) -> Capability:
        """Say whether this source can answer on this machine, and why not if it can't."""

    def read(self) -> ClockSample:
        """Return a sample; one with `error` set if there is no value at the moment."""

    def close(self) -> None:
        """Free descriptors. Reading afterwards gives a sample with an error."""
