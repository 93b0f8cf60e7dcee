# SPDX-License-Identifier: Apache-2.0
"""RAPL: counters that wrap, that only root may read, and which zone stands for the machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_machine import FakeMachine, MachineMaker
from hypothesis import given
from hypothesis import strategies as st

from aio.governors.base import SensorError, Status
from aio.governors.drivers import rapl
from aio.governors.drivers.rapl import RaplDriver, Zone
from aio.governors.sysfs import Sysfs


class Clock:
    """Stands in for the monotonic clock of the driver."""

    def __init__(self) -> None:
        self.now_ns = 10**12

    def monotonic_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(rapl, "time", clock)
    return clock


@pytest.fixture
def machine(make_machine: MachineMaker) -> FakeMachine:
    return make_machine(None)


@pytest.fixture
def driver(machine: FakeMachine) -> Iterator[RaplDriver]:
    driver = RaplDriver(Sysfs(machine.root))
    yield driver
    driver.close()


def test_power_is_the_difference(machine: FakeMachine, driver: RaplDriver, clock: Clock) -> None:
    machine.add_rapl("intel-rapl:0", "package-0", 1_000_000, 262_143_328_850)
    first = driver.read()
    assert first.total == "package-0"
    assert (first.rails[0].energy_uj, first.rails[0].power_mw) == (1_000_000, None)
    machine.add_rapl("intel-rapl:0", "package-0", 6_000_000, 262_143_328_850)
    clock.now_ns += 500_000_000
    rail = driver.read().rails[0]
    assert (rail.energy_uj, rail.power_mw) == (6_000_000, 10_000.0)


def test_the_counter_wraps(machine: FakeMachine, driver: RaplDriver, clock: Clock) -> None:
    machine.add_rapl("intel-rapl:0", "package-0", 900, 1000)
    driver.read()
    for raw, energy_uj in ((100, 1100), (99, 2099), (99, 2099), (500, 2500)):
        machine.add_rapl("intel-rapl:0", "package-0", raw, 1000)
        clock.now_ns += 1_000_000_000
        rail = driver.read().rails[0]
        assert rail.energy_uj == energy_uj
        assert rail.power_mw is not None
        assert rail.power_mw >= 0


def test_a_wrap_of_unknown_range_gives_no_power(
    machine: FakeMachine, driver: RaplDriver, clock: Clock
) -> None:
    machine.add_rapl("intel-rapl:0", "package-0", 900, "?")
    driver.read()
    machine.add_rapl("intel-rapl:0", "package-0", 100, "?")
    clock.now_ns += 1_000_000_000
    rail = driver.read().rails[0]
    assert (rail.energy_uj, rail.power_mw) == (900, None)


@given(steps=st.lists(st.integers(0, 999), max_size=20), start=st.integers(0, 999))
def test_energy_never_falls(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], start: int
) -> None:
    machine = FakeMachine(tmp_path_factory.mktemp("machine"))
    folder = machine.add_rapl("intel-rapl:0", "package-0", start, 1000)
    zone = Zone(Sysfs(machine.root), folder, "package-0")
    true_uj = start
    zone.read(0)
    for second, step in enumerate(steps, start=1):
        true_uj += step
        (folder / "energy_uj").write_text(f"{true_uj % 1000}\n")
        assert zone.read(second * 10**9).energy_uj == true_uj
    zone.close()


def test_zones_are_named_after_their_package(machine: FakeMachine, driver: RaplDriver) -> None:
    machine.fill("sys/class/powercap/intel-rapl", enabled=1)
    machine.add_rapl("intel-rapl:0", "package-0", 5)
    machine.add_rapl("intel-rapl:0:0", "core", 3)
    machine.add_rapl("intel-rapl:1", "package-1", 7)
    machine.add_rapl("intel-rapl:1:0", "core", 4)
    machine.add_rapl("intel-rapl-mmio:0", "package-0", 5)
    sample = driver.read()
    assert [(rail.name, rail.energy_uj) for rail in sample.rails] == [
        ("package-0", 5),
        ("package-0/core", 3),
        ("package-1", 7),
        ("package-1/core", 4),
        ("sum of packages", 12),
    ]
    assert sample.total == "sum of packages"


def test_the_platform_stands_for_all(machine: FakeMachine, driver: RaplDriver) -> None:
    machine.add_rapl("intel-rapl:0", "package-0", 5)
    machine.add_rapl("intel-rapl:1", "psys", 50)
    assert driver.probe().reason == "package-0, psys; psys stands for the device"


def test_only_root_may_read(
    machine: FakeMachine, driver: RaplDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = machine.add_rapl("intel-rapl:0", "package-0", 5)

    def refuse(self: object) -> str:
        raise PermissionError(13, "Permission denied", str(folder / "energy_uj"))

    monkeypatch.setattr("aio.governors.sysfs.HotFile.read", refuse)
    capability = driver.probe()
    assert capability.status is Status.ERROR
    assert capability.reason.startswith(f"{folder}/energy_uj: permission denied; run as root, or")
    assert "chmod a+r" in capability.reason


@pytest.mark.parametrize("text", ["", "-5", "lots", "9" * 40, "\x00"])
def test_garbage(machine: FakeMachine, driver: RaplDriver, text: str) -> None:
    machine.add_rapl("intel-rapl:0", "package-0", text)
    capability = driver.probe()
    assert capability.status is Status.ERROR
    assert "is no number" in capability.reason


def test_a_zone_that_goes_and_comes_back(machine: FakeMachine, driver: RaplDriver) -> None:
    folder = machine.add_rapl("intel-rapl:0", "package-0", 5)
    driver.read()
    (folder / "energy_uj").unlink()
    with pytest.raises(SensorError, match="no such file"):
        driver.read()
    machine.add_rapl("intel-rapl:0", "package-0", 6)
    assert driver.read().rails[0].energy_uj == 6


def test_nothing_there(machine: FakeMachine, driver: RaplDriver) -> None:
    capability = driver.probe()
    assert capability.status is Status.UNSUPPORTED
    assert capability.reason == f"{machine.root}/sys/class/powercap has no intel-rapl counter"
    driver.close()
    with pytest.raises(SensorError, match="closed"):
        driver.read()
    assert isinstance(machine.root, Path)
