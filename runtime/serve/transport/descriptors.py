# SPDX-License-Identifier: Apache-2.0
"""File descriptors, of which each connection takes one: room for them, and when there is none."""

import asyncio
import errno
import logging
import resource
import time
from typing import Any

from aio.runtime.serve.limits import Limits

# The process itself has about 20, a model that is loaded a few, and so have connections that are
# told that there are too many.
OTHERS = 64
NONE_LEFT = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
TOLD_EVERY_S = 10.0

logger = logging.getLogger(__name__)


def needed(limits: Limits, *, grpc: bool) -> int:
    """Return how many descriptors a server with these limits may come to need."""
    return limits.connections * (2 if grpc else 1) + limits.regions + OTHERS


def make_room(count: int) -> None:
    """Let the process have so many, or as many as it may give itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if _is_less(soft, count):
        most = hard if _is_less(hard, count) else count
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def shortage(count: int) -> str | None:
    """Return what is wrong if the process can't have so many, None if it can."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if not _is_less(hard, count):
        return None
    return (
        f"limit connections may take {count} file descriptors, and the process may have {hard}: "
        "lower limit connections, or raise the limit of open files (LimitNOFILE, ulimit -n)"
    )


class AcceptErrors:
    """What an event loop tells its errors, so that a want of descriptors takes one line.

    asyncio tells it with a traceback for each connection that waits to be accepted, and again when
    it tries again, a second later.
    """

    def __init__(self) -> None:
        self._told_s: float | None = None

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Log an error of the loop."""
        error = context.get("exception")
        if not ("socket" in context and isinstance(error, OSError) and error.errno in NONE_LEFT):
            loop.default_exception_handler(context)
            return
        now_s = time.monotonic()
        if self._told_s is None or now_s - self._told_s >= TOLD_EVERY_S:
            self._told_s = now_s
            logger.warning(
                "can't accept connections: %s; those that wait are tried again every second",
                error.strerror,
            )


def _is_less(limit: int, count: int) -> bool:
    return limit != resource.RLIM_INFINITY and limit < count
