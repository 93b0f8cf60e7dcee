# SPDX-License-Identifier: Apache-2.0
"""Samples from the daemon while there is one, from this process's own sensors otherwise.

The daemon may die, hang, restart or be replaced by garbage at any moment: each reading looks
anew, and none of that reaches the caller. What is true of this process only is taken care of
here: the clock is that of the CPUs this process may use, and the CPU quota is never the daemon's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, final

from aio.governors.base import (
    CPU_QUOTA,
    READ_ERRORS,
    Capability,
    ClockSample,
    DeviceSample,
    PolicySample,
    QuotaSample,
    SensorSource,
    Status,
)
from aio.governors.daemon.folder import SAMPLES_NAME, client_dirs
from aio.governors.daemon.reader import Published, SharedReader
from aio.governors.registry import QUOTA_DRIVERS, Sources, open_channel
from aio.governors.sysfs import Sysfs
from aio.governors.topology import allowed_cpus

if TYPE_CHECKING:
    from aio.governors.sensors import Channel

SAMPLES = "samples"  # the quantity of the capability that says where samples come from
STALE_AFTER_S = 0.25
STALE_PERIODS = 5
LINGER_S = 5.0
RETRY_S = 1.0
_FUTURE_S = -0.05


def daemon_paths() -> tuple[Path, ...]:
    """Return the files a client looks at, the user's own daemon first."""
    return tuple(folder / SAMPLES_NAME for folder in client_dirs())


def find_daemon() -> Path:
    """Return the shared file that exists now, else the one a daemon of this user would write."""
    paths = daemon_paths()
    return next((path for path in paths if path.exists()), paths[0])


