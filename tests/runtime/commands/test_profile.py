# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import json
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from fake_kernel import POINTS_KHZ, FakeKernel
from model_parts import later_model, small_model

from aio.governors.settings import ClockSettings
from aio.governors.settings.journal import Journal
from aio.governors.settings.restore import JOURNAL_NAME
from aio.runtime import Runtime, cli
from aio.runtime.benchmark.onnx_model import to_onnx
from aio.runtime.model_file import read_model_file

Command = Callable[..., tuple[int, str, str]]
QUICK = ("--count", "5", "--threads", "1")
PLAIN = (*QUICK, "--no-files")


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


def cells(out: str) -> list[list[str]]:
    """Return the rows of the first table, split at wide gaps."""
    lines = out.split("\n\n")[1].splitlines()
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[1:]]


def test_as_the_machine_is(profile: Command, path: str, kernel: FakeKernel, tmp_path: Path) -> None:
    before = kernel.times()
    code, out, err = profile(path, *PLAIN)
    assert (code, err) == (0, "")
    (row,) = cells(out)
    assert row[:4] == ["schedutil", "adaptive", "2000", "5"]
    assert "energy per inference: not available (no rail is measured here)" in out
    assert out.splitlines()[-1] == (
        f"settings and clocks are those of AIO_SYSFS_ROOT={kernel.root}, not this machine's"
    )
    assert kernel.times() == before
    assert not (tmp_path / "run").exists()


def test_points_and_subjects(profile: Command, path: str, kernel: FakeKernel) -> None:
    before = kernel.state()
    code, out, _ = profile(
        *(path, "--seconds", "0.01", "--no-files", "--json", "--gpu-freq", "612000000"),
        *("--compare", "fixed:0.5,table,ort"),
        *("--set-freq", "1000000,1960000", "--governors", "performance,powersave"),
    )
    assert code == 0
    document = json.loads(out)
    points = document["points"]
    assert [p["label"] for p in points] == [
        *("performance 1000 MHz GPU 612 MHz", "performance 1960 MHz GPU 612 MHz"),
        *("powersave 1000 MHz GPU 612 MHz", "powersave 1960 MHz GPU 612 MHz"),
    ]
    assert [p["governor"] for p in points] == ["performance"] * 2 + ["powersave"] * 2
    # Nothing moves the clock of this tree, and the command must say so.
    assert points[0]["notes"] == ["1000000 kHz were asked for, the sensors see 2000000"]
    assert points[1]["notes"] == ["policy0: 2000000 kHz is its operating point closest to 1960000"]
    figures = points[0]["figures"]
    assert list(figures) == ["fixed:0.5", "table", "ort"]
    assert [share["level"] for share in figures["fixed:0.5"]["levels"]] == [1]
    assert (figures["ort"]["levels"], figures["ort"]["level_changes"]) == ([], None)
    assert document["emulated"] is None
    environment = document["environment"]
    assert environment["clock_driver"] == "cpufreq"
    assert environment["cpufreq"][0]["governor"] == "schedutil"
    assert (environment["boost"], environment["nvpmodel"]) == (None, None)
    assert kernel.state() == before


