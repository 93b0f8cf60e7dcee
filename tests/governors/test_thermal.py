# SPDX-License-Identifier: Apache-2.0
"""Thermal zones that lie or fail, and which cooling devices mean throttling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from aio.governors.base import SensorError, Status, ZoneSample
from aio.governors.drivers import thermal
from aio.governors.drivers.thermal import ThermalDriver
from aio.governors.sysfs import Sysfs

if TYPE_CHECKING:
    from fake_machine import FakeMachine, MachineMaker


@pytest.fixture
def machine(make_machine: MachineMaker) -> FakeMachine:
    return make_machine(None)


@pytest.fixture
def driver(machine: FakeMachine) -> Iterator[ThermalDriver]:
    driver = ThermalDriver(Sysfs(machine.root))
    yield driver
    driver.close()


def test_zones_in_numerical_order(machine: FakeMachine, driver: ThermalDriver) -> None:
    for number in (10, 2, 0):
        machine.add_zone(number, f"zone{number}", 40_000 + number)
    assert driver.read().zones == (
        ZoneSample("thermal_zone0", "zone0", 40_000),
        ZoneSample("thermal_zone2", "zone2", 40_002),
        ZoneSample("thermal_zone10", "zone10", 40_010),
    )


@pytest.mark.parametrize(
    ("text", "temperature_mc"),
    [
        *(("48500", 48_500), ("-5000", -5000), ("0", 0), ("-256000", None), ("-256", None)),
        *(("-273150", None), ("2147483647", None), ("", None), ("cold", None), ("48.5", None)),
    ],
)
def test_temperatures(
    machine: FakeMachine, driver: ThermalDriver, text: str, temperature_mc: int | None
) -> None:
    machine.add_zone(0, "CPU-therm", text)
    assert driver.read().zones[0].temperature_mc == temperature_mc


def test_a_zone_that_fails_for_a_while(machine: FakeMachine, driver: ThermalDriver) -> None:
    machine.add_zone(0, "cv0-thermal", 40_000)
    folder = machine.add_zone(1, "cpu-thermal", 50_000)
    driver.read()
    machine.break_file(folder / "temp")
    assert [zone.temperature_mc for zone in driver.read().zones] == [40_000, None]
    (folder / "temp").rmdir()
    (folder / "temp").write_text("51000\n")
    assert [zone.temperature_mc for zone in driver.read().zones] == [40_000, 51_000]


def test_power_controllers_are_left_out(machine: FakeMachine, driver: ThermalDriver) -> None:
    machine.add_zone(0, "PMIC-Die", 100_000)
    machine.add_zone(1, "pmic_therm", 100_000)
    machine.add_zone(2, "CPU-therm", 41_000)
    assert [zone.kind for zone in driver.read().zones] == ["CPU-therm"]


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("thermal-cpufreq-0", True),
        ("cpufreq-cpu4", True),
        ("Processor", True),
        ("thermal-devfreq-0", True),
        ("devfreq-17000000.gpu", True),
        ("pwm-fan", False),
        ("Fan", False),
        ("intel_powerclamp", False),
        ("TCC Offset", False),
        ("LCD", False),
    ],
)
def test_only_processors_count(
    machine: FakeMachine, driver: ThermalDriver, kind: str, counts: bool
) -> None:
    machine.add_zone(0, "x", 40_000)
    machine.add_cooling(0, kind, 3)
    sample = driver.read()
    assert [device.kind for device in sample.cooling] == ([kind] if counts else [])
    assert sample.throttled is (True if counts else None)


def test_throttling_begins_and_ends(machine: FakeMachine, driver: ThermalDriver) -> None:
    machine.add_cooling(0, "cpufreq-cpu0", 0)
    folder = machine.add_cooling(1, "cpufreq-cpu4", 0)
    assert driver.read().throttled is False
    for state, throttled in ((4, True), (0, False), ("?", False)):
        (folder / "cur_state").write_text(f"{state}\n")
        sample = driver.read()
        assert sample.throttled is throttled
        assert sample.cooling[1].max_state == 10
    assert sample.cooling[1].cur_state is None


def test_zones_are_found_again(
    machine: FakeMachine, driver: ThermalDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(thermal, "SCAN_PERIOD_NS", 0)
    machine.add_zone(0, "a", 1)
    assert len(driver.read().zones) == 1
    machine.add_zone(1, "b", 2)
    assert len(driver.read().zones) == 2


def test_nothing_there(machine: FakeMachine, driver: ThermalDriver) -> None:
    machine.fill("sys/class/thermal")
    machine.fill("sys/class/thermal/thermal_zone0", temp=1)  # without a type
    capability = driver.probe()
    assert capability.status is Status.UNSUPPORTED
    assert capability.reason.endswith("has no zone and no processor's cooling device")


def test_report_and_close(machine: FakeMachine, driver: ThermalDriver) -> None:
    machine.add_zone(0, "a", 40_000)
    machine.add_zone(1, "b", 55_400)
    machine.add_cooling(0, "Processor", 0)
    assert driver.probe().reason == "2 zones, hottest 55 C, 1 cooling devices of processors"
    driver.close()
    with pytest.raises(SensorError, match="closed"):
        driver.read()
