# SPDX-License-Identifier: Apache-2.0
"""What can be clocked: a cpufreq policy in kHz, a devfreq device in Hz, by the same rules."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio.governors.base import SensorError
from aio.governors.drivers.cpufreq import choose_policies, refreshed
from aio.governors.drivers.devfreq import DevfreqDriver
from aio.governors.parsing import parse_int
from aio.governors.settings.attributes import SettingsError, Write, change, read_attribute
from aio.governors.topology import policy_names

if TYPE_CHECKING:
    from aio.governors.settings.journal import Journal
    from aio.governors.sysfs import Sysfs

USERSPACE = "userspace"
_STEPS = 8  # operating points to try where the driver has no list
_SLACK = 0.01  # drivers without a list round to steps of their own


@dataclass(frozen=True, slots=True)
class Names:
    """How a framework calls its attributes. `hardware` are the limits that can't be changed."""

    unit: str
    governor: str
    governors: str
    low: str
    high: str
    listed: tuple[str, ...]
    hardware: tuple[str, str] | None
    setspeed: str | None
    preference: str | None


CPUFREQ = Names(
    unit="kHz",
    governor="scaling_governor",
    governors="scaling_available_governors",
    low="scaling_min_freq",
    high="scaling_max_freq",
    listed=("scaling_available_frequencies", "scaling_boost_frequencies"),
    hardware=("cpuinfo_min_freq", "cpuinfo_max_freq"),
    setspeed="scaling_setspeed",
    preference="energy_performance_preference",
)
DEVFREQ = Names(
    unit="Hz",
    governor="governor",
    governors="available_governors",
    low="min_freq",
    high="max_freq",
    listed=("available_frequencies",),
    hardware=None,
    setspeed=None,  # userspace/set_freq exists only while that governor runs
    preference=None,
)


