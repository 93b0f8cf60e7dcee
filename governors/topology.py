# SPDX-License-Identifier: Apache-2.0
"""Which CPUs this process may use, and which of them are of the fastest kind.

A phone has cores of two or three kinds, a laptop performance and efficiency cores. Work that is
split evenly waits for the slowest core, so one kind is used at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aio.governors.parsing import parse_cpus, parse_int, parse_khz

if TYPE_CHECKING:
    from aio.governors.sysfs import Sysfs

# Cores this close are one kind. The favoured cores of a desktop part ("Turbo Boost Max", "preferred
# core") reach a few percent more than their equals; a phone's next kind is 15 % slower or more.
SAME_CLASS = 0.9


@dataclass(frozen=True, slots=True)
class CoreClass:
    """The fastest kind of cores among those asked for.

    `count` is the number of kinds found; `basis` names what they were ranked by.
    """

    cpus: frozenset[int]
    count: int
    basis: str


def allowed_cpus() -> frozenset[int]:
    """Return the CPUs this process may run on (its main thread's affinity)."""
    if hasattr(os, "sched_getaffinity"):
        # Not 0, which would be the calling thread: the sampler's own affinity is not the point.
        return frozenset(os.sched_getaffinity(os.getpid()))
    return frozenset(range(os.cpu_count() or 1))


def fastest_class(sysfs: Sysfs, cpus: frozenset[int]) -> CoreClass:
    """Return the fastest kind among `cpus`, which is all of them if the kernel ranks none."""
    sources: tuple[tuple[str, Callable[[Sysfs, frozenset[int]], Mapping[int, int]]], ...] = (
        ("cpu_capacity", _capacities),
        ("cpuinfo_max_freq", _max_freqs_khz),
    )
    for basis, ranks_of in sources:
        ranks = ranks_of(sysfs, cpus)
        # A rank for some of the CPUs only can't be compared with the others.
        if cpus and ranks.keys() == cpus:
            best = max(ranks.values())
            chosen = frozenset(cpu for cpu in cpus if ranks[cpu] >= SAME_CLASS * best)
            return CoreClass(chosen, _count_classes(list(ranks.values())), basis)
    return CoreClass(cpus, 1, "unranked")


def slowest_class(sysfs: Sysfs, cpus: frozenset[int]) -> CoreClass:
    """Return the slowest kind among `cpus`, which is all of them if the kernel ranks none."""
    left = cpus
    while True:
        found = fastest_class(sysfs, left)
        if found.cpus == left or not found.cpus:
            return CoreClass(left, fastest_class(sysfs, cpus).count, found.basis)
        left -= found.cpus


def _count_classes(ranks: list[int]) -> int:
    count, leader = 0, 0.0
    for rank in sorted(ranks, reverse=True):
        if count == 0 or rank < SAME_CLASS * leader:
            count, leader = count + 1, rank
    return count


def _capacities(sysfs: Sysfs, cpus: frozenset[int]) -> dict[int, int]:
    """Return cpu_capacity (0 to 1024), which weighs the kind of core and its top clock."""
    found = ((cpu, parse_int(_cpu_file(sysfs, cpu, "cpu_capacity"))) for cpu in cpus)
    return {cpu: capacity for cpu, capacity in found if capacity}


def _cpu_file(sysfs: Sysfs, cpu: int, name: str) -> str | None:
    return sysfs.read_optional(sysfs.cpu / f"cpu{cpu}" / name)


def _max_freqs_khz(sysfs: Sysfs, cpus: frozenset[int]) -> dict[int, int]:
    ranks: dict[int, int] = {}
    for policy in policy_names(sysfs):
        folder = sysfs.cpu / "cpufreq" / policy
        khz = parse_khz(sysfs.read_optional(folder / "cpuinfo_max_freq"))
        # Related, not affected: a core that is offline now keeps its kind.
        members = parse_cpus(sysfs.read_optional(folder / "related_cpus"))
        members = members or parse_cpus(sysfs.read_optional(folder / "affected_cpus"))
        if khz is not None:
            ranks.update((cpu, khz) for cpu in members or () if cpu in cpus)
    return ranks


def policy_names(sysfs: Sysfs) -> list[str]:
    """Return the cpufreq policies in numerical order; none if there is no such folder."""
    try:
        names = sysfs.list(sysfs.cpu / "cpufreq")
    except OSError:
        return []
    numbers = (parse_int(name[6:]) for name in names if name.startswith("policy"))
    return [f"policy{number}" for number in sorted(n for n in numbers if n is not None)]
