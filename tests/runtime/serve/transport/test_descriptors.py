# SPDX-License-Identifier: Apache-2.0
"""Room for descriptors, and what is said when there is none."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
import time

import pytest

from aio.runtime.serve.limits import Limits
from aio.runtime.serve.transport.descriptors import (
    NONE_LEFT,
    OTHERS,
    AcceptErrors,
    make_room,
    needed,
    shortage,
)

INFINITY = resource.RLIM_INFINITY


def test_each_connection_and_region_takes_one() -> None:
    limits = Limits(connections=10, regions=3)
    assert needed(limits, grpc=False) == 13 + OTHERS
    assert needed(limits, grpc=True) == 23 + OTHERS


@pytest.mark.parametrize(
    ("soft", "hard", "becomes", "is_short"),
    [
        (100, 100, None, False),
        (40, 100, (100, 100), False),
        (40, 4096, (100, 4096), False),
        (40, INFINITY, (100, INFINITY), False),
        (INFINITY, INFINITY, None, False),
        (40, 60, (60, 60), True),
        (60, 60, (60, 60), True),
    ],
)
def test_room(
    monkeypatch: pytest.MonkeyPatch,
    soft: int,
    hard: int,
    becomes: tuple[int, int] | None,
    is_short: bool,
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: given.append(limits))
    make_room(100)
    assert given == ([] if becomes is None else [becomes])
    warning = shortage(100)
    assert (warning is not None) == is_short
    if warning is not None:
        assert "may take 100 file descriptors, and the process may have 60" in warning


def test_a_want_of_descriptors_is_one_line_in_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    tell = AcceptErrors()
    loop = asyncio.new_event_loop()
    with socket.socket() as listener:
        for number in NONE_LEFT:
            error = OSError(number, os.strerror(number))
            for _ in range(100):
                tell(loop, {"message": "m", "exception": error, "socket": listener})
        assert len(caplog.records) == 1
        assert caplog.records[0].levelno == logging.WARNING
        assert caplog.records[0].exc_info is None
        assert "can't accept connections" in caplog.text
        now_s[0] += 60
        tell(loop, {"message": "m", "exception": error, "socket": listener})
        assert len(caplog.records) == 2
    loop.close()


def test_other_errors_of_the_loop_are_told_as_ever(caplog: pytest.LogCaptureFixture) -> None:
    tell = AcceptErrors()
    loop = asyncio.new_event_loop()
    for context in (
        {"message": "first", "exception": ValueError("x")},
        {"message": "second", "exception": OSError(errno.EMFILE, "x")},  # not of a listener
        {"message": "third"},
    ):
        tell(loop, context)
    loop.close()
    assert [record.name for record in caplog.records] == ["asyncio"] * 3
    assert all(word in caplog.text for word in ("first", "second", "third"))
