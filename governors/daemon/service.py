# SPDX-License-Identifier: Apache-2.0
"""The daemon as a whole: one per folder, started, watched and stopped."""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aio.governors.daemon.control import ControlServer
from aio.governors.daemon.encoding import plain
from aio.governors.daemon.folder import LOCK_NAME, SAMPLES_NAME, SOCKET_NAME, make_runtime_dir
from aio.governors.daemon.lock import FileLock
from aio.governors.daemon.notify import ServiceManager
from aio.governors.daemon.sampling import Sampling
from aio.governors.daemon.writer import SharedWriter

if TYPE_CHECKING:
    from aio.governors.base import SensorSource

FIRST_SAMPLE_S = 10.0
STOP_S = 2.0

_logger = logging.getLogger(__name__)


class Service:
    """A running daemon, as its control socket sees it."""

    def __init__(self, sampling: Sampling, file: Path, stop: threading.Event) -> None:
        self._sampling = sampling
        self._file = file
        self._stop = stop
        self._begin_s = time.monotonic()
        self.handlers = {
            "ping": self.ping,
            "status": self.status,
            "set-period": self.set_period,
            "stop": self.stop,
        }

    def ping(self, _: Mapping[str, Any]) -> dict[str, object]:
        """Say that the daemon answers."""
        return {"pid": os.getpid()}

    def status(self, _: Mapping[str, Any]) -> dict[str, object]:
        """Return everything there is to know. Readers leave no trace, so nobody counts them."""
        sampling = self._sampling
        cost_us = sampling.cost_us
        load = None if cost_us is None else cost_us / 1e6 / sampling.effective_period_s
        return {
            "pid": os.getpid(),
            "file": str(self._file),
            "uptime_s": time.monotonic() - self._begin_s,
            "samples": sampling.samples,
            "period_ms": sampling.period_s * 1e3,
            "effective_period_ms": sampling.effective_period_s * 1e3,
            "cost_us": cost_us,
            "load": load,
            "readers": None,
            "problem": sampling.problem,
            "sample": plain(sampling.sample),
            "capabilities": plain(sampling.capabilities),
        }

    def set_period(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Sample at another period from now on."""
        period_ms = request.get("period_ms")
        if not isinstance(period_ms, int | float) or isinstance(period_ms, bool):
            raise ValueError(f"period_ms is {period_ms!r:.60}, expected a number")
        self._sampling.period_s = period_ms / 1e3
        return {"period_ms": self._sampling.period_s * 1e3}

    def stop(self, _: Mapping[str, Any]) -> dict[str, object]:
        """Stop the daemon; the answer is sent before it ends."""
        self._stop.set()
        return {"pid": os.getpid()}


def serve(
    open_source: Callable[[], SensorSource],
    folder: Path,
    period_s: float,
    announce: Callable[[str], None],
) -> int:
    """Run the daemon until a signal or its socket stops it; return the exit code.

    Args:
        open_source: makes the sensors.
        folder: the runtime folder.
        period_s: time between samples.
        announce: is told once, in a line, what is published.

    Raises:
        LockedError: another daemon serves this folder.
        OSError: the folder can't be used.
        ValueError: the period or the sensors' root makes no sense.
    """
    stop = threading.Event()
    manager = ServiceManager()
    with ExitStack() as undo:
        undo.enter_context(_stopped_by_signals(stop))
        make_runtime_dir(folder)
        lock = FileLock(folder / LOCK_NAME)
        lock.acquire(f"process {os.getpid()}")
        undo.callback(lock.release)
        source = open_source()
        writer = SharedWriter(folder / SAMPLES_NAME)
        sampling = Sampling(source, writer, period_s, ended=stop.set)
        service = Service(sampling, writer.path, stop)
        control = ControlServer(folder / SOCKET_NAME, service.handlers)
        control.start()
        undo.callback(_stop, control, sampling, writer, source)
        if sampling.start(FIRST_SAMPLE_S):
            announce(_start_line(sampling, writer.path))
        elif not stop.is_set():
            _logger.error("no sample: %s", sampling.problem or "a sensor hangs")
            return 1
        manager.tell("READY=1", f"STATUS=sampling every {period_s * 1e3:g} ms")
        _watch(stop, sampling, manager)
        manager.tell("STOPPING=1")
        return 0 if sampling.stop(STOP_S) and not sampling.failed else 1


def _watch(stop: threading.Event, sampling: Sampling, manager: ServiceManager) -> None:
    """Wait for the end; give signs of life as long as there are new samples."""
    wait_s = None if manager.watchdog_s is None else manager.watchdog_s / 2
    seen = 0
    while not stop.wait(wait_s):
        if sampling.samples != seen:
            seen = sampling.samples
            manager.tell("WATCHDOG=1")


def _stop(
    control: ControlServer, sampling: Sampling, writer: SharedWriter, source: SensorSource
) -> None:
    control.stop()
    if sampling.stop(STOP_S):
        source.close()
    writer.close()


def _start_line(sampling: Sampling, path: Path) -> str:
    sample = sampling.sample
    assert sample is not None
    clock = sample.clock
    reading = "unknown" if clock.cpu_khz is None else f"{clock.cpu_khz / 1e3:.0f} MHz"
    found: dict[str, object] = {
        "gpu": sample.gpus,
        "quota": sample.quota,
        "thermal": sample.thermal,
        "power": sample.power,
        "energy": sample.energy,
    }
    parts = (
        f"aio governor: process {os.getpid()} publishes {path}",
        f"every {sampling.period_s * 1e3:g} ms",
        f"clock {clock.driver} {reading}",
        "also " + (", ".join(name for name, value in found.items() if value) or "nothing"),
    )
    return " | ".join(parts)


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """Have SIGTERM and SIGINT stop the daemon, where handlers can be set at all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = (signal.SIGTERM, signal.SIGINT)
    before = [signal.signal(name, lambda *_: stop.set()) for name in names]
    try:
        yield
    finally:
        for name, handler in zip(names, before, strict=True):
            signal.signal(name, handler)
