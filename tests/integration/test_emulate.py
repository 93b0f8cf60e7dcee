# SPDX-License-Identifier: Apache-2.0
"""`aio emulate` as a user starts it: what the program gets, and what is left when things end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from realtime_rights import give_up_realtime, needs_realtime, running, wait_until

from aio.governors.emulation.realtime.load import descendants

CPU = str(min(os.sched_getaffinity(0)))
TIMEOUT_S = 60


def command(*arguments: str) -> list[str]:
    aio = Path(sys.executable).with_name("aio")
    return [str(aio), "emulate", "--device", "jetson-nano", "--cpus", CPU, *arguments]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(*arguments),
        env={**os.environ, "TMPDIR": str(folder)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def others(process: subprocess.Popen[str]) -> Sequence[int]:
    return sorted(descendants(process.pid) - {process.pid})


@needs_realtime
def test_the_slow_down_is_checked_and_printed_first(tmp_path: Path) -> None:
    arguments = ("--governor", "performance", "--trace", "undervoltage")
    done = run(tmp_path, *arguments, "--", "sh", "-c", "echo ran; exit 5")
    assert (done.returncode, done.stdout) == (5, "ran\n")
    lines = done.stderr.splitlines()
    assert lines[0].startswith("aio emulate: emulated jetson-nano, governor performance, trace ")
    assert lines[1].split() == ["emulated", "speed", "wanted", "achieved", "+-", "error"]
    assert [line.split()[:2] for line in lines[2:4]] == [["1.000", "1.00x"], ["0.400", "2.50x"]]
    assert not list(tmp_path.iterdir())


@needs_realtime
def test_a_program_finds_the_clock(tmp_path: Path) -> None:
    show = 'cat "$AIO_SYSFS_ROOT"/sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq'
    arguments = ("--governor", "powersave", "--no-check", "--", "sh", "-c", show)
    done = run(tmp_path, *arguments)
    assert (done.returncode, done.stdout) == (0, "102000\n")


@needs_realtime
def test_a_termination_reaches_the_program(tmp_path: Path) -> None:
    script = "trap 'echo asked; exit 9' TERM; echo ready; while :; do sleep 0.05; done"
    with start(tmp_path, "--no-check", "--", "sh", "-c", script) as process:
        assert first_line(process) == "ready"
        thieves = others(process)
        process.send_signal(signal.SIGTERM)
        assert first_line(process) == "asked"
        assert process.wait(TIMEOUT_S) == 9
    assert not any(map(running, thieves))
    assert not list(tmp_path.iterdir())


@needs_realtime
def test_terminated_before_the_program_starts(tmp_path: Path) -> None:
    with start(tmp_path, "--", "echo", "ran") as process:
        wait_until(lambda: len(others(process)) == 1, "the thief runs")
        thieves = others(process)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=TIMEOUT_S)
    assert (process.returncode, out) == (128 + signal.SIGTERM, "")
    assert not any(map(running, thieves))
    assert not list(tmp_path.iterdir())


@needs_realtime
def test_killed(tmp_path: Path) -> None:
    with start(tmp_path, "--no-check", "--", "sh", "-c", "echo ready; read line") as process:
        assert first_line(process) == "ready"
        thieves = [pid for pid in others(process) if os.sched_getscheduler(pid) == os.SCHED_FIFO]
        assert len(thieves) == 1
        process.kill()
        process.wait()
        wait_until(lambda: not any(map(running, thieves)), "the thieves are gone")
        (left,) = tmp_path.iterdir()
        # The program's pipe is still open: it goes on, at full speed.
        process.communicate("\n", timeout=TIMEOUT_S)
    assert run(tmp_path, "--no-check", "--", "true").returncode == 0
    assert not left.exists()
    assert not list(tmp_path.iterdir())


def test_without_the_right_the_remedy_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        command("--no-check", "--", "echo", "ran"),
        env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=give_up_realtime,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("aio emulate: error: emulated clocks need the right")
    assert "--cap-add=SYS_NICE" in done.stderr
    assert not list(tmp_path.iterdir())
