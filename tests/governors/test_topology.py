# SPDX-License-Identifier: Apache-2.0
"""Kinds of cores: by capacity, by top clock, or one kind when the kernel ranks none."""

from __future__ import annotations

import os

import pytest
from fake_machine import (
    LAPTOP,
    ORIN_NANO,
    RASPBERRY_PI_4,
    SNAPDRAGON_888,
    Board,
    FakeMachine,
    MachineMaker,
)

from aio.governors.sysfs import Sysfs
from aio.governors.topology import allowed_cpus, fastest_class, policy_names, slowest_class


@pytest.mark.parametrize(
    ("board", "cpus", "count"),
    [
        (ORIN_NANO, {0, 1, 2, 3, 4, 5}, 1),
        (SNAPDRAGON_888, {7}, 3),
        (RASPBERRY_PI_4, {0, 1, 2, 3}, 1),
        (LAPTOP, {0, 1, 2, 3}, 1),  # favoured cores, 4 % faster, are no kind of their own
    ],
    ids=lambda value: value.name if isinstance(value, Board) else None,
)
def test_fastest_class_of_boards(
    make_machine: MachineMaker, board: Board, cpus: set[int], count: int
) -> None:
    kind = fastest_class(Sysfs(make_machine(board).root), board.cpus)
    assert (set(kind.cpus), kind.count, kind.basis) == (cpus, count, "cpuinfo_max_freq")


def test_only_the_cpus_asked_for_are_ranked(make_machine: MachineMaker) -> None:
    kind = fastest_class(Sysfs(make_machine(SNAPDRAGON_888).root), frozenset({2, 3, 5}))
    assert (set(kind.cpus), kind.count) == ({5}, 2)


def test_capacity_wins_over_frequency(make_machine: MachineMaker) -> None:
    machine = make_machine(RASPBERRY_PI_4)
    for cpu, capacity in enumerate((1024, 1000, 400, 400)):
        machine.write(f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity", f"{capacity}\n")
    kind = fastest_class(Sysfs(machine.root), frozenset(range(4)))
    assert (set(kind.cpus), kind.count, kind.basis) == ({0, 1}, 2, "cpu_capacity")


@pytest.mark.parametrize("capacity", ["0\n", "garbage", ""])
def test_capacity_of_some_cpus_only_is_not_used(orin: FakeMachine, capacity: str) -> None:
    orin.write("sys/devices/system/cpu/cpu0/cpu_capacity", "1024\n")
    orin.write("sys/devices/system/cpu/cpu1/cpu_capacity", capacity)
    kind = fastest_class(Sysfs(orin.root), ORIN_NANO.cpus)
    assert (kind.cpus, kind.basis) == (ORIN_NANO.cpus, "cpuinfo_max_freq")


def test_offline_cores_keep_their_kind(make_machine: MachineMaker) -> None:
    machine = make_machine(SNAPDRAGON_888)
    (machine.policy(7) / "affected_cpus").write_text("\n")
    (machine.policy(4) / "related_cpus").unlink()
    assert fastest_class(Sysfs(machine.root), SNAPDRAGON_888.cpus).cpus == {7}


def test_machine_that_ranks_nothing(make_machine: MachineMaker, orin: FakeMachine) -> None:
    empty = fastest_class(Sysfs(make_machine(None).root), frozenset({0, 1}))
    assert (set(empty.cpus), empty.count, empty.basis) == ({0, 1}, 1, "unranked")
    (orin.policy(4) / "cpuinfo_max_freq").write_text("<unsupported>\n")
    assert fastest_class(Sysfs(orin.root), ORIN_NANO.cpus).basis == "unranked"
    assert fastest_class(Sysfs(orin.root), frozenset()).cpus == frozenset()


def test_policy_names_are_in_numerical_order(make_machine: MachineMaker) -> None:
    machine = make_machine(None)
    for name in ("policy10", "policy9", "policy", "policyX", "policy1.new", "boost", "ondemand"):
        (machine.cpufreq / name).mkdir()
    assert policy_names(Sysfs(machine.root)) == ["policy9", "policy10"]
    machine.cpufreq.rename(machine.cpu / "gone")
    assert policy_names(Sysfs(machine.root)) == []


def test_allowed_cpus_is_the_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    assert allowed_cpus() == os.sched_getaffinity(0)
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert allowed_cpus() == {0}


def test_the_slowest_class(make_machine: MachineMaker) -> None:
    sysfs = Sysfs(make_machine(SNAPDRAGON_888).root)
    found = slowest_class(sysfs, SNAPDRAGON_888.cpus)
    assert found.cpus == {0, 1, 2, 3}
    assert found.count == 3
    assert slowest_class(sysfs, frozenset({4, 5})).cpus == {4, 5}
    assert slowest_class(sysfs, frozenset()).cpus == frozenset()
