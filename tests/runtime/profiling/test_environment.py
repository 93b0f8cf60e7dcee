# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest
from fake_kernel import FakeKernel

from aio.runtime.profiling.environment import NVPMODEL, boost, environment_report


def test_what_a_machine_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = FakeKernel(tmp_path)
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(tmp_path))
    kernel.begin_with(energy_performance_preference="balance_power")
    kernel.machine.write(NVPMODEL, "pmode:0002\n")
    kernel.machine.write("sys/devices/system/cpu/cpufreq/boost", "1\n")
    found = environment_report(0)
    assert json.loads(json.dumps(found)) == found
    assert (found["nvpmodel"], found["boost"]) == ("pmode:0002", True)
    policies = found["cpufreq"]
    assert isinstance(policies, list)
    (policy,) = policies
    assert policy["driver"] == "fake-cpufreq"
    assert (policy["governor"], policy["epp"]) == ("schedutil", "balance_power")


@pytest.mark.parametrize(
    ("path", "text", "allowed"),
    [
        (None, "", None),
        ("cpufreq/boost", "0", False),
        ("intel_pstate/no_turbo", "1", False),
        ("intel_pstate/no_turbo", "0", True),
    ],
)
def test_boost(tmp_path: Path, path: str | None, text: str, *, allowed: bool | None) -> None:
    if path is not None:
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_text(text)
    assert boost(tmp_path) is allowed
