# SPDX-License-Identifier: Apache-2.0
"""What is swept: governors and clocks, real ones or those of an emulated device.

A point is one combination of settings. Real settings are made through ClockSettings, which puts
back what it found; emulated ones through RealtimeEmulation, and are no measurement of the board.
"""

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from aio.governors.devices import Device, ladder, load_device
from aio.governors.drivers.cpufreq import survey
from aio.governors.emulation.realtime import CheckedPoint, RealtimeEmulation
from aio.governors.settings import ClockSettings
from aio.governors.settings.domains import USERSPACE
from aio.governors.sysfs import Sysfs

# A network's sparsest level is some times faster than its densest one; no level can make up for
# more than that, and boards in use keep their clocks above a floor (nvpmodel's MIN_FREQ).
DEFAULT_SPAN = 3.0


@dataclass(frozen=True, slots=True)
class Point:
    """The settings wanted, the CPU in kHz, the GPU in Hz; None leaves what is there."""

    governor: str | None = None
    cpu_khz: int | None = None
    gpu_hz: int | None = None

    @property
    def label(self) -> str:
        """Return the point in words, such as `schedutil` or `userspace 1200 MHz`."""
        words = [] if self.governor is None else [self.governor]
        if self.cpu_khz is not None:
            words.append(f"{self.cpu_khz / 1e3:.0f} MHz")
        if self.gpu_hz is not None:
            words.append(f"GPU {self.gpu_hz / 1e6:.0f} MHz")
        return " ".join(words) or "as found"


def points(
    governors: Sequence[str], cpu_khz: Sequence[int], gpu_hz: int | None = None
) -> tuple[Point, ...]:
    """Return every combination; an empty sequence leaves that setting alone."""
    pairs = itertools.product(governors or (None,), cpu_khz or (None,))
    return tuple(Point(governor, khz, gpu_hz) for governor, khz in pairs)


class Clocks(Protocol):
    """What makes the settings of a point."""

    @property
    def emulated(self) -> str | None:
        """Return what is emulated, in words that say so; None where nothing is."""

    def check(self, point: Point) -> None:
        """Look whether a point can be set; nothing is set.

        Raises:
            ValueError: there is no such governor or clock; the message lists what there is.
        """

    def set(self, point: Point) -> tuple[str, ...]:
        """Make the settings and return remarks about them."""

    def problem(self) -> str | None:
        """Return why the clocks are no longer what was set, None while they are."""


class RealClocks:
    """The clocks of this machine, or of the tree AIO_SYSFS_ROOT names; None changes nothing."""

    emulated = None

    def __init__(self, settings: ClockSettings | None) -> None:
        self._settings = settings

    def check(self, point: Point) -> None:
        """See Clocks."""
        if self._settings is None:
            return
        if point.governor is not None:
            self._settings.check_governor(point.governor)
        if point.cpu_khz is not None:
            self._settings.check_freq_khz(point.cpu_khz)

    def set(self, point: Point) -> tuple[str, ...]:
        """See Clocks."""
        if self._settings is None:
            return ()
        if point.governor is not None:
            self._settings.set_governor(point.governor)
        khz, hz = point.cpu_khz, point.gpu_hz
        applied = [] if khz is None else list(self._settings.set_freq_khz(khz))
        if hz is not None:
            applied += self._settings.set_gpu_freq_hz(hz)
        return tuple(item.note for item in applied if item.note is not None)

    def problem(self) -> str | None:
        """See Clocks."""
        return None


class EmulatedClocks:
    """The clocks of an emulated device. Its speeds were measured when it started."""

    def __init__(self, emulation: RealtimeEmulation, span: float) -> None:
        self._emulation = emulation
        device, low_khz = emulation.device, ladder(emulation.device).min_khz
        cpus = ",".join(map(str, emulation.cpus))
        self.emulated = (
            f"emulated {device.name} on CPU {cpus}: clock thieves every 1 ms, "
            f"clocks from {low_khz / 1e3:.0f} MHz up (span {span:g})"
        )

    @property
    def root(self) -> Path:
        """Return the tree that shows the clocks, for AIO_SYSFS_ROOT."""
        return self._emulation.root

    @property
    def checked(self) -> tuple[CheckedPoint, ...]:
        """Return speeds wanted and achieved."""
        return self._emulation.checked

    def check(self, point: Point) -> None:
        """See Clocks."""
        device = self._emulation.device
        if point.gpu_hz is not None:
            raise ValueError(f"--gpu-freq: the GPU of the emulated {device.name} has no clock")
        governor = point.governor or USERSPACE
        if governor not in device.governors:
            raise ValueError(f"governor {governor!r}: {device.name} has {_names(device)}")
        if point.cpu_khz is None:
            return
        if governor != USERSPACE:
            raise ValueError(f"--set-freq with {governor}: emulated clocks are set by {USERSPACE}")
        steps = ladder(device)
        if not steps.min_khz <= point.cpu_khz <= steps.max_khz:
            raise ValueError(
                f"{point.cpu_khz} kHz: the emulated {device.name} has "
                f"{steps.min_khz} to {steps.max_khz} kHz; --span widens that"
            )

    def set(self, point: Point) -> tuple[str, ...]:
        """See Clocks."""
        self._emulation.set_governor(point.governor or USERSPACE)
        if point.cpu_khz is None:
            return ()
        steps = ladder(self._emulation.device)
        khz = steps.closest(point.cpu_khz)
        self._emulation.set_fraction(khz / steps.max_khz)
        if khz == point.cpu_khz:
            return ()
        return (f"{khz} kHz is the operating point closest to {point.cpu_khz}",)

    def problem(self) -> str | None:
        """See Clocks."""
        return self._emulation.failed


def governors_in_force(names: Sequence[str]) -> str | None:
    """Return the governors of cpufreq policies by their names, asked now; None without any."""
    found = {policy.governor for policy in survey(Sysfs()) if policy.name in set(names)}
    return ", ".join(sorted(name for name in found if name is not None)) or None


def restricted(device: Device, span: float) -> Device:
    """Return a device whose fastest policy goes down to a `span`-th of its highest clock only.

    Raises:
        ValueError: the span is below 1.
    """
    chosen = device.fastest_policy
    fewer = replace(chosen, freqs_khz=ladder(device).span(span).freqs_khz)
    policies = tuple(fewer if policy is chosen else policy for policy in device.policies)
    return replace(device, policies=policies)


@contextmanager
def emulated_clocks(name: str, span: float, cpus: Sequence[int]) -> Iterator[EmulatedClocks]:
    """Emulate a board at full clock on some CPUs."""
    device = restricted(load_device(name), span)
    with RealtimeEmulation(device, governor=USERSPACE, cpus=cpus, check=True) as emulation:
        emulation.set_fraction(1.0)
        yield EmulatedClocks(emulation, span)


def _names(device: Device) -> str:
    return ", ".join(device.governors)
