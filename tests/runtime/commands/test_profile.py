# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from fake_kernel import POINTS_KHZ, FakeKernel
from model_parts import small_model

from aio.governors.settings import ClockSettings
from aio.governors.settings.journal import Journal
from aio.governors.settings.restore import JOURNAL_NAME
from aio.runtime import cli

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(small_model().write(tmp_path / "small.aio"))


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeKernel:
    """Return a machine whose clocks can be set, in place of this one."""
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(tmp_path / "root"))
    return FakeKernel(tmp_path / "root")


@pytest.fixture
def profile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Return what runs the command; it returns exit code, output and errors."""
    monkeypatch.setenv("AIO_RUNTIME_DIR", str(tmp_path / "run"))
    point = EntryPoint("profile", "aio.runtime.commands.profile", cli.GROUP)

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            code = cli._run(point, "aio profile", list(arguments))
        except SystemExit as stop:  # argparse
            code = int(str(stop.code))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_as_the_machine_is(profile: Command, path: str, kernel: FakeKernel, tmp_path: Path) -> None:
    before = kernel.times()
    code, out, err = profile(path, "--seconds", "0.05", "--threads", "1")
    assert (code, err) == (0, "")
    header, row, _, *notes = out.splitlines()
    assert header.split()[:3] == ["governor", "wanted", "MHz"]
    assert row.split()[:3] == ["schedutil", "-", "2000"]
    assert notes == [
        "clocks seen by cpufreq",
        f"settings and clocks are those of AIO_SYSFS_ROOT={kernel.root}, not this machine's",
    ]
    assert kernel.times() == before
    assert not (tmp_path / "run").exists()


def test_json(profile: Command, path: str, kernel: FakeKernel) -> None:
    code, out, _ = profile(path, "--seconds", "0.05", "--level", "2", "--json")
    document = json.loads(out)
    assert (code, document["sysfs_root"]) == (0, str(kernel.root))
    (point,) = document["points"]
    assert point["wanted"] == {"governor": None, "cpu_khz": None, "gpu_hz": None}
    assert (point["governor"], point["seen_khz"], point["clock_driver"]) == (
        *("schedutil", 2_000_000, "cpufreq"),
    )
    assert point["levels"] == [
        {"level": 2, "inferences": point["latency_ms"]["count"], "time": pytest.approx(1)}
    ]
    assert point["level_changes"] == 0
    assert point["cv"] >= 0
    latency = point["latency_ms"]
    assert 0 < latency["p50_ms"] <= latency["p95_ms"] <= latency["p99_ms"]


def test_points(profile: Command, path: str, kernel: FakeKernel) -> None:
    before = kernel.state()
    code, out, _ = profile(
        *(path, "--seconds", "0.02", "--json", "--gpu-freq", "612000000"),
        *("--set-freq", "1000000,1960000", "--governor", "performance,powersave"),
    )
    assert code == 0
    points = json.loads(out)["points"]
    assert [(p["wanted"]["governor"], p["wanted"]["cpu_khz"]) for p in points] == [
        *(("performance", 1_000_000), ("performance", 1_960_000)),
        *(("powersave", 1_000_000), ("powersave", 1_960_000)),
    ]
    assert [p["governor"] for p in points] == ["performance"] * 2 + ["powersave"] * 2
    assert {p["wanted"]["gpu_hz"] for p in points} == {612_000_000}
    # Nothing moves the clock of this tree, and the command must say so.
    assert points[0]["notes"] == ["1000000 kHz were asked for, the sensors see 2000000"]
    assert points[1]["notes"] == [
        "policy0: 2000000 kHz is its operating point closest to 1960000",
    ]
    assert kernel.state() == before


def test_all_operating_points(profile: Command, path: str, kernel: FakeKernel) -> None:
    before = kernel.state()
    code, out, _ = profile(path, "--seconds", "0.001", "--set-freq", "all", "--json")
    points = json.loads(out)["points"]
    assert code == 0
    assert tuple(point["wanted"]["cpu_khz"] for point in points) == POINTS_KHZ
    assert {point["governor"] for point in points} == {"userspace"}
    assert kernel.state() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "0"], "--seconds is 0.0, expected more than 0"),
        (["--set-freq", "fast"], "--set-freq 'fast': expected frequencies in kHz, or all"),
        (["--set-freq", ""], "--set-freq '': expected frequencies in kHz, or all"),
        (["--set-freq", "600000,7"], "7 kHz: the hardware has 500000 to 2000000 kHz"),
        (["--gpu-freq", "7"], "7 Hz: the hardware has 306000000 to 918000000 Hz"),
        (
            ["--governor", "performance,turbo"],
            "governor 'turbo': policy0 knows performance, powersave, userspace, schedutil",
        ),
    ],
)
def test_wrong_values(
    profile: Command, path: str, kernel: FakeKernel, arguments: list[str], message: str
) -> None:
    before = kernel.times()
    code, out, err = profile(path, *arguments)
    assert (code, out, err) == (2, "", f"aio profile: error: {message}\n")
    assert kernel.times() == before


def test_a_machine_whose_clock_can_t_be_set(
    profile: Command, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none/sys/devices/system/cpu/cpufreq").mkdir(parents=True)
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(tmp_path / "none"))
    code, _, err = profile(path, "--set-freq", "all")
    assert code == 1
    assert "has no policy, so no CPU clock can be set here; virtual machines have none" in err
    code, out, _ = profile(path, "--seconds", "0.05")
    assert code == 0
    assert out.splitlines()[1].split()[:2] == ["-", "-"]


def leave_behind(kernel: FakeKernel, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    setting = kernel.policy / "scaling_governor"
    Journal(folder / JOURNAL_NAME).note(setting, setting.read_text())
    kernel.put(setting, "performance")


def test_restore(profile: Command, kernel: FakeKernel, tmp_path: Path) -> None:
    leave_behind(kernel, tmp_path / "run")
    code, out, err = profile("--restore")
    setting = kernel.policy / "scaling_governor"
    assert (code, out, err) == (0, "", f"aio profile: put back {setting} = schedutil\n")
    assert kernel.get("scaling_governor") == "schedutil"
    assert profile("--restore") == (0, "", "aio profile: nothing was left set\n")


def test_any_start_restores_first(
    profile: Command, path: str, kernel: FakeKernel, tmp_path: Path
) -> None:
    leave_behind(kernel, tmp_path / "run")
    code, out, err = profile(path, "--seconds", "0.05")
    assert (code, out.splitlines()[1].split()[0]) == (0, "schedutil")
    assert err.startswith("aio profile: put back ")


def test_clocks_that_another_process_holds(
    profile: Command, path: str, kernel: FakeKernel, tmp_path: Path
) -> None:
    with ClockSettings(kernel.root, tmp_path / "run") as clocks:
        clocks.set_governor("powersave")
        code, _, err = profile("--restore")
        assert code == 1
        assert "has set the clocks and puts them back when it ends" in err
        code, out, err = profile(path, "--seconds", "0.05")
        assert (code, out.splitlines()[1].split()[0]) == (0, "powersave")
        assert err.startswith("aio profile: note: process ")
        assert profile(path, "--governor", "performance")[0] == 1
        assert kernel.get("scaling_governor") == "powersave"
    assert kernel.get("scaling_governor") == "schedutil"