class Domain:
    """One policy or device: what it can do, and how it is set."""

    def __init__(self, folder: Path, names: Names, journal: Journal, write: Write) -> None:
        self.folder = folder
        self.names = names
        self._journal = journal
        self._write = write

    @property
    def name(self) -> str:
        """Return the folder's name, such as policy0."""
        return self.folder.name

    def governors(self) -> tuple[str, ...]:
        """Return the governors the kernel has for it."""
        return tuple(read_attribute(self.folder / self.names.governors).split())

    def points(self) -> tuple[int, ...]:
        """Return the operating points it lists, ascending; empty if the driver has no list."""
        texts = (self._optional(name) or "" for name in self.names.listed)
        numbers = {parse_int(token) for text in texts for token in text.split()}
        return tuple(sorted(number for number in numbers if number))

    def span(self) -> tuple[int, int]:
        """Return the lowest and the highest frequency of the hardware.

        Raises:
            SettingsError: the kernel does not say.
        """
        points = self.points()
        if self.names.hardware is None:
            if not points:
                path = self.folder / self.names.listed[0]
                raise SettingsError(f"{path} lists no frequencies, so none can be set")
            return points[0], points[-1]
        low, high = (self._number(name) for name in self.names.hardware)
        return low, max(high, *points) if points else high

    def points_to_try(self) -> tuple[int, ...]:
        """Return the listed operating points, or some even steps where there is no list."""
        if points := self.points():
            return points
        low, high = self.span()
        return tuple(low + (high - low) * step // (_STEPS - 1) for step in range(_STEPS))

    def nearest(self, freq: int) -> int:
        """Return the frequency it can run at that is closest to `freq`."""
        if points := self.points():
            return min(points, key=lambda point: (abs(point - freq), point))
        low, high = self.span()
        return min(max(freq, low), high)

    def set_governor(self, name: str) -> None:
        """Change the governor, unless it is this one."""
        path = self.folder / self.names.governor
        if read_attribute(path).strip() == name:
            return
        # Noted before the governor, so put back after it: leaving userspace forgets the speed, and
        # some drivers change the preference along with the governor. Later both are our own doing.
        for extra in (self.names.setspeed, self.names.preference):
            previous = self._optional(extra) if extra and not self._journal.knows(path) else None
            if extra and previous is not None:
                self._journal.note(self.folder / extra, previous)
        self._change(path, name)

    def set_freq(self, freq: int, *, keep_governor: bool) -> None:
        """Have it run at one frequency: by the userspace governor if there is one, or by limits."""
        setspeed = self.names.setspeed
        if keep_governor or setspeed is None or USERSPACE not in self.governors():
            self._limit(freq, freq)
            return
        low, high = self._number(self.names.low), self._number(self.names.high)
        self._limit(min(low, freq), max(high, freq))  # a speed beyond the limits has no effect
        self.set_governor(USERSPACE)
        self._change(self.folder / setspeed, str(freq))

    def _limit(self, low: int, high: int) -> None:
        """Set both limits in the order in which the kernel takes them."""
        for name, freq in ordered_limits(self.folder, self.names, low, high):
            self._change(self.folder / name, str(freq))

    def _change(self, path: Path, value: str) -> None:
        previous = read_attribute(path)
        if previous.strip() == value:
            return
        self._journal.note(path, previous)
        change(self._write, path, f"{value}\n", slack=0.0 if self.points() else _SLACK)

    def _optional(self, name: str) -> str | None:
        try:
            return read_attribute(self.folder / name)
        except SettingsError:
            return None

    def _number(self, name: str) -> int:
        text = read_attribute(self.folder / name)
        number = parse_int(text)
        if number is None:
            raise SettingsError(f"{self.folder / name} reads {text.strip()[:40]!r}, no frequency")
        return number


def ordered_limits(
    folder: Path, names: Names, low: int, high: int
) -> tuple[tuple[str, int], tuple[str, int]]:
    """Return both limits in an order that never puts the lower one above the upper one.

    Raises:
        SettingsError: the upper limit can't be read.
    """
    present = parse_int(read_attribute(folder / names.high))
    up = present is not None and low > present
    pair = ((names.low, low), (names.high, high))
    return (pair[1], pair[0]) if up else pair


def cpu_domains(
    sysfs: Sysfs, cpus: frozenset[int], journal: Journal, write: Write
) -> tuple[Domain, ...]:
    """Return the policies whose clock this process's inferences follow.

    Raises:
        SettingsError: there are none.
    """
    folder = sysfs.cpu / "cpufreq"
    if not policy_names(sysfs):
        raise SettingsError(
            f"{folder} has no policy, so no CPU clock can be set here; virtual machines have none"
        )
    policies = refreshed(sysfs, {}, time.monotonic_ns())
    usable = [policy for policy in policies.values() if policy.problem is None]
    chosen, _, _ = choose_policies(sysfs, usable, cpus)
    problems = "; ".join(policy.problem for policy in policies.values() if policy.problem)
    for policy in policies.values():
        policy.close()
    if not chosen:
        raise SettingsError(f"no policy in {folder} can be used: {problems}")
    return tuple(Domain(folder / policy.name, CPUFREQ, journal, write) for policy in chosen)


def gpu_domains(sysfs: Sysfs, journal: Journal, write: Write) -> tuple[Domain, ...]:
    """Return the GPUs of devfreq.

    Raises:
        SettingsError: there are none.
    """
    driver = DevfreqDriver(sysfs)
    try:
        names: Sequence[str] = [gpu.device for gpu in driver.read()]
    except SensorError as error:
        raise SettingsError(f"no GPU clock can be set here: {error}") from error
    finally:
        driver.close()
    folders = [sysfs.sys / "class/devfreq" / name for name in names]
    found = tuple(Domain(f, DEVFREQ, journal, write) for f in folders if f.is_dir())
    if not found:
        raise SettingsError(f"no GPU clock can be set here: {', '.join(names)} has no devfreq")
    return found
