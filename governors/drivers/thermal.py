# SPDX-License-Identifier: Apache-2.0
"""Temperatures of the thermal zones, and whether heat limits a processor.

A cooling device above state 0 is the portable sign of throttling, and shows a cap before the
clock does. Only those of processors count: fans are cooling devices too, and intel_powerclamp or
"TCC Offset" have states that mean something else. Temperatures are thousandths of a degree.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from aio.governors.base import (
    THERMAL,
    Capability,
    CoolingSample,
    SensorError,
    SensorUnsupported,
    ThermalSample,
    ZoneSample,
)
from aio.governors.drivers.probing import probe_by_reading
from aio.governors.parsing import parse_int, parse_temperature_mc, parse_word

if TYPE_CHECKING:
    from aio.governors.sysfs import Sysfs

SCAN_PERIOD_NS = 10_000_000_000  # zones come and go with modules and CPUs, seldom

_PROCESSOR = re.compile(r"(thermal-)?(cpufreq|devfreq)-.+|Processor")
_NUMBER = re.compile(r"\d+$")


class Entry:
    """A zone or a cooling device with the file that is read again and again."""

    def __init__(self, sysfs: Sysfs, name: str, kind: str, file: str) -> None:
        self.name = name
        self.kind = kind
        self._sysfs = sysfs
        self._path = sysfs.sys / "class/thermal" / name
        self.value = sysfs.hot(self._path / file)

    def number(self, file: str) -> int | None:
        """Return the number in another file of the same folder."""
        return parse_int(self._sysfs.read_optional(self._path / file))


class ThermalDriver:
    """All thermal zones but the power controllers', and the cooling devices of processors."""

    name = "thermal"

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._zones: list[Entry] = []
        self._cooling: list[tuple[Entry, int | None]] = []
        self._next_scan_ns = 0
        self._closed = False

    def probe(self) -> Capability:
        """Say how many zones and cooling devices there are."""
        return probe_by_reading(self.name, THERMAL, self.read, _describe)

    def read(self) -> ThermalSample:
        """Return all temperatures and states; one that fails now is None.

        Raises:
            SensorError: there is neither a zone nor a cooling device.
        """
        if self._closed:
            raise SensorError("the driver is closed")
        now_ns = time.monotonic_ns()
        if now_ns >= self._next_scan_ns:
            self._scan(now_ns)
        if not self._zones and not self._cooling:
            folder = self._sysfs.sys / "class/thermal"
            raise SensorUnsupported(f"{folder} has no zone and no processor's cooling device")
        # EAGAIN and ENODATA are the answers of a block that is switched off or still measuring.
        return ThermalSample(
            tuple(
                ZoneSample(zone.name, zone.kind, parse_temperature_mc(zone.value.read_optional()))
                for zone in self._zones
            ),
            tuple(
                CoolingSample(
                    device.name, device.kind, parse_int(device.value.read_optional()), top
                )
                for device, top in self._cooling
            ),
        )

    def close(self) -> None:
        """Free all descriptors."""
        self._closed = True
        self._forget()

    def _scan(self, now_ns: int) -> None:
        self._forget()
        self._zones = [
            entry
            for entry in self._entries("thermal_zone", "temp")
            if not entry.kind.lower().startswith("pmic")  # a constant 100 degrees on Tegra
        ]
        devices = self._entries("cooling_device", "cur_state")
        self._cooling = [
            (entry, entry.number("max_state"))
            for entry in devices
            if _PROCESSOR.fullmatch(entry.kind)
        ]
        self._next_scan_ns = now_ns + SCAN_PERIOD_NS

    def _entries(self, prefix: str, file: str) -> list[Entry]:
        folder = self._sysfs.sys / "class/thermal"
        names = [name for name in self._sysfs.list_optional(folder) if name.startswith(prefix)]
        entries = []
        for name in sorted(names, key=_number):
            kind = parse_word(self._sysfs.read_optional(folder / name / "type"))
            if kind is not None:
                entries.append(Entry(self._sysfs, name, kind, file))
        return entries

    def _forget(self) -> None:
        for entry in (*self._zones, *(device for device, _ in self._cooling)):
            entry.value.close()
        self._zones, self._cooling = [], []


def _number(name: str) -> int:
    match = _NUMBER.search(name)
    return int(match[0][:9]) if match else -1


def _describe(sample: ThermalSample) -> str:
    temperatures = [z.temperature_mc for z in sample.zones if z.temperature_mc is not None]
    parts = [f"{len(sample.zones)} zones"]
    if temperatures:
        parts.append(f"hottest {max(temperatures) / 1000:.0f} C")
    parts.append(f"{len(sample.cooling)} cooling devices of processors")
    return ", ".join(parts)
