# SPDX-License-Identifier: Apache-2.0
"""CPU clock of the current core from a timed loop, for machines whose kernel shows no clock.

A chain of dependent additions takes a fixed number of cycles, so its duration gives the clock; it
works in virtual machines and sees caps that firmware hides from the kernel. The loop itself is
native code and comes in as a function returning kHz.

Interruptions only ever make the loop look slower, and only now and then, so the value is the
median of the measurements of the last moment: one disturbed measurement is never seen, a real
drop is seen after two more samples, 40 to 60 ms at the usual period.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable
from statistics import median

from aio.governors.base import CPU_CLOCK, Capability, ClockSample, Status

WINDOW_NS = 110_000_000  # measurements older than this say nothing about now
MIN_VALUES = 3  # fewer have no meaningful median; after a pause the rest is measured at once
MAX_VALUES = 5


class TimedLoopDriver:
    """The clock as a loop of known length sees it.

    Args:
        measure: runs the loop once (about 50 us) and returns the clock in kHz. It may raise
            OSError, RuntimeError or ValueError when it can't tell.
    """

    name = "timed_loop"

    def __init__(self, measure: Callable[[], float]) -> None:
        self._measure = measure
        self._values: deque[tuple[int, float]] = deque(maxlen=MAX_VALUES)
        self._max_khz: int | None = None
        self._closed = False

    def probe(self) -> Capability:
        """Measure once and say whether that gives a clock."""
        sample = self.read()
        if sample.cpu_khz is None:
            return Capability(self.name, CPU_CLOCK, Status.ERROR, sample.error or "no value")
        reason = f"effective clock of this core, about {sample.cpu_khz / 1000:.0f} MHz now"
        return Capability(self.name, CPU_CLOCK, Status.VALUE, reason)

    def read(self) -> ClockSample:
        """Measure and return the filtered clock."""
        error = "the driver is closed" if self._closed else self._collect()
        now_ns = time.monotonic_ns()
        if error is not None:
            return ClockSample(now_ns, None, self._max_khz, self.name, (), error)
        khz = round(median(value for _, value in self._values))
        self._max_khz = max(khz, self._max_khz or 0)
        return ClockSample(now_ns, khz, self._max_khz, self.name)

    def close(self) -> None:
        """Stop measuring."""
        self._closed = True

    def _collect(self) -> str | None:
        """Add one measurement, or as many as a median needs; return what went wrong."""
        horizon_ns = time.monotonic_ns() - WINDOW_NS
        while self._values and self._values[0][0] < horizon_ns:
            self._values.popleft()
        for _ in range(max(1, MIN_VALUES - len(self._values))):
            try:
                khz = self._measure()
            except (OSError, RuntimeError, ValueError) as error:
                return f"measuring failed: {error}"
            if not math.isfinite(khz) or khz < 1.0:
                return f"measured {khz} kHz, which is no clock"
            self._values.append((time.monotonic_ns(), khz))
        return None
