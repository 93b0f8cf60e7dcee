# SPDX-License-Identifier: Apache-2.0
"""The sampler's thread: freshness, idling, failing sources, forks, and threads that end."""

from __future__ import annotations

import gc
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from fake_machine import ORIN_NANO, FakeMachine

from aio.governors import Capability, ClockSample, DeviceSample, Sampler, Status, open_sensors
from aio.governors import sampler as module

LONG_S = 20.0  # far beyond any delay of a loaded machine; a test that waits this long fails


class StepSource:
    """Counts readings and gives the count as the clock; can fail or hang."""

    name = "step"

    def __init__(self) -> None:
        self.reads = 0
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        self.hanging = threading.Event()
        self.changed = threading.Condition()

    @property
    def capabilities(self) -> tuple[Capability, ...]:
        return (Capability(self.name, "cpu_clock", Status.VALUE, str(self.reads)),)

    def read(self) -> DeviceSample:
        if not self.gate.is_set():
            self.hanging.set()
            self.gate.wait(LONG_S)
        with self.changed:
            self.reads += 1
            self.changed.notify_all()
        if self.error is not None:
            raise self.error
        now_ns = time.monotonic_ns()
        return DeviceSample(now_ns, ClockSample(now_ns, self.reads, None, self.name))

    def close(self) -> None:
        raise AssertionError("the sampler does not own the source")

    def wait_for(self, reads: int, timeout_s: float = LONG_S) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.reads >= reads, timeout_s)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + LONG_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


@contextmanager
def running(
    source: StepSource,
    period_s: float = 0.005,
    idle_period_s: float = 0.01,
    idle_after_s: float = 1.0,
) -> Iterator[Sampler]:
    with Sampler(source, period_s, idle_period_s, idle_after_s) as sampler:
        yield sampler


def sampler_threads() -> int:
    return sum(thread.name.startswith("aio-sensors-") for thread in threading.enumerate())


def test_first_sample_is_there_when_start_returns() -> None:
    source = StepSource()
    sampler = Sampler(source, 30.0, 30.0)
    before = sampler.latest()
    assert (before.clock.cpu_khz, before.clock.error) == (None, "sampling has not started")
    assert sampler.cost_us is None
    with sampler:
        assert sampler.latest().clock.cpu_khz is not None
        assert sampler.cost_us is not None
        assert sampler.cost_us >= 0.0


def test_it_keeps_sampling_until_stopped() -> None:
    source = StepSource()
    with running(source) as sampler:
        assert source.wait_for(5)
        sampler.start()  # again: no second thread
        assert sampler_threads() == 1
    assert sampler_threads() == 0
    reads = source.reads
    assert not source.wait_for(reads + 1, 0.1)
    sampler.stop()
    with sampler:
        assert source.wait_for(reads + 3)


def test_a_written_clock_is_seen_within_two_periods(
    orin: FakeMachine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(ORIN_NANO.cpus))
    source = open_sensors(None, orin.root)
    seen_khz: list[int | None] = []
    plain_read = source.read

    def recording_read() -> DeviceSample:
        sample = plain_read()
        seen_khz.append(sample.clock.cpu_khz)
        return sample

    source.read = recording_read  # type: ignore[method-assign]
    with Sampler(source, 0.02, 0.02) as sampler:
        for khz in (806_400, 1_190_400, 115_200):
            orin.replace(orin.policy(0) / "scaling_cur_freq", f"{khz}\n")
            samples_before = len(seen_khz)
            wait_until(sampler, khz)
            # Counted in samples, not in time: one may have been under way during the write.
            assert khz in seen_khz[samples_before : samples_before + 2]
    source.close()


def wait_until(sampler: Sampler, khz: int) -> None:
    assert eventually(lambda: sampler.latest().clock.cpu_khz == khz)


