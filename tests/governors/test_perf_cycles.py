# SPDX-License-Identifier: Apache-2.0
"""The clock from cycles: counters of a simulated processor, refusals, threads and forks."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from aio.governors import perf_event
from aio.governors.base import Status
from aio.governors.drivers import perf_cycles
from aio.governors.drivers.perf_cycles import MIN_RUNNING_NS, PerfCyclesDriver
from aio.governors.perf_event import CycleCount, CycleCounter
from aio.governors.sysfs import Sysfs

if TYPE_CHECKING:
    from fake_machine import FakeMachine, MachineMaker

PARANOID = "proc/sys/kernel/perf_event_paranoid"


class Processor:
    """Counters whose threads run for `step_ns` between two readings, at `khz`."""

    def __init__(self) -> None:
        self.khz = 2_000_000
        self.step_ns = 1_000_000
        self.open: list[tuple[int, bool]] = []
        self.closed = 0
        self.refuse: dict[bool, int] = {}
        self.gone: set[int] = set()
        self.fail: int | None = None

    def open_counter(self, thread_id: int, kernel: bool) -> FakeCounter:
        if kernel in self.refuse:
            raise OSError(self.refuse[kernel], os.strerror(self.refuse[kernel]))
        if thread_id in self.gone:
            raise ProcessLookupError(errno.ESRCH, "No such process")
        self.open.append((thread_id, kernel))
        return FakeCounter(self)


class FakeCounter:
    def __init__(self, processor: Processor) -> None:
        self._processor = processor
        self._cycles = self._running_ns = 0

    def read(self) -> CycleCount:
        if self._processor.fail is not None:
            raise OSError(self._processor.fail, os.strerror(self._processor.fail))
        self._running_ns += self._processor.step_ns
        self._cycles += self._processor.step_ns * self._processor.khz // 1_000_000
        return CycleCount(self._cycles, self._running_ns)

    def close(self) -> None:
        self._processor.closed += 1


@pytest.fixture
def processor() -> Processor:
    return Processor()


@pytest.fixture
def machine(make_machine: MachineMaker) -> FakeMachine:
    machine = make_machine(None)
    machine.write(PARANOID, "2\n")
    return machine


@pytest.fixture
def driver(machine: FakeMachine, processor: Processor) -> Iterator[PerfCyclesDriver]:
    driver = PerfCyclesDriver(Sysfs(machine.root), processor.open_counter)
    yield driver
    driver.close()


def test_clock(driver: PerfCyclesDriver, processor: Processor) -> None:
    capability = driver.probe()
    assert capability.status is Status.VALUE
    assert capability.reason == "cycles of this process in user mode and kernel, about 2000 MHz now"
    for khz, max_khz in ((2_000_000, 2_000_000), (800_000, 2_000_000), (2_400_000, 2_400_000)):
        processor.khz = khz
        sample = driver.read()
        assert (sample.cpu_khz, sample.max_khz, sample.error) == (khz, max_khz, None)


def test_user_mode_only(driver: PerfCyclesDriver, processor: Processor) -> None:
    processor.refuse = {True: errno.EACCES}
    assert "in user mode, about 2000 MHz" in driver.probe().reason
    assert processor.open == [(os.getpid(), False)]


@pytest.mark.parametrize(
    ("code", "status", "words"),
    [
        (errno.ENOENT, Status.UNSUPPORTED, "as in most virtual machines"),
        (errno.EOPNOTSUPP, Status.UNSUPPORTED, "no cycle counter"),
        (errno.ENODEV, Status.UNSUPPORTED, "no cycle counter"),
        (errno.ENOSYS, Status.UNSUPPORTED, "the kernel has no performance counters"),
        (errno.EACCES, Status.ERROR, "kernel.perf_event_paranoid is 2; allow it with sysctl"),
        (errno.EPERM, Status.ERROR, "CAP_PERFMON"),
        (errno.EMFILE, Status.ERROR, "too many open files"),
    ],
)
def test_refusals(
    driver: PerfCyclesDriver, processor: Processor, code: int, status: Status, words: str
) -> None:
    processor.refuse = {True: code, False: code}
    capability = driver.probe()
    assert capability.status is status
    assert words in capability.reason


def test_a_kernel_without_counters(machine: FakeMachine, driver: PerfCyclesDriver) -> None:
    (machine.root / PARANOID).unlink()
    capability = driver.probe()
    assert capability.status is Status.UNSUPPORTED
    assert capability.reason.endswith("perf_event_paranoid does not exist")


def test_threads_there_are_count_and_one_that_ends_does_not_hurt(
    machine: FakeMachine, driver: PerfCyclesDriver, processor: Processor
) -> None:
    for name in (os.getpid(), 700_001, 700_002, "self"):
        machine.fill(f"proc/self/task/{name}")
    processor.gone = {700_001}
    assert driver.read().cpu_khz == 2_000_000
    assert processor.open == [(os.getpid(), True), (700_002, True)]


def test_an_idle_process_is_kept_busy_for_a_moment(
    driver: PerfCyclesDriver, processor: Processor
) -> None:
    driver.probe()
    processor.step_ns = MIN_RUNNING_NS // 4
    assert driver.read().cpu_khz == 2_000_000


def test_a_counter_that_stands_still(
    driver: PerfCyclesDriver, processor: Processor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perf_cycles, "MAX_SPIN_NS", 1)
    driver.probe()
    processor.step_ns = 0
    sample = driver.read()
    assert (sample.cpu_khz, sample.max_khz) == (None, 2_000_000)
    assert sample.error == "the cycle counter stands still although this process runs"
    assert driver.probe().status is Status.ERROR


def test_an_impossible_clock(driver: PerfCyclesDriver, processor: Processor) -> None:
    processor.khz = 90_000_000
    assert driver.probe().status is Status.ERROR
    assert "are no clock" in driver.probe().reason


def test_a_counter_that_dies_is_opened_again(
    driver: PerfCyclesDriver, processor: Processor
) -> None:
    driver.probe()
    processor.fail = errno.EIO
    assert driver.read().error == "cycle counter: input/output error"
    processor.fail = None
    assert driver.read().cpu_khz == 2_000_000
    assert len(processor.open) == 2
    assert processor.closed == 1


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_child_counts_itself(driver: PerfCyclesDriver, processor: Processor) -> None:
    driver.probe()
    child = os.fork()
    if child == 0:
        good = driver.read().cpu_khz == 2_000_000 and processor.open[-1] == (os.getpid(), True)
        os._exit(0 if good else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_closed(driver: PerfCyclesDriver, processor: Processor) -> None:
    driver.probe()
    driver.close()
    assert processor.closed == 1
    assert driver.read().error == "the driver is closed"


def burn() -> None:
    for _ in range(300_000):
        pass


def test_the_system_call(monkeypatch: pytest.MonkeyPatch) -> None:
    # The software clock counts nanoseconds where there is no counter of cycles, so every machine
    # can check the call, inheritance by threads and the layout of what is read.
    monkeypatch.setattr(perf_event, "_TYPE_HARDWARE", 1)
    try:
        counter = CycleCounter(os.getpid(), kernel=False)
    except PermissionError:
        assert os.geteuid() != 0
        return
    burn()
    alone = counter.read()
    thread = threading.Thread(target=burn)
    thread.start()
    thread.join()
    both = counter.read()
    counter.close()
    assert 0 < alone.cycles <= both.cycles
    assert alone.running_ns < both.running_ns
    assert alone.cycles == pytest.approx(alone.running_ns, rel=0.2)


def test_an_unknown_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(OSError, match="perf_event_open on riscv64") as caught:
        CycleCounter(os.getpid(), kernel=False)
    assert caught.value.errno == errno.ENOSYS


def test_a_real_refusal() -> None:
    with pytest.raises(OSError, match=r"\w+") as caught:
        CycleCounter(2**30, kernel=False)  # no such thread, whatever else the kernel says first
    assert caught.value.errno
