# SPDX-License-Identifier: Apache-2.0
"""Samples, sources and clocks for tests of the daemon, its clients and its files."""

from __future__ import annotations

import time

from aio.governors.base import (
    CPU_CLOCK,
    Capability,
    ClockSample,
    CoolingSample,
    DeviceSample,
    EnergySample,
    GpuSample,
    PolicySample,
    PowerSample,
    PowerSource,
    QuotaSample,
    RailSample,
    Status,
    ThermalSample,
    ZoneSample,
)


def policy(
    name: str, cpus: tuple[int, ...], khz: int | None, top_khz: int = 2_000_000
) -> PolicySample:
    listed = (500_000, top_khz)
    return PolicySample(name, cpus, khz, 500_000, top_khz, top_khz, "schedutil", "fake", listed)


def clock_sample(khz: int | None, *policies: PolicySample) -> ClockSample:
    error = "no reading" if khz is None else None
    return ClockSample(time.monotonic_ns(), khz, 2_000_000, "cpufreq", policies, error)


def device_sample(khz: int | None = 1_000_000, *policies: PolicySample) -> DeviceSample:
    clock = clock_sample(khz, *policies)
    return DeviceSample(clock.time_ns, clock)


def full_sample() -> DeviceSample:
    """Return a sample with a value in every field."""
    clock = clock_sample(1_500_000, policy("policy0", (0, 1), 1_500_000), policy("policy4", (), 9))
    return DeviceSample(
        time_ns=clock.time_ns,
        clock=clock,
        gpus=(
            GpuSample("gpu0", "devfreq", 306_000, 918_000, 0.25, 4100, 45_500, ("thermal",)),
            GpuSample("gpu1", "nvml", None, None),
        ),
        quota=QuotaSample(1.5, 100_000, 77, "cgroup v2"),
        thermal=ThermalSample(
            (ZoneSample("thermal_zone0", "cpu", 51_000), ZoneSample("thermal_zone1", "gpu", None)),
            (CoolingSample("cooling_device0", "cpufreq", 2, 10),),
        ),
        power=PowerSample(PowerSource.BATTERY, 0.5),
        energy=EnergySample((RailSample("VDD_IN", 5200.0, None),), "VDD_IN"),
    )


CAPABILITIES = (
    Capability("cpufreq", CPU_CLOCK, Status.VALUE, "policy0: CPUs 0-1"),
    Capability("timed_loop", CPU_CLOCK, Status.UNSUPPORTED, "not tried: cpufreq answered", 12),
)


class FakeSource:
    """A SensorSource whose clock is set by the test, and that counts what is done with it."""

    def __init__(self, khz: int | None = 700_000, failure: BaseException | None = None) -> None:
        self.khz = khz
        self.failure = failure
        self.reads = 0
        self.closed = 0

    @property
    def name(self) -> str:
        return "fake"

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        return CAPABILITIES

    def read(self) -> DeviceSample:
        self.reads += 1
        if self.failure is not None:
            raise self.failure
        return device_sample(self.khz)

    def close(self) -> None:
        self.closed += 1