def test_idle_sampling_is_rare_and_a_touch_wakes_it() -> None:
    source = StepSource()
    with running(source, 0.005, 3600.0, idle_after_s=0.05) as sampler:
        assert eventually(lambda: sampler._idle)
        reads = source.reads
        assert not source.wait_for(reads + 1, 0.1)
        sampler.touch()
        assert source.wait_for(reads + 3)


def test_touches_keep_it_awake() -> None:
    source = StepSource()
    with running(source, 0.005, 3600.0, idle_after_s=LONG_S) as sampler:
        for reads in (3, 6, 9):
            sampler.touch()
            assert source.wait_for(reads)


def test_fresh_reads_inline_only_when_stale() -> None:
    source = StepSource()
    with running(source, 3600.0, 3600.0) as sampler:
        assert source.wait_for(2)  # the thread's own first sample
        assert eventually(lambda: sampler.latest().clock.cpu_khz == 2)
        assert sampler.fresh(3600.0).clock.cpu_khz == 2
        assert sampler.fresh(0.0).clock.cpu_khz == 3
        assert sampler.latest().clock.cpu_khz == 3


def test_fresh_works_without_a_thread() -> None:
    source = StepSource()
    sampler = Sampler(source)
    assert sampler.fresh(0.01).clock.cpu_khz == 1


def test_fresh_takes_the_sample_another_thread_just_took() -> None:
    source = StepSource()
    sampler = Sampler(source)
    results: list[DeviceSample] = []
    source.gate.clear()

    def ask() -> None:
        results.append(sampler.fresh(LONG_S))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    source.gate.set()
    for thread in threads:
        thread.join()
    assert source.reads == 1
    assert 1 in {sample.clock.cpu_khz for sample in results}


def test_a_hanging_sensor_delays_nobody() -> None:
    source = StepSource()
    with running(source) as sampler:
        source.gate.clear()
        assert eventually(source.hanging.is_set)
        begin_s = time.monotonic()
        sample = sampler.fresh(0.0)
        sampler.touch()
        assert time.monotonic() - begin_s < LONG_S / 2
        assert sample.clock.cpu_khz is not None
        source.gate.set()


def test_start_does_not_hang_behind_a_sensor_that_does() -> None:
    source = StepSource()
    sampler = Sampler(source, 0.005, 0.005)
    with sampler._read_lock:
        sampler.start()
        assert source.reads == 0
    assert source.wait_for(1)
    sampler.stop()


@pytest.mark.parametrize(
    "error", [OSError("gone"), ValueError("bad"), RuntimeError("oops"), ZeroDivisionError("0")]
)
def test_a_failing_source_gives_error_samples_and_is_asked_again(error: Exception) -> None:
    source = StepSource()
    with running(source) as sampler:
        source.error = error
        assert eventually(lambda: sampler.latest().clock.error is not None)
        sample = sampler.fresh(0.0)
        assert sample.clock.cpu_khz is None
        assert sample.clock.error == f"step failed: {type(error).__name__}: {error}"
        source.error = None
        assert eventually(lambda: sampler.latest().clock.error is None)


def test_an_expensive_source_is_asked_less_often() -> None:
    sampler = Sampler(StepSource(), 0.02, 0.25)
    sampler._thread = threading.current_thread()
    assert sampler._tick() == pytest.approx(0.02, abs=0.02)
    sampler._cost_s = 16.0
    wait_s = sampler._tick()
    assert wait_s is not None
    assert wait_s > 100.0


class BusySource(StepSource):
    """Takes a millisecond of CPU time per reading."""

    def read(self) -> DeviceSample:
        end_ns = time.thread_time_ns() + 1_000_000
        while time.thread_time_ns() < end_ns:
            pass
        return super().read()


def test_the_cost_is_the_cpu_time_of_the_thread() -> None:
    source = BusySource()
    with running(source, 0.005, 0.005) as sampler:
        assert source.wait_for(5)
        cost_us = sampler.cost_us
        assert cost_us is not None
        assert 1000.0 <= cost_us < 20_000.0
        sampler.fresh(0.0)
        assert sampler.cost_us is not None
        assert sampler.cost_us >= 1000.0


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    source = StepSource()
    with Sampler(source) as sampler:
        assert sampler.latest().clock.cpu_khz == 1
        assert sampler.fresh(0.0).clock.cpu_khz == 2


