# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import pytest
from realtime_rights import needs_realtime

from aio.governors.emulation.realtime import CheckedPoint
from aio.runtime import cli
from aio.runtime.commands import emulate

CPU = str(min(os.sched_getaffinity(0)))


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert cli.main(["emulate", *arguments]) == cli.EXIT_USAGE
    return capsys.readouterr().err


def test_listing(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["emulate", "--list"]) == 0
    text = capsys.readouterr().out
    assert "jetson-orin-nano  " in text
    assert "115 to 1510 MHz" in text
    assert "governors: performance, powersave, userspace" in text
    assert "undervoltage" in text


def test_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    device = ("--device", "jetson-nano")
    assert "--device is missing" in fails(capsys, "--", "true")
    assert "unknown device 'toaster'" in fails(capsys, "--device", "toaster", "--", "true")
    assert "expected a program after --, or --check-only" in fails(capsys, *device)
    assert "and no program with it" in fails(capsys, *device, "--check-only", "--", "true")
    assert "--cpus is 'x'" in fails(capsys, *device, "--cpus", "x", "--", "true")
    assert "this process may use" in fails(capsys, *device, "--cpus", "4000", "--", "true")
    assert "unknown governor 'turbo'" in fails(capsys, *device, "--governor", "turbo", "--", "true")
    assert "no trace 'x'" in fails(capsys, *device, "--trace", "x", "--", "true")
    assert "use a control group" in fails(capsys, *device, "--trace", "quota", "--", "true")
    assert "0.0 times as fast" in fails(
        capsys, *device, "--trace", "steps", "--speedup", "0", "--", "true"
    )


@needs_realtime
def test_the_program_sees_the_tree(
    capfd: pytest.CaptureFixture[str], own_temporary_folder: Path
) -> None:
    script = (
        "cat $AIO_SYSFS_ROOT/sys/devices/system/cpu/cpufreq/policy0/scaling_driver; "
        "echo $AIO_CACHE_DIR; exit 3"
    )
    arguments = ["--device", "raspberry-pi-5", "--cpus", CPU, "--no-check"]
    assert cli.main(["emulate", *arguments, "--", "sh", "-c", script]) == 3
    out, err = capfd.readouterr()
    # The cache of whoever started this is respected.
    assert out.split() == ["cpufreq-dt", os.environ["AIO_CACHE_DIR"]]
    assert err.startswith("aio emulate: emulated raspberry-pi-5, governor ondemand")
    assert not list(own_temporary_folder.iterdir())


@needs_realtime
def test_no_such_program(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--device", "jetson-nano", "--cpus", CPU, "--no-check"]
    assert cli.main(["emulate", *arguments, "--", "no-such-program"]) == 127
    assert "no-such-program: command not found" in capfd.readouterr().err


@needs_realtime
def test_check_only(capfd: pytest.CaptureFixture[str]) -> None:
    arguments = ["--device", "jetson-nano", "--governor", "performance", "--cpus", CPU]
    code = cli.main(["emulate", *arguments, "--check-only", "--json"])
    document = json.loads(capfd.readouterr().out)
    assert document["emulated"].startswith("emulated jetson-nano, governor performance")
    (point,) = document["points"]
    assert (point["speed"], point["wanted"]) == (1.0, 1.0)
    assert point["error"] == pytest.approx(point["achieved"] / point["wanted"] - 1.0)
    assert code == (1 if abs(point["error"]) > 0.1 else 0)


def test_table() -> None:
    text = emulate._table([CheckedPoint(0.5, 2.0, 2.1, 0.03)])
    assert text.splitlines()[1].split() == ["0.500", "2.00x", "2.10x", "0.03", "+5.0%"]
