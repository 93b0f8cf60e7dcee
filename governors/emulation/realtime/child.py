# SPDX-License-Identifier: Apache-2.0
"""Run a program under the emulation: its signals, its exit code, nothing of ours in between.

A signal from the terminal reaches the program by itself, as part of the foreground job; one that
was sent to this process alone is passed on.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence

FORWARDED = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
)
# What shells answer for a command that is not there, or is no program.
EXIT_NOT_EXECUTABLE = 126
EXIT_NOT_FOUND = 127
EXIT_SIGNAL = 128
POLL_S = 0.25
# Python ignores these; a program expects the default.
RESTORED = (signal.SIGPIPE, signal.SIGXFSZ)


class NotStarted(OSError):
    """The program could not be started; `code` is what a shell would return."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def run_program(
    command: Sequence[str],
    environment: Mapping[str, str],
    cpus: Sequence[int],
    started: Callable[[int], object],
    poll: Callable[[], object],
) -> int:
    """Run a program on some CPUs and return its exit code, 128 + n after signal n.

    Call it in the main thread, whose affinity it keeps changed.

    Args:
        command: the program and its arguments.
        environment: its environment.
        cpus: where it may run.
        started: is told the process number.
        poll: is called now and then while it runs.

    Raises:
        NotStarted: there is no such program.
    """
    os.sched_setaffinity(0, cpus)
    waited = {*FORWARDED, signal.SIGCHLD}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    try:
        pid = _spawn(command, environment, before)
        started(pid)
        return _supervise(pid, waited, poll)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _spawn(
    command: Sequence[str], environment: Mapping[str, str], mask: set[signal.Signals | int]
) -> int:
    try:
        return os.posix_spawnp(
            command[0], list(command), dict(environment), setsigmask=mask, setsigdef=RESTORED
        )
    except FileNotFoundError as error:
        raise NotStarted(f"{command[0]}: command not found", EXIT_NOT_FOUND) from error
    except OSError as error:
        reason = (error.strerror or "can't be executed").lower()
        raise NotStarted(f"{command[0]}: {reason}", EXIT_NOT_EXECUTABLE) from error


def _supervise(pid: int, waited: set[signal.Signals], poll: Callable[[], object]) -> int:
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else EXIT_SIGNAL - code
        poll()
        info = signal.sigtimedwait(waited, POLL_S)
        # A positive code says that the kernel made it, for a key of the terminal.
        if info is not None and info.si_signo in FORWARDED and info.si_code <= 0:
            os.kill(pid, info.si_signo)
