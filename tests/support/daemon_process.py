# SPDX-License-Identifier: Apache-2.0
"""The real daemon in a process of its own, as a user would start it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 60

# What the `aio` command does, also where the entry points of the installation are older.
_MAIN = """
import sys
from importlib.metadata import EntryPoint
from aio.runtime import cli
point = EntryPoint("governor", "aio.runtime.commands.governor", cli.GROUP)
sys.exit(cli._run(point, "aio governor", sys.argv[1:]))
"""


@dataclass
class DaemonProcess:
    """A daemon that has printed its start line."""

    process: subprocess.Popen[str]
    start_line: str

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)


def governor(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """Start `aio governor` with `folder` as its runtime folder."""
    environ = {**os.environ, "AIO_RUNTIME_DIR": str(folder), **variables}
    return subprocess.Popen(
        [sys.executable, "-c", _MAIN, *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ask_governor(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run `aio governor` to its end; return exit code, output and errors."""
    with governor(folder, *arguments) as process:
        out, err = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, err


@contextlib.contextmanager
def daemon_process(folder: Path, *arguments: str, **variables: str) -> Iterator[DaemonProcess]:
    """Start the daemon; yield after its start line; kill it in the end."""
    with governor(folder, *arguments, **variables) as process:
        watchdog = threading.Timer(PATIENCE_S, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            watchdog.cancel()
            assert line.startswith("aio governor: process "), process.communicate()[1]
            yield DaemonProcess(process, line.strip())
        finally:
            watchdog.cancel()
            process.kill()


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait for something that happens soon, or fail."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"timeout: {what}"
        time.sleep(0.005)
