# SPDX-License-Identifier: Apache-2.0
"""A sysfs tree of a board, as it would look when recorded there, and changes to it.

Written below a root that is then given to readers as AIO_SYSFS_ROOT. Nothing below it is a
device: writing to `scaling_max_freq` limits nothing.

Files are changed by writing a new one and renaming it over the old one, so that a reader never
sees half of a value.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from aio.governors.base import PowerSource
from aio.governors.devices.board import CpuPolicy, Device, GpuClock, Listed

UNSUPPORTED = "<unsupported>"
BATTERY_PERCENT = 80
ROOM_MC = 40_000
# What the rails of an idle board show; nobody's measurement.
RAIL_MV, RAIL_MA = 5000, 400
CHANNELS = 3  # of an INA3221


@dataclass(frozen=True, slots=True)
class CpuState:
    """What changes in a cpufreq policy. `online` are its CPUs that are switched on."""

    cur_khz: int
    max_khz: int
    governor: str
    online: tuple[int, ...]


def write_tree(root: Path, device: Device, cpus: Iterable[int] | None = None) -> DeviceTree:
    """Write the tree of a board and return what changes it.

    The clocks are at the maximum, under the governor of the board.

    Args:
        root: an existing folder, which stands for "/".
        device: the board.
        cpus: CPUs of *this* machine that must be covered: they join the fastest policy, and CPUs
            of the board that are not among them are left out. None keeps the numbers of the board.
    """
    tree = DeviceTree(root, device, _members(device, cpus))
    tree.write()
    return tree


class DeviceTree:
    """The files of a board below a root.

    Attributes:
        root: what stands for "/".
        device: the board.
        members: the CPUs of each policy, by its number, as the tree shows them.
    """

    def __init__(self, root: Path, device: Device, members: Mapping[int, tuple[int, ...]]) -> None:
        self.root = root
        self.device = device
        self.members = dict(members)
        self._written: dict[str, str] = {}

    def write(self) -> None:
        """Write every file."""
        for policy in self.device.policies:
            if policy.number in self.members:
                self._write_policy(policy)
        cpus = sorted(cpu for members in self.members.values() for cpu in members)
        for name in ("online", "possible", "present"):
            self._put(f"sys/devices/system/cpu/{name}", ",".join(map(str, cpus)))
        if self.device.gpu is not None:
            self._write_gpu(self.device.gpu)
        self._write_thermal()
        if self.device.rails:
            self._write_rails()
        if self.device.battery:
            self.set_power(PowerSource.AC)
        if self.device.model:
            self._put("proc/device-tree/model", self.device.model + "\0", end="")
            compatible = "".join(f"{word}\0" for word in self.device.compatible)
            self._put("proc/device-tree/compatible", compatible, end="")

    def set_cpu(self, number: int, state: CpuState) -> None:
        """Show the clock, the limit, the governor and the CPUs of a policy."""
        policy = self.device.policy(number)
        folder = _policy_folder(number)
        # As in the kernel, a reader between two of these sees a mixture; each file is whole.
        self._put(f"{folder}/affected_cpus", _numbers(state.online))
        self._put(f"{folder}/scaling_governor", state.governor)
        self._put(f"{folder}/scaling_max_freq", state.max_khz)
        userspace = state.governor == "userspace"
        self._put(f"{folder}/scaling_setspeed", state.cur_khz if userspace else UNSUPPORTED)
        self._put(f"{folder}/scaling_cur_freq", state.cur_khz)
        self._put(f"{folder}/cpuinfo_cur_freq", state.cur_khz)
        for cpu in self.members[policy.number]:
            if cpu:  # CPU 0 has no such file where it can't be switched off
                self._put(f"sys/devices/system/cpu/cpu{cpu}/online", int(cpu in state.online))

    def set_cooling(self, state: int) -> None:
        """Show the state of the cooling device of the CPUs."""
        self._put("sys/class/thermal/cooling_device0/cur_state", state)

    def set_temperature(self, temperature_mc: int) -> None:
        """Show a temperature in all zones but that of the power chip, which is constant."""
        for index, kind in enumerate(self.device.zones):
            if "PMIC" not in kind:
                self._put(f"sys/class/thermal/thermal_zone{index}/temp", temperature_mc)

    def set_power(self, source: PowerSource) -> None:
        """Show where the energy comes from."""
        on_ac = source is PowerSource.AC
        supply = "sys/class/power_supply"
        self._put(f"{supply}/AC/type", "Mains")
        self._put(f"{supply}/AC/online", int(on_ac))
        battery: dict[str, object] = {
            "type": "Battery",
            "scope": "System",
            "present": 1,
            "status": "Charging" if on_ac else "Discharging",
            "capacity": BATTERY_PERCENT,
            "voltage_now": 11_400_000,
            "current_now": 1_500_000,
        }
        for name, value in battery.items():
            self._put(f"{supply}/BAT0/{name}", value)

    def set_gpu(self, khz: int) -> None:
        """Show the clock of the GPU; the board must have one."""
        if self.device.gpu is None:
            raise ValueError(f"{self.device.name} has no GPU node")
        folder = _gpu_folder(self.device.gpu)
        for name in ("cur_freq", "target_freq"):
            self._put(f"{folder}/{name}", khz * 1000)

    def _write_policy(self, policy: CpuPolicy) -> None:
        folder = _policy_folder(policy.number)
        low, top = policy.freqs_khz[0], policy.freqs_khz[-1]
        members = self.members[policy.number]
        files: dict[str, object] = {
            "related_cpus": _numbers(members),
            "cpuinfo_min_freq": low,
            "cpuinfo_max_freq": top,
            # CPUFREQ_ETERNAL is printed unsigned.
            "cpuinfo_transition_latency": self.device.transition_latency_ns % 2**32,
            "scaling_min_freq": low,
            "scaling_driver": self.device.driver,
            # With the space that the kernel leaves at the end.
            "scaling_available_governors": " ".join(self.device.governors) + " ",
        }
        if policy.listed is not Listed.ABSENT:
            files["scaling_available_frequencies"] = _listing(policy.freqs_khz, policy.listed)
        if policy.base_khz is not None:
            files["base_frequency"] = policy.base_khz
        for name, value in files.items():
            self._put(f"{folder}/{name}", value)
        for cpu in members if policy.capacity is not None else ():
            self._put(f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity", policy.capacity)
        self.set_cpu(policy.number, CpuState(top, top, self.device.governor, members))
        for cpu in members:
            self._link(f"sys/devices/system/cpu/cpu{cpu}/cpufreq", folder)

    def _write_gpu(self, gpu: GpuClock) -> None:
        folder = _gpu_folder(gpu)
        files: dict[str, object] = {
            "governor": gpu.governor,
            "available_governors": f"performance {gpu.governor}",
            "available_frequencies": _listing([khz * 1000 for khz in gpu.freqs_khz], gpu.listed),
            "min_freq": gpu.freqs_khz[0] * 1000,
            "max_freq": gpu.freqs_khz[-1] * 1000,
            "polling_interval": 50,
        }
        for name, value in files.items():
            self._put(f"{folder}/{name}", value)
        self.set_gpu(gpu.freqs_khz[-1])
        device = f"sys/devices/{gpu.node}"
        self._put(f"{device}/load", 0)  # tenths of a percent
        kind = gpu.node.partition(".")[2]
        self._put(f"{device}/of_node/name", f"{kind}\0", end="")
        self._link(f"{folder}/device", device)
        self._link(f"sys/class/devfreq/{gpu.node}", folder)

    def _write_thermal(self) -> None:
        for index, kind in enumerate(self.device.zones):
            zone = f"sys/class/thermal/thermal_zone{index}"
            files: dict[str, object] = {
                "type": kind,
                "temp": 100_000 if "PMIC" in kind else ROOM_MC,
                "mode": "enabled",
                "policy": "step_wise",
                "trip_point_0_type": "passive",
                "trip_point_0_temp": self.device.trip_mc,
                "trip_point_0_hyst": 2000,
            }
            for name, value in files.items():
                self._put(f"{zone}/{name}", value)
        fastest = self.device.fastest_policy
        first = (self.members.get(fastest.number) or fastest.cpus)[0]
        cooling = "sys/class/thermal/cooling_device0"
        self._put(f"{cooling}/type", f"cpufreq-cpu{first}")
        self._put(f"{cooling}/max_state", len(fastest.freqs_khz) - 1)
        self.set_cooling(0)

    def _write_rails(self) -> None:
        """Write each INA3221 as hwmon shows it: mV, mA, and a seventh voltage that is a sum."""
        for index, rail in enumerate(self.device.rails):
            chip, channel = divmod(index, CHANNELS)
            monitor = f"sys/class/hwmon/hwmon{chip}"
            self._put(f"{monitor}/name", "ina3221")
            self._put(f"{monitor}/in{channel + 1}_label", rail)
            self._put(f"{monitor}/in{channel + 1}_input", RAIL_MV)
            self._put(f"{monitor}/curr{channel + 1}_input", RAIL_MA)
            self._put(f"{monitor}/in7_label", "sum of shunt voltages")
            self._put(f"{monitor}/in7_input", RAIL_MV)

    def _put(self, relative: str, value: object, end: str = "\n") -> None:
        """Write a file whole, unless it says so already."""
        text = f"{value}{end}"
        if self._written.get(relative) == text:
            return
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.new")
        fresh.write_text(text, encoding="ascii")
        fresh.replace(path)
        self._written[relative] = text

    def _link(self, relative: str, target: str) -> None:
        path = self.root / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(self.root / target, path.parent))


def _members(device: Device, cpus: Iterable[int] | None) -> dict[int, tuple[int, ...]]:
    """Return the CPUs of each policy that the tree shows.

    The fastest policy gets all CPUs asked for: on a machine with two cores, programs must run on
    the cores whose clock is emulated. Slower policies would need other CPUs, so they keep those
    of their numbers that are beyond the machine and not taken.
    """
    if cpus is None:
        return {policy.number: policy.cpus for policy in device.policies}
    wanted = tuple(sorted(set(cpus)))
    if not wanted or wanted[0] < 0:
        raise ValueError(f"cpus={wanted}: expected CPU numbers")
    fastest = device.fastest_policy.number
    members = {fastest: wanted}
    for policy in device.policies:
        rest = tuple(cpu for cpu in policy.cpus if cpu > wanted[-1])
        if policy.number != fastest and rest:
            members[policy.number] = rest
    return members


def _policy_folder(number: int) -> str:
    return f"sys/devices/system/cpu/cpufreq/policy{number}"


def _gpu_folder(gpu: GpuClock) -> str:
    return f"sys/devices/{gpu.node}/devfreq/{gpu.node}"


def _listing(freqs: Iterable[int], listed: Listed) -> str:
    """Return a list as the kernel prints it, with a space at the end."""
    ordered = sorted(freqs, reverse=listed is Listed.DESCENDING)
    return " ".join(map(str, ordered)) + " "


def _numbers(cpus: Iterable[int]) -> str:
    return " ".join(map(str, cpus))
