# SPDX-License-Identifier: Apache-2.0
"""The command around the daemon; tests/integration/test_governor_daemon.py has the daemon."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from daemon_parts import CAPABILITIES

from aio.governors.daemon import console, service
from aio.governors.daemon.encoding import plain
from aio.governors.daemon.lock import LockedError
from aio.runtime import cli
from aio.runtime.commands import governor

ROOT = Path(__file__).parents[3]
STATUS = {
    "pid": 7,
    "file": "/run/aio/governor.samples",
    "uptime_s": 12.3,
    "samples": 600,
    "period_ms": 20.0,
    "effective_period_ms": 20.0,
    "cost_us": 80.0,
    "load": 0.004,
    "readers": None,
    "problem": None,
    "sample": None,
    "capabilities": plain(CAPABILITIES),
}

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return what runs the command; it returns exit code, output and errors."""
    point = EntryPoint("governor", "aio.runtime.commands.governor", cli.GROUP)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = cli._run(point, "aio governor", list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def answer_with(monkeypatch: pytest.MonkeyPatch, answer: dict[str, object]) -> list[object]:
    """Have the daemon answer so; return what it is asked."""
    asked: list[object] = []

    def ask(command: str, folders: object, **more: object) -> dict[str, object]:
        asked.extend((command, folders, more))
        return answer

    monkeypatch.setattr(console, "ask", ask)
    return asked


def test_status(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer_with(monkeypatch, STATUS)
    code, out, _ = run("status")
    assert code == 0
    assert asked == ["status", None, {}]
    assert out.splitlines() == [
        "process 7, up 12 s, publishes /run/aio/governor.samples",
        "600 samples, one every 20 ms, 80 us each (0.40% of a core)",
        "",
        "quantity   driver                   reason",
        "cpu_clock  cpufreq     value        policy0: CPUs 0-1",
        "cpu_clock  timed_loop  unsupported  not tried: cpufreq answered",
    ]


def test_status_of_a_daemon_in_trouble(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = {"cpu_khz": None, "max_khz": None, "driver": "cpufreq", "error": "offline"}
    trouble = {"problem": "no space", "effective_period_ms": 55.0, "sample": {"clock": clock}}
    answer_with(monkeypatch, {**STATUS, **trouble, "cost_us": None, "load": None})
    lines = run("status")[1].splitlines()
    assert lines[1:5] == [
        "600 samples, one every 20 ms, - us each (- of a core)",
        "slowed down to one every 55 ms, as they cost much",
        "PROBLEM: no space",
        "clock offline (cpufreq)",
    ]


def test_other_questions(run: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = answer_with(monkeypatch, {"pid": 7, "period_ms": 50.0})
    assert run("stop", "--runtime-dir", str(tmp_path)) == (0, "process 7 stops\n", "")
    assert asked == ["stop", [tmp_path], {}]
    assert run("set-period", "--period-ms", "50")[:2] == (0, "a sample every 50 ms\n")
    assert asked[-1] == {"period_ms": 50.0}
    assert '"pid": 7' in run("stop", "--json")[1]
    assert run("set-period")[0] == 2


def test_the_daemon_gets_its_options(
    run: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    calls: list[tuple[Path, float]] = []

    def serve(
        open_source: Callable[[], object],
        folder: Path,
        period_s: float,
        announce: Callable[[str], None],
    ) -> int:
        calls.append((folder, period_s))
        announce("a line")
        source = governor._open_sensors()
        assert source.read().clock.cpu_khz is not None
        source.close()
        assert open_source is governor._open_sensors
        return 0

    monkeypatch.setattr(service, "serve", serve)
    monkeypatch.setenv("AIO_RUNTIME_DIR", str(tmp_path))
    assert run() == (0, "a line\n", "")
    monkeypatch.chdir(tmp_path)
    assert run("--period-ms", "50", "--runtime-dir", "here")[0] == 0
    assert calls == [(tmp_path, 0.02), (tmp_path / "here", 0.05)]


def test_a_second_daemon(run: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def serve(*_: object) -> int:
        raise LockedError(tmp_path / "lock", "process 9")

    monkeypatch.setattr(service, "serve", serve)
    code, _, err = run("--runtime-dir", str(tmp_path))
    assert code == 1
    assert err.startswith(f"aio governor: error: process 9 is the daemon of {tmp_path} already; ")


def test_a_reader_of_the_start_line_that_leaves(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def leave(*_: object, **__: object) -> None:
        raise BrokenPipeError

    saved = os.dup(1)
    monkeypatch.setattr("builtins.print", leave)
    governor._announce("a line")
    os.dup2(saved, 1)
    os.close(saved)
    assert capfd.readouterr().out == ""


def test_the_unit_starts_it_as_it_wants_to_be_started() -> None:
    unit = (ROOT / "scripts/aio-governor.service").read_text()
    (line,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    program, command, *arguments = shlex.split(line)
    parser = argparse.ArgumentParser()
    governor.add_arguments(parser)
    assert (Path(program).name, command) == ("aio", "governor")
    assert parser.parse_args(arguments).runtime_dir == Path("/run/aio")
    for setting in ("Type=notify", "WatchdogSec=10", "ProtectSystem=strict", "NoNewPrivileges=yes"):
        assert f"\n{setting}\n" in unit
    # Both would take the devices of NVIDIA GPUs away.
    assert not re.search(r"^(PrivateDevices|ProtectClock)=", unit, re.MULTILINE)


@pytest.mark.parametrize("name", ["governor", "profile"])
def test_commands_are_declared(name: str) -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    assert f'\n{name} = "aio.runtime.commands.{name}"\n' in declared
