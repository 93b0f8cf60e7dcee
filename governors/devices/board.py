# SPDX-License-Identifier: Apache-2.0
"""What is known of a board: policies and their frequencies, GPU, presets, sensors.

Facts only: how a simulated one behaves is in aio.governors.emulation. Frequencies are kHz, also
those of the GPU and the memory, whose sysfs files have Hz. Lists of frequencies are ascending;
`listed` says how the kernel of the board writes them.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Listed(enum.Enum):
    """How scaling_available_frequencies or available_frequencies is written, if at all."""

    ASCENDING = "ascending"
    DESCENDING = "descending"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class CpuPolicy:
    """One cpufreq policy of the board.

    `capacity` is the cpu_capacity of its CPUs, `base_khz` the base_frequency; None without file.
    """

    number: int
    cpus: tuple[int, ...]
    freqs_khz: tuple[int, ...]
    listed: Listed
    capacity: int | None
    base_khz: int | None


@dataclass(frozen=True, slots=True)
class GpuClock:
    """The devfreq node of the GPU."""

    node: str
    freqs_khz: tuple[int, ...]
    listed: Listed
    governor: str


@dataclass(frozen=True, slots=True)
class Preset:
    """A power mode of nvpmodel: CPUs that stay online and the limits of the clocks."""

    name: str
    cpus: int
    cpu_khz: int
    gpu_khz: int
    emc_khz: int


@dataclass(frozen=True, slots=True)
class Device:
    """A board. `evidence` says where the tables come from, `notes` what is peculiar.

    `transition_latency_ns` is -1 where the kernel does not know it. `rails` are the labels of the
    power sensor; the first is the total if it ends in _IN, else the total is the sum. `trip_mc`
    is where the passive throttling begins, in thousandths of a degree.
    """

    name: str
    title: str
    model: str
    compatible: tuple[str, ...]
    driver: str
    governor: str
    governors: tuple[str, ...]
    transition_latency_ns: int
    policies: tuple[CpuPolicy, ...]
    gpu: GpuClock | None
    emc_khz: tuple[int, ...]
    presets: tuple[Preset, ...]
    zones: tuple[str, ...]
    trip_mc: int
    rails: tuple[str, ...]
    battery: bool
    evidence: str
    notes: str

    @property
    def cpus(self) -> tuple[int, ...]:
        """Return all CPUs of the board."""
        return tuple(sorted(cpu for policy in self.policies for cpu in policy.cpus))

    @property
    def fastest_policy(self) -> CpuPolicy:
        """Return the policy with the highest clock, the first of equals."""
        return max(self.policies, key=lambda policy: policy.freqs_khz[-1])

    def policy(self, number: int | None = None) -> CpuPolicy:
        """Return a policy by its number, the fastest one for None.

        Raises:
            ValueError: the board has no such policy.
        """
        if number is None:
            return self.fastest_policy
        for policy in self.policies:
            if policy.number == number:
                return policy
        numbers = ", ".join(str(policy.number) for policy in self.policies)
        raise ValueError(f"{self.name} has no policy {number}; it has {numbers}")

    def preset(self, name: str) -> Preset:
        """Return a power mode by its name.

        Raises:
            ValueError: the board has no such mode.
        """
        for preset in self.presets:
            if preset.name == name:
                return preset
        names = ", ".join(preset.name for preset in self.presets) or "none known"
        raise ValueError(f"{self.name} has no power mode {name!r}; it has: {names}")
