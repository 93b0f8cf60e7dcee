# SPDX-License-Identifier: Apache-2.0
"""`aio profile` as a process: interrupted on a fake machine, and under emulation."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fake_kernel import FakeKernel
from realtime_rights import needs_realtime, wait_until

AIO = (sys.executable, "-m", "aio.runtime.cli", "profile")
FOREVER = ("--seconds", "600", "--threads", "1", "--governors", "performance")


def start(kernel: FakeKernel, tmp_path: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "AIO_SYSFS_ROOT": str(kernel.root),
        "AIO_RUNTIME_DIR": str(tmp_path / "run"),
    }
    return subprocess.Popen(
        [*AIO, *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def samples(folder: Path) -> list[dict[str, str]]:
    path = folder / "samples.csv"
    if not path.exists():
        return []
    return list(csv.DictReader(path.read_text().splitlines()))


@pytest.mark.parametrize(
    ("sent", "code", "restored"),
    [(signal.SIGINT, 130, True), (signal.SIGTERM, 143, True), (signal.SIGKILL, -9, False)],
)
def test_interrupted(tmp_path: Path, sent: signal.Signals, code: int, *, restored: bool) -> None:
    kernel = FakeKernel(tmp_path / "root")
    before, folder = kernel.state(), tmp_path / "out"
    with start(kernel, tmp_path, *FOREVER, "--output", str(folder)) as process:
        wait_until(lambda: len(samples(folder)) > 20, "something was measured")
        assert kernel.get("scaling_governor") == "performance"
        process.send_signal(sent)
        out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert len(samples(folder)) > 20
    assert (kernel.state() == before) is restored
    if restored:
        document = json.loads((folder / "profile.json").read_text())
        assert document["interrupted"] is not None
        assert document["points"][0]["stopped_by"] == "not measured"
        assert "the results are partial" in err
        assert "performance" in out
        return
    with start(kernel, tmp_path, "--restore") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert "scaling_governor = schedutil" in err
    assert kernel.state() == before


@needs_realtime
def test_an_emulated_device_is_called_so_everywhere(tmp_path: Path) -> None:
    command = [*AIO, "--device", "jetson-orin-nano", "--governors", "performance,schedutil"]
    command += ["--compare", "fixed:0.7,adaptive", "--count", "12", "--output", str(tmp_path / "o")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "emulated jetson-orin-nano on CPU" in done.stdout.splitlines()[0]
    assert "energy per inference: not available (power is not emulated)" in done.stdout
    document = json.loads((tmp_path / "o/profile.json").read_text())
    assert document["emulated"].startswith("emulated jetson-orin-nano")
    assert [point["governor"] for point in document["points"]] == ["performance", "schedutil"]
    assert document["batch"] > 1
    assert document["effort"]["rate"] > 0
    assert document["emulated_speeds"][0]["wanted"] == 1.0
    figures = document["points"][0]["figures"]["adaptive"]
    assert figures["seen_khz"] == 1_510_400
    assert "Emulated." in (tmp_path / "o/report.html").read_text()
    events = json.loads((tmp_path / "o/trace.json").read_text())["traceEvents"]
    names = [e["args"]["name"] for e in events if e["name"] == "process_name"]
    assert names == ["emulated performance", "emulated schedutil"]
    assert [e for e in events if e.get("cat") == "layers"]
