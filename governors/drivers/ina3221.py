# SPDX-License-Identifier: Apache-2.0
"""Power of a Jetson's rails, measured by its INA3221 chips.

JetPack 5 and later show them as hwmon devices (mV and mA per channel), JetPack 4 as iio devices
(mW). The rail that feeds the module stands for the whole device; boards without one give the sum.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

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

if TYPE_CHECKING:
    from aio.governors.sysfs import HotFile, Sysfs

CHANNELS = (1, 2, 3)  # in7 of the hwmon device is the sum of shunt voltages, no rail
TOTAL_RAILS = ("VDD_IN", "POM_5V_IN")
SUM = "sum of rails"
SCAN_PERIOD_NS = 10_000_000_000


class Rail(NamedTuple):
    """One rail: the file of its power in mW, or those of voltage in mV and current in mA."""

    name: str
    files: tuple[HotFile, ...]

    def power_mw(self) -> float | None:
        """Return the power now."""
        values = [parse_int(file.read_optional()) for file in self.files]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        return float(math.prod(known)) / 1000.0 ** (len(known) - 1)

    def close(self) -> None:
        """Free the descriptors."""
        for file in self.files:
            file.close()


class Ina3221Driver:
    """Every rail that is connected."""

    name = "ina3221"

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._rails: list[Rail] = []
        self._next_scan_ns = 0
        self._closed = False

    def probe(self) -> Capability:
        """Say which rails there are."""
        return probe_by_reading(self.name, ENERGY, self.read, _describe)

    def read(self) -> EnergySample:
        """Return the power of every rail.

        Raises:
            SensorError: there is no rail, or none answers.
        """
        if self._closed:
            raise SensorError("the driver is closed")
        now_ns = time.monotonic_ns()
        if now_ns >= self._next_scan_ns:
            self._forget()
            self._rails = [*_hwmon_rails(self._sysfs), *_iio_rails(self._sysfs)]
            self._next_scan_ns = now_ns + SCAN_PERIOD_NS
        if not self._rails:
            raise SensorUnsupported("no INA3221 power monitor")
        rails = tuple(RailSample(rail.name, rail.power_mw(), None) for rail in self._rails)
        if all(rail.power_mw is None for rail in rails):
            raise SensorError(f"none of the rails {', '.join(r.name for r in rails)} can be read")
        return _with_total(rails)

    def close(self) -> None:
        """Free all descriptors."""
        self._closed = True
        self._forget()

    def _forget(self) -> None:
        for rail in self._rails:
            rail.close()
        self._rails = []


def _with_total(rails: tuple[RailSample, ...]) -> EnergySample:
    for name in TOTAL_RAILS:
        if any(rail.name == name for rail in rails):
            return EnergySample(rails, name)
    # A sum that leaves a rail out would look like a drop of power.
    powers = [rail.power_mw for rail in rails if rail.power_mw is not None]
    total = sum(powers) if len(powers) == len(rails) else None
    return EnergySample((*rails, RailSample(SUM, total, None)), SUM)


def _hwmon_rails(sysfs: Sysfs) -> Iterator[Rail]:
    monitors = sysfs.sys / "class/hwmon"
    for folder in (monitors / name for name in sysfs.list_optional(monitors)):
        if parse_word(sysfs.read_optional(folder / "name")) != "ina3221":
            continue
        for channel in CHANNELS:
            label = parse_word(sysfs.read_optional(folder / f"in{channel}_label"))
            if label not in {None, "NC"}:
                names = (f"in{channel}_input", f"curr{channel}_input")
                yield Rail(label or "", tuple(sysfs.hot(folder / name) for name in names))


def _iio_rails(sysfs: Sysfs) -> Iterator[Rail]:
    chips = sysfs.sys / "bus/i2c/drivers/ina3221x"
    for chip in (chips / name for name in sysfs.list_optional(chips)):
        for device in sysfs.list_optional(chip):
            if not device.startswith("iio:device"):
                continue
            folder = chip / device
            for channel in range(len(CHANNELS)):
                label = parse_word(sysfs.read_optional(folder / f"rail_name_{channel}"))
                if label not in {None, "NC"}:
                    yield Rail(label or "", (sysfs.hot(folder / f"in_power{channel}_input"),))


def _describe(sample: EnergySample) -> str:
    names = ", ".join(rail.name for rail in sample.rails)
    return f"{names}; {sample.total} stands for the device"
