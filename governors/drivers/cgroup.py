# SPDX-License-Identifier: Apache-2.0
"""The CPU bandwidth limit of this process's control groups, v1 and v2, and how often it bit.

A container's quota acts like a slower clock that no clock sensor shows. The limit that counts is
the tightest of the group and all groups around it. Quotas are CPUs, 1.5 being one and a half.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from aio.governors.base import (
    CPU_QUOTA,
    Capability,
    QuotaSample,
    SensorError,
    SensorUnsupported,
)
from aio.governors.drivers.probing import probe_by_reading
from aio.governors.parsing import parse_int

if TYPE_CHECKING:
    from aio.governors.sysfs import Sysfs

DEFAULT_PERIOD_US = 100_000
SCAN_PERIOD_NS = 5_000_000_000  # a process is seldom moved to another group


class Limit(NamedTuple):
    """The limit of one group; `quota_cpus` is None without one."""

    quota_cpus: float | None
    period_us: int | None


class Group:
    """One control group of this process, its files kept open."""

    def __init__(self, sysfs: Sysfs, folder: Path, *, v2: bool) -> None:
        self.folder = folder
        self._v2 = v2
        names = ("cpu.max",) if v2 else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        self._limit = [sysfs.hot(folder / name) for name in names]
        self._stat = sysfs.hot(folder / "cpu.stat")

    def limit(self) -> Limit | None:
        """Return the limit, or None if this group has no file for it."""
        texts = [file.read_optional() for file in self._limit]
        if texts[0] is None:
            return None
        # v2 has both in one file, "QUOTA PERIOD" or "max PERIOD"; v1's quota is -1 without one.
        fields = texts[0].split() if self._v2 else [text or "" for text in texts]
        if self._v2 and len(fields) == 1:
            fields.append(str(DEFAULT_PERIOD_US))
        quota_us, period_us = (parse_int(field) for field in (*fields, "", "")[:2])
        quota = quota_us / period_us if quota_us and period_us else None
        return Limit(quota, period_us or None)

    def throttled_us(self) -> int | None:
        """Return how long the group was stopped so far; v1 counts nanoseconds."""
        counters = dict(
            line.split()[:2]
            for line in (self._stat.read_optional() or "").splitlines()
            if len(line.split()) > 1
        )
        if self._v2:
            return parse_int(counters.get("throttled_usec"))
        nanoseconds = parse_int(counters.get("throttled_time"))
        return None if nanoseconds is None else nanoseconds // 1000

    def close(self) -> None:
        """Free the descriptors."""
        for file in (*self._limit, self._stat):
            file.close()


class CgroupDriver:
    """The tightest quota, and the time all groups together were stopped."""

    name = "cgroup"

    def __init__(self, sysfs: Sysfs) -> None:
        self._sysfs = sysfs
        self._groups: list[Group] = []
        self._next_scan_ns = 0
        self._closed = False

    def probe(self) -> Capability:
        """Say whether control groups can limit this process here."""
        return probe_by_reading(self.name, CPU_QUOTA, self.read, _describe)

    def read(self) -> QuotaSample:
        """Return the limit of now.

        Raises:
            SensorError: there is no control group with CPU bandwidth.
        """
        if self._closed:
            raise SensorError("the driver is closed")
        now_ns = time.monotonic_ns()
        limits = [] if now_ns >= self._next_scan_ns else self._limits()
        if not limits or any(limit is None for _, limit in limits):
            self._scan(now_ns)
            limits = self._limits()
        found = [(group, limit) for group, limit in limits if limit is not None]
        if not found:
            raise SensorUnsupported(
                f"no control group of this process has a CPU limit: {self._why}"
            )
        return _tightest(found)

    def close(self) -> None:
        """Free all descriptors."""
        self._closed = True
        self._forget()

    def _limits(self) -> list[tuple[Group, Limit | None]]:
        return [(group, group.limit()) for group in self._groups]

    def _scan(self, now_ns: int) -> None:
        """Find the groups again."""
        self._forget()
        for folder, v2 in _folders(self._sysfs):
            group = Group(self._sysfs, folder, v2=v2)
            if group.limit() is None:
                group.close()
            else:
                self._groups.append(group)
        self._next_scan_ns = now_ns + SCAN_PERIOD_NS

    def _forget(self) -> None:
        for group in self._groups:
            group.close()
        self._groups = []

    @property
    def _why(self) -> str:
        listing = self._sysfs.proc / "self/cgroup"
        if not self._sysfs.read_optional(listing):
            return f"{listing} can't be read"
        return f"nothing below {self._sysfs.sys / 'fs/cgroup'}"


def read_quota(sysfs: Sysfs) -> QuotaSample | None:
    """Return the limit of now, once; None if no control group has one to tell."""
    driver = CgroupDriver(sysfs)
    try:
        return driver.read()
    except SensorUnsupported:
        return None
    finally:
        driver.close()


def _tightest(found: list[tuple[Group, Limit]]) -> QuotaSample:
    """Return one sample of all groups; the innermost of equally tight ones is named."""
    limited = [(limit.quota_cpus, group, limit) for group, limit in found if limit.quota_cpus]
    _, group, limit = min(
        limited, key=lambda item: item[0], default=(None, found[0][0], Limit(None, None))
    )
    counters = [count for each, _ in found if (count := each.throttled_us()) is not None]
    return QuotaSample(
        limit.quota_cpus, limit.period_us, sum(counters) if counters else None, str(group.folder)
    )


def _describe(sample: QuotaSample) -> str:
    if sample.quota_cpus is None:
        return f"no quota at {sample.source} or around it"
    return f"{sample.quota_cpus:.2f} CPUs at {sample.source}"


def _folders(sysfs: Sysfs) -> Iterator[tuple[Path, bool]]:
    """Yield every control group that may limit this process, and whether it is of v2.

    /proc/self/cgroup has lines `id:controllers:path`; v2 is `0::path`. In a container without a
    cgroup namespace the path is the host's and does not exist below the mount, whose top is then
    the container's own group: walking up to the top finds it.
    """
    mount = sysfs.sys / "fs/cgroup"
    seen: set[str] = set()
    for line in (sysfs.read_optional(sysfs.proc / "self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            tops, v2 = (mount, mount / "unified"), True
        elif "cpu" in controllers.split(","):
            tops, v2 = (mount / controllers, mount / "cpu"), False
        else:
            continue
        if not path.isprintable():  # no name that a container runtime gives
            continue
        for folder in (folder for top in tops for folder in _ancestry(top, path)):
            real = os.path.realpath(folder)  # "cpu" is often a link to "cpu,cpuacct"
            if real not in seen:
                seen.add(real)
                yield folder, v2


def _ancestry(top: Path, path: str) -> Iterator[Path]:
    """Yield the group `path` below `top` and all groups around it, innermost first."""
    # ".." stands for groups outside the namespace, which can't be seen from here.
    parts = [part for part in PurePosixPath(path).parts if part not in {"/", ".."}]
    for depth in range(len(parts), -1, -1):
        yield top.joinpath(*parts[:depth])