def test_files_agree_with_each_other(
    profile: Command, path: str, kernel: FakeKernel, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    code, _, err = profile(
        path, "--count", "40", "--output", str(folder), "--governors", "powersave"
    )
    assert code == 0
    assert err.startswith("aio profile: wrote profile.json, trace.json, report.html")
    rows = list(csv.DictReader((folder / "samples.csv").read_text().splitlines()))
    steady = [float(row["latency_ms"]) for row in rows if row["phase"] == "steady"]
    document = json.loads((folder / "profile.json").read_text())
    latency = document["points"][0]["figures"]["adaptive"]["latency"]
    assert latency["count"] == len(steady) >= 40
    for name, percent in (("p50_ms", 50), ("p90_ms", 90), ("p99_ms", 99), ("p999_ms", 99.9)):
        assert latency[name] == np.percentile(steady, percent, method="inverted_cdf")
    assert {row["cpu_khz"] for row in rows} == {"2000000"}
    assert sum(row["phase"] == "cold" for row in rows) == 1
    code, out, _ = profile("diff", *[str(folder / "profile.json")] * 2)
    assert (code, "~+0.0%" in out) == (0, True)


def test_all_operating_points(profile: Command, path: str, kernel: FakeKernel) -> None:
    before = kernel.state()
    brief = ("--seconds", "0.001", "--no-files", "--threads", "1")
    code, out, _ = profile(path, *brief, "--set-freq", "all", "--json")
    points = json.loads(out)["points"]
    assert code == 0
    assert tuple(point["wanted"]["cpu_khz"] for point in points) == POINTS_KHZ
    assert {point["governor"] for point in points} == {"userspace"}
    assert kernel.state() == before


def test_an_onnx_file(profile: Command, path: str, kernel: FakeKernel, tmp_path: Path) -> None:
    network = tmp_path / "net.onnx"
    network.write_bytes(to_onnx(read_model_file(Path(path)), 0, 1))
    code, out, _ = profile("--onnx", str(network), *PLAIN)
    assert (code, [row[1] for row in cells(out)]) == (0, ["onnx:net"])
    code, out, _ = profile(path, "--onnx", str(network), *PLAIN)
    assert (code, [row[1] for row in cells(out)]) == (0, ["adaptive", "onnx:net"])


def test_energy_of_a_rail(profile: Command, path: str, kernel: FakeKernel) -> None:
    rail = {"name": "ina3221", "in1_label": "VDD_IN", "in1_input": 5000, "curr1_input": 400}
    kernel.machine.fill("sys/class/hwmon/hwmon0", **rail)
    code, out, _ = profile(path, *PLAIN, "--json", "--rate", "100")
    figures = json.loads(out)["points"][0]["figures"]["adaptive"]
    assert code == 0
    # 2 W at about 100 calls a second.
    assert figures["energy_mj"] == pytest.approx(2000 / figures["rate"], rel=1e-6)


def test_a_model_of_several_inputs(profile: Command, kernel: FakeKernel, tmp_path: Path) -> None:
    path = str(later_model().write(tmp_path / "several.aio"))
    code, out, _ = profile(path, *PLAIN, "--compare", "fixed:0.0,adaptive")
    assert (code, [row[1] for row in cells(out)]) == (0, ["fixed:0.0", "adaptive"])
    code, _, err = profile(path, *PLAIN, "--compare", "ort")
    assert (code, err.rstrip().endswith("several.aio has 3 inputs, not one")) == (2, True)


def test_assertions(profile: Command, path: str, kernel: FakeKernel) -> None:
    assert profile(path, *PLAIN, "--assert", "p99<1000s", "--assert", "cv<1000")[0] == 0
    code, out, err = profile(path, *PLAIN, "--assert", "p50<0.001us", "--assert", "cv<1000")
    assert (code, len(cells(out))) == (1, 1)
    assert err.startswith("aio profile: failed: p50<0.001us: adaptive at as found p50 is ")
    assert err.rstrip().endswith("% over the limit")


def test_sustained(profile: Command, path: str, kernel: FakeKernel) -> None:
    code, out, _ = profile(path, "--sustained", "0.2s", "--no-files", "--threads", "1")
    assert code == 0
    assert "minute  calls  p50 ms" in out
    assert "no throttling seen" in out
    brief = ("--sustained", "0.2s", "--no-files", "--threads", "1", "--json")
    found = json.loads(profile(path, *brief)[1])["sustained"]["adaptive"]
    assert found["throttling"] is None
    assert [minute["minute"] for minute in found["minutes"]] == [0]


def test_a_calibration_over_all_points_is_what_load_uses(
    profile: Command, path: str, kernel: FakeKernel, tmp_path: Path
) -> None:
    folder = tmp_path / "calibration"
    code, out, _ = profile(path, *PLAIN, "--set-freq", "500000,2000000", "--calibrate", str(folder))
    assert code == 0
    (stored,) = folder.iterdir()
    assert f"calibration over all points kept in {stored}" in out
    with Runtime.load(path, threads=1, calibrate=False, cache_dir=folder) as runtime:
        kept = json.loads(stored.read_text())["model"]
        assert runtime.calibration is not None
        assert list(runtime.calibration.reference_ms) == kept["reference_ms"]
    with Runtime.load(path, threads=1, calibrate=False, cache_dir=tmp_path) as runtime:
        assert runtime.calibration is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--seconds", "0"], "--seconds is 0.0, expected more than 0"),
        (["--idle-ms", "-1"], "--idle-ms is -1.0, expected at least 0"),
        (["--rate", "5", "--idle-ms", "1"], "--rate and --idle-ms are two paces: name one of them"),
        (["--count", "3", "--sustained", "1m"], "--count and --sustained: name one of them"),
        (["--set-freq", "fast"], "--set-freq 'fast': expected frequencies in kHz, or all"),
        (["--set-freq", ""], "--set-freq '': expected frequencies in kHz, or all"),
        (["--set-freq", "600000,7"], "7 kHz: the hardware has 500000 to 2000000 kHz"),
        (["--gpu-freq", "7"], "7 Hz: the hardware has 306000000 to 918000000 Hz"),
        (
            ["--governors", "performance,turbo"],
            "governor 'turbo': policy0 knows performance, powersave, userspace, schedutil",
        ),
        (
            ["--compare", "fast"],
            "--compare has 'fast', expected fixed:RATIO, table, adaptive or ort",
        ),
        (
            ["--compare", "fixed:0.4"],
            "--compare has fixed:0.4, the model has the ratios 0, 0.5, 0.8",
        ),
        (["--compare", "ort,ort"], "--compare 'ort,ort' names a subject twice"),
        (["--assert", "ort:cv<1"], "--assert 'ort:cv<1': ort is not measured, only adaptive"),
        (["--cpus", "x"], "--cpus is 'x', expected a list such as 0-1,3, or big or little"),
    ],
)
def test_wrong_values(
    profile: Command, path: str, kernel: FakeKernel, arguments: list[str], message: str
) -> None:
    before = kernel.times()
    code, out, err = profile(path, "--no-files", *arguments)
    assert (code, out, err) == (2, "", f"aio profile: error: {message}\n")
    assert kernel.times() == before


