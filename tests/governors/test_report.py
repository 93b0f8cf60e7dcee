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
    report = json.loads(json.dumps(machine_report(None, machine.root)))
    assert report["root"] == str(machine.root)
    assert report["driver"] == "cpufreq"
    assert [item["status"] for item in report["capabilities"]] == [
        "value",
        "unsupported",
        "unsupported",
    ]
    assert report["sample"]["cpu_khz"] == 2841600
    assert [policy["name"] for policy in report["sample"]["policies"]] == ["policy7"]
    assert [policy["name"] for policy in report["policies"]] == ["policy0", "policy4", "policy7"]
    assert report["policies"][1]["cpus"] == [4, 5, 6]
    assert report["threads"]["threads"] == 1


def test_report_of_a_virtual_machine(make_machine: MachineMaker) -> None:
    report = json.loads(json.dumps(machine_report(lambda: 2e6, make_machine(None).root)))
    assert (report["driver"], report["policies"]) == ("timed_loop", [])
    assert report["sample"]["cpu_khz"] == 2_000_000
