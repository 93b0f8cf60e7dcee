# SPDX-License-Identifier: Apache-2.0
"""Running a program: exit codes, signals to it, and a mask that is as it was."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from aio.governors.emulation.realtime.child import NotStarted, run_program

CPUS = sorted(os.sched_getaffinity(0))


def run(
    command: Sequence[str],
    started: Callable[[int], object] = lambda _: None,
    poll: Callable[[], object] = lambda: None,
    **environment: str,
) -> int:
    return run_program(command, {**os.environ, **environment}, CPUS, started, poll)


@pytest.mark.parametrize("code", [0, 7, 255])
def test_the_exit_code_is_passed_on(code: int) -> None:
    assert run(["sh", "-c", f"exit {code}"]) == code


def test_the_environment_is_passed_on() -> None:
    assert run(["sh", "-c", 'test "$AIO_TEST" = yes'], AIO_TEST="yes") == 0


def test_death_by_a_signal() -> None:
    assert run(["sh", "-c", "kill -9 $$"]) == 128 + 9


def test_a_signal_to_us_reaches_the_program() -> None:
    # The program can't know when it is watched, so it tells us by our own pid.
    script = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(42))\n"
        "os.kill(os.getppid(), signal.SIGUSR1)\n"
        "signal.pause()"
    )
    assert run([sys.executable, "-c", script]) == 42


def test_polled_while_it_runs() -> None:
    pids: list[int] = []
    polled: list[int] = []

    def poll() -> None:
        polled.append(1)
        if len(polled) == 2:
            os.kill(pids[0], signal.SIGTERM)

    assert run(["sleep", "60"], pids.append, poll) == 128 + signal.SIGTERM


def test_the_program_starts_with_our_mask_and_default_signals() -> None:
    script = (
        "import signal\n"
        "assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])\n"
        "ignored = int(open('/proc/self/status').read().split('SigIgn:')[1].split()[0], 16)\n"
        # What Python itself ignores is set again before this line runs.
        "assert not ignored >> signal.SIGTERM - 1 & 1"
    )
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert run([sys.executable, "-c", script]) == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_programs_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(NotStarted, match="no-such-program: command not found") as found:
        run(["no-such-program"])
    assert found.value.code == 127
    text = tmp_path / "text"
    text.touch()
    with pytest.raises(NotStarted, match="permission denied") as found:
        run([str(text)])
    assert found.value.code == 126
