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
from aio.governors.drivers.constant import ConstantDriver
from aio.governors.drivers.cpufreq import CpufreqDriver
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

    `period_s` is the time between its readings; 0 means that it is read with every sample.
    """

    name: str
    make: Callable[[Sources], Driver[SampleT] | str]
    period_s: float = 0.0


def _timed_loop(sources: Sources) -> Driver[ClockSample] | str:
    if sources.measure_khz is None:
        return "the caller gave no measuring function"
    return TimedLoopDriver(sources.measure_khz)


# Best first.
CPU_CLOCK_DRIVERS: tuple[Candidate[ClockSample], ...] = (
    Candidate("cpufreq", lambda sources: CpufreqDriver(sources.sysfs, threads=sources.threads)),
    Candidate("timed_loop", _timed_loop),
    Candidate("constant", lambda _: ConstantDriver()),
)
GPU_DRIVERS: tuple[Candidate[tuple[GpuSample, ...]], ...] = ()
QUOTA_DRIVERS: tuple[Candidate[QuotaSample], ...] = ()
THERMAL_DRIVERS: tuple[Candidate[ThermalSample], ...] = ()
POWER_DRIVERS: tuple[Candidate[PowerSample], ...] = ()
ENERGY_DRIVERS: tuple[Candidate[EnergySample], ...] = ()


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
