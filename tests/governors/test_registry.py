# SPDX-License-Identifier: Apache-2.0
"""The chain of drivers: the first that answers is used, every one is accounted for."""

from __future__ import annotations

import pytest
from fake_machine import LAPTOP, ORIN_NANO, Board, FakeMachine, MachineMaker

from aio.governors import open_cpu_clock
from aio.governors.base import Status


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))


def loop() -> float:
    return 2e6


def test_cpufreq_comes_first(orin: FakeMachine) -> None:
    driver, report = open_cpu_clock(loop, orin.root)
    assert driver.name == "cpufreq"
    assert driver.read().cpu_khz == 1510400
    driver.close()
    assert [(item.driver, item.status) for item in report] == [
        ("cpufreq", Status.VALUE),
        ("timed_loop", Status.UNSUPPORTED),
        ("constant", Status.UNSUPPORTED),
    ]
    assert report[1].reason == "not tried: cpufreq answered"
    assert report[2].reason == "not needed: cpufreq answered"
    assert {item.quantity for item in report} == {"cpu_clock"}


def test_timed_loop_without_cpufreq(make_machine: MachineMaker) -> None:
    driver, report = open_cpu_clock(loop, make_machine(None).root)
    assert (driver.name, driver.read().cpu_khz) == ("timed_loop", 2_000_000)
    assert "is empty" in report[0].reason
    assert report[1].status is Status.VALUE


@pytest.mark.parametrize(
    ("measure", "status", "reason"),
    [
        (None, Status.UNSUPPORTED, "the caller gave no measuring function"),
        (lambda: 0.0, Status.ERROR, "measured 0.0 kHz, which is no clock"),
    ],
)
def test_chain_ends_without_a_clock(
    make_machine: MachineMaker, measure: None, status: Status, reason: str
) -> None:
    driver, report = open_cpu_clock(measure, make_machine(None).root)
    sample = driver.read()
    assert driver.name == "constant"
    assert (sample.cpu_khz, sample.max_khz) == (None, None)
    assert sample.error == report[-1].reason
    assert (report[1].status, report[1].reason) == (status, reason)
    driver.close()


def test_unusable_cpufreq_is_an_error_and_is_passed_over(orin: FakeMachine) -> None:
    orin.set_khz("<unsupported>", (0, 4))
    driver, report = open_cpu_clock(loop, orin.root)
    assert driver.name == "timed_loop"
    assert report[0].status is Status.ERROR
    assert "'<unsupported>' is no frequency in kHz" in report[0].reason


@pytest.mark.parametrize(("threads", "khz"), [(1, 4680000), (None, 400000)])
def test_threads_reach_the_driver(
    make_machine: MachineMaker, threads: int | None, khz: int
) -> None:
    board: Board = LAPTOP
    machine = make_machine(board)
    machine.set_khz(400000, (0, 1, 2))
    driver, _ = open_cpu_clock(None, machine.root, threads=threads)
    assert driver.read().cpu_khz == khz
    driver.close()


def test_root_from_the_environment(orin: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(orin.root))
    driver, _ = open_cpu_clock(None)
    assert driver.read().max_khz == max(ORIN_NANO.policies[0].freqs_khz)
    driver.close()
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(orin.root / "none"))
    with pytest.raises(ValueError, match="AIO_SYSFS_ROOT"):
        open_cpu_clock(None)
