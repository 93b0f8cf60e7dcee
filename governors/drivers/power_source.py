# SPDX-License-Identifier: Apache-2.0
"""Whether the device runs on its battery or is plugged in.

A supply that is online decides; without one the battery's own status does. Batteries of things
that are attached, such as a mouse, have the scope "Device" and say nothing about this machine.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from aio.governors.base import (
    POWER_SOURCE,
    Capability,
    PowerSample,
    PowerSource,
    SensorError,
    SensorUnsupported,
)
from aio.governors.drivers.probing import probe_by_reading
from aio.governors.parsing import parse_int, parse_percent, parse_word

if TYPE_CHECKING:
    from aio.governors.sysfs import HotFile, Sysfs

SCAN_PERIOD_NS = 5_000_000_000  # docks and power banks come and go

_MAINS = {"Mains", "USB", "USB_DCP", "USB_CDP", "USB_PD", "USB_C", "Wireless"}
# What a battery says about where the energy comes from.
_STATUS = {
    "Discharging": PowerSource.BATTERY,
    "Charging": PowerSource.AC,
    "Full": PowerSource.AC,
    "Not charging": PowerSource.AC,
}
_CONTENTS = (("energy_now", "energy_full"), ("charge_now", "charge_full"))


class Battery:
    """One battery of this machine."""

    def __init__(self, sysfs: Sysfs, folder: Path) -> None:
        self._status = sysfs.hot(folder / "status")
        self._capacity = sysfs.hot(folder / "capacity")
        self._contents = [tuple(sysfs.hot(folder / n) for n in names) for names in _CONTENTS]

    def source(self) -> PowerSource | None:
        """Return what the battery's status says about the source."""
        return _STATUS.get((self._status.read_optional() or "").strip())

    def charge(self) -> float | None:
        """Return how full it is, 0 to 1."""
        charge = parse_percent(self._capacity.read_optional())
        if charge is not None:
            return charge
        for now, full in self._contents:
            present, whole = parse_int(now.read_optional()), parse_int(full.read_optional())
            if present is not None and whole:
                return min(1.0, present / whole)
        return None

    def close(self) -> None:
        """Free the descriptors."""
        for file in (self._status, self._capacity, *(f for pair in self._contents for f in pair)):
            file.close()


class PowerSourceDriver:
    """The supplies and batteries of this machine, taken together."""

    name = "power_supply"

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._folder = sysfs.sys / "class/power_supply"
        self._batteries: list[Battery] = []
        self._supplies: list[HotFile] = []
        self._next_scan_ns = 0
        self._closed = False

    def probe(self) -> Capability:
        """Say what the source is now."""
        return probe_by_reading(self.name, POWER_SOURCE, self.read, _describe)

    def read(self) -> PowerSample:
        """Return the source in use and the charge.

        Raises:
            SensorError: there is no supply and no battery.
        """
        if self._closed:
            raise SensorError("the driver is closed")
        now_ns = time.monotonic_ns()
        if now_ns >= self._next_scan_ns:
            self._scan(now_ns)
        if not self._supplies and not self._batteries:
            raise SensorUnsupported(f"{self._folder} has no supply and no battery of this machine")
        charges = [c for battery in self._batteries if (c := battery.charge()) is not None]
        return PowerSample(self._source(), sum(charges) / len(charges) if charges else None)

    def close(self) -> None:
        """Free all descriptors."""
        self._closed = True
        self._forget()

    def _source(self) -> PowerSource | None:
        # 1 is online, 2 online with a voltage that was negotiated.
        if any(parse_int(supply.read_optional()) for supply in self._supplies):
            return PowerSource.AC
        said = {battery.source() for battery in self._batteries}
        if PowerSource.BATTERY in said:
            return PowerSource.BATTERY
        return PowerSource.AC if PowerSource.AC in said else None

    def _scan(self, now_ns: int) -> None:
        self._forget()
        for name in self._sysfs.list_optional(self._folder):
            folder = self._folder / name
            kind = self._word(folder / "type")
            if self._word(folder / "scope") == "Device" or self._word(folder / "present") == "0":
                continue
            if kind == "Battery":
                self._batteries.append(Battery(self._sysfs, folder))
            elif kind in _MAINS:
                self._supplies.append(self._sysfs.hot(folder / "online"))
        self._next_scan_ns = now_ns + SCAN_PERIOD_NS

    def _word(self, path: Path) -> str | None:
        return parse_word(self._sysfs.read_optional(path))

    def _forget(self) -> None:
        for supply in self._supplies:
            supply.close()
        for battery in self._batteries:
            battery.close()
        self._supplies, self._batteries = [], []


def _describe(sample: PowerSample) -> str:
    words = {
        PowerSource.AC: "plugged in",
        PowerSource.BATTERY: "on battery",
        None: "source unknown",
    }
    charge = "" if sample.battery is None else f", battery {sample.battery:.0%}"
    return words[sample.source] + charge