@final
class SharedSensors:
    """A SensorSource that follows the daemon and falls back to this process's own sensors.

    Args:
        open_own: makes the own sensors; called when the daemon is missed for the first time, and
            again whenever it is missed after they were closed.
        paths: shared files, best first; None looks at the usual places.
        threads: how many cores will work at once; None means all that are allowed.
        quota: the CPU quota of this process; None opens the drivers of the registry.
        cpus: the CPUs this process may use.
        stale_after_s: a daemon that published nothing for so long, and for five of its periods,
            is not believed.
        linger_s: the own sensors are kept this long after the daemon is back.
        now_ns: the monotonic clock.
    """

    name = "shared"

    def __init__(
        self,
        open_own: Callable[[], SensorSource],
        paths: Sequence[Path] | None = None,
        *,
        threads: int | None = None,
        quota: Channel[QuotaSample] | None = None,
        cpus: Callable[[], frozenset[int]] = allowed_cpus,
        stale_after_s: float = STALE_AFTER_S,
        linger_s: float = LINGER_S,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._open_own = open_own
        self._readers = [SharedReader(path) for path in (paths or daemon_paths())]
        self._threads = threads
        self._quota = _own_quota() if quota is None else quota
        self._cpus = cpus
        self._stale_after_s = stale_after_s
        self._linger_ns = int(linger_s * 1e9)
        self._now_ns = now_ns
        self._own: SensorSource | None = None
        self._own_used_ns = 0
        self._retry_ns = 0
        self._closed = False
        # One attribute, because capabilities are asked by other threads.
        self._source: Published | str = "not read yet"

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        """Return which source is in use and why, followed by what its drivers say."""
        source, own = self._source, self._own
        if isinstance(source, str):
            row = Capability("daemon", SAMPLES, Status.UNSUPPORTED, source)
            return (row, *(own.capabilities if own is not None else ()))
        reason = f"process {source.pid} samples every {source.period_s * 1e3:.3g} ms"
        row = Capability("daemon", SAMPLES, Status.VALUE, reason, source.published_ns)
        shared = (item for item in source.capabilities if item.quantity != CPU_QUOTA)
        return (row, *shared, *self._quota.capabilities)

    def read(self) -> DeviceSample:
        """Return the daemon's newest sample, or one of the own sensors; never raises."""
        now_ns = self._now_ns()
        if self._closed:
            return _no_clock(now_ns, "the sensors are closed")
        shared = self._read_shared(now_ns)
        if shared is None:
            self._own_used_ns = now_ns
            return self._read_own(now_ns)
        if self._own is not None and now_ns - self._own_used_ns > self._linger_ns:
            self._close_own()
        if now_ns >= self._quota.due_ns:
            self._quota.read(now_ns)
        return replace(shared, quota=self._quota.value)

    def close(self) -> None:
        """Free all descriptors."""
        self._closed = True
        for reader in self._readers:
            reader.close()
        self._close_own()
        self._quota.close()

    def _read_shared(self, now_ns: int) -> DeviceSample | None:
        """Return the sample of the first daemon that can be believed, and note the source."""
        reasons = []
        for reader in self._readers:
            found = reader.read()
            if isinstance(found, str):
                reasons.append(found)
                continue
            if stale := self._staleness(found, now_ns):
                reasons.append(f"{reader.path}: {stale}")
                continue
            clock = clock_for(found.sample.clock, self._cpus(), self._threads)
            if clock is None:
                reasons.append(f"{reader.path}: it follows other CPUs than those of this process")
                continue
            self._source = found
            return replace(found.sample, clock=clock)
        self._source = "; ".join(reasons)
        return None

    def _staleness(self, found: Published, now_ns: int) -> str | None:
        age_s = (now_ns - found.published_ns) / 1e9
        if age_s < _FUTURE_S:
            return "its times are of another clock"
        if age_s > max(self._stale_after_s, STALE_PERIODS * found.period_s):
            return f"process {found.pid} has published nothing for {age_s:.1f} s"
        return None

    def _read_own(self, now_ns: int) -> DeviceSample:
        try:
            if self._own is None:
                if now_ns < self._retry_ns:
                    return _no_clock(now_ns, "no daemon, and the own sensors can't be opened")
                self._retry_ns = now_ns + int(RETRY_S * 1e9)
                self._own = self._open_own()
            return self._own.read()
        except READ_ERRORS as error:
            return _no_clock(now_ns, f"no daemon, and {type(error).__name__}: {error}")

    def _close_own(self) -> None:
        own, self._own = self._own, None
        self._retry_ns = 0
        if own is not None:
            own.close()


def clock_for(clock: ClockSample, cpus: frozenset[int], threads: int | None) -> ClockSample | None:
    """Return a clock as seen by a process on `cpus`, None if it says nothing about them.

    The daemon may run on every core; a process that may use some of them, or uses only a few at
    once, follows the slowest of those. A clock that is of no policy holds for every process.
    """
    covering = [p for p in clock.policies if not p.cpus or cpus.intersection(p.cpus)]
    if not covering:
        return None if clock.policies else clock
    if threads is None and len(covering) == len(clock.policies):
        return clock
    khz = _slowest_working(covering, [p.cur_freq_khz for p in covering], cpus, threads)
    top_khz = _slowest_working(covering, [_top_khz(p) for p in covering], cpus, threads)
    error = None if khz is not None else clock.error or "no clock of the CPUs of this process"
    return replace(clock, cpu_khz=khz, max_khz=top_khz, policies=tuple(covering), error=error)


def _slowest_working(
    policies: Sequence[PolicySample],
    clocks_khz: Sequence[int | None],
    cpus: frozenset[int],
    threads: int | None,
) -> int | None:
    """Return the lowest clock among the `threads` fastest CPUs, as the cpufreq driver has it."""
    weighed = [
        (khz, len(cpus.intersection(policy.cpus)) or 1)
        for policy, khz in zip(policies, clocks_khz, strict=True)
        if khz is not None
    ]
    lowest, count = None, 0
    for khz, weight in sorted(weighed, reverse=True):
        if threads is not None and count >= threads:
            break
        lowest, count = khz, count + weight
    return lowest


def _top_khz(policy: PolicySample) -> int | None:
    listed = policy.available_khz[-1] if policy.available_khz else None
    return policy.max_freq_khz or listed or policy.scaling_max_freq_khz


def _own_quota() -> Channel[QuotaSample]:
    return open_channel(CPU_QUOTA, QUOTA_DRIVERS, Sources(Sysfs(), None, None))


def _no_clock(now_ns: int, reason: str) -> DeviceSample:
    return DeviceSample(now_ns, ClockSample(now_ns, None, None, "shared", (), reason))
