# SPDX-License-Identifier: Apache-2.0
"""Quota and throttled time of control groups, v1, v2 and both at once, changing under our feet."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from fake_machine import FakeMachine, MachineMaker
from hypothesis import given
from hypothesis import strategies as st

from aio.governors.base import QuotaSample, SensorError, Status
from aio.governors.drivers.cgroup import CgroupDriver, read_quota
from aio.governors.sysfs import Sysfs

CGROUP = "sys/fs/cgroup"


@pytest.fixture
def machine(make_machine: MachineMaker) -> FakeMachine:
    return make_machine(None)


@pytest.fixture
def driver(machine: FakeMachine) -> Iterator[CgroupDriver]:
    driver = CgroupDriver(Sysfs(machine.root))
    yield driver
    driver.close()


def write_v2(machine: FakeMachine, group: str, limit: str, throttled_us: int | None = 0) -> None:
    machine.write(f"{CGROUP}/{group}/cpu.max", f"{limit}\n")
    if throttled_us is not None:
        stat = f"usage_usec 123\nnr_periods 8\nnr_throttled 2\nthrottled_usec {throttled_us}\n"
        machine.write(f"{CGROUP}/{group}/cpu.stat", stat)


def test_v2(machine: FakeMachine, driver: CgroupDriver) -> None:
    machine.write("proc/self/cgroup", "0::/app\n")
    write_v2(machine, "app", "50000 100000", 1500)
    folder = str(machine.root / CGROUP / "app")
    assert driver.probe().reason == f"0.50 CPUs at {folder}"
    assert driver.read() == QuotaSample(0.5, 100_000, 1500, folder)


def test_v1_counts_nanoseconds(machine: FakeMachine, driver: CgroupDriver) -> None:
    machine.write("proc/self/cgroup", "4:cpu,cpuacct:/docker/abc\n")
    folder = f"{CGROUP}/cpu,cpuacct/docker/abc"
    machine.write(f"{folder}/cpu.cfs_quota_us", "150000\n")
    machine.write(f"{folder}/cpu.cfs_period_us", "100000\n")
    machine.write(f"{folder}/cpu.stat", "nr_periods 3\nnr_throttled 1\nthrottled_time 2500000\n")
    assert driver.read() == QuotaSample(1.5, 100_000, 2500, str(machine.root / folder))


@pytest.mark.parametrize("limit", ["max 100000", "max", "100000 0", "0 100000", "garbage here"])
def test_no_quota(machine: FakeMachine, driver: CgroupDriver, limit: str) -> None:
    machine.write("proc/self/cgroup", "0::/app\n")
    write_v2(machine, "app", limit)
    sample = driver.read()
    assert (sample.quota_cpus, sample.throttled_us) == (None, 0)
    assert "no quota at" in driver.probe().reason


def test_v1_without_quota(machine: FakeMachine, driver: CgroupDriver) -> None:
    machine.write("proc/self/cgroup", "4:cpu:/\n")
    machine.fill(f"{CGROUP}/cpu", **{"cpu.cfs_quota_us": -1, "cpu.cfs_period_us": 100000})
    sample = driver.read()
    assert (sample.quota_cpus, sample.period_us, sample.throttled_us) == (None, None, None)


def test_the_tightest_group_counts_and_the_time_of_all(
    machine: FakeMachine, driver: CgroupDriver
) -> None:
    machine.write("proc/self/cgroup", "0::/a/b/c\n")
    write_v2(machine, "a", "400000 100000", 10)
    write_v2(machine, "a/b", "15000 10000", 200)
    write_v2(machine, "a/b/c", "max 100000", None)
    sample = driver.read()
    assert (sample.quota_cpus, sample.period_us, sample.throttled_us) == (1.5, 10_000, 210)
    assert sample.source.endswith("a/b")


def test_a_quota_that_changes(machine: FakeMachine, driver: CgroupDriver) -> None:
    machine.write("proc/self/cgroup", "0::/app\n")
    write_v2(machine, "app", "max 100000", 0)
    assert driver.read().quota_cpus is None
    write_v2(machine, "app", "50000 100000", 40_000)
    sample = driver.read()
    assert (sample.quota_cpus, sample.throttled_us) == (0.5, 40_000)


def test_a_group_that_vanishes_or_is_left(machine: FakeMachine, driver: CgroupDriver) -> None:
    machine.write("proc/self/cgroup", "0::/app\n")
    write_v2(machine, "app", "100000 100000")
    assert driver.read().quota_cpus == 1.0
    machine.write("proc/self/cgroup", "0::/other\n")
    write_v2(machine, "other", "200000 100000")
    shutil.rmtree(machine.root / CGROUP / "app")
    assert driver.read().quota_cpus == 2.0
    shutil.rmtree(machine.root / CGROUP)
    with pytest.raises(SensorError, match="nothing below"):
        driver.read()


def test_a_link_to_the_same_hierarchy_counts_once(
    machine: FakeMachine, driver: CgroupDriver
) -> None:
    machine.write("proc/self/cgroup", "4:cpu,cpuacct:/\n")
    machine.fill(
        f"{CGROUP}/cpu,cpuacct",
        **{
            "cpu.cfs_quota_us": 50000,
            "cpu.cfs_period_us": 100000,
            "cpu.stat": "throttled_time 7000",
        },
    )
    (machine.root / CGROUP / "cpu").symlink_to("cpu,cpuacct")
    assert driver.read().throttled_us == 7


def test_a_name_that_is_none_is_passed_over(machine: FakeMachine, driver: CgroupDriver) -> None:
    machine.write("proc/self/cgroup", "4:cpu:/a\0b\n0::/app\n")
    write_v2(machine, "app", "50000 100000")
    assert driver.read().quota_cpus == 0.5


def test_nothing_there(machine: FakeMachine, driver: CgroupDriver) -> None:
    capability = driver.probe()
    assert capability.status is Status.UNSUPPORTED
    assert capability.reason.endswith(f"{machine.root}/proc/self/cgroup can't be read")
    assert read_quota(Sysfs(machine.root)) is None
    driver.close()
    with pytest.raises(SensorError, match="closed"):
        driver.read()


@given(listing=st.text(), limit=st.text(), stat=st.text())
def test_any_text_gives_a_sample_or_a_reason(
    tmp_path_factory: pytest.TempPathFactory, listing: str, limit: str, stat: str
) -> None:
    machine = FakeMachine(tmp_path_factory.mktemp("machine"))
    for name, text in (
        ("proc/self/cgroup", f"0::/\n{listing}"),
        (f"{CGROUP}/cpu.max", limit),
        (f"{CGROUP}/cpu.stat", stat),
    ):
        machine.write(name, "").write_bytes(text.encode("utf-8", "surrogatepass"))
    sample = read_quota(Sysfs(machine.root))
    assert sample is not None
    assert sample.quota_cpus is None or sample.quota_cpus > 0.0
