# SPDX-License-Identifier: Apache-2.0
"""Which drivers exist per quantity, in order of preference; the first that answers is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aio.governors.base import CPU_CLOCK, Capability, ClockDriver, Status
from aio.governors.drivers.constant import ConstantDriver
from aio.governors.drivers.cpufreq import CpufreqDriver
from aio.governors.drivers.timed_loop import TimedLoopDriver
from aio.governors.sysfs import Sysfs


@dataclass(frozen=True, slots=True)
class Sources:
    """What drivers are made from."""

    sysfs: Sysfs
    measure_khz: Callable[[], float] | None
    threads: int | None


def _cpufreq(sources: Sources) -> ClockDriver | str:
    return CpufreqDriver(sources.sysfs, threads=sources.threads)


def _timed_loop(sources: Sources) -> ClockDriver | str:
    if sources.measure_khz is None:
        return "the caller gave no measuring function"
    return TimedLoopDriver(sources.measure_khz)


# Best first. A row makes its driver, or says why there is nothing to make it from.
CPU_CLOCK_DRIVERS: tuple[tuple[str, Callable[[Sources], ClockDriver | str]], ...] = (
    ("cpufreq", _cpufreq),
    ("timed_loop", _timed_loop),
)


def open_cpu_clock(
    measure_khz: Callable[[], float] | None,
    root: Path | None = None,
    *,
    threads: int | None = None,
) -> tuple[ClockDriver, list[Capability]]:
    """Return the first CPU clock driver that answers, and what every driver said.

    Args:
        measure_khz: runs a short timed loop and returns the clock of this core; None without one.
        root: what stands for "/"; AIO_SYSFS_ROOT or "/" if None.
        threads: how many cores will work at once; None means all that are allowed.

    Raises:
        ValueError: AIO_SYSFS_ROOT names something that is not a folder.
    """
    sources = Sources(Sysfs(root), measure_khz, threads)
    chosen: ClockDriver | None = None
    report: list[Capability] = []
    for name, make in CPU_CLOCK_DRIVERS:
        if chosen is not None:
            report.append(_unsupported(name, f"not tried: {chosen.name} answered"))
            continue
        driver = make(sources)
        if isinstance(driver, str):
            report.append(_unsupported(name, driver))
            continue
        report.append(driver.probe())
        if report[-1].status is Status.VALUE:
            chosen = driver
        else:
            driver.close()
    last = ConstantDriver()
    if chosen is not None:
        report.append(_unsupported(last.name, f"not needed: {chosen.name} answered"))
        return chosen, report
    report.append(last.probe())
    return last, report


def _unsupported(name: str, reason: str) -> Capability:
    return Capability(name, CPU_CLOCK, Status.UNSUPPORTED, reason)
