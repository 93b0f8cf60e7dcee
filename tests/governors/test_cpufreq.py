# SPDX-License-Identifier: Apache-2.0
"""The cpufreq driver on fake machines: what real kernels and hostile trees do to it."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from fake_machine import (
    BOARDS,
    LAPTOP,
    LITTLE_KHZ,
    ORIN_NANO,
    PRIME_KHZ,
    RASPBERRY_PI_4,
    SNAPDRAGON_888,
    Board,
    FakeMachine,
    MachineMaker,
    PolicySpec,
)

from aio.governors.base import ClockSample, Status
from aio.governors.drivers import cpufreq
from aio.governors.drivers.cpufreq import CpufreqDriver, survey
from aio.governors.sysfs import Sysfs

OpenDriver = Callable[..., CpufreqDriver]


@pytest.fixture
def open_driver() -> Iterator[OpenDriver]:
    drivers: list[CpufreqDriver] = []

    def open_it(
        machine: FakeMachine, cpus: Iterable[int] = range(8), threads: int | None = None
    ) -> CpufreqDriver:
        allowed = frozenset(cpus)
        driver = CpufreqDriver(Sysfs(machine.root), threads=threads, cpus=lambda: allowed)
        drivers.append(driver)
        return driver

    yield open_it
    for driver in drivers:
        driver.close()


@pytest.fixture
def no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpufreq, "GRACE_NS", -1)


@pytest.fixture
def scan_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpufreq, "SCAN_PERIOD_NS", 0)
    monkeypatch.setattr(cpufreq, "SCAN_LOAD", 1e9)


def names(sample: ClockSample) -> list[str]:
    return [policy.name for policy in sample.policies]


@pytest.mark.parametrize(
    ("board", "followed", "max_khz", "listed"),
    [
        (ORIN_NANO, ["policy0", "policy4"], 1510400, 20),
        (SNAPDRAGON_888, ["policy7"], 2841600, 19),
        (RASPBERRY_PI_4, ["policy0"], 1500000, 10),
        (LAPTOP, ["policy0", "policy1", "policy2", "policy3"], 4500000, 0),
    ],
    ids=lambda value: value.name if isinstance(value, Board) else None,
)
def test_boards(
    make_machine: MachineMaker,
    open_driver: OpenDriver,
    board: Board,
    followed: list[str],
    max_khz: int,
    listed: int,
) -> None:
    driver = open_driver(make_machine(board))
    capability = driver.probe()
    sample = driver.read()
    assert capability.status is Status.VALUE
    assert names(sample) == followed
    assert (sample.cpu_khz, sample.max_khz, sample.error) == (max_khz, max_khz, None)
    assert len(sample.policies[0].available_khz) == listed
    spec = next(p for p in board.policies if f"policy{p.number}" == followed[0])
    assert sample.policies[0].cpus == spec.cpus
    assert sample.policies[0].governor == spec.governor
    assert sample.policies[0].driver == spec.driver
    assert spec.driver in capability.reason


def test_reason_is_for_humans(make_machine: MachineMaker, open_driver: OpenDriver) -> None:
    phone = open_driver(make_machine(SNAPDRAGON_888)).probe().reason
    assert phone == (
        "policy7: CPUs 7, qcom-cpufreq-hw, schedutil, 845 to 2842 MHz; "
        "the fastest of 3 kinds of cores by cpuinfo_max_freq"
    )
    server = make_machine(None)
    for cpu in range(6):
        server.add_policy(PolicySpec(cpu, (cpu,), (800000, 3000000), "acpi-cpufreq", "ondemand"))
    assert open_driver(server).probe().reason.endswith("; and 2 more")


def test_cpuinfo_cur_freq_is_never_opened(
    make_machine: MachineMaker, open_driver: OpenDriver
) -> None:
    drivers = [open_driver(make_machine(board)) for board in BOARDS]
    opened: list[str] = []
    watching = True

    def hook(event: str, args: tuple[object, ...]) -> None:
        if watching and event == "open":
            opened.append(Path(str(args[0])).name)

    sys.addaudithook(hook)
    for driver in drivers:
        driver.probe()
        driver.read()
    watching = False
    assert "scaling_cur_freq" in opened
    assert "cpuinfo_cur_freq" not in opened


def test_clock_follows_the_file(orin: FakeMachine, open_driver: OpenDriver) -> None:
    driver = open_driver(orin)
    for khz in (806400, 115200, 1510400):
        orin.set_khz(khz, (0, 4))
        assert driver.read().cpu_khz == khz
        orin.replace(orin.policy(0) / "scaling_cur_freq", "729600\n")
        orin.replace(orin.policy(4) / "scaling_cur_freq", f"{khz}")
        assert driver.read().cpu_khz == min(729600, khz)


def test_slowest_policy_holds_the_barrier(orin: FakeMachine, open_driver: OpenDriver) -> None:
    orin.set_khz(422400, (4,))
    sample = open_driver(orin).read()
    assert sample.cpu_khz == 422400
    assert [policy.cur_freq_khz for policy in sample.policies] == [1510400, 422400]


def test_only_policies_of_this_process_count(orin: FakeMachine, open_driver: OpenDriver) -> None:
    orin.set_khz(422400, (4,))
    sample = open_driver(orin, cpus=(1, 2)).read()
    assert (sample.cpu_khz, names(sample)) == (1510400, ["policy0"])


def test_policy_number_is_no_cpu_number(
    make_machine: MachineMaker, open_driver: OpenDriver
) -> None:
    machine = make_machine(None)
    machine.add_policy(PolicySpec(0, (2, 3), (300000, 1000000), "cpufreq-dt", "performance"))
    machine.add_policy(PolicySpec(2, (0, 1), (300000, 2000000), "cpufreq-dt", "performance"))
    assert names(open_driver(machine, cpus=(0,)).read()) == ["policy2"]


def test_tree_of_other_cpus_is_followed_as_a_whole(
    make_machine: MachineMaker, open_driver: OpenDriver
) -> None:
    machine = make_machine(SNAPDRAGON_888)
    shutil.rmtree(machine.policy(0))
    machine.set_khz(710400, (4,))
    driver = open_driver(machine, cpus=(0, 1))
    assert "none governs a CPU of this process (CPUs 0-1)" in driver.probe().reason
    assert names(driver.read()) == ["policy7"]


def test_slower_kind_is_followed_when_only_that_is_allowed(
    make_machine: MachineMaker, open_driver: OpenDriver
) -> None:
    sample = open_driver(make_machine(SNAPDRAGON_888), cpus=range(4)).read()
    assert (sample.cpu_khz, names(sample)) == (LITTLE_KHZ[-1], ["policy0"])


@pytest.mark.parametrize(
    ("threads", "khz"), [(None, 400000), (1, 4600000), (2, 3900000), (3, 400000), (64, 400000)]
)
def test_idle_cores_do_not_hide_the_busy_ones(
    make_machine: MachineMaker, open_driver: OpenDriver, threads: int | None, khz: int
) -> None:
    machine = make_machine(LAPTOP)
    for cpu, cur_khz in enumerate((400000, 4600000, 400000, 3900000)):
        machine.set_khz(cur_khz, (cpu,))
    assert open_driver(machine, threads=threads).read().cpu_khz == khz


def test_a_shared_policy_counts_for_all_its_cpus(
    orin: FakeMachine, open_driver: OpenDriver
) -> None:
    orin.set_khz(422400, (4,))
    assert open_driver(orin, threads=4).read().cpu_khz == 1510400
    assert open_driver(orin, threads=5).read().cpu_khz == 422400


@pytest.mark.parametrize(
    "text", ["<unsupported>\n", "0\n", "-5\n", "", "9" * 300, "\x00\x00\x00\x00", "1510400000\n"]
)
def test_unusable_reading_of_one_policy(
    orin: FakeMachine, open_driver: OpenDriver, no_grace: None, text: str
) -> None:
    driver = open_driver(orin)
    assert driver.probe().status is Status.VALUE
    (orin.policy(4) / "scaling_cur_freq").write_text(text)
    sample = driver.read()
    assert (sample.cpu_khz, names(sample), sample.error) == (1510400, ["policy0"], None)
    (orin.policy(0) / "scaling_cur_freq").write_text(text)
    sample = driver.read()
    assert sample.cpu_khz is None
    assert sample.error is not None
    assert "policy0/scaling_cur_freq" in sample.error
    assert driver.probe().status is Status.ERROR
    orin.set_khz(806400, (0, 4))
    assert driver.read().cpu_khz == 806400


def test_missing_reading_is_bridged_for_a_moment(
    orin: FakeMachine, open_driver: OpenDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpufreq, "GRACE_NS", 10**12)
    driver = open_driver(orin)
    driver.read()
    (orin.policy(0) / "scaling_cur_freq").write_text("")
    (orin.policy(4) / "scaling_cur_freq").unlink()
    sample = driver.read()
    assert (sample.cpu_khz, sample.error) == (1510400, None)


def test_missing_scaling_cur_freq(orin: FakeMachine, open_driver: OpenDriver) -> None:
    for number in (0, 4):
        (orin.policy(number) / "scaling_cur_freq").unlink()
    capability = open_driver(orin).probe()
    assert capability.status is Status.ERROR
    assert capability.reason == (
        "policy0/scaling_cur_freq: no such file or directory; "
        "policy4/scaling_cur_freq: no such file or directory"
    )


def test_folder_in_place_of_the_clock(orin: FakeMachine, open_driver: OpenDriver) -> None:
    path = orin.policy(0) / "scaling_cur_freq"
    path.unlink()
    path.mkdir()
    sample = open_driver(orin).read()
    assert names(sample) == ["policy4"]


def test_policy_disappears_and_comes_back(
    make_machine: MachineMaker, open_driver: OpenDriver, no_grace: None
) -> None:
    machine = make_machine(RASPBERRY_PI_4)
    driver = open_driver(machine)
    assert driver.read().cpu_khz == 1500000
    machine.remove_policy(0)
    gone = driver.read()
    assert gone.cpu_khz is None
    assert gone.error is not None
    assert gone.error.endswith("cpufreq is empty, as in most virtual machines")
    machine.add_policy(RASPBERRY_PI_4.policies[0])
    machine.set_khz(600000)
    assert driver.read().cpu_khz == 600000


def test_unplugged_cluster_no_longer_holds_the_barrier(
    orin: FakeMachine, open_driver: OpenDriver, scan_always: None
) -> None:
    orin.set_khz(115200, (4,))
    driver = open_driver(orin)
    assert driver.read().cpu_khz == 115200
    (orin.policy(4) / "affected_cpus").write_text("\n")
    assert driver.read().cpu_khz == 1510400
    (orin.policy(4) / "affected_cpus").write_text("4 5\n")
    assert driver.read().cpu_khz == 115200


def test_policy_that_appears_later_is_found(
    make_machine: MachineMaker, open_driver: OpenDriver, scan_always: None
) -> None:
    machine = make_machine(SNAPDRAGON_888)
    machine.remove_policy(7)
    driver = open_driver(machine)
    assert names(driver.read()) == ["policy4"]
    machine.add_policy(SNAPDRAGON_888.policies[2])
    sample = driver.read()
    assert (names(sample), sample.cpu_khz) == (["policy7"], PRIME_KHZ[-1])


def test_scans_are_rare_while_all_is_well(orin: FakeMachine, open_driver: OpenDriver) -> None:
    driver = open_driver(orin)
    driver.probe()
    (orin.policy(0) / "scaling_governor").write_text("performance\n")
    governors = {driver.read().policies[0].governor for _ in range(5)}
    assert governors == {"schedutil"}


def test_all_offline(orin: FakeMachine, open_driver: OpenDriver) -> None:
    (orin.policy(0) / "affected_cpus").write_text("\n")
    path = orin.policy(4) / "affected_cpus"
    path.unlink()
    path.mkdir()  # reading it fails, as with EBUSY on a real machine
    capability = open_driver(orin).probe()
    assert capability.status is Status.ERROR
    assert "policy0: its CPUs are offline" in capability.reason
    assert "policy4/affected_cpus: is a directory" in capability.reason


def test_policy_without_cpu_lists_is_followed(orin: FakeMachine, open_driver: OpenDriver) -> None:
    orin.remove_policy(4)
    for name in ("affected_cpus", "related_cpus", "cpuinfo_min_freq"):
        (orin.policy(0) / name).unlink()
    driver = open_driver(orin, threads=2)
    assert driver.probe().reason.startswith("policy0: unknown CPUs, tegra194, schedutil, ? to 1510")
    sample = driver.read()
    assert (sample.cpu_khz, sample.policies[0].cpus) == (1510400, ())


@pytest.mark.parametrize(
    ("missing", "max_khz"),
    [
        (["cpuinfo_max_freq"], 1510400),
        (["cpuinfo_max_freq", "scaling_available_frequencies"], 1200000),
        (["cpuinfo_max_freq", "scaling_available_frequencies", "scaling_max_freq"], None),
    ],
)
def test_full_speed_without_cpuinfo_max_freq(
    orin: FakeMachine, open_driver: OpenDriver, missing: list[str], max_khz: int | None
) -> None:
    for number in (0, 4):
        (orin.policy(number) / "scaling_max_freq").write_text("1200000\n")
        for name in missing:
            (orin.policy(number) / name).unlink()
    sample = open_driver(orin).read()
    assert (sample.cpu_khz, sample.max_khz) == (1510400, max_khz)


def test_descending_list(make_machine: MachineMaker, open_driver: OpenDriver) -> None:
    machine = make_machine(None)
    freqs = (800000, 1600000, 2400000)
    machine.add_policy(PolicySpec(0, (0,), freqs, "acpi-cpufreq", "ondemand", "descending"))
    text = (machine.policy(0) / "scaling_available_frequencies").read_text()
    assert text == "2400000 1600000 800000 \n"
    assert open_driver(machine).read().policies[0].available_khz == freqs


def test_preferences_and_limits_are_reported(
    make_machine: MachineMaker, open_driver: OpenDriver
) -> None:
    machine = make_machine(LAPTOP)
    folder = machine.policy(0)
    (folder / "energy_performance_preference").write_text("balance_power\n")
    (folder / "bios_limit").write_text("2400000\n")
    (folder / "scaling_min_freq").write_text("800000\n")
    first, second = open_driver(machine).read().policies[:2]
    assert (first.epp, first.bios_limit_khz, first.scaling_min_freq_khz) == (
        "balance_power",
        2_400_000,
        800_000,
    )
    assert (second.epp, second.bios_limit_khz) == (None, None)


def test_a_cap_is_seen_at_the_next_scan_and_the_range_later(
    orin: FakeMachine,
    open_driver: OpenDriver,
    scan_always: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    driver = open_driver(orin)
    driver.read()
    for number in (0, 4):
        for name in ("scaling_max_freq", "cpuinfo_max_freq"):
            (orin.policy(number) / name).write_text("1190400\n")
    capped = driver.read().policies[0]
    assert (capped.scaling_max_freq_khz, capped.max_freq_khz) == (1_190_400, 1_510_400)
    monkeypatch.setattr(cpufreq, "FACTS_PERIOD_NS", 0)
    driver = open_driver(orin)
    driver.read()
    for number in (0, 4):
        (orin.policy(number) / "cpuinfo_max_freq").write_text("1267200\n")
    assert driver.read().policies[0].max_freq_khz == 1_267_200


def test_cpuinfo_avg_freq_that_fails_does_not_matter(
    orin: FakeMachine, open_driver: OpenDriver
) -> None:
    for number in (0, 4):
        (orin.policy(number) / "cpuinfo_avg_freq").mkdir()
    assert open_driver(orin).read().cpu_khz == 1_510_400


def test_pipe_and_huge_file_in_place_of_the_clock(
    orin: FakeMachine, open_driver: OpenDriver
) -> None:
    path = orin.policy(0) / "scaling_cur_freq"
    path.unlink()
    os.mkfifo(path)
    assert names(open_driver(orin).read()) == ["policy4"]
    (orin.policy(4) / "scaling_cur_freq").write_bytes(b"1" * 10_000_000)
    assert open_driver(orin).probe().status is Status.ERROR


def test_empty_and_missing_folder(make_machine: MachineMaker, open_driver: OpenDriver) -> None:
    machine = make_machine(None)
    capability = open_driver(machine).probe()
    assert capability.status is Status.UNSUPPORTED
    assert "cpufreq is empty" in capability.reason
    machine.cpufreq.rmdir()
    capability = open_driver(machine).probe()
    assert capability.status is Status.UNSUPPORTED
    assert capability.reason.endswith("cpufreq does not exist")
    machine.cpufreq.write_text("a file")
    assert open_driver(machine).probe().status is Status.ERROR


def test_closed_driver_reads_nothing(orin: FakeMachine, open_driver: OpenDriver) -> None:
    before = open_descriptors(orin.root)
    driver = open_driver(orin)
    driver.read()
    assert len(open_descriptors(orin.root)) == len(before) + 2
    driver.close()
    assert open_descriptors(orin.root) == before
    assert driver.read().error == "the driver is closed"
    assert open_descriptors(orin.root) == before


def test_vanished_policies_leave_no_descriptor(
    orin: FakeMachine, open_driver: OpenDriver, scan_always: None
) -> None:
    driver = open_driver(orin)
    driver.read()
    orin.remove_policy(4)
    driver.read()
    assert len(open_descriptors(orin.root)) == 1


def test_survey_lists_what_is_not_followed(make_machine: MachineMaker) -> None:
    machine = make_machine(SNAPDRAGON_888)
    (machine.policy(4) / "scaling_cur_freq").write_text("<unknown>\n")
    policies = survey(Sysfs(machine.root))
    assert [policy.cur_freq_khz for policy in policies] == [LITTLE_KHZ[-1], None, PRIME_KHZ[-1]]
    assert [policy.cpus for policy in policies] == [(0, 1, 2, 3), (4, 5, 6), (7,)]
    assert open_descriptors(machine.root) == []


def open_descriptors(root: Path) -> list[str]:
    """Return what this process has open below `root`."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:  # the descriptor of this very loop
            continue
        if target.startswith(str(root)):
            found.append(target)
    return found
