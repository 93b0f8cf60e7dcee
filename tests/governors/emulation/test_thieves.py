# SPDX-License-Identifier: Apache-2.0
"""Clock thieves as real processes: they start, steal, report, and never outlive their parent."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from realtime_rights import give_up_realtime, needs_realtime, running, wait_until

from aio.governors.emulation.realtime import ClockThieves, check_speeds, thief, thieves
from aio.governors.emulation.realtime.selfcheck import CheckedPoint, calibrate
from aio.governors.emulation.realtime.thieves import MAX_DUTY, max_duty

CPU = min(os.sched_getaffinity(0))


@needs_realtime
def test_a_thief_slows_down_and_goes_away() -> None:
    with ClockThieves([CPU]) as held:
        assert held.alive()
        held.set_speed(0.5)
        before_ns = held.stolen_ns()
        time.sleep(0.1)
        assert held.stolen_ns() > before_ns
        pids = held.pids
        assert len(pids) == 1
        assert os.sched_getscheduler(pids[0]) == os.SCHED_FIFO
        assert os.sched_getaffinity(pids[0]) == {CPU}
    assert not any(running(pid) for pid in pids)


@needs_realtime
def test_the_check_measures_and_restores() -> None:
    affinity, policy = os.sched_getaffinity(0), os.sched_getscheduler(0)
    with ClockThieves([CPU], period_us=2000) as held:
        cost_ns = calibrate(held)
        full, slow = check_speeds(held, [1.0, 0.25], rounds=3)
        (once,) = check_speeds(held, [1.0], rounds=1)
    assert 0 <= cost_ns <= 60_000
    assert (full.wanted, slow.wanted) == (1.0, 4.0)
    assert once.spread == 0.0
    # Very loose: how exact it is gets measured and printed each time, not tested.
    assert slow.achieved > 1.5 * full.achieved
    assert (os.sched_getaffinity(0), os.sched_getscheduler(0)) == (affinity, policy)


def test_points_that_are_off() -> None:
    assert not CheckedPoint(0.5, 2.0, 2.1, 0.0).off
    assert CheckedPoint(0.5, 2.0, 1.7, 0.0).off
    assert CheckedPoint(0.5, 2.0, 2.5, 0.0).error == pytest.approx(0.25)


@needs_realtime
def test_too_slow_is_refused() -> None:
    with ClockThieves([CPU]) as held:
        for fraction in (0.01, 0.0, 1.1, float("nan")):
            with pytest.raises(ValueError, match="sched_rt_runtime_us"):
                held.set_speed(fraction)


@needs_realtime
def test_a_dead_thief_is_noticed() -> None:
    with ClockThieves([CPU]) as held:
        os.kill(held.pids[0], signal.SIGKILL)
        wait_until(lambda: not held.alive(), "the thief is gone")
    assert not held.pids


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="this process may use"):
        ClockThieves([100_000])
    with pytest.raises(ValueError, match="this process may use"):
        ClockThieves([])
    with pytest.raises(ValueError, match="a period of 1 us: expected 200 to 100000"):
        ClockThieves([CPU], period_us=1)
    with pytest.raises(RuntimeError, match="not running"):
        ClockThieves([CPU]).set_speed(0.5)


def test_limit_of_the_kernel(tmp_path: Path) -> None:
    folder = tmp_path / "sys/kernel"
    assert max_duty(tmp_path) == MAX_DUTY
    folder.mkdir(parents=True)
    (folder / "sched_rt_period_us").write_text("1000000\n")
    for runtime_us, expected in (("-1", MAX_DUTY), ("500000", 0.5), ("1000000", MAX_DUTY)):
        (folder / "sched_rt_runtime_us").write_text(f"{runtime_us}\n")
        assert max_duty(tmp_path) == expected
    (folder / "sched_rt_runtime_us").write_text("garbage\n")
    assert max_duty(tmp_path) == MAX_DUTY


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        (-errno.EPERM, PermissionError, "CAP_SYS_NICE"),
        (-errno.EINVAL, OSError, f"no clock thief on CPU {CPU}: invalid argument"),
        (0, OSError, "did not start"),
    ],
)
def test_thieves_that_do_not_start(
    monkeypatch: pytest.MonkeyPatch, state: int, error: type[Exception], message: str
) -> None:
    def start(fd: int, slot: int, cpu: int, period_us: int) -> subprocess.Popen[bytes]:
        with mmap.mmap(fd, 0) as memory, memoryview(memory) as view, view.cast("q") as words:
            words[thief.STATE] = state
        return subprocess.Popen([sys.executable, "-c", ""])

    monkeypatch.setattr(thieves, "_start", start)
    with pytest.raises(error, match=message), ClockThieves([CPU]):
        pass


def test_stealing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of a thief, here without priority: it burns its duty and leaves with its parent."""
    period_ns = 1_000_000
    words = memoryview(bytearray(8 * thief.WORDS)).cast("q")
    calls: list[int] = []

    def parent() -> int:
        calls.append(1)
        words[thief.DUTY] = 0 if len(calls) > 30 else thief.WHOLE // 2
        if len(calls) == 10:
            time.sleep(0.02)  # held up for many periods
        return 1 if len(calls) < 40 else 2

    monkeypatch.setattr(os, "getppid", parent)
    words[thief.COST] = 100_000
    begin_ns = time.monotonic_ns()
    thief.steal(words, 0, period_ns, 1)
    assert len(calls) == 40
    # 30 periods with a duty, 9 looks at a quarter of the rate; each burns 0.4 ms if it can.
    assert time.monotonic_ns() - begin_ns >= 60 * period_ns
    assert 0 < words[thief.STOLEN] < 40 * period_ns


HOLD = f"""
import sys, time
from aio.governors.emulation.realtime import ClockThieves
with ClockThieves([{CPU}]) as thieves:
    thieves.set_speed(0.5)
    print(*thieves.pids, flush=True)
    sys.stdin.read()
"""


@needs_realtime
def test_thieves_die_with_a_killed_parent() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert pids
        assert all(running(pid) for pid in pids)
        parent.kill()
    wait_until(lambda: not any(map(running, pids)), "the thieves are gone")


@needs_realtime
def test_thieves_do_not_mind_a_ctrl_c() -> None:
    with ClockThieves([CPU]) as held:
        os.kill(held.pids[0], signal.SIGINT)
        time.sleep(0.05)
        assert held.alive()


def test_without_the_right_the_remedy_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOLD],
        preexec_fn=give_up_realtime,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "PermissionError: emulated clocks need" in done.stderr
    assert "--cap-add=SYS_NICE" in done.stderr
