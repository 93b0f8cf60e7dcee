# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from aio.governors.settings.signals import deferred, ending_raises


def enter_and_raise(
    context: Callable[[], AbstractContextManager[None]], signum: signal.Signals, log: list[str]
) -> None:
    with context():
        signal.raise_signal(signum)
        log.append("went on")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_ending_signals_raise(signum: signal.Signals) -> None:
    log: list[str] = []
    with pytest.raises(SystemExit) as caught:
        enter_and_raise(ending_raises, signum, log)
    assert caught.value.code == 128 + signum
    assert log == []
    assert signal.getsignal(signum) is signal.SIG_DFL


def test_handlers_of_the_program_stay() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: seen.append(number))
    log: list[str] = []
    enter_and_raise(ending_raises, signal.SIGTERM, log)
    signal.signal(signal.SIGTERM, before)
    assert (seen, log) == ([signal.SIGTERM], ["went on"])


def test_signals_come_after_the_block() -> None:
    log: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        enter_and_raise(deferred, signal.SIGINT, log)
    assert log == ["went on"]


def test_other_threads_leave_signals_alone() -> None:
    found: list[object] = []

    def look() -> None:
        before = signal.getsignal(signal.SIGTERM)
        with ending_raises(), deferred():
            found.append(signal.getsignal(signal.SIGTERM) is before)

    thread = threading.Thread(target=look)
    thread.start()
    thread.join(60)
    assert found == [True]
