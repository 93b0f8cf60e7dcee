# SPDX-License-Identifier: Apache-2.0
"""A tree of clock settings that obeys the kernel's rules, and refuses what the kernel refuses.

Give `write` to the code under test as what writes an attribute. The rules: a governor must be
listed, limits must not cross, a speed is taken by the userspace governor only and within the
limits, and `performance` changes the energy preference of a driver that has one.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from fake_machine import FakeMachine, PolicySpec

from aio.governors.settings.attributes import write_attribute

GOVERNORS = "performance powersave userspace schedutil"
POINTS_KHZ = tuple(range(500_000, 2_000_001, 100_000))
GPU_POINTS_HZ = (306_000_000, 612_000_000, 918_000_000)
GPU = "17000000.gpu"


class FakeKernel:
    """One policy over every CPU of this process, and a GPU."""

    def __init__(self, root: Path, governors: str = GOVERNORS, listed: str = "ascending") -> None:
        self.machine = FakeMachine(root)
        cpus = tuple(sorted(os.sched_getaffinity(0)))
        self.machine.add_policy(
            PolicySpec(0, cpus, POINTS_KHZ, "fake-cpufreq", "schedutil", listed)
        )
        self.root = root
        self.policy = self.machine.policy(0)
        self.gpu = root / "sys/class/devfreq" / GPU
        self.put(self.policy / "scaling_available_governors", governors + " ")
        gpu = {
            "governor": "nvhost_podgov",
            "available_governors": "performance nvhost_podgov",
            "available_frequencies": " ".join(map(str, GPU_POINTS_HZ)),
            "cur_freq": GPU_POINTS_HZ[0],
            "min_freq": GPU_POINTS_HZ[0],
            "max_freq": GPU_POINTS_HZ[-1],
        }
        for name, value in gpu.items():
            self.machine.write(f"sys/class/devfreq/{GPU}/{name}", f"{value}\n")
        self.writes: list[tuple[str, str]] = []

    @staticmethod
    def put(path: Path, text: object) -> None:
        """Set an attribute from outside."""
        path.write_text(f"{text}\n")

    def get(self, name: str) -> str:
        """Return an attribute of the policy."""
        return (self.policy / name).read_text().strip()

    def begin_with(self, **attributes: object) -> None:
        """Set attributes of the policy from outside."""
        for name, value in attributes.items():
            self.put(self.policy / name, value)

    def state(self) -> dict[str, bytes]:
        """Return the bytes of every file."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in files}

    def times(self) -> dict[str, int]:
        """Return when each file was changed."""
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.stat().st_mtime_ns for path in files}

    def write(self, path: Path, text: str) -> None:
        """Take a value as the kernel does, or raise what the kernel would."""
        value, folder = text.strip(), path.parent
        self.writes.append((path.name, value))
        if "freq" in path.name and not value.isdigit():
            raise OSError(errno.EINVAL, "Invalid argument")
        low, high = (folder / name for name in self._limits(path))
        if path == low and int(value) > int(high.read_text()):
            raise OSError(errno.EINVAL, "Invalid argument")
        if path == high and int(value) < int(low.read_text()):
            raise OSError(errno.EINVAL, "Invalid argument")
        if path.name == "scaling_setspeed":
            if self.get("scaling_governor") != "userspace":
                raise OSError(errno.EINVAL, "Invalid argument")
            value = str(min(max(int(value), int(low.read_text())), int(high.read_text())))
        if path.name == "scaling_governor":
            self._set_governor(value)
        write_attribute(path, f"{value}\n")

    def _set_governor(self, value: str) -> None:
        if value not in self.get("scaling_available_governors").split():
            raise OSError(errno.EINVAL, "Invalid argument")
        if value != self.get("scaling_governor"):
            speed = self.get("scaling_cur_freq") if value == "userspace" else "<unsupported>"
            self.put(self.policy / "scaling_setspeed", speed)
        preference = self.policy / "energy_performance_preference"
        if preference.exists() and value == "performance":
            self.put(preference, "performance")

    @staticmethod
    def _limits(path: Path) -> tuple[str, str]:
        cpu = path.name.startswith("scaling")
        return ("scaling_min_freq", "scaling_max_freq") if cpu else ("min_freq", "max_freq")
