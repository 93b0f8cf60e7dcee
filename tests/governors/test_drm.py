# SPDX-License-Identifier: Apache-2.0
"""Intel's and AMD's graphics: MHz and Hz, units at rest, cards that sleep, throttle reasons."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from aio.governors.base import SensorError, Status
from aio.governors.drivers.drm import DrmDriver
from aio.governors.sysfs import Sysfs

if TYPE_CHECKING:
    from fake_machine import FakeMachine, MachineMaker

DRM = "sys/class/drm"


@pytest.fixture
def machine(make_machine: MachineMaker) -> FakeMachine:
    return make_machine(None)


@pytest.fixture
def driver(machine: FakeMachine) -> Iterator[DrmDriver]:
    driver = DrmDriver(Sysfs(machine.root))
    yield driver
    driver.close()


def add_i915(machine: FakeMachine, act_mhz: object = 350) -> None:
    machine.fill(
        f"{DRM}/card0/gt/gt0",
        rps_act_freq_mhz=act_mhz,
        rps_RP0_freq_mhz=1300,
        throttle_reason_status=1,
        throttle_reason_pl1=1,
        throttle_reason_thermal=0,
    )


def test_i915(machine: FakeMachine, driver: DrmDriver) -> None:
    add_i915(machine)
    machine.fill(f"{DRM}/card0-eDP-1", status="connected")
    (gpu,) = driver.read()
    assert (gpu.device, gpu.cur_freq_khz, gpu.max_freq_khz) == ("card0 (i915)", 350000, 1300000)
    assert gpu.throttle_reasons == ("pl1",)
    assert driver.probe().reason == "card0 (i915)"


def test_old_i915(machine: FakeMachine, driver: DrmDriver) -> None:
    machine.fill(f"{DRM}/card0", gt_act_freq_mhz=900, gt_RP0_freq_mhz=1150)
    (gpu,) = driver.read()
    assert (gpu.cur_freq_khz, gpu.max_freq_khz) == (900000, 1150000)
    assert gpu.throttle_reasons is None


def test_xe(machine: FakeMachine, driver: DrmDriver) -> None:
    folder = f"{DRM}/card1/device/tile0/gt0/freq0"
    machine.fill(folder, act_freq=2050, rp0_freq=2350)
    machine.fill(f"{folder}/throttle", status=0, reason_pl2=0, reason_thermal=0)
    (gpu,) = driver.read()
    assert (gpu.device, gpu.cur_freq_khz, gpu.max_freq_khz) == ("card1 (xe)", 2050000, 2350000)
    assert gpu.throttle_reasons == ()


def test_amdgpu(machine: FakeMachine, driver: DrmDriver) -> None:
    steps = "0: 200Mhz\n1: 1100Mhz *\n2: 2900Mhz"
    machine.fill(f"{DRM}/card0/device", pp_dpm_sclk=steps, gpu_busy_percent=44)
    machine.fill(
        f"{DRM}/card0/device/hwmon/hwmon3",
        freq1_input=1100000000,
        power1_average=15003000,
        temp1_input=51000,
    )
    (gpu,) = driver.read()
    assert (gpu.device, gpu.cur_freq_khz, gpu.max_freq_khz) == ("card0 (amdgpu)", 1100000, 2900000)
    assert (gpu.load, gpu.power_mw, gpu.temperature_mc) == (0.44, 15003, 51000)


def test_amdgpu_without_the_rest(machine: FakeMachine, driver: DrmDriver) -> None:
    machine.fill(f"{DRM}/card0/device/hwmon/hwmon0", name="amdgpu")
    machine.fill(f"{DRM}/card0/device/hwmon/hwmon3", freq1_input=0)
    (gpu,) = driver.read()
    assert (gpu.cur_freq_khz, gpu.max_freq_khz, gpu.load, gpu.power_mw) == (None,) * 4


def test_a_unit_at_rest_has_no_clock(machine: FakeMachine, driver: DrmDriver) -> None:
    add_i915(machine, act_mhz=0)
    assert driver.read()[0].cur_freq_khz is None
    assert driver.probe().status is Status.VALUE


def test_a_card_that_sleeps_is_not_woken(machine: FakeMachine, driver: DrmDriver) -> None:
    add_i915(machine)
    machine.fill(f"{DRM}/card1/device/hwmon/hwmon0", freq1_input=500000000)
    driver.read()
    for card in ("card0", "card1"):
        machine.fill(f"{DRM}/{card}/device/power", runtime_status="suspended")
    machine.break_file(machine.root / f"{DRM}/card0/gt/gt0/rps_act_freq_mhz")
    assert [gpu.cur_freq_khz for gpu in driver.read()] == [None, None]


def test_a_clock_that_fails(machine: FakeMachine, driver: DrmDriver) -> None:
    add_i915(machine)
    driver.read()
    machine.break_file(machine.root / f"{DRM}/card0/gt/gt0/rps_act_freq_mhz")
    with pytest.raises(SensorError, match="rps_act_freq_mhz: is a directory"):
        driver.read()


def test_other_cards(machine: FakeMachine, driver: DrmDriver) -> None:
    machine.fill(f"{DRM}/card0/device", vendor="0x1af4")
    capability = driver.probe()
    assert capability.status is Status.UNSUPPORTED
    assert capability.reason.endswith("class/drm has no card of i915, xe or amdgpu")
    driver.close()
    with pytest.raises(SensorError, match="closed"):
        driver.read()
