# SPDX-License-Identifier: Apache-2.0
"""From a socket into a body's memory, without the event loop as long as more is there."""

import os
import time

from aio.runtime.serve.transport.body import SizedBody

MOST_AT_ONCE = 1024 * 1024  # bytes of a body, before other connections have their turn
# Who sends so many bytes at once is a program on this machine in the middle of sending. It sleeps
# when its socket is full, 208 KiB by default, and goes on that long after the socket was emptied.
# To turn the event loop takes as long again, and lets the socket fill meanwhile.
IN_FULL_FLOW = 32 * 1024
PATIENCE_S = 60e-6
# With one processor, waiting here would keep the sender from sending.
CAN_WAIT = len(os.sched_getaffinity(0)) > 1


def receive(fd: int, body: SizedBody, size: int, *, patient: bool) -> None:
    """Count bytes that were received into a body, and take what else comes at once.

    Args:
        fd: the socket, which does not block.
        body: where the bytes go.
        size: how many are in its memory already, not counted yet.
        patient: wait a moment for a sender in full flow.

    Raises:
        UnavailableError: requests hold too many bytes.
    """
    end = body.received + MOST_AT_ONCE
    body.advance(size)
    while size and not body.complete and body.received < end:
        wait_s = PATIENCE_S if patient and CAN_WAIT and size >= IN_FULL_FLOW else 0.0
        size = _read(fd, body.space, wait_s)
        body.advance(size)


def _read(fd: int, space: memoryview, wait_s: float) -> int:
    """Return how many bytes were read within the time, 0 where there are none."""
    size = _try_read(fd, space)
    if size is None and wait_s > 0.0:
        until_s = time.perf_counter() + wait_s
        while size is None and time.perf_counter() < until_s:
            size = _try_read(fd, space)
    return size or 0


def _try_read(fd: int, space: memoryview) -> int | None:
    """Return how many bytes were read, None where there are none yet."""
    try:
        return os.readv(fd, [space])
    except BlockingIOError:
        return None
    except ConnectionError:
        return 0  # the transport meets it as well
