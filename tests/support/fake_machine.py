# SPDX-License-Identifier: Apache-2.0
"""A writable stand-in for "/" with the sysfs files of a machine, and the boards it can play.

The frequency tables are those of the real drivers, in kHz: `tegra194-cpufreq` steps by 76.8 MHz
and appends the exact maximum, `raspberrypi-cpufreq` steps by 100 MHz, the phone's come from
public dumps. What is not written does not exist.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PolicySpec:
    """One cpufreq policy. `listed` is how scaling_available_frequencies is written, if at all."""

    number: int
    cpus: tuple[int, ...]
    freqs_khz: tuple[int, ...]
    driver: str
    governor: str
    listed: str = "ascending"  # or "descending", or "absent"
    capacity: int | None = None


@dataclass(frozen=True)
class Board:
    name: str
    policies: tuple[PolicySpec, ...]

    @property
    def cpus(self) -> frozenset[int]:
        return frozenset(cpu for policy in self.policies for cpu in policy.cpus)


def _steps(first: int, last: int, step: int, *extra: int) -> tuple[int, ...]:
    return (*range(first, last + 1, step), *extra)


LITTLE_KHZ = (
    *(300000, 403200, 499200, 595200, 691200, 806400, 902400, 998400),
    *(1094400, 1209600, 1305600, 1401600, 1497600, 1612800, 1708800, 1804800),
)
BIG_KHZ = (
    *(710400, 844800, 960000, 1075200, 1209600, 1324800, 1440000, 1555200),
    *(1670400, 1766400, 1881600, 1996800, 2112000, 2227200, 2342400, 2419200),
)
PRIME_KHZ = (
    *(844800, 960000, 1075200, 1190400, 1305600, 1420800, 1555200, 1670400, 1785600, 1900800),
    *(2035200, 2150400, 2265600, 2380800, 2496000, 2592000, 2688000, 2764800, 2841600),
)

ORIN_NANO = Board(
    "Jetson Orin Nano 8 GB",
    tuple(
        PolicySpec(n, cpus, _steps(115200, 1497600, 76800, 1510400), "tegra194", "schedutil")
        for n, cpus in ((0, (0, 1, 2, 3)), (4, (4, 5)))
    ),
)
SNAPDRAGON_888 = Board(
    "Snapdragon 888",
    (
        PolicySpec(0, (0, 1, 2, 3), LITTLE_KHZ, "qcom-cpufreq-hw", "schedutil"),
        PolicySpec(4, (4, 5, 6), BIG_KHZ, "qcom-cpufreq-hw", "schedutil"),
        PolicySpec(7, (7,), PRIME_KHZ, "qcom-cpufreq-hw", "schedutil"),
    ),
)
RASPBERRY_PI_4 = Board(
    "Raspberry Pi 4",
    (PolicySpec(0, (0, 1, 2, 3), _steps(600000, 1500000, 100000), "cpufreq-dt", "ondemand"),),
)
# One policy per CPU, two favoured cores, no list; "powersave" is intel_pstate's dynamic governor.
LAPTOP = Board(
    "laptop with intel_pstate",
    tuple(
        PolicySpec(cpu, (cpu,), (400000, top_khz), "intel_pstate", "powersave", "absent")
        for cpu, top_khz in enumerate((4500000, 4500000, 4680000, 4680000))
    ),
)
BOARDS = (ORIN_NANO, SNAPDRAGON_888, RASPBERRY_PI_4, LAPTOP)


class FakeMachine:
    """The tree below `root`; give `root` to the code under test or as AIO_SYSFS_ROOT."""

    def __init__(self, root: Path, board: Board | None = None) -> None:
        self.root = root
        self.cpu = root / "sys/devices/system/cpu"
        self.cpufreq = self.cpu / "cpufreq"
        self.cpufreq.mkdir(parents=True)
        for policy in board.policies if board else ():
            self.add_policy(policy)

    def add_policy(self, spec: PolicySpec) -> None:
        """Write the files of a policy, its clock at the maximum."""
        folder = self.policy(spec.number)
        folder.mkdir()
        low, top = min(spec.freqs_khz), max(spec.freqs_khz)
        cpus = " ".join(map(str, spec.cpus))
        files: dict[str, object] = {
            "affected_cpus": cpus,
            "related_cpus": cpus,
            "cpuinfo_min_freq": low,
            "cpuinfo_max_freq": top,
            "cpuinfo_cur_freq": low,  # a trap: costs 0.5 ms on a Tegra, must not be opened
            "cpuinfo_transition_latency": 4294967295,
            "scaling_min_freq": low,
            "scaling_max_freq": top,
            "scaling_cur_freq": top,
            "scaling_driver": spec.driver,
            "scaling_governor": spec.governor,
            "scaling_setspeed": "<unsupported>",
        }
        for name, value in files.items():
            (folder / name).write_text(f"{value}\n")
        if spec.listed != "absent":
            ordered = sorted(spec.freqs_khz, reverse=spec.listed == "descending")
            text = " ".join(map(str, ordered)) + " \n"
            (folder / "scaling_available_frequencies").write_text(text)
        for cpu in spec.cpus if spec.capacity is not None else ():
            self.write(f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity", f"{spec.capacity}\n")

    def policy(self, number: int) -> Path:
        return self.cpufreq / f"policy{number}"

    def remove_policy(self, number: int) -> None:
        shutil.rmtree(self.policy(number))

    def set_khz(self, khz: object, numbers: Iterable[int] = (0,)) -> None:
        """Write scaling_cur_freq in place, like `echo`."""
        for number in numbers:
            (self.policy(number) / "scaling_cur_freq").write_text(f"{khz}\n")

    def replace(self, path: Path, text: str) -> None:
        """Write a new file and rename it over `path`, like an editor."""
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(path)

    def fill(self, relative: str, **files: object) -> Path:
        """Write a folder below the root; a file whose value is None is removed."""
        folder = self.root / relative
        folder.mkdir(parents=True, exist_ok=True)
        for name, value in files.items():
            if value is None:
                (folder / name).unlink()
            else:
                (folder / name).write_text(f"{value}\n")
        return folder

    def add_devfreq(self, name: str, **files: object) -> Path:
        """Write a device of /sys/class/devfreq with its clock and list in Hz."""
        defaults = {"cur_freq": 624750000, "available_frequencies": "306000000 624750000 "}
        return self.fill(f"sys/class/devfreq/{name}", **{**defaults, **files})

    def add_zone(self, number: int, kind: str, temp: object) -> Path:
        return self.fill(f"sys/class/thermal/thermal_zone{number}", type=kind, temp=temp)

    def add_cooling(self, number: int, kind: str, cur_state: object, max_state: int = 10) -> Path:
        path = f"sys/class/thermal/cooling_device{number}"
        return self.fill(path, type=kind, cur_state=cur_state, max_state=max_state)

    def add_supply(self, name: str, **files: object) -> Path:
        return self.fill(f"sys/class/power_supply/{name}", **files)

    def add_rapl(self, zone: str, name: str, energy_uj: object, range_uj: object = 262143) -> Path:
        path = f"sys/class/powercap/{zone}"
        return self.fill(path, name=name, energy_uj=energy_uj, max_energy_range_uj=range_uj)

    def break_file(self, path: Path) -> None:
        """Make reading a file fail, as with EAGAIN or ENODATA; works for root too."""
        path.unlink()
        path.mkdir()

    def write(self, relative: str, text: str) -> Path:
        """Write a file below the root, making its folders."""
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


MachineMaker = Callable[[Board | None], FakeMachine]
