# SPDX-License-Identifier: Apache-2.0
"""Real-time emulation in tests: who may run them, how to take the right away, and its processes."""

from __future__ import annotations

import ctypes
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PR_CAPBSET_DROP, CAP_SYS_NICE = 24, 23
PATIENCE_S = 30.0


def _allowed() -> bool:
    policy, priority = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(2))
    except PermissionError:
        return False
    os.sched_setscheduler(0, policy, priority)
    return True


needs_realtime = pytest.mark.skipif(not _allowed(), reason="needs CAP_SYS_NICE")


def give_up_realtime() -> None:
    """Drop the right for good; for preexec_fn, as the next exec makes it take effect."""
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_NICE)
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))


def running(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in {"Z", "X"}


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end_s, f"timed out waiting until {what}"
        time.sleep(0.01)
