# SPDX-License-Identifier: Apache-2.0
"""GPU clocks of Jetson, Mali and Adreno trees; what is no GPU is left alone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from aio.governors.base import SensorError, SensorUnsupported, Status
from aio.governors.drivers import devfreq
from aio.governors.drivers.devfreq import DevfreqDriver
from aio.governors.sysfs import Sysfs

if TYPE_CHECKING:
    from fake_machine import FakeMachine, MachineMaker

Open = Callable[[], DevfreqDriver]


@pytest.fixture
def machine(make_machine: MachineMaker) -> FakeMachine:
    return make_machine(None)


@pytest.fixture
def driver(machine: FakeMachine) -> Iterator[DevfreqDriver]:
    driver = DevfreqDriver(Sysfs(machine.root))
    yield driver
    driver.close()


@pytest.mark.parametrize(
    "name",
    [
        *("57000000.gpu", "17000000.gp10b", "17000000.gv11b", "17000000.ga10b", "17000000.gpu"),
        *("gpu-gpc-0", "fb000000.gpu", "fb000000.gpu-mali", "fde60000.gpu", "1f000000.mali"),
        *("3d00000.qcom,kgsl-3d0", "kgsl-3d0"),
    ],
)
def test_gpus_are_told_by_their_names(
    machine: FakeMachine, driver: DevfreqDriver, name: str
) -> None:
    machine.add_devfreq(name)
    (gpu,) = driver.read()
    assert (gpu.device, gpu.cur_freq_khz, gpu.max_freq_khz) == (name, 624750, 624750)
    assert gpu.driver == "devfreq"
    assert (gpu.power_mw, gpu.temperature_mc, gpu.throttle_reasons) == (None, None, None)


@pytest.mark.parametrize(
    "name",
    [
        *("fdab0000.npu", "bwmgr", "dmc", "gpu-nvd-0", "soc:qcom,gpubw", "soc:qcom,kgsl-busmon"),
        *("1d84000.ufshc", "31b00000.memory-controller", "emc"),
    ],
)
def test_other_devices_are_no_gpu(machine: FakeMachine, driver: DevfreqDriver, name: str) -> None:
    machine.add_devfreq(name)
    with pytest.raises(SensorUnsupported, match=f"no GPU among the devfreq devices {name}"):
        driver.read()


def test_the_device_tree_name_counts_too(machine: FakeMachine, driver: DevfreqDriver) -> None:
    folder = machine.add_devfreq("17000000.unit")
    machine.fill(str(folder.relative_to(machine.root) / "device/of_node"))
    (folder / "device/of_node/name").write_bytes(b"gv11b\0")
    assert driver.read()[0].device == "17000000.unit"


def test_thor_has_two_units_of_which_one_computes(
    machine: FakeMachine, driver: DevfreqDriver
) -> None:
    machine.add_devfreq("gpu-gpc-0", cur_freq=1575000000)
    machine.add_devfreq("gpu-nvd-0")
    machine.add_devfreq("bwmgr")
    assert [gpu.device for gpu in driver.read()] == ["gpu-gpc-0"]


def test_descending_list_of_adreno(machine: FakeMachine, driver: DevfreqDriver) -> None:
    freqs = "840000000 778000000 676000000 315000000"
    machine.add_devfreq("3d00000.qcom,kgsl-3d0", available_frequencies=freqs, cur_freq=315000000)
    machine.fill("sys/class/kgsl/kgsl-3d0", gpubusy="  1500  50000")
    (gpu,) = driver.read()
    assert (gpu.cur_freq_khz, gpu.max_freq_khz, gpu.load) == (315000, 840000, 0.03)


def test_kgsl_alone(machine: FakeMachine, driver: DevfreqDriver) -> None:
    machine.fill(
        "sys/class/kgsl/kgsl-3d0",
        gpuclk=443000000,
        max_gpuclk=676000000,
        gpu_available_frequencies="840000000 443000000",
        gpubusy="0 0",
    )
    (gpu,) = driver.read()
    assert (gpu.device, gpu.cur_freq_khz, gpu.max_freq_khz) == ("kgsl-3d0", 443000, 840000)
    assert gpu.load is None


@pytest.mark.parametrize("place", ["class/misc/mali0/device/devfreq", "devices/gpu.0/devfreq"])
def test_other_places(machine: FakeMachine, driver: DevfreqDriver, place: str) -> None:
    machine.fill(f"sys/{place}/13000000.gpu", cur_freq=800000000, max_freq=850000000)
    (gpu,) = driver.read()
    assert (gpu.device, gpu.cur_freq_khz, gpu.max_freq_khz) == ("13000000.gpu", 800000, 850000)


@pytest.mark.parametrize(
    ("where", "text", "load"),
    [
        ("device/load", "500", 0.5),
        ("device/load", "1000", 1.0),
        ("device/load", "1001", None),
        ("load", "37@1000000000Hz", 0.37),
        ("load", "0@300000000", 0.0),
        ("load", "garbage", None),
        ("device/utilisation", "12", 0.12),
    ],
)
def test_load(
    machine: FakeMachine, driver: DevfreqDriver, where: str, text: str, load: float | None
) -> None:
    machine.add_devfreq("fb000000.gpu")
    machine.write(f"sys/class/devfreq/fb000000.gpu/{where}", f"{text}\n")
    assert driver.read()[0].load == load


def test_powered_down_is_a_value_without_a_clock(
    machine: FakeMachine, driver: DevfreqDriver
) -> None:
    machine.add_devfreq("17000000.ga10b", cur_freq=0)
    capability = driver.probe()
    assert capability.status is Status.VALUE
    assert capability.reason == "17000000.ga10b: powered down of 625 MHz"
    (gpu,) = driver.read()
    assert (gpu.cur_freq_khz, gpu.max_freq_khz) == (None, 624750)


@pytest.mark.parametrize("text", ["624750", "624", "", "<unsupported>", "-1", "\x00\x01", "9" * 50])
def test_other_units_and_garbage_are_no_clock(
    machine: FakeMachine, driver: DevfreqDriver, text: str
) -> None:
    machine.add_devfreq("17000000.ga10b", cur_freq=text)
    capability = driver.probe()
    assert capability.status is Status.ERROR
    assert "is no frequency in Hz" in capability.reason


def test_one_gpu_of_two_fails(machine: FakeMachine, driver: DevfreqDriver) -> None:
    machine.add_devfreq("1.gpu")
    folder = machine.add_devfreq("2.gpu")
    assert len(driver.read()) == 2
    machine.break_file(folder / "cur_freq")
    assert [gpu.device for gpu in driver.read()] == ["1.gpu"]


def test_a_gpu_that_goes_and_comes_back(machine: FakeMachine, driver: DevfreqDriver) -> None:
    folder = machine.add_devfreq("17000000.gpu")
    assert driver.read()
    shutil.rmtree(folder)
    with pytest.raises(SensorError, match="has no device"):
        driver.read()
    machine.add_devfreq("17000000.gpu", cur_freq=306000000)
    devfreq_scan_now(driver)
    assert driver.read()[0].cur_freq_khz == 306000


def devfreq_scan_now(driver: DevfreqDriver) -> None:
    driver._next_scan_ns = 0


def test_pipe_in_place_of_the_clock(machine: FakeMachine, driver: DevfreqDriver) -> None:
    folder = machine.add_devfreq("17000000.gpu")
    (folder / "cur_freq").unlink()
    os.mkfifo(folder / "cur_freq")
    assert driver.probe().status is Status.ERROR


def test_nothing_there(machine: FakeMachine, driver: DevfreqDriver) -> None:
    capability = driver.probe()
    assert capability.status is Status.UNSUPPORTED
    assert capability.reason == f"{machine.root}/sys/class/devfreq has no device"


def test_closed(machine: FakeMachine, driver: DevfreqDriver) -> None:
    machine.add_devfreq("17000000.gpu")
    driver.read()
    driver.close()
    with pytest.raises(SensorError, match="closed"):
        driver.read()
    assert devfreq.SCAN_PERIOD_NS > 0
