# SPDX-License-Identifier: Apache-2.0
"""The chains of drivers: the first that answers is used, every one is accounted for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_machine import LAPTOP, ORIN_NANO, FakeMachine, MachineMaker

from aio.governors import Capability, DeviceSensors, open_sensors
from aio.governors.base import CPU_CLOCK, Status


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))


def loop() -> float:
    return 2e6


def clock_report(sensors: DeviceSensors) -> dict[str, Capability]:
    return {item.driver: item for item in sensors.capabilities if item.quantity == CPU_CLOCK}


def test_cpufreq_comes_first(orin: FakeMachine) -> None:
    sensors = open_sensors(loop, orin.root)
    clock = sensors.read().clock
    assert (clock.driver, clock.cpu_khz) == ("cpufreq", 1510400)
    report = clock_report(sensors)
    assert list(report) == ["cpufreq", "perf_cycles", "timed_loop", "constant"]
    assert report["cpufreq"].status is Status.VALUE
    assert report["cpufreq"].age_s(clock.time_ns) == pytest.approx(0.0, abs=1.0)
    assert report["timed_loop"].age_s(clock.time_ns) is None
    assert report["timed_loop"].status is Status.UNSUPPORTED
    assert report["timed_loop"].reason == "not tried: cpufreq answered"
    assert report["constant"].reason == "not tried: cpufreq answered"
    sensors.close()


def test_timed_loop_without_cpufreq(make_machine: MachineMaker) -> None:
    sensors = open_sensors(loop, make_machine(None).root)
    clock = sensors.read().clock
    assert (clock.driver, clock.cpu_khz) == ("timed_loop", 2_000_000)
    report = clock_report(sensors)
    assert "is empty" in report["cpufreq"].reason
    assert report["timed_loop"].status is Status.VALUE


@pytest.mark.parametrize(
    ("measure", "status", "reason"),
    [
        (None, Status.UNSUPPORTED, "the caller gave no measuring function"),
        (lambda: 0.0, Status.ERROR, "measured 0.0 kHz, which is no clock"),
    ],
)
def test_chain_ends_without_a_clock(
    make_machine: MachineMaker,
    measure: Callable[[], float] | None,
    status: Status,
    reason: str,
) -> None:
    sensors = open_sensors(measure, make_machine(None).root)
    clock = sensors.read().clock
    assert (clock.driver, clock.cpu_khz, clock.max_khz) == ("constant", None, None)
    report = clock_report(sensors)
    assert (report["constant"].status, report["constant"].reason) == (
        Status.UNSUPPORTED,
        clock.error,
    )
    assert (report["timed_loop"].status, report["timed_loop"].reason) == (status, reason)
    sensors.close()


def test_unusable_cpufreq_is_an_error_and_is_passed_over(orin: FakeMachine) -> None:
    orin.set_khz("<unsupported>", (0, 4))
    sensors = open_sensors(loop, orin.root)
    assert sensors.read().clock.driver == "timed_loop"
    cpufreq = clock_report(sensors)["cpufreq"]
    assert cpufreq.status is Status.ERROR
    assert "'<unsupported>' is no frequency in kHz" in cpufreq.reason


@pytest.mark.parametrize(("threads", "khz"), [(1, 4680000), (None, 400000)])
def test_threads_reach_the_driver(
    make_machine: MachineMaker, threads: int | None, khz: int
) -> None:
    machine = make_machine(LAPTOP)
    machine.set_khz(400000, (0, 1, 2))
    sensors = open_sensors(None, machine.root, threads=threads)
    assert sensors.read().clock.cpu_khz == khz
    sensors.close()


def test_root_from_the_environment(orin: FakeMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(orin.root))
    sensors = open_sensors(None)
    assert sensors.read().clock.max_khz == max(ORIN_NANO.policies[0].freqs_khz)
    sensors.close()
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(orin.root / "none"))
    with pytest.raises(ValueError, match="AIO_SYSFS_ROOT"):
        open_sensors(None)


def test_nvml_tells_of_this_machine_only(
    make_machine: MachineMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aio.governors.drivers.nvml.LIBRARY", "libnone.so.1")

    def answer(root: Path) -> Capability:
        sensors = open_sensors(loop, root)
        sensors.close()
        return next(item for item in sensors.capabilities if item.driver == "nvml")

    root = make_machine(None).root
    assert answer(root).reason == f"not asked: it tells of this machine, not of {root}"
    # The devices of the machine that runs the tests come first; without one NVML is asked.
    real = answer(Path("/")).reason
    assert real.startswith(("libnone.so.1 is not installed", "not tried: devfreq answered"))
