# SPDX-License-Identifier: Apache-2.0
"""What every sensor of this package says and does: samples, capabilities, the driver protocols.

A driver talks to one source of one quantity and decides nothing; which driver answers is decided
in registry.py, what follows from a clock in policy.py. Frequencies are kHz, as cpufreq gives
them, times are nanoseconds of the monotonic clock, and a reading that is missing is None.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol, TypeVar

CPU_CLOCK = "cpu_clock"
GPU_CLOCK = "gpu_clock"
CPU_QUOTA = "cpu_quota"
THERMAL = "thermal"
POWER_SOURCE = "power_source"
ENERGY = "energy"


class Status(enum.Enum):
    """What a probe found."""

    VALUE = "value"
    UNSUPPORTED = "unsupported"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Capability:
    """The answer of one driver for one quantity, with the reason in words.

    `time_ns` is when the driver last gave a value, None if it never did.
    """

    driver: str
    quantity: str
    status: Status
    reason: str
    time_ns: int | None = None

    def age_s(self, now_ns: int) -> float | None:
        """Return how old the driver's newest value is at `now_ns` of the monotonic clock."""
        return None if self.time_ns is None else (now_ns - self.time_ns) / 1e9


class SensorError(RuntimeError):
    """A driver has no value at the moment; the message says why."""


class SensorUnsupported(SensorError):
    """There is no such source on this machine; the message says what is missing."""


# What reading hardware may run into. Other exceptions are defects, which must not be hidden.
READ_ERRORS = (ArithmeticError, LookupError, OSError, RuntimeError, ValueError)


@dataclass(frozen=True, slots=True)
class PolicySample:
    """One cpufreq policy: its clock now and the limits that hold for it.

    `cpus` are the online CPUs it governs, empty when all are offline or the kernel does not say.
    `min_freq_khz` and `max_freq_khz` are the range of the hardware, `scaling_max_freq_khz` the
    limit in force, `bios_limit_khz` what the firmware says it allows, for example on battery.
    `available_khz` is ascending, and empty where the driver has no list. `epp` is the energy
    performance preference, a word or a number from 0 to 255.
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
    scaling_min_freq_khz: int | None = None
    bios_limit_khz: int | None = None
    epp: str | None = None


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


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One GPU; `load` is 0 to 1.

    `throttle_reasons` are the driver's words, empty when the clock is free, None if it can't tell.
    """

    device: str
    driver: str
    cur_freq_khz: int | None
    max_freq_khz: int | None
    load: float | None = None
    power_mw: int | None = None
    temperature_mc: int | None = None
    throttle_reasons: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class QuotaSample:
    """The CPU bandwidth limit of the control groups; `quota_cpus` is None without a limit.

    `throttled_us` is how long the groups were stopped so far, a counter; None where not counted.
    """

    quota_cpus: float | None
    period_us: int | None
    throttled_us: int | None
    source: str


@dataclass(frozen=True, slots=True)
class ZoneSample:
    """One thermal zone; the temperature is in thousandths of a degree Celsius."""

    name: str
    kind: str
    temperature_mc: int | None


@dataclass(frozen=True, slots=True)
class CoolingSample:
    """One cooling device that limits a processor; `cur_state` above 0 means throttled."""

    name: str
    kind: str
    cur_state: int | None
    max_state: int | None


@dataclass(frozen=True, slots=True)
class ThermalSample:
    """All thermal zones that answer, and the cooling devices that limit processors."""

    zones: tuple[ZoneSample, ...]
    cooling: tuple[CoolingSample, ...]

    @property
    def throttled(self) -> bool | None:
        """Return whether heat limits a processor now; None if no cooling device answers."""
        states = [device.cur_state for device in self.cooling if device.cur_state is not None]
        return any(state > 0 for state in states) if states else None


class PowerSource(enum.Enum):
    """Where the device gets its energy from."""

    AC = "ac"
    BATTERY = "battery"


@dataclass(frozen=True, slots=True)
class PowerSample:
    """The power source in use; `battery` is the charge from 0 to 1."""

    source: PowerSource | None
    battery: float | None


@dataclass(frozen=True, slots=True)
class RailSample:
    """One measured supply: its power now, or the energy it has delivered so far (a counter)."""

    name: str
    power_mw: float | None
    energy_uj: int | None


@dataclass(frozen=True, slots=True)
class EnergySample:
    """The rails that a source measures; `total` names the one that stands for the device."""

    rails: tuple[RailSample, ...]
    total: str | None


@dataclass(frozen=True, slots=True)
class DeviceSample:
    """Everything the sensors say about the device at one moment; None where no driver answers.

    `clock` is always there, its `error` says when it has no value. The slower quantities may be
    some seconds older than `time_ns`, which is the time of the clock.
    """

    time_ns: int
    clock: ClockSample
    gpus: tuple[GpuSample, ...] = ()
    quota: QuotaSample | None = None
    thermal: ThermalSample | None = None
    power: PowerSample | None = None
    energy: EnergySample | None = None

    def age_s(self, now_ns: int) -> float:
        """Return how old the sample is at `now_ns` of the monotonic clock."""
        return (now_ns - self.time_ns) / 1e9


SampleT_co = TypeVar("SampleT_co", covariant=True)


class Driver(Protocol[SampleT_co]):
    """One source of one quantity. Not thread-safe: one caller at a time, see Sampler."""

    @property
    def name(self) -> str:
        """Return the driver's name in reports."""

    def probe(self) -> Capability:
        """Say whether this source can answer on this machine, and why not if it can't."""

    def read(self) -> SampleT_co:
        """Return a sample.

        Raises:
            SensorError: there is no value at the moment. A clock driver never raises it; it
                returns a ClockSample with `error` set, because that is what policies work with.
        """

    def close(self) -> None:
        """Free descriptors. Reading afterwards gives no value."""


class SensorSource(Protocol):
    """Where samples of the whole device come from: this process's sensors, or a daemon's.

    Only `capabilities` may be asked by any thread; otherwise one caller at a time, see Sampler.
    """

    @property
    def name(self) -> str:
        """Return the source's name in reports."""

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """Return what every driver of every quantity said when it was tried, or says by now."""

    def read(self) -> DeviceSample:
        """Return a sample; quantities that can't be read are None, a clock has an `error`."""

    def close(self) -> None:
        """Free descriptors. Reading afterwards gives a sample whose clock has an error."""
