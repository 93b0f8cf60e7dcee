# SPDX-License-Identifier: Apache-2.0
"""The last inferences of one model, for whoever draws or summarises them.

One thread adds after each inference, which costs about a microsecond; any thread may read. What
is older than the ring holds is gone. Times are seconds of the monotonic clock.
"""

import math
import threading
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from aio.runtime.records import InferenceRecord

SIZE = 4096


class Point(NamedTuple):
    """One inference. `latency_ms` is that of one sample, as the target is.

    `queue_ms` is the time from arrival to the executor; `target_ms` is None without a target.
    """

    time_s: float
    latency_ms: float
    queue_ms: float
    level: int
    ratio: float
    target_ms: float | None
    cpu_khz: int | None
    reason: str


class Recent:
    """A ring of the last `size` inferences.

    Args:
        size: how many are kept.
    """

    def __init__(self, size: int = SIZE) -> None:
        self._lock = threading.Lock()
        self._points: deque[Point] = deque(maxlen=size)
        self._added = 0

    def add(self, record: "InferenceRecord", queue_ms: float) -> None:
        """Remember an inference that has just ended."""
        target_ms = record.target_ms
        point = Point(
            time.monotonic(),
            record.latency_ms / (record.batch or 1),
            queue_ms,
            record.plan.level,
            record.ratio,
            None if math.isinf(target_ms) else target_ms,
            record.sample.clock.cpu_khz,
            record.reason,
        )
        with self._lock:
            self._points.append(point)
            self._added += 1

    @property
    def added(self) -> int:
        """Return how many inferences there have been altogether."""
        return self._added

    def since(self, number: int) -> tuple[list[Point], int]:
        """Return what was added after the first `number` inferences, and how many there are now.

        Points that have left the ring meanwhile are not among them.
        """
        with self._lock:
            added = self._added
            fresh = list(islice(reversed(self._points), max(0, added - number)))
        fresh.reverse()
        return fresh, added
