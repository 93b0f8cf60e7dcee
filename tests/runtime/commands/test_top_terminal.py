# SPDX-License-Identifier: Apache-2.0
"""`aio top` as a process: on terminals, which it must leave as they were, and in pipes."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from fake_engine import FakeEngine, LiveServer, serving

COLUMNS, ROWS = 60, 20
PATIENCE_S = 60
ENTER, LEAVE = b"\x1b[?1049h", b"\x1b[?1049l"  # the alternate screen
HIDE, SHOW = b"\x1b[?25l", b"\x1b[?25h"  # the cursor
LOOK = b"aio-serve "


@pytest.fixture(scope="module")
def served() -> Iterator[LiveServer]:
    with serving(FakeEngine) as live:
        live.wait_for(live.announced.is_set)
        yield live


class Terminal:
    """A process on a terminal of its own; what it writes is read all the time."""

    def __init__(self, command: list[str], term: str) -> None:
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        environ = {**os.environ, "TERM": term}
        for name in ("COLUMNS", "LINES"):
            environ.pop(name, None)
        self.process = subprocess.Popen(
            command, stdin=theirs, stdout=theirs, stderr=theirs, env=environ
        )
        os.close(theirs)
        self.output = b""
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._ours, 1 << 16)
            except OSError:  # the process has ended
                return
            with self._came:
                self.output += data
                self._came.notify()

    def wait_for(self, condition: Callable[[bytes], bool]) -> None:
        with self._came:
            assert self._came.wait_for(lambda: condition(self.output), PATIENCE_S), self.output

    def end(self, *numbers: signal.Signals) -> int:
        for number in numbers:
            self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        return code

    def close(self) -> None:
        self.end(signal.SIGKILL)
        os.close(self._ours)


def command(served: LiveServer, *options: str) -> list[str]:
    aio = [sys.executable, "-m", "aio.runtime.cli", "top", f"127.0.0.1:{served.port}"]
    return [*aio, "--interval", "0.1", *options]


@contextmanager
def terminal(served: LiveServer, term: str = "xterm-256color") -> Iterator[Terminal]:
    started = Terminal(command(served), term)
    try:
        started.wait_for(lambda output: output.count(LOOK) >= 2)
        yield started
    finally:
        started.close()


@pytest.mark.parametrize(
    ("numbers", "codes"),
    [
        ([signal.SIGINT], {0}),
        ([signal.SIGTERM], {128 + signal.SIGTERM}),
        ([signal.SIGHUP], {128 + signal.SIGHUP}),
        # Whichever is seen first; the other may not disturb it.
        ([signal.SIGTERM, signal.SIGHUP], {128 + signal.SIGTERM, 128 + signal.SIGHUP}),
        ([signal.SIGINT, signal.SIGTERM], {0, 128 + signal.SIGTERM}),
    ],
)
def test_signals_leave_the_terminal_as_it_was(
    served: LiveServer, numbers: list[signal.Signals], codes: set[int]
) -> None:
    with terminal(served) as shown:
        assert ENTER in shown.output
        assert HIDE in shown.output
        assert shown.end(*numbers) in codes
        assert shown.output.rfind(LEAVE) > shown.output.rfind(ENTER)
        assert shown.output.rfind(SHOW) > shown.output.rfind(HIDE)
        assert b"Traceback" not in shown.output


def test_a_look_has_the_size_of_the_terminal(served: LiveServer) -> None:
    with terminal(served) as shown:
        shown.end(signal.SIGTERM)
        frame = shown.output.split(LEAVE)[0].split(b"\x1b[H")[-1].decode()
    lines = re.sub(r"\x1b\[[?0-9;]*\w", "", frame).replace("\r", "").split("\n")
    assert len(lines) == ROWS
    assert {len(line) for line in lines} == {COLUMNS}
    assert any(line.startswith("in use: no level yet") for line in lines)


def test_a_dumb_terminal_gets_plain_looks(served: LiveServer) -> None:
    with terminal(served, "dumb") as shown:
        assert b"\x1b" not in shown.output


def test_a_pipe_gets_plain_looks_until_its_reader_goes(served: LiveServer) -> None:
    with subprocess.Popen(
        command(served), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        assert process.stdout is not None
        assert process.stderr is not None
        looks = 0
        while looks < 3:
            line = process.stdout.readline()
            assert line, process.stderr.read()
            assert b"\x1b" not in line
            looks += line.startswith(LOOK)
        process.stdout.close()
        assert process.wait(PATIENCE_S) == 141
        assert process.stderr.read() == b""
        watchdog.cancel()


def test_a_server_that_goes_away_is_waited_for() -> None:
    with serving(FakeEngine) as live:
        live.wait_for(live.announced.is_set)
        process = subprocess.Popen(command(live), stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline().startswith(LOOK)
    try:
        assert any(line.startswith(b"nothing answers at ") for line in process.stdout)
        assert process.poll() is None
    finally:
        process.kill()
        process.stdout.close()
        process.wait(PATIENCE_S)