def test_a_wrong_model_leaves_no_folder(profile: Command, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert profile("none.aio", *QUICK, "--output", str(folder))[0] == 2
    assert not folder.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--device", "jetson"], 2, "jetson"),
        (
            ["--device", "jetson-orin-nano", "--governors", "turbo"],
            2,
            "governor 'turbo': known are",
        ),
        (["--device", "jetson-orin-nano", "--span", "0.5"], 2, "expected >= 1"),
        (["--device", "jetson-orin-nano", "--calibrate"], 2, "is not kept in the user's cache"),
        (["none.aio"], 2, "none.aio"),
        (["--onnx", "none.onnx"], 1, "none.onnx: no such file"),
        (["--onnx", __file__], 2, "does not run in ONNX Runtime"),
        ([__file__], 2, "test_profile.py"),
        (["diff", "one.json"], 2, "diff compares two profiles, got 1"),
    ],
)
def test_wrong_devices_and_files(
    profile: Command, arguments: list[str], code: int, message: str
) -> None:
    found, out, err = profile(*arguments, *PLAIN)
    assert (found, out) == (code, "")
    assert err.startswith("aio profile: error: ")
    assert message in err


def test_a_read_only_sysfs(
    profile: Command, path: str, kernel: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path, __: str) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(
        ClockSettings.__init__,
        "__kwdefaults__",
        {**(ClockSettings.__init__.__kwdefaults__ or {}), "write": refuse},
    )
    code, out, err = profile(path, *PLAIN, "--governors", "performance")
    assert (code, out) == (1, "")
    assert "containers see /sys read-only: run it on the host" in err


def test_a_full_disk(profile: Command, path: str, kernel: FakeKernel, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "samples.csv").symlink_to("/dev/full")
    code, out, err = profile(path, *QUICK, "--output", str(folder))
    assert (code, len(cells(out))) == (1, 1)
    assert "samples.csv can't be written: no space left on device; free some space" in err


def test_a_machine_whose_clock_can_t_be_set(
    profile: Command, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "none/sys/devices/system/cpu/cpufreq").mkdir(parents=True)
    monkeypatch.setenv("AIO_SYSFS_ROOT", str(tmp_path / "none"))
    code, _, err = profile(path, *PLAIN, "--set-freq", "all")
    assert code == 1
    assert "has no policy, so no CPU clock can be set here; virtual machines have none" in err
    code, out, _ = profile(path, *PLAIN)
    assert (code, cells(out)[0][0]) == (0, "as found")


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
    code, out, err = profile(path, *PLAIN)
    assert (code, cells(out)[0][0]) == (0, "schedutil")
    assert err.startswith("aio profile: put back ")


def test_clocks_that_another_process_holds(
    profile: Command, path: str, kernel: FakeKernel, tmp_path: Path
) -> None:
    with ClockSettings(kernel.root, tmp_path / "run") as clocks:
        clocks.set_governor("powersave")
        code, _, err = profile("--restore")
        assert code == 1
        assert "has set the clocks and puts them back when it ends" in err
        code, out, err = profile(path, *PLAIN)
        assert (code, cells(out)[0][0]) == (0, "powersave")
        assert err.startswith("aio profile: note: process ")
        assert profile(path, *PLAIN, "--governors", "performance")[0] == 1
        assert kernel.get("scaling_governor") == "powersave"
    assert kernel.get("scaling_governor") == "schedutil"


def test_a_class_of_cores(profile: Command, path: str, tmp_path: Path, kernel: FakeKernel) -> None:
    """Where the kernel ranks no core above another, both classes are all of them."""
    for kind in ("big", "little"):
        code, out, _ = profile(path, *PLAIN, "--cpus", kind, "--json")
        assert code == 0
        assert json.loads(out)["environment"]["affinity"]
