# SPDX-License-Identifier: Apache-2.0
"""Energy of x86 packages, from the counters of powercap's intel-rapl (AMD's are there too).

The counters are microjoules and start again at 0 after `max_energy_range_uj`, within a minute on
a large machine; the energy given here goes on counting. Power is the difference of two readings.
Reading is for root only since the counters were found to leak secrets (CVE-2020-8694).
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from aio.governors.base import (
    ENERGY,
    Capability,
    EnergySample,
    RailSample,
    SensorError,
    SensorUnsupported,
)
from aio.governors.drivers.probing import probe_by_reading
from aio.governors.parsing import parse_int, parse_word
from aio.governors.sysfs import Sysfs, explain

SUM = "sum of packages"
PLATFORM = "psys"  # the whole machine, where it is wired up

# Not intel-rapl-mmio, which shows the same package a second time.
_ZONE = re.compile(r"intel-rapl:\d+(:\d+)?")


class Zone:
    """One counter, its wraps taken out."""

    def __init__(self, sysfs: Sysfs, folder: Path, name: str) -> None:
        self.name = name
        self._file = sysfs.hot(folder / "energy_uj")
        self._range_uj = parse_int(sysfs.read_optional(folder / "max_energy_range_uj"))
        self._raw_uj: int | None = None
        self._energy_uj = 0
        self._time_ns = 0

    def read(self, now_ns: int) -> RailSample:
        """Return energy and power.

        Raises:
            OSError: the counter can't be read.
            ValueError: it is no number.
        """
        raw_uj = parse_int(self._file.read())
        if raw_uj is None:
            raise ValueError(f"{self._file.path} is no number")
        last_uj, self._raw_uj = self._raw_uj, raw_uj
        last_ns, self._time_ns = self._time_ns, now_ns
        if last_uj is None:
            self._energy_uj = raw_uj
            return RailSample(self.name, None, raw_uj)
        delta_uj = raw_uj - last_uj
        if delta_uj < 0:
            if self._range_uj is None:
                return RailSample(self.name, None, self._energy_uj)
            delta_uj += self._range_uj
        self._energy_uj += delta_uj
        seconds = (now_ns - last_ns) / 1e9
        power_mw = delta_uj / 1000 / seconds if seconds > 0 and delta_uj >= 0 else None
        return RailSample(self.name, power_mw, self._energy_uj)

    def close(self) -> None:
        """Free the descriptor."""
        self._file.close()


class RaplDriver:
    """Every zone: packages, cores, memory, platform."""

    name = "rapl"

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._folder = sysfs.sys / "class/powercap"
        self._zones: list[Zone] | None = None
        self._closed = False

    def probe(self) -> Capability:
        """Say which zones there are."""
        return probe_by_reading(self.name, ENERGY, self.read, _describe)

    def read(self) -> EnergySample:
        """Return energy and power of every zone.

        Raises:
            SensorError: there are no counters, or they may not be read.
        """
        if self._closed:
            raise SensorError("the driver is closed")
        if self._zones is None:
            self._zones = list(_find_zones(self._sysfs, self._folder))
        if not self._zones:
            self._zones = None
            raise SensorUnsupported(f"{self._folder} has no intel-rapl counter")
        now_ns = time.monotonic_ns()
        try:
            rails = tuple(zone.read(now_ns) for zone in self._zones)
        except PermissionError as error:
            raise SensorError(
                f"{error.filename}: permission denied; run as root, or let root allow it with "
                f"chmod a+r {self._folder}/intel-rapl:*/energy_uj"
            ) from error
        except (OSError, ValueError) as error:
            self._forget()
            text = explain(error) if isinstance(error, OSError) else str(error)
            raise SensorError(f"{self._folder}: {text}") from error
        return _with_total(rails)

    def close(self) -> None:
        """Free all descriptors."""
        self._closed = True
        self._forget()

    def _forget(self) -> None:
        for zone in self._zones or ():
            zone.close()
        self._zones = None


def _with_total(rails: tuple[RailSample, ...]) -> EnergySample:
    if any(rail.name == PLATFORM for rail in rails):
        return EnergySample(rails, PLATFORM)
    packages = [rail for rail in rails if re.fullmatch(r"package-\d+(-die-\d+)?", rail.name)]
    if len(packages) <= 1:
        return EnergySample(rails, packages[0].name if packages else None)
    energies = [rail.energy_uj for rail in packages if rail.energy_uj is not None]
    powers = [rail.power_mw for rail in packages if rail.power_mw is not None]
    power_mw = sum(powers) if len(powers) == len(packages) else None
    return EnergySample((*rails, RailSample(SUM, power_mw, sum(energies))), SUM)


def _find_zones(sysfs: Sysfs, folder: Path) -> Iterator[Zone]:
    """Yield the zones; one inside a package is named after both, as in "package-0/dram"."""
    names = [name for name in sysfs.list_optional(folder) if _ZONE.fullmatch(name)]
    labels = {name: parse_word(sysfs.read_optional(folder / name / "name")) for name in names}
    for name in names:
        outer = labels.get(name.rpartition(":")[0]) if name.count(":") > 1 else None
        label = labels[name] or name
        yield Zone(sysfs, folder / name, f"{outer}/{label}" if outer else label)


def _describe(sample: EnergySample) -> str:
    names = ", ".join(rail.name for rail in sample.rails)
    return f"{names}; {sample.total} stands for the device"
