# SPDX-License-Identifier: Apache-2.0
"""Rails of Jetsons, as JetPack 5 (hwmon) and JetPack 4 (iio) show them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from aio.governors.base import RailSample, SensorError, Status
from aio.governors.drivers.ina3221 import Ina3221Driver
from aio.governors.sysfs import Sysfs

if TYPE_CHECKING:
    from fake_machine import FakeMachine, MachineMaker


@pytest.fixture
def machine(make_machine: MachineMaker) -> FakeMachine:
    return make_machine(None)


@pytest.fixture
def driver(machine: FakeMachine) -> Iterator[Ina3221Driver]:
    driver = Ina3221Driver(Sysfs(machine.root))
    yield driver
    driver.close()


def add_chip(machine: FakeMachine, number: int, *labels: str) -> None:
    """Write an INA3221 whose rails have 5 V and 1, 2, 3 A."""
    files: dict[str, object] = {"name": "ina3221", "in7_label": "sum of shunt voltages"}
    for channel, label in enumerate(labels, start=1):
        files[f"in{channel}_label"] = label
        files[f"in{channel}_input"] = 5000
        files[f"curr{channel}_input"] = 1000 * channel
    machine.fill(f"sys/class/hwmon/hwmon{number}", in7_input=99, curr7_input=99, **files)


def test_the_input_stands_for_the_device(machine: FakeMachine, driver: Ina3221Driver) -> None:
    machine.fill("sys/class/hwmon/hwmon0", name="tmp451")
    add_chip(machine, 1, "VDD_IN", "VDD_CPU_GPU_CV", "VDD_SOC")
    sample = driver.read()
    assert sample.total == "VDD_IN"
    assert sample.rails == (
        RailSample("VDD_IN", 5000.0, None),
        RailSample("VDD_CPU_GPU_CV", 10000.0, None),
        RailSample("VDD_SOC", 15000.0, None),
    )
    assert driver.probe().reason == (
        "VDD_IN, VDD_CPU_GPU_CV, VDD_SOC; VDD_IN stands for the device"
    )


def test_without_an_input_the_sum_does(machine: FakeMachine, driver: Ina3221Driver) -> None:
    add_chip(machine, 3, "VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")
    add_chip(machine, 4, "NC", "VDDQ_VDD2_1V8AO", "NC")
    sample = driver.read()
    assert [rail.name for rail in sample.rails] == [
        *("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0", "VDDQ_VDD2_1V8AO", "sum of rails")
    ]
    assert sample.total == "sum of rails"
    assert sample.rails[-1].power_mw == 5000 + 10000 + 15000 + 10000


def test_a_rail_that_fails_makes_no_smaller_sum(
    machine: FakeMachine, driver: Ina3221Driver
) -> None:
    add_chip(machine, 0, "A", "B")
    driver.read()
    machine.break_file(machine.root / "sys/class/hwmon/hwmon0/curr2_input")
    sample = driver.read()
    assert [rail.power_mw for rail in sample.rails] == [5000.0, None, None]
    machine.break_file(machine.root / "sys/class/hwmon/hwmon0/in1_input")
    with pytest.raises(SensorError, match="none of the rails A, B can be read"):
        driver.read()


def test_jetpack_4(machine: FakeMachine, driver: Ina3221Driver) -> None:
    chip = "sys/bus/i2c/drivers/ina3221x/6-0040"
    machine.write("sys/bus/i2c/drivers/ina3221x/bind", "")
    machine.write(f"{chip}/name", "ina3221x")
    machine.fill(
        f"{chip}/iio:device0",
        rail_name_0="POM_5V_IN",
        in_power0_input=2140,
        rail_name_1="POM_5V_GPU",
        in_power1_input=0,
        rail_name_2="NC",
        in_power2_input=7,
    )
    sample = driver.read()
    assert sample.total == "POM_5V_IN"
    assert sample.rails == (
        RailSample("POM_5V_IN", 2140, None),
        RailSample("POM_5V_GPU", 0, None),
    )


def test_nothing_there(machine: FakeMachine, driver: Ina3221Driver) -> None:
    add_chip(machine, 0)
    capability = driver.probe()
    assert (capability.status, capability.reason) == (
        Status.UNSUPPORTED,
        "no INA3221 power monitor",
    )
    driver.close()
    with pytest.raises(SensorError, match="closed"):
        driver.read()
