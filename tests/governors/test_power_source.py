# SPDX-License-Identifier: Apache-2.0
"""Mains, USB and batteries of laptops and phones; the battery of a mouse says nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from aio.governors.base import PowerSample, PowerSource, SensorError, Status
from aio.governors.drivers import power_source
from aio.governors.drivers.power_source import PowerSourceDriver
from aio.governors.sysfs import Sysfs

if TYPE_CHECKING:
    from fake_machine import FakeMachine, MachineMaker


@pytest.fixture
def machine(make_machine: MachineMaker) -> FakeMachine:
    return make_machine(None)


@pytest.fixture
def driver(machine: FakeMachine) -> Iterator[PowerSourceDriver]:
    driver = PowerSourceDriver(Sysfs(machine.root))
    yield driver
    driver.close()


def test_the_plug_is_pulled_and_put_back(machine: FakeMachine, driver: PowerSourceDriver) -> None:
    folder = machine.add_supply("AC", type="Mains", online=1)
    machine.add_supply("BAT0", type="Battery", status="Charging", capacity=81, present=1)
    assert driver.read() == PowerSample(PowerSource.AC, 0.81)
    (folder / "online").write_text("0\n")
    machine.add_supply("BAT0", status="Discharging", capacity=80)
    assert driver.read() == PowerSample(PowerSource.BATTERY, 0.80)
    (folder / "online").write_text("1\n")
    assert driver.read().source is PowerSource.AC


@pytest.mark.parametrize(
    ("status", "source"),
    [
        ("Discharging", PowerSource.BATTERY),
        ("Charging", PowerSource.AC),
        ("Full", PowerSource.AC),
        ("Not charging", PowerSource.AC),
        ("Unknown", None),
        ("", None),
    ],
)
def test_battery_alone(
    machine: FakeMachine, driver: PowerSourceDriver, status: str, source: PowerSource | None
) -> None:
    machine.add_supply("battery", type="Battery", status=status, capacity=50)
    assert driver.read() == PowerSample(source, 0.5)


def test_a_phone_at_a_charger(machine: FakeMachine, driver: PowerSourceDriver) -> None:
    machine.add_supply("battery", type="Battery", status="Discharging", capacity=5)
    machine.add_supply("usb", type="USB_PD", online=2)
    machine.add_supply("wireless", type="Wireless", online=0)
    machine.add_supply("bms", type="BMS", capacity=5)
    assert driver.read() == PowerSample(PowerSource.AC, 0.05)


def test_a_mouse_and_an_empty_bay_say_nothing(
    machine: FakeMachine, driver: PowerSourceDriver
) -> None:
    machine.add_supply(
        "hidpp_battery_0", type="Battery", scope="Device", status="Discharging", capacity=3
    )
    machine.add_supply("BAT1", type="Battery", present=0, status="Discharging", capacity=0)
    capability = driver.probe()
    assert capability.status is Status.UNSUPPORTED
    assert capability.reason.endswith("has no supply and no battery of this machine")
    machine.add_supply("AC", type="Mains", online=1)
    driver._next_scan_ns = 0
    assert driver.read() == PowerSample(PowerSource.AC, None)


@pytest.mark.parametrize(
    ("files", "charge"),
    [
        ({"capacity": 101}, None),
        ({"capacity": "?", "energy_now": 25_000_000, "energy_full": 50_000_000}, 0.5),
        ({"charge_now": 3_000, "charge_full": 2_900}, 1.0),
        ({"charge_now": 3_000, "charge_full": 0}, None),
        ({}, None),
    ],
)
def test_charge(
    machine: FakeMachine,
    driver: PowerSourceDriver,
    files: dict[str, object],
    charge: float | None,
) -> None:
    machine.add_supply("BAT0", type="Battery", status="Full", **files)
    assert driver.read().battery == charge


def test_two_batteries_give_the_mean(machine: FakeMachine, driver: PowerSourceDriver) -> None:
    machine.add_supply("BAT0", type="Battery", status="Not charging", capacity=100)
    machine.add_supply("BAT1", type="Battery", status="Discharging", capacity=50)
    assert driver.read() == PowerSample(PowerSource.BATTERY, 0.75)


def test_a_dock_that_comes_later(
    machine: FakeMachine, driver: PowerSourceDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(power_source, "SCAN_PERIOD_NS", 0)
    machine.add_supply("BAT0", type="Battery", status="Discharging", capacity=9)
    assert driver.probe().reason == "on battery, battery 9%"
    machine.add_supply("ucsi", type="USB", online=1)
    assert driver.read().source is PowerSource.AC


def test_closed(machine: FakeMachine, driver: PowerSourceDriver) -> None:
    machine.add_supply("AC", type="Mains", online=0)
    assert driver.probe().reason == "source unknown"
    driver.close()
    with pytest.raises(SensorError, match="closed"):
        driver.read()
