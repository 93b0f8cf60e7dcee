# SPDX-License-Identifier: Apache-2.0
"""GPU clock of Intel's and AMD's graphics, through their files below /sys/class/drm.

i915 and xe give MHz, amdgpu's hwmon Hz. A graphics unit at rest reads 0, which is no clock: None.
A suspended card is left alone, because reading its files would wake it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aio.governors.base import GPU_CLOCK, Capability, GpuSample, SensorError, SensorUnsupported
from aio.governors.drivers.probing import probe_by_reading
from aio.governors.parsing import (
    parse_dpm_khz,
    parse_hz,
    parse_int,
    parse_mhz,
    parse_percent,
    parse_temperature_mc,
)

if TYPE_CHECKING:
    from aio.governors.sysfs import HotFile, Sysfs

SCAN_PERIOD_NS = 5_000_000_000


class Layout(NamedTuple):
    """Where a kernel driver keeps its clocks, below the card's folder."""

    name: str
    clock: str
    top: str
    throttle: str | None


# i915 moved its files into gt/gt0, and kept the old ones.
INTEL_LAYOUTS = (
    Layout("xe", "device/tile0/gt0/freq0/act_freq", "device/tile0/gt0/freq0/rp0_freq",
           "device/tile0/gt0/freq0/throttle"),
    Layout("i915", "gt/gt0/rps_act_freq_mhz", "gt/gt0/rps_RP0_freq_mhz", "gt/gt0"),
    Layout("i915", "gt_act_freq_mhz", "gt_RP0_freq_mhz", None),
)  # fmt: skip
_REASON = re.compile(r"(?:throttle_)?reason_(\w+)")


class IntelCard:
    """A card of i915 or xe."""

    def __init__(self, sysfs: Sysfs, card: Path, layout: Layout) -> None:
        self._name = f"{card.name} ({layout.name})"
        self._clock = sysfs.hot(card / layout.clock)
        self._status = sysfs.hot(card / "device/power/runtime_status")
        self._max_khz = parse_mhz(sysfs.read_optional(card / layout.top))
        self._reasons: list[tuple[str, HotFile]] = []
        if layout.throttle is not None:
            self._reasons = _reason_files(sysfs, card / layout.throttle)

    def read(self, driver: str) -> GpuSample:
        """Return a sample; raises SensorError if the clock can't be read."""
        if _is_suspended(self._status):
            return GpuSample(self._name, driver, None, self._max_khz)
        khz = parse_mhz(self._clock.read_required())
        active = [word for word, file in self._reasons if parse_int(file.read_optional())]
        reasons = tuple(active) if self._reasons else None
        return GpuSample(self._name, driver, khz, self._max_khz, throttle_reasons=reasons)

    def close(self) -> None:
        """Free the descriptors."""
        for file in (self._clock, self._status, *(file for _, file in self._reasons)):
            file.close()


class AmdCard:
    """A card of amdgpu; clock, power and temperature are in its hwmon folder."""

    def __init__(self, sysfs: Sysfs, card: Path, hwmon: Path) -> None:
        self._name = f"{card.name} (amdgpu)"
        self._clock = sysfs.hot(hwmon / "freq1_input")
        self._status = sysfs.hot(card / "device/power/runtime_status")
        self._load = sysfs.hot(card / "device/gpu_busy_percent")
        self._power = sysfs.hot(hwmon / "power1_average")
        self._temperature = sysfs.hot(hwmon / "temp1_input")
        steps = parse_dpm_khz(sysfs.read_optional(card / "device/pp_dpm_sclk"))
        self._max_khz = steps[-1] if steps else None

    def read(self, driver: str) -> GpuSample:
        """Return a sample; raises SensorError if the clock can't be read."""
        if _is_suspended(self._status):
            return GpuSample(self._name, driver, None, self._max_khz)
        power_uw = parse_int(self._power.read_optional())
        return GpuSample(
            self._name,
            driver,
            parse_hz(self._clock.read_required()),
            self._max_khz,
            parse_percent(self._load.read_optional()),
            None if power_uw is None else power_uw // 1000,
            parse_temperature_mc(self._temperature.read_optional()),
        )

    def close(self) -> None:
        """Free the descriptors."""
        for file in (self._clock, self._status, self._load, self._power, self._temperature):
            file.close()


class DrmDriver:
    """Every card of i915, xe and amdgpu."""

    name = "drm"

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._cards: list[IntelCard | AmdCard] = []
        self._next_scan_ns = 0
        self._closed = False

    def probe(self) -> Capability:
        """Say which cards there are."""
        return probe_by_reading(
            self.name, GPU_CLOCK, self.read, lambda gpus: ", ".join(gpu.device for gpu in gpus)
        )

    def read(self) -> tuple[GpuSample, ...]:
        """Return a sample per card.

        Raises:
            SensorError: there is no card, or one doesn't answer.
        """
        if self._closed:
            raise SensorError("the driver is closed")
        now_ns = time.monotonic_ns()
        if now_ns >= self._next_scan_ns:
            self._forget()
            self._cards = list(_find_cards(self._sysfs))
            self._next_scan_ns = now_ns + SCAN_PERIOD_NS
        if not self._cards:
            raise SensorUnsupported(
                f"{self._sysfs.sys / 'class/drm'} has no card of i915, xe or amdgpu"
            )
        return tuple(card.read(self.name) for card in self._cards)

    def close(self) -> None:
        """Free all descriptors."""
        self._closed = True
        self._forget()

    def _forget(self) -> None:
        for card in self._cards:
            card.close()
        self._cards = []


def _find_cards(sysfs: Sysfs) -> Iterator[IntelCard | AmdCard]:
    folder = sysfs.sys / "class/drm"
    names = sysfs.list_optional(folder)
    for card in (folder / name for name in names if re.fullmatch(r"card\d+", name)):
        for layout in INTEL_LAYOUTS:
            if sysfs.read_optional(card / layout.clock) is not None:
                yield IntelCard(sysfs, card, layout)
                break
        else:
            monitors = card / "device/hwmon"
            for name in sysfs.list_optional(monitors):
                if sysfs.read_optional(monitors / name / "freq1_input") is not None:
                    yield AmdCard(sysfs, card, monitors / name)
                    break


def _reason_files(sysfs: Sysfs, folder: Path) -> list[tuple[str, HotFile]]:
    """Return the files that say why the clock is held down; they contain 0 or 1."""
    found = ((name, _REASON.fullmatch(name)) for name in sysfs.list_optional(folder))
    return [
        (match[1], sysfs.hot(folder / name))
        for name, match in found
        if match is not None and match[1] != "status"
    ]


def _is_suspended(status: HotFile) -> bool:
    return (status.read_optional() or "").strip() == "suspended"
