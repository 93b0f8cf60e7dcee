# SPDX-License-Identifier: Apache-2.0
"""Boards as data: their tables, the checks of the loader, and trees the real drivers read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aio.governors.base import PowerSource, Status
from aio.governors.devices import Ladder, device_names, ladder, load_device, write_tree
from aio.governors.devices.board import Device, Listed
from aio.governors.devices.loader import BOARDS, parse_device
from aio.governors.devices.tree import CpuState
from aio.governors.drivers.cpufreq import CpufreqDriver, survey
from aio.governors.registry import open_sensors
from aio.governors.sysfs import Sysfs
from aio.governors.topology import fastest_class

EVERY_BOARD = pytest.mark.parametrize("name", device_names())


def read(root: Path, relative: str) -> str:
    return (root / relative).read_text(encoding="ascii")


@pytest.mark.parametrize(
    ("name", "top_khz", "points", "cpus"),
    [
        ("jetson-nano", 1479000, 15, 4),
        ("jetson-tx1", 1734000, 17, 4),
        ("jetson-tx2", 2035200, 12, 6),
        ("jetson-xavier-nx", 1907200, 25, 6),
        ("jetson-agx-xavier", 2265600, 29, 8),
        ("jetson-orin-nano", 1510400, 20, 6),
        ("jetson-orin-nano-super", 1728000, 22, 6),
        ("jetson-orin-nx", 1984000, 26, 8),
        ("jetson-agx-orin", 2201600, 29, 12),
        ("raspberry-pi-4", 1500000, 10, 4),
        ("raspberry-pi-5", 2400000, 10, 4),
        ("snapdragon-888", 2841600, 19, 8),
        ("laptop-intel-pstate", 4680000, 44, 8),
        ("laptop-amd-pstate", 4680000, 44, 8),
    ],
)
def test_tables(name: str, top_khz: int, points: int, cpus: int) -> None:
    device = load_device(name)
    assert (ladder(device).max_khz, len(ladder(device).freqs_khz)) == (top_khz, points)
    assert len(device.cpus) == cpus
    assert device.evidence


def test_the_table_above_has_every_board() -> None:
    assert len(device_names()) == 14


@EVERY_BOARD
def test_the_cpufreq_driver_reads_the_tree(tmp_path: Path, name: str) -> None:
    device = load_device(name)
    write_tree(tmp_path, device)
    cpus = frozenset(device.cpus)
    driver = CpufreqDriver(Sysfs(tmp_path), cpus=lambda: cpus)
    try:
        assert driver.probe().status is Status.VALUE
        sample = driver.read()
    finally:
        driver.close()
    assert sample.cpu_khz == sample.max_khz == ladder(device).max_khz
    policies = {policy.name: policy for policy in survey(Sysfs(tmp_path))}
    assert len(policies) == len(device.policies)
    for policy in device.policies:
        shown = policies[f"policy{policy.number}"]
        absent = policy.listed is Listed.ABSENT
        assert shown.available_khz == (() if absent else policy.freqs_khz)
        assert (shown.driver, shown.governor) == (device.driver, device.governor)
        assert shown.cpus == policy.cpus


@EVERY_BOARD
def test_every_sensor_reads_the_tree(tmp_path: Path, name: str) -> None:
    device = load_device(name)
    write_tree(tmp_path, device)
    sensors = open_sensors(None, tmp_path)
    try:
        for _ in range(6):  # of the slow quantities one is read at a time
            sample = sensors.read()
    finally:
        sensors.close()
    assert [gpu.cur_freq_khz for gpu in sample.gpus] == (
        [device.gpu.freqs_khz[-1]] if device.gpu else []
    )
    assert sample.thermal is not None
    assert sample.thermal.throttled is False
    assert len(sample.thermal.zones) == len([z for z in device.zones if "PMIC" not in z])
    assert (sample.power is not None) == device.battery
    names = {rail.name for rail in sample.energy.rails} if sample.energy else set()
    assert names >= set(device.rails)


@EVERY_BOARD
def test_a_small_machine_is_covered_by_the_fastest_policy(tmp_path: Path, name: str) -> None:
    device = load_device(name)
    tree = write_tree(tmp_path, device, cpus=(0, 1))
    sysfs = Sysfs(tmp_path)
    cpus = frozenset({0, 1})
    assert fastest_class(sysfs, cpus).cpus == cpus
    driver = CpufreqDriver(sysfs, cpus=lambda: cpus)
    try:
        assert driver.read().max_khz == ladder(device).max_khz
    finally:
        driver.close()
    owners = [cpu for members in tree.members.values() for cpu in members]
    assert len(owners) == len(set(owners))


def test_kinds_of_cores_of_a_phone(tmp_path: Path) -> None:
    write_tree(tmp_path, load_device("snapdragon-888"))
    assert fastest_class(Sysfs(tmp_path), frozenset(range(8))).cpus == {7}


def test_traps_of_real_kernels(tmp_path: Path) -> None:
    nano, phone = tmp_path / "nano", tmp_path / "phone"
    for root in (nano, phone):
        root.mkdir()
    write_tree(nano, load_device("jetson-nano"))
    policy = "sys/devices/system/cpu/cpufreq/policy0"
    assert read(nano, f"{policy}/scaling_setspeed") == "<unsupported>\n"
    assert read(nano, f"{policy}/scaling_available_frequencies").endswith("1479000 \n")
    assert read(nano, "sys/devices/system/cpu/cpu3/cpufreq/scaling_driver") == "tegra-cpufreq\n"
    gpu = "sys/class/devfreq/57000000.gpu"
    assert read(nano, f"{gpu}/cur_freq") == "921600000\n"  # Hz, unlike cpufreq
    assert read(nano, f"{gpu}/device/of_node/name") == "gpu\0"
    assert read(nano, "proc/device-tree/compatible").split("\0")[1] == "nvidia,jetson-nano"
    assert read(nano, "sys/class/hwmon/hwmon0/in1_label") == "POM_5V_IN\n"
    write_tree(phone, load_device("snapdragon-888"))
    freqs = read(phone, "sys/class/devfreq/3d00000.qcom,kgsl-3d0/available_frequencies")
    assert freqs.startswith("840000000 778000000 ")
    pi = tmp_path / "pi"
    pi.mkdir()
    write_tree(pi, load_device("raspberry-pi-4"))
    assert read(pi, f"{policy}/cpuinfo_transition_latency") == "4294967295\n"


def test_changes_show_in_the_tree(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, load_device("jetson-nano"))
    tree.set_cpu(0, CpuState(710400, 918000, "userspace", (0, 1)))
    tree.set_cooling(3)
    tree.set_temperature(80_500)
    tree.set_gpu(76800)
    policy = "sys/devices/system/cpu/cpufreq/policy0"
    assert read(tmp_path, f"{policy}/scaling_cur_freq") == "710400\n"
    assert read(tmp_path, f"{policy}/scaling_setspeed") == "710400\n"
    assert read(tmp_path, f"{policy}/scaling_max_freq") == "918000\n"
    assert read(tmp_path, f"{policy}/affected_cpus") == "0 1\n"
    assert read(tmp_path, "sys/devices/system/cpu/cpu2/online") == "0\n"
    thermal = "sys/class/thermal"
    assert read(tmp_path, f"{thermal}/cooling_device0/cur_state") == "3\n"
    assert read(tmp_path, f"{thermal}/thermal_zone0/temp") == "80500\n"
    assert read(tmp_path, f"{thermal}/thermal_zone3/temp") == "100000\n"  # the power chip
    assert read(tmp_path, "sys/class/devfreq/57000000.gpu/cur_freq") == "76800000\n"
    assert not list(tmp_path.rglob("*.new"))


def test_power_source_of_a_laptop(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, load_device("laptop-amd-pstate"))
    supply = "sys/class/power_supply"
    assert read(tmp_path, f"{supply}/AC/online") == "1\n"
    tree.set_power(PowerSource.BATTERY)
    assert read(tmp_path, f"{supply}/AC/online") == "0\n"
    assert read(tmp_path, f"{supply}/BAT0/status") == "Discharging\n"


def test_a_board_without_gpu_says_so(tmp_path: Path) -> None:
    tree = write_tree(tmp_path, load_device("raspberry-pi-4"))
    with pytest.raises(ValueError, match="no GPU"):
        tree.set_gpu(500_000)
    with pytest.raises(ValueError, match="CPU numbers"):
        write_tree(tmp_path, load_device("raspberry-pi-4"), cpus=())


def test_unknown_names_list_the_known() -> None:
    with pytest.raises(ValueError, match=r"unknown device 'nano'.*jetson-nano"):
        load_device("nano")
    nano = load_device("jetson-nano")
    with pytest.raises(ValueError, match="no policy 4; it has 0"):
        nano.policy(4)
    with pytest.raises(ValueError, match="MAXN, 5W"):
        nano.preset("10W")
    assert nano.preset("5W").cpus == 2


def edited(field: str, value: object) -> str:
    """Return the Nano's file with another value at e.g. "policies.0.cpus"."""
    document: Any = json.loads((BOARDS / "jetson-nano.json").read_text())
    place = document
    *way, last = field.split(".")
    for step in way:
        place = place[int(step)] if isinstance(place, list) else place[step]
    place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(document)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("model", 7, "model is 7, expected str"),
        ("battery", 1, "battery is 1, expected bool"),
        ("trip_mc", True, "trip_mc is True"),
        ("transition_latency_ns", -2, "at least -1"),
        ("compatible", [1], "list of words"),
        ("policies.0.freqs_khz", [2, 1], "ascending kHz"),
        ("policies.0.freqs_khz", [], "ascending kHz"),
        ("policies.0.freqs_khz", [921600000], "ascending kHz"),
        ("policies.0.cpus", [], "CPU numbers"),
        ("policies.0.listed", "upwards", "listed is 'upwards'"),
        ("policies.0", 3, r"policies\[0\]: expected an object"),
        ("policies", [], "policies must be there"),
        ("gpu.colour", "red", "gpu: unknown field 'colour'"),
        ("governor", "turbo", "not in its own list"),
        ("colour", "red", "unknown field 'colour'"),
    ],
)
def test_wrong_files_are_refused(field: str, value: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_device("broken", edited(field, value))


def test_files_that_are_no_board() -> None:
    with pytest.raises(ValueError, match="not JSON"):
        parse_device("broken", "{")
    with pytest.raises(ValueError, match="title is missing"):
        parse_device("broken", "{}")


def test_relations_of_the_kernel() -> None:
    steps = Ladder((100, 200, 400))
    assert [steps.at_least(khz) for khz in (50, 100, 101, 399, 500)] == [100, 100, 200, 400, 400]
    assert [steps.at_most(khz) for khz in (50, 100, 199, 400, 500)] == [100, 100, 100, 400, 400]
    assert [steps.closest(khz) for khz in (149, 150, 151, 300, 301)] == [100, 100, 200, 200, 400]
    assert steps.capped(399).freqs_khz == (100, 200)
    assert steps.capped(1).freqs_khz == (100,)
    assert steps.span(2).freqs_khz == (200, 400)


@pytest.mark.parametrize("freqs", [(), (0, 1), (2, 1), (1, 1)])
def test_no_ladder(freqs: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        Ladder(freqs)
    with pytest.raises(ValueError, match="less than the maximum"):
        Ladder((1,)).span(0.5)


@given(
    freqs=st.sets(st.integers(1, 10**7), min_size=1, max_size=30),
    khz=st.floats(-1e8, 1e8, allow_nan=False),
)
def test_every_relation_stays_on_the_ladder(freqs: set[int], khz: float) -> None:
    steps = Ladder(tuple(sorted(freqs)))
    low, close, high = steps.at_most(khz), steps.closest(khz), steps.at_least(khz)
    assert {low, close, high} <= freqs
    assert low <= close <= high or khz <= steps.min_khz or khz >= steps.max_khz


@EVERY_BOARD
def test_every_point_is_found_by_its_fraction(name: str) -> None:
    steps = ladder(load_device(name))
    assert all(steps.at_fraction(khz / steps.max_khz) == khz for khz in steps.freqs_khz)


def test_devices_are_values() -> None:
    device = load_device("jetson-nano")
    assert isinstance(device, Device)
    assert device == parse_device("jetson-nano", (BOARDS / "jetson-nano.json").read_text())
