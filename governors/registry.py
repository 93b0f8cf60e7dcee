# SPDX-License-Identifier: Apache-2.0
"""Which drivers exist per quantity, in order of preference; the first that answers is used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from aio.governors.base import (
    CPU_CLOCK,
    CPU_QUOTA,
    ENERGY,
    GPU_CLOCK,
    POWER_SOURCE,
    THERMAL,
    Capability,
    ClockSample,
    Driver,
    EnergySample,
    GpuSample,
    PowerSample,
    QuotaSample,
    Status,
    ThermalSample,
)
from aio.governors.drivers.cgroup import CgroupDriver
from aio.governors.drivers.constant import ConstantDriver
from aio.governors.drivers.cpufreq import CpufreqDriver
from aio.governors.drivers.devfreq import DevfreqDriver
from aio.governors.drivers.drm import DrmDriver
from aio.governors.drivers.ina3221 import Ina3221Driver
from aio.governors.drivers.nvml import NvmlDriver
from aio.governors.drivers.perf_cycles import PerfCyclesDriver
from aio.governors.drivers.power_source import PowerSourceDriver
from aio.governors.drivers.rapl import RaplDriver
from aio.governors.drivers.thermal import ThermalDriver
from aio.governors.drivers.timed_loop import TimedLoopDriver
from aio.governors.sensors import Channel, DeviceSensors
from aio.governors.sysfs import Sysfs

SampleT = TypeVar("SampleT")


@dataclass(frozen=True, slots=True)
class Sources:
    """What drivers are made from."""

    sysfs: Sysfs
    measure_khz: Callable[[], float] | None
    threads: int | None


@dataclass(frozen=True, slots=True)
class Candidate(Generic[SampleT]):
    """One driver of a chain: `make` makes it, or says why there is nothing to make it from.

    `period_s` is the time between its readings; the clock is read with every sample.
    """

    name: str
    make: Callable[[Sources], Driver[SampleT] | str]
    period_s: float = 0.0


def _timed_loop(sources: Sources) -> Driver[ClockSample] | str:
    if sources.measure_khz is None:
        return "the caller gave no measuring function"
    return TimedLoopDriver(sources.measure_khz)


def _nvml(sources: Sources) -> Driver[tuple[GpuSample, ...]] | str:
    if sources.sysfs.root != Path("/"):
        return f"not asked: it tells of this machine, not of {sources.sysfs.root}"
    return NvmlDriver()


# Best first.
CPU_CLOCK_DRIVERS: tuple[Candidate[ClockSample], ...] = (
    Candidate("cpufreq", lambda sources: CpufreqDriver(sources.sysfs, threads=sources.threads)),
    Candidate("perf_cycles", lambda sources: PerfCyclesDriver(sources.sysfs)),
    Candidate("timed_loop", _timed_loop),
    Candidate("constant", lambda _: ConstantDriver()),
)
# On a Jetson devfreq knows the clock and NVML knows nothing. In a laptop with two GPUs the one
# that computes is NVIDIA's, so the graphics unit comes last.
GPU_DRIVERS: tuple[Candidate[tuple[GpuSample, ...]], ...] = (
    Candidate("devfreq", lambda sources: DevfreqDriver(sources.sysfs), 0.1),
    Candidate("nvml", _nvml, 0.25),
    Candidate("drm", lambda sources: DrmDriver(sources.sysfs), 0.1),
)
QUOTA_DRIVERS: tuple[Candidate[QuotaSample], ...] = (
    Candidate("cgroup", lambda sources: CgroupDriver(sources.sysfs), 0.25),
)
THERMAL_DRIVERS: tuple[Candidate[ThermalSample], ...] = (
    Candidate("thermal", lambda sources: ThermalDriver(sources.sysfs), 0.5),
)
POWER_DRIVERS: tuple[Candidate[PowerSample], ...] = (
    Candidate("power_supply", lambda sources: PowerSourceDriver(sources.sysfs), 1.0),
)
ENERGY_DRIVERS: tuple[Candidate[EnergySample], ...] = (
    Candidate("ina3221", lambda sources: Ina3221Driver(sources.sysfs), 0.5),
    Candidate("rapl", lambda sources: RaplDriver(sources.sysfs), 1.0),
)


def open_sensors(
    measure_khz: Callable[[], float] | None,
    root: Path | None = None,
    *,
    threads: int | None = None,
) -> DeviceSensors:
    """Return the first driver that answers of every quantity, as one source of samples.

    Args:
        measure_khz: runs a short timed loop and returns the clock of this core; None without one.
        root: what stands for "/"; AIO_SYSFS_ROOT or "/" if None.
        threads: how many cores will work at once; None means all that are allowed.

    Raises:
        ValueError: AIO_SYSFS_ROOT names something that is not a folder.
    """
    sources = Sources(Sysfs(root), measure_khz, threads)
    return DeviceSensors(
        clock=open_channel(CPU_CLOCK, CPU_CLOCK_DRIVERS, sources),
        gpus=open_channel(GPU_CLOCK, GPU_DRIVERS, sources),
        quota=open_channel(CPU_QUOTA, QUOTA_DRIVERS, sources),
        thermal=open_channel(THERMAL, THERMAL_DRIVERS, sources),
        power=open_channel(POWER_SOURCE, POWER_DRIVERS, sources),
        energy=open_channel(ENERGY, ENERGY_DRIVERS, sources),
    )


def open_channel(
    quantity: str, chain: Sequence[Candidate[SampleT]], sources: Sources
) -> Channel[SampleT]:
    """Return the first driver of a chain that answers, with what every one said.

    The clock's chain ends in a driver that knows nothing and is used all the same: a clock sample
    says itself that it has no value.
    """
    chosen: Driver[SampleT] | None = None
    period_s = 0.0
    report: list[Capability] = []
    for candidate in chain:
        if chosen is not None:
            reason = f"not tried: {chosen.name} answered"
            report.append(Capability(candidate.name, quantity, Status.UNSUPPORTED, reason))
            continue
        driver = candidate.make(sources)
        if isinstance(driver, str):
            report.append(Capability(candidate.name, quantity, Status.UNSUPPORTED, driver))
            continue
        report.append(driver.probe())
        if report[-1].status is Status.VALUE or isinstance(driver, ConstantDriver):
            chosen, period_s = driver, candidate.period_s
        else:
            driver.close()
    return Channel(chosen, report, period_s)
