# SPDX-License-Identifier: Apache-2.0
"""Signals while clocks are set: ask the program to end, but never in the middle of restoring."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

# What ends a process without a chance to clean up, unless it is told otherwise.
_ENDING = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ending_raises() -> Iterator[None]:
    """Have SIGTERM and SIGHUP raise SystemExit in the main thread, so that `with` blocks end.

    A handler that the program set itself stays. Outside the main thread nothing can be set.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    changed = [s for s in _ENDING if signal.getsignal(s) is signal.SIG_DFL]
    for signum in changed:
        signal.signal(signum, _raise_exit)
    try:
        yield
    finally:
        for signum in changed:
            signal.signal(signum, signal.SIG_DFL)


@contextmanager
def deferred() -> Iterator[None]:
    """Hold signals back that would end the block; those that came are delivered after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    # None: a handler that Python did not set and could not put back.
    held = [s for s in (*_ENDING, signal.SIGINT) if signal.getsignal(s) is not None]
    before = [signal.signal(signum, lambda number, _: came.append(number)) for signum in held]
    try:
        yield
    finally:
        for signum, handler in zip(held, before, strict=True):
            signal.signal(signum, handler)
        for number in came:
            signal.raise_signal(number)


def _raise_exit(signum: int, _: FrameType | None) -> None:
    raise SystemExit(128 + signum)
