# SPDX-License-Identifier: Apache-2.0
"""The thread budget: affinity, cgroup v1 and v2 quotas, kinds of cores, whichever is tightest."""

from __future__ import annotations

import pytest
from fake_machine import SNAPDRAGON_888, FakeMachine, MachineMaker
from hypothesis import given
from hypothesis import strategies as st

from aio.governors import default_threads
from aio.governors.drivers.cgroup import read_quota
from aio.governors.sysfs import Sysfs

CGROUP = "sys/fs/cgroup"


@pytest.fixture(autouse=True)
def eight_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)))


@pytest.fixture
def machine(make_machine: MachineMaker) -> FakeMachine:
    return make_machine(None)


def test_affinity_alone(machine: FakeMachine) -> None:
    budget = default_threads(machine.root)
    assert (budget.threads, budget.affinity_cpus, budget.quota_cpus) == (8, 8, None)
    assert budget.reason == "8 threads: this process may use 8 CPUs"


def test_one_kind_of_cores(make_machine: MachineMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    phone = make_machine(SNAPDRAGON_888)
    budget = default_threads(phone.root)
    assert (budget.threads, budget.class_cpus) == (1, 1)
    assert budget.reason == "1 thread: of 3 kinds of cores the fastest has 1 CPU"
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(7)))
    assert default_threads(phone.root).threads == 3


@pytest.mark.parametrize(
    ("text", "quota", "threads"),
    [
        ("max 100000\n", None, 8),
        ("200000 100000\n", 2.0, 2),
        ("250000 100000\n", 2.5, 2),
        ("50000 100000\n", 0.5, 1),
        ("300000\n", 3.0, 3),
        ("1600000 100000\n", 16.0, 8),
        ("max\n", None, 8),
        ("100000 0\n", None, 8),
        ("-1 100000\n", None, 8),
        ("", None, 8),
        ("garbage in here\n", None, 8),
    ],
)
def test_quota_v2(machine: FakeMachine, text: str, quota: float | None, threads: int) -> None:
    machine.write("proc/self/cgroup", "0::/user.slice/app\n")
    machine.write(f"{CGROUP}/user.slice/app/cpu.max", text)
    budget = default_threads(machine.root)
    assert (budget.quota_cpus, budget.threads) == (quota, threads)


@pytest.mark.parametrize(
    ("quota_us", "period_us", "quota"),
    [
        ("-1\n", "100000\n", None),
        ("150000\n", "100000\n", 1.5),
        ("5000\n", "10000\n", 0.5),
        ("150000\n", None, None),
        (None, "100000\n", None),
        ("150000\n", "0\n", None),
    ],
)
@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
def test_quota_v1(
    machine: FakeMachine,
    controllers: str,
    mount: str,
    quota_us: str | None,
    period_us: str | None,
    quota: float | None,
) -> None:
    if mount not in {controllers, "cpu"}:
        mount = controllers
    machine.write("proc/self/cgroup", f"9:cpuset:/\n4:{controllers}:/docker/abc\n0::/\n")
    for name, text in (("cpu.cfs_quota_us", quota_us), ("cpu.cfs_period_us", period_us)):
        if text is not None:
            machine.write(f"{CGROUP}/{mount}/docker/abc/{name}", text)
    found = read_quota(Sysfs(machine.root))
    assert (found and found.quota_cpus) == quota


def test_tightest_ancestor_wins_and_is_named(machine: FakeMachine) -> None:
    machine.write("proc/self/cgroup", "0::/a/b/c\n")
    for group, text in (("a", "400000 100000"), ("a/b", "150000 100000"), ("a/b/c", "max 100000")):
        machine.write(f"{CGROUP}/{group}/cpu.max", text)
    budget = default_threads(machine.root)
    assert budget.threads == 1
    assert budget.reason == (
        f"1 thread: cgroup quota of 1.50 CPUs at {machine.root / CGROUP / 'a/b'}"
    )


def test_container_whose_own_group_is_the_mount(machine: FakeMachine) -> None:
    machine.write("proc/self/cgroup", "4:cpu,cpuacct:/docker/0123456789\n")
    machine.write(f"{CGROUP}/cpu,cpuacct/cpu.cfs_quota_us", "300000\n")
    machine.write(f"{CGROUP}/cpu,cpuacct/cpu.cfs_period_us", "100000\n")
    assert default_threads(machine.root).threads == 3


def test_hybrid_hierarchy(machine: FakeMachine) -> None:
    machine.write("proc/self/cgroup", "1:cpu:/\n0::/x\n")
    machine.write(f"{CGROUP}/unified/x/cpu.max", "200000 100000")
    assert default_threads(machine.root).threads == 2


def test_path_out_of_the_namespace_stays_below_the_mount(machine: FakeMachine) -> None:
    machine.write("proc/self/cgroup", "0::/../../../secret\n")
    machine.write("secret/cpu.max", "100000 100000")
    machine.write(f"{CGROUP}/cpu.max", "200000 100000")
    assert default_threads(machine.root).threads == 2


@given(st.text())
def test_any_cgroup_file_gives_a_budget(
    tmp_path_factory: pytest.TempPathFactory, text: str
) -> None:
    machine = FakeMachine(tmp_path_factory.mktemp("machine"))
    path = machine.write("proc/self/cgroup", "")
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    machine.write(f"{CGROUP}/cpu.max", "200000 100000")
    assert default_threads(machine.root).threads in {2, 8}
