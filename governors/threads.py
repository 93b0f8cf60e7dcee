# SPDX-License-Identifier: Apache-2.0
"""How many threads to use: never more than affinity, cgroup quota and one kind of cores allow.

More threads than a container's quota make every layer wait for the throttled one, and threads on
slower cores hold back those on faster ones. Quotas are CPUs, 1.5 being one and a half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aio.governors.parsing import parse_int
from aio.governors.sysfs import Sysfs
from aio.governors.topology import allowed_cpus, fastest_class

DEFAULT_PERIOD_US = 100_000


@dataclass(frozen=True, slots=True)
class ThreadBudget:
    """A thread count with the limits it follows from; `quota_cpus` is None without a quota."""

    threads: int
    affinity_cpus: int
    quota_cpus: float | None
    class_cpus: int
    reason: str


def default_threads(root: Path | None = None) -> ThreadBudget:
    """Return the number of threads to use here unless the user says otherwise.

    Raises:
        ValueError: AIO_SYSFS_ROOT names something that is not a folder.
    """
    sysfs = Sysfs(root)
    cpus = allowed_cpus()
    kind = fastest_class(sysfs, cpus)
    quota = cgroup_quota(sysfs)
    limits = [(len(cpus), f"this process may use {_count(len(cpus), 'CPU')}")]
    if kind.count > 1:
        text = f"of {kind.count} kinds of cores the fastest has {_count(len(kind.cpus), 'CPU')}"
        limits.append((len(kind.cpus), text))
    if quota is not None:
        limits.append((max(1, int(quota[0])), f"cgroup quota of {quota[0]:.2f} CPUs at {quota[1]}"))
    threads, reason = min(limits, key=lambda limit: limit[0])
    return ThreadBudget(
        threads=threads,
        affinity_cpus=len(cpus),
        quota_cpus=None if quota is None else quota[0],
        class_cpus=len(kind.cpus),
        reason=f"{_count(threads, 'thread')}: {reason}",
    )


def cgroup_quota(sysfs: Sysfs) -> tuple[float, str] | None:
    """Return the tightest CPU quota of this process's control groups and where it stands."""
    quotas = []
    for folder, read_quota in _groups(sysfs):
        cpus = read_quota(sysfs, folder)
        if cpus is not None:
            quotas.append((cpus, str(folder)))
    return min(quotas, default=None)


def _groups(sysfs: Sysfs) -> Iterator[tuple[Path, Callable[[Sysfs, Path], float | None]]]:
    """Yield every control group that limits this process, with the reader of its quota.

    /proc/self/cgroup has lines `id:controllers:path`; v2 is `0::path`. In a container without a
    cgroup namespace the path is the host's and does not exist below the mount, whose top is then
    the container's own group: walking up to the top finds it.
    """
    mount = sysfs.sys / "fs/cgroup"
    for line in (sysfs.read_optional(sysfs.proc / "self/cgroup") or "").splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            for top in (mount, mount / "unified"):
                yield from ((folder, _quota_v2) for folder in _ancestry(top, path))
        elif "cpu" in controllers.split(","):
            for top in (mount / controllers, mount / "cpu"):
                yield from ((folder, _quota_v1) for folder in _ancestry(top, path))


def _ancestry(top: Path, path: str) -> Iterator[Path]:
    """Yield the group `path` below `top` and all groups around it, innermost first."""
    # ".." stands for groups outside the namespace, which can't be seen from here.
    parts = [part for part in PurePosixPath(path).parts if part not in {"/", ".."}]
    for depth in range(len(parts), -1, -1):
        yield top.joinpath(*parts[:depth])


def _quota_v2(sysfs: Sysfs, folder: Path) -> float | None:
    """Return the quota of `cpu.max`, which is "QUOTA PERIOD" or "max PERIOD" in microseconds."""
    fields = (sysfs.read_optional(folder / "cpu.max") or "").split()
    period = fields[1] if len(fields) > 1 else str(DEFAULT_PERIOD_US)
    return _ratio(fields[0] if fields else None, period)


def _quota_v1(sysfs: Sysfs, folder: Path) -> float | None:
    """Return the quota of `cpu.cfs_quota_us`; it is -1 without one."""
    quota = sysfs.read_optional(folder / "cpu.cfs_quota_us")
    return _ratio(quota, sysfs.read_optional(folder / "cpu.cfs_period_us"))


def _ratio(quota: str | None, period: str | None) -> float | None:
    quota_us, period_us = parse_int(quota), parse_int(period)
    return quota_us / period_us if quota_us and period_us else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