def test_stop_from_the_sampling_thread_itself() -> None:
    source = StepSource()
    sampler = Sampler(source, 0.005, 0.005)
    plain_read = source.read

    def read_and_stop() -> DeviceSample:
        if threading.current_thread() is sampler._thread:
            sampler.stop()
        return plain_read()

    source.read = read_and_stop  # type: ignore[method-assign]
    sampler.start()
    assert eventually(lambda: sampler_threads() == 0)


def test_a_forgotten_sampler_ends_its_thread() -> None:
    source = StepSource()
    sampler = Sampler(source, 0.005, 0.005)
    sampler.start()
    ref = weakref.ref(sampler)
    del sampler
    gc.collect()
    assert eventually(lambda: sampler_threads() == 0)
    assert ref() is None


@pytest.mark.parametrize(("period_s", "idle_period_s"), [(0.0, 1.0), (-1.0, 1.0), (0.5, 0.1)])
def test_periods_are_checked(period_s: float, idle_period_s: float) -> None:
    with pytest.raises(ValueError, match=f"period_s={period_s} and idle_period_s={idle_period_s}"):
        Sampler(StepSource(), period_s, idle_period_s)


def in_child(check: Callable[[], bool]) -> int:
    """Return the exit code of a forked child: 0 if `check` holds there, 2 if it raised."""
    child = os.fork()
    if child == 0:  # pragma: no cover
        code = 2
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("use", ["touch", "latest", "fresh"])
def test_it_goes_on_in_a_forked_child(use: str) -> None:
    source = StepSource()
    with running(source, 3600.0, 3600.0) as sampler:
        # The thread sleeps now, so no lock of the source is held while forking.
        assert eventually(lambda: sampler.latest().clock.cpu_khz == 2)

        def check() -> bool:
            if use == "touch":
                sampler.touch()
            elif use == "latest":
                sampler.latest()
            else:
                sampler.fresh(0.0)
            return sampler_threads() == 1 and source.wait_for(4)

        assert in_child(check) == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_fork_in_the_middle_of_a_reading() -> None:
    source = StepSource()
    with running(source) as sampler:
        source.gate.clear()
        assert eventually(source.hanging.is_set)

        def check() -> bool:
            source.gate.set()
            return sampler.fresh(0.0).clock.cpu_khz == source.reads

        code = in_child(check)
        source.gate.set()
        assert code == 0


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_stopped_sampler_stays_stopped_in_a_child() -> None:
    sampler = Sampler(StepSource())
    sampler.start()
    sampler.stop()

    def check() -> bool:
        sampler.touch()
        return sampler_threads() == 0

    assert in_child(check) == 0


@pytest.mark.parametrize("use", ["touch", "latest", "fresh"])
def test_what_a_fork_does_to_the_child_done_in_this_process(use: str) -> None:
    source = StepSource()
    with running(source) as sampler:
        old_thread = sampler._thread
        assert old_thread is not None
        module._after_fork_in_child()
        old_thread.join(LONG_S)  # it finds that it is no longer the sampler's thread
        assert not old_thread.is_alive()
        reads = source.reads
        sampler.fresh(0.0) if use == "fresh" else getattr(sampler, use)()
        assert source.wait_for(reads + 3)


def test_reviving_happens_once() -> None:
    with running(StepSource()) as sampler:
        thread = sampler._thread
        sampler._revive()
        assert sampler._thread is thread


def test_platform_without_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "register_at_fork")
    module._watch_forks.cache_clear()
    try:
        with running(StepSource()) as sampler:
            assert sampler.latest().clock.cpu_khz is not None
    finally:
        module._watch_forks.cache_clear()
