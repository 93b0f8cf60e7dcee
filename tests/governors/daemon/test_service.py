# SPDX-License-Identifier: Apache-2.0
"""The daemon as a whole, in a thread; tests/integration has it as a process."""

from __future__ import annotations

import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from daemon_parts import FakeSource
from daemon_process import wait_until

from aio.governors.daemon import service
from aio.governors.daemon.console import ControlError, ask
from aio.governors.daemon.lock import LockedError
from aio.governors.daemon.notify import ServiceManager
from aio.governors.daemon.service import serve

if TYPE_CHECKING:
    from aio.governors.base import DeviceSample, SensorSource


class Running:
    """`serve` in a thread, its exit code and what it announced."""

    def __init__(self, folder: Path, source: SensorSource, period_s: float = 0.002) -> None:
        self.folder = folder
        self.codes: queue.Queue[int] = queue.Queue()
        self.lines: queue.Queue[str] = queue.Queue()
        target = lambda: self.codes.put(  # noqa: E731
            serve(lambda: source, folder, period_s, self.lines.put)
        )
        self.thread = threading.Thread(target=target)
        self.thread.start()

    def code(self) -> int:
        self.thread.join(60)
        return self.codes.get(timeout=60)


def test_from_start_to_stop(tmp_path: Path) -> None:
    source = FakeSource()
    daemon = Running(tmp_path / "run", source)
    line = daemon.lines.get(timeout=60)
    assert line == (
        f"aio governor: process {os.getpid()} publishes {tmp_path}/run/governor.samples | "
        "every 2 ms | clock cpufreq 700 MHz | also nothing"
    )
    with pytest.raises(LockedError):
        serve(FakeSource, daemon.folder, 0.02, print)
    status = ask("status", [daemon.folder])
    assert (status["pid"], status["readers"], status["problem"]) == (os.getpid(), None, None)
    assert status["sample"]["clock"]["cpu_khz"] == 700_000
    assert ask("set-period", [daemon.folder], period_ms=30) == {"period_ms": 30}
    for wrong in (None, True, "soon"):
        with pytest.raises(ControlError, match="expected a number"):
            ask("set-period", [daemon.folder], period_ms=wrong)
    assert ask("ping", [daemon.folder]) == {"pid": os.getpid()}
    assert ask("stop", [daemon.folder]) == {"pid": os.getpid()}
    assert daemon.code() == 0
    assert source.closed == 1
    assert [path.name for path in daemon.folder.iterdir()] == ["governor.lock"]


def test_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "20000")
        daemon = Running(tmp_path, FakeSource())
        assert manager.recv(1000) == b"READY=1\nSTATUS=sampling every 2 ms"
        assert [manager.recv(1000) for _ in range(2)] == [b"WATCHDOG=1"] * 2
        ask("stop", [tmp_path])
        assert daemon.code() == 0


def test_a_clock_that_is_not_known(tmp_path: Path) -> None:
    daemon = Running(tmp_path, FakeSource(None))
    assert "| clock cpufreq unknown |" in daemon.lines.get(timeout=60)
    ask("stop", [tmp_path])
    assert daemon.code() == 0


def test_a_defect_ends_the_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda args: None)
    source = FakeSource()
    daemon = Running(tmp_path, source)
    daemon.lines.get(timeout=60)
    source.failure = AssertionError("a defect")
    assert daemon.code() == 1


class HangingSource(FakeSource):
    """Hangs until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def read(self) -> DeviceSample:
        self.go_on.wait(60)
        return super().read()


def test_no_sample_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "FIRST_SAMPLE_S", 0.05)
    monkeypatch.setattr(service, "STOP_S", 0.05)
    source = HangingSource()
    daemon = Running(tmp_path, source)
    assert daemon.code() == 1
    assert "no sample: a sensor hangs" in caplog.text
    assert source.closed == 0  # it is still being read
    source.go_on.set()


def test_stopped_before_the_first_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "FIRST_SAMPLE_S", 0.3)
    source = HangingSource()
    daemon = Running(tmp_path, source)
    wait_until((tmp_path / "governor.sock").exists, "the socket is there")
    ask("stop", [tmp_path])
    time.sleep(0.4)
    source.go_on.set()
    assert daemon.code() == 0
    assert daemon.lines.empty()


def test_signals_stop_it_in_the_main_thread(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)
    announce: Callable[[str], None] = lambda _: signal.raise_signal(signal.SIGTERM)  # noqa: E731
    assert serve(FakeSource, tmp_path, 0.01, announce) == 0
    assert signal.getsignal(signal.SIGTERM) is before


class TestServiceManager:
    @pytest.fixture(autouse=True)
    def no_variables(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
            monkeypatch.delenv(name, raising=False)

    def test_none(self) -> None:
        manager = ServiceManager()
        manager.tell("READY=1")
        assert manager.watchdog_s is None

    @pytest.mark.parametrize("abstract", [False, True])
    def test_messages(
        self, abstract: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name = f"aio-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as socket_:
            socket_.bind(f"\0{name}" if abstract else name)
            monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
            ServiceManager().tell("READY=1", "STATUS=fine")
            assert socket_.recv(100) == b"READY=1\nSTATUS=fine"

    def test_one_that_went_away(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
        manager = ServiceManager()
        manager.tell("READY=1")
        assert manager.watchdog_s is None

    @pytest.mark.parametrize(
        ("usec", "pid", "expected"),
        [
            ("3000000", None, 3.0),
            ("3000000", str(os.getpid()), 3.0),
            ("3000000", "1", None),
            ("0", None, None),
            ("soon", None, None),
        ],
    )
    def test_watchdog(
        self, usec: str, pid: str | None, expected: float | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("NOTIFY_SOCKET", "/somewhere")
        monkeypatch.setenv("WATCHDOG_USEC", usec)
        if pid is not None:
            monkeypatch.setenv("WATCHDOG_PID", pid)
        assert ServiceManager().watchdog_s == expected
