# SPDX-License-Identifier: Apache-2.0
"""How many threads to use: never more than affinity, cgroup quota and one kind of cores allow.

More threads than a container's quota make every layer wait for the throttled one, and threads on
slower cores hold back those on faster ones. Quotas are CPUs, 1.5 being one and a half.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from aio.governors.drivers.cgroup import read_quota
from aio.governors.sysfs import Sysfs
from aio.governors.topology import allowed_cpus, fastest_class


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
    sample = read_quota(sysfs)
    quota = None if sample is None else sample.quota_cpus
    limits = [(len(cpus), f"this process may use {_count(len(cpus), 'CPU')}")]
    if kind.count > 1:
        text = f"of {kind.count} kinds of cores the fastest has {_count(len(kind.cpus), 'CPU')}"
        limits.append((len(kind.cpus), text))
    if sample is not None and quota is not None:
        text = f"cgroup quota of {quota:.2f} CPUs at {sample.source}"
        limits.append((max(1, int(quota)), text))
    threads, reason = min(limits, key=lambda limit: limit[0])
    return ThreadBudget(
        threads=threads,
        affinity_cpus=len(cpus),
        quota_cpus=quota,
        class_cpus=len(kind.cpus),
        reason=f"{_count(threads, 'thread')}: {reason}",
    )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
