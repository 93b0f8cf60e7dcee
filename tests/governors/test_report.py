# SPDX-License-Identifier: Apache-2.0
"""The report of a machine is complete and plain data."""

from __future__ import annotations

import json

import pytest
from fake_machine import SNAPDRAGON_888, MachineMaker

from aio.governors.report import machine_report


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))


def test_report_of_a_phone(make_machine: MachineMaker) -> None:
    machine = make_machine(SNAPDRAGON_888)
    report = json.loads(json.dumps(machine_report(None, machine.root, cost_s=0.05)))
    assert report["root"] == str(machine.root)
    clock = report["sample"]["clock"]
    assert (clock["driver"], clock["cpu_khz"]) == ("cpufreq", 2841600)
    assert [policy["name"] for policy in clock["policies"]] == ["policy7"]
    assert [policy["name"] for policy in report["policies"]] == ["policy0", "policy4", "policy7"]
    assert report["policies"][1]["cpus"] == [4, 5, 6]
    assert report["threads"]["threads"] == 1
    assert report["cost"]["us_per_sample"] > 0
    assert report["cost"]["core_fraction_at_50_hz"] == pytest.approx(
        report["cost"]["us_per_sample"] * 50e-6
    )


def test_every_driver_of_every_quantity_is_accounted_for(make_machine: MachineMaker) -> None:
    report = machine_report(None, make_machine(SNAPDRAGON_888).root, cost_s=0.01)
    said = {(item["quantity"], item["driver"]): item for item in report["capabilities"]}
    assert list(said) == [
        *(("cpu_clock", name) for name in ("cpufreq", "perf_cycles", "timed_loop", "constant")),
        *(("gpu_clock", name) for name in ("devfreq", "nvml", "drm")),
        ("cpu_quota", "cgroup"),
        ("thermal", "thermal"),
        ("power_source", "power_supply"),
        *(("energy", name) for name in ("ina3221", "rapl")),
    ]
    assert said["cpu_clock", "cpufreq"]["status"] == "value"
    assert said["cpu_clock", "cpufreq"]["age_s"] >= 0.0
    others = [item for key, item in said.items() if key != ("cpu_clock", "cpufreq")]
    assert {(item["status"], item["age_s"]) for item in others} == {("unsupported", None)}
    assert all(item["reason"] for item in others)


def test_report_of_a_virtual_machine(make_machine: MachineMaker) -> None:
    machine = make_machine(None)
    report = json.loads(json.dumps(machine_report(lambda: 2e6, machine.root, cost_s=0.01)))
    assert report["policies"] == []
    clock = report["sample"]["clock"]
    assert (clock["driver"], clock["cpu_khz"]) == ("timed_loop", 2_000_000)
