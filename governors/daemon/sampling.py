# SPDX-License-Identifier: Apache-2.0
"""The thread that reads the sensors and publishes what they say, at a steady period."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from aio.governors.base import (
    READ_ERRORS,
    Capability,
    ClockSample,
    DeviceSample,
    SensorSource,
)
from aio.governors.sampler import MAX_LOAD

if TYPE_CHECKING:
    from aio.governors.daemon.writer import SharedWriter

MIN_PERIOD_S, MAX_PERIOD_S = 0.001, 1.0
CAPABILITIES_S = 1.0  # ages in there change with every reading; nobody needs them that often

_logger = logging.getLogger(__name__)


class Sampling:
    """Samples until stopped. A sensor that hangs stops the samples, never the daemon.

    Args:
        source: what to read; only this object reads it.
        writer: where samples are published; only this object writes there.
        period_s: time between samples. One that costs more than 2 % of a core takes longer.
        ended: called when the thread ends, for whatever reason.
    """

    def __init__(
        self,
        source: SensorSource,
        writer: SharedWriter,
        period_s: float,
        ended: Callable[[], None],
    ) -> None:
        self._source = source
        self._writer = writer
        self._ended = ended
        self._period_s = checked_period_s(period_s)
        self._cost_s: float | None = None
        self._wake = threading.Event()
        self._stopping = False
        self._published = threading.Event()
        self._capabilities: tuple[Capability, ...] = ()
        self._capabilities_due_s = 0.0
        self._thread = threading.Thread(target=self._run, name="aio-sampling", daemon=True)
        self.failed = False  # whether the thread ended by a defect
        self.problem: str | None = None
        self.sample: DeviceSample | None = None

    @property
    def samples(self) -> int:
        """Return how many samples were taken."""
        return self._writer.samples

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """Return what the sensors' drivers said, at most a second ago."""
        return self._capabilities

    @property
    def cost_us(self) -> float | None:
        """Return the CPU time of a sample, publishing included, smoothed; None before the first."""
        return None if self._cost_s is None else self._cost_s * 1e6

    @property
    def period_s(self) -> float:
        """Return the time between samples that was asked for."""
        return self._period_s

    @period_s.setter
    def period_s(self, period_s: float) -> None:
        self._period_s = checked_period_s(period_s)
        self._wake.set()

    @property
    def effective_period_s(self) -> float:
        """Return the time between samples in force, longer if they cost much."""
        return max(self._period_s, (self._cost_s or 0.0) / MAX_LOAD)

    def start(self, timeout_s: float) -> bool:
        """Start the thread; return whether a sample was published within the time."""
        self._thread.start()
        return self._published.wait(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """End the thread; return whether it ended within the time."""
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        self.failed = True  # until the loop has ended as it should
        try:
            while not self._stopping:
                begin_s = time.monotonic()
                self._take()
                self._wake.wait(max(0.0, begin_s + self.effective_period_s - time.monotonic()))
                self._wake.clear()
            self.failed = False
        finally:
            self._ended()

    def _take(self) -> None:
        begin_ns = time.thread_time_ns()
        sample = self._read()
        if self._stopping:  # a sensor that hung until now: the file is gone or about to be
            return
        if (now_s := time.monotonic()) >= self._capabilities_due_s:
            self._capabilities = self._source.capabilities
            self._capabilities_due_s = now_s + CAPABILITIES_S
        self.sample = sample
        try:
            self._writer.publish(sample, self._capabilities, self.effective_period_s)
        except OSError as error:
            self._note(f"nothing is published: {error}")
        else:
            self._note(None)
            self._published.set()
        cost_s = (time.thread_time_ns() - begin_ns) / 1e9
        last_s = cost_s if self._cost_s is None else self._cost_s
        self._cost_s = last_s + (cost_s - last_s) / 16

    def _read(self) -> DeviceSample:
        try:
            return self._source.read()
        except READ_ERRORS as error:
            reason = f"{self._source.name} failed: {type(error).__name__}: {error}"
            now_ns = time.monotonic_ns()
            return DeviceSample(now_ns, ClockSample(now_ns, None, None, "daemon", (), reason))

    def _note(self, problem: str | None) -> None:
        """Log a problem when it begins and when it ends, not fifty times a second."""
        if problem != self.problem:
            _logger.warning("%s", problem or "published again")
            self.problem = problem


def checked_period_s(period_s: float) -> float:
    """Return a period that makes sense.

    Raises:
        ValueError: it does not.
    """
    if not MIN_PERIOD_S <= period_s <= MAX_PERIOD_S:
        low_ms, high_ms = MIN_PERIOD_S * 1e3, MAX_PERIOD_S * 1e3
        raise ValueError(
            f"a period of {period_s * 1e3:g} ms: expected {low_ms:g} to {high_ms:g} ms"
        )
    return period_s
