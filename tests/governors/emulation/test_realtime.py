# SPDX-License-Identifier: Apache-2.0
"""The real-time emulation: folders, load, and the tree that follows what is done."""

from __future__ import annotations

import fcntl
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from realtime_rights import needs_realtime, wait_until

from aio.governors.base import PowerSource
from aio.governors.emulation import Change, Event, Trace
from aio.governors.emulation.realtime import RealtimeEmulation
from aio.governors.emulation.realtime.load import (
    ProgramLoad,
    cpu_time_ns,
    descendants,
    wanted_ns,
)
from aio.governors.emulation.realtime.roots import (
    LOCK,
    PREFIX,
    default_folder,
    remove_stale,
    temporary_root,
)

CPU = min(os.sched_getaffinity(0))
POLICY = "sys/devices/system/cpu/cpufreq/policy0"
MS = 1_000_000


@pytest.fixture
def dead_pid() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


def sleeping(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


def shown(emulation: RealtimeEmulation, name: str = "scaling_cur_freq") -> str:
    return (emulation.root / POLICY / name).read_text().strip()


# Folders


def test_a_root_lasts_as_long_as_it_is_used(tmp_path: Path) -> None:
    with temporary_root(tmp_path) as root:
        (root / "sys").mkdir()
        assert root.is_dir()
        assert str(os.getpid()) in root.name
        assert not remove_stale(tmp_path)
    assert not root.exists()


def test_trees_are_kept_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TMPDIR", raising=False)
    assert default_folder(tmp_path) == tmp_path
    assert default_folder(tmp_path / "missing") == Path(tempfile.gettempdir())
    monkeypatch.setenv("TMPDIR", "/elsewhere")
    assert default_folder(tmp_path) == Path(tempfile.gettempdir())


def test_what_a_dead_owner_left_is_removed(tmp_path: Path, dead_pid: int) -> None:
    unlocked, never_locked = tmp_path / f"{PREFIX}{dead_pid}-a", tmp_path / f"{PREFIX}{dead_pid}-b"
    for folder in (unlocked, never_locked):
        (folder / "sys").mkdir(parents=True)
    (unlocked / LOCK).touch()
    with temporary_root(tmp_path) as root:
        assert list(tmp_path.iterdir()) == [root]


def test_what_may_be_in_use_stays(tmp_path: Path, dead_pid: int) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    starting = tmp_path / f"{PREFIX}{os.getpid()}-starting"
    other_container = tmp_path / f"{PREFIX}{dead_pid}-locked"
    odd = tmp_path / f"{PREFIX}x-odd"
    for folder in (starting, other_container, odd):
        folder.mkdir()
    (tmp_path / f"{PREFIX}{dead_pid}-link").symlink_to(elsewhere)
    (tmp_path / f"{PREFIX}{dead_pid}-file").touch()
    (starting / LOCK).touch()
    with (other_container / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert not remove_stale(tmp_path)
    assert elsewhere.is_dir()


def test_another_start_may_be_faster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / f"{PREFIX}1-gone"
    monkeypatch.setattr(Path, "glob", lambda *_: [gone])
    assert not remove_stale(tmp_path)


# Load

SPIN = "import time\nend = time.process_time() + {}\nwhile time.process_time() < end: pass\n"
WAIT = "input()"


BOTH_WAYS = pytest.mark.parametrize("waiting", [True, False])


@BOTH_WAYS
def test_load_of_a_program_and_its_children(waiting: bool) -> None:
    script = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{WAIT}'])"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as parent:
        wait_until(lambda: len(descendants(parent.pid)) == 2, "the child runs")
        (child,) = descendants(parent.pid) - {parent.pid}
        wait_until(lambda: sleeping(child), "the child waits")
        load = ProgramLoad(parent.pid, waiting=waiting)
        assert load.since_last(1000 * MS, 0) < 0.5
        parent.communicate(b"\n")
    assert cpu_time_ns(child) is None
    assert wanted_ns(child) is None
    assert load.since_last(MS, 0) == 0.0


@BOTH_WAYS
def test_a_program_that_is_gone(dead_pid: int, waiting: bool) -> None:
    assert descendants(dead_pid) == {dead_pid}
    assert ProgramLoad(dead_pid, waiting=waiting).since_last(MS, 0) == 0.0


@BOTH_WAYS
def test_load_counts_what_was_used(waiting: bool) -> None:
    load = ProgramLoad(os.getpid(), waiting=waiting)
    end_s = time.process_time() + 0.05
    while time.process_time() < end_s:
        pass
    os.sched_yield()  # the scheduler writes its accounts when it changes threads
    time.sleep(0.001)
    assert load.since_last(100 * MS, 0) >= 0.49
    assert load.since_last(0, 0) == 0.0


def test_stolen_time_is_not_there_for_programs() -> None:
    load = ProgramLoad(os.getpid(), waiting=False)
    end_s = time.process_time() + 0.05
    while time.process_time() < end_s:
        pass
    assert load.since_last(1000 * MS, 900 * MS) >= 0.49


@BOTH_WAYS
def test_some_children_do_not_count(waiting: bool) -> None:
    with subprocess.Popen([sys.executable, "-c", SPIN.format(10)]) as child:
        load = ProgramLoad(os.getpid(), besides=(child.pid,), waiting=waiting)
        counted = ProgramLoad(os.getpid(), waiting=waiting)
        used_ns = cpu_time_ns(child.pid) or 0
        wait_until(lambda: (cpu_time_ns(child.pid) or 0) > used_ns + 500 * MS, "it has worked")
        assert counted.since_last(500 * MS, 0) - load.since_last(500 * MS, 0) > 0.3
        child.kill()


# Emulation


@pytest.fixture
def emulation(tmp_path: Path) -> Iterator[RealtimeEmulation]:
    with RealtimeEmulation(
        "jetson-nano", governor="userspace", cpus=[CPU], folder=tmp_path
    ) as entered:
        yield entered


@needs_realtime
def test_fractions_show_in_the_tree(emulation: RealtimeEmulation) -> None:
    assert (shown(emulation), emulation.speed) == ("1479000", 1.0)
    emulation.set_fraction(0.6)
    assert shown(emulation) == "825600"
    assert emulation.speed == pytest.approx(825600 / 1479000)
    emulation.set_fraction(0.3, visible=False)
    assert shown(emulation) == "825600"
    assert emulation.speed == pytest.approx(0.3)
    emulation.set_fraction(1.0)
    assert (shown(emulation), emulation.speed) == ("1479000", 1.0)
    with pytest.raises(ValueError, match="more than 0"):
        emulation.set_fraction(0.0)


@needs_realtime
def test_everything_says_that_it_is_emulated(emulation: RealtimeEmulation) -> None:
    marker = (emulation.root / "emulated").read_text()
    assert marker.startswith("emulated jetson-nano, governor userspace")
    assert emulation.label == marker.strip()


@needs_realtime
def test_another_governor(emulation: RealtimeEmulation) -> None:
    emulation.set_governor("powersave")
    assert shown(emulation, "scaling_governor") == "powersave"
    assert shown(emulation) == shown(emulation, "scaling_min_freq")
    assert "governor powersave" in (emulation.root / "emulated").read_text()
    emulation.set_governor("performance")
    assert shown(emulation) == shown(emulation, "cpuinfo_max_freq")
    with pytest.raises(ValueError, match="governor 'turbo': jetson-nano has"):
        emulation.set_governor("turbo")


@needs_realtime
def test_nothing_is_left(tmp_path: Path) -> None:
    with RealtimeEmulation("raspberry-pi-4", cpus=[CPU], folder=tmp_path) as emulation:
        assert emulation.root.parent == tmp_path
        assert len(descendants(os.getpid())) > 1
    assert not list(tmp_path.iterdir())
    assert descendants(os.getpid()) == {os.getpid()}
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulation.root


@needs_realtime
def test_checked_before_the_start(tmp_path: Path) -> None:
    with RealtimeEmulation(
        "jetson-nano", governor="performance", cpus=[CPU], folder=tmp_path, check=True
    ) as emulation:
        assert [point.speed for point in emulation.checked] == [1.0]


@needs_realtime
def test_the_trace_plays(tmp_path: Path) -> None:
    events = (
        Event(0, Change(speed=1.0)),
        Event(
            20 * MS, Change(max_speed=0.5, power=PowerSource.BATTERY, offline_cpus=(1,), speed=0.4)
        ),
        Event(21 * MS, Change(thermal_cap=0.3, hidden_cap=0.2)),
    )
    with RealtimeEmulation(
        "jetson-nano", trace=Trace("mine", events), cpus=[CPU], folder=tmp_path
    ) as emulation:
        cooling = emulation.root / "sys/class/thermal/cooling_device0/cur_state"
        wait_until(lambda: cooling.read_text() == "11\n", "the last event shows")
        assert shown(emulation) == "403200"
        assert shown(emulation, "scaling_max_freq") == "403200"
        assert shown(emulation, "scaling_setspeed") == "403200"
        assert emulation.speed == pytest.approx(0.2)
        online = (emulation.root / "sys/class/power_supply/AC/online").read_text()
        assert online == "0\n"


@needs_realtime
def test_a_governor_sees_the_load(tmp_path: Path) -> None:
    with RealtimeEmulation(
        "raspberry-pi-4", governor="schedutil", cpus=[CPU], folder=tmp_path
    ) as emulation:
        end_s = time.monotonic() + 20
        while shown(emulation) != "1500000":  # busy waiting is what makes it rise
            assert time.monotonic() < end_s
        with subprocess.Popen([sys.executable, "-c", WAIT], stdin=subprocess.PIPE) as idle:
            emulation.watch(idle.pid)
            wait_until(lambda: shown(emulation) == "600000", "the clock falls")
            idle.communicate(b"\n")
        with pytest.raises(ValueError, match="only userspace"):
            emulation.set_fraction(0.5)


@needs_realtime
def test_too_slow_is_clamped_with_a_message(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RealtimeEmulation(
        "jetson-nano", governor="userspace", cpus=[CPU], folder=tmp_path
    ) as emulation:
        emulation.set_fraction(0.02, visible=False)
        assert emulation.speed == pytest.approx(0.06)
    assert "0.06 is used instead" in caplog.text


@needs_realtime
def test_a_killed_thief_ends_the_emulation(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RealtimeEmulation(
        "jetson-nano", governor="userspace", cpus=[CPU], folder=tmp_path
    ) as emulation:
        for pid in descendants(os.getpid()) - {os.getpid()}:
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: emulation.failed is not None, "it is noticed")
        assert emulation.failed == "a clock thief was killed"
    assert "no longer emulated" in caplog.text


@needs_realtime
def test_a_removed_tree_ends_the_emulation(tmp_path: Path) -> None:
    events = (Event(0, Change(speed=1.0)), Event(100 * MS, Change(speed=0.5)))
    with RealtimeEmulation(
        "jetson-nano", trace=Trace("x", events), cpus=[CPU], folder=tmp_path
    ) as emulation:
        root = emulation.root
        shutil.rmtree(root)
        root.write_text("in the way")
        wait_until(lambda: emulation.failed is not None, "it is noticed")
        assert "can't be written" in str(emulation.failed)
        root.unlink()


@pytest.mark.parametrize(
    ("governor", "trace", "count"),
    [
        ("userspace", "steps", 5),
        ("performance", None, 1),
        ("powersave", None, 1),
        ("schedutil", None, 8),
        ("performance", "undervoltage", 2),
    ],
)
def test_speeds_in_use(governor: str, trace: str | None, count: int) -> None:
    emulation = RealtimeEmulation("jetson-nano", governor=governor, trace=trace, cpus=[CPU])
    speeds = emulation.speeds()
    assert len(speeds) == count
    assert list(speeds) == sorted(speeds, reverse=True)
    assert all(0.06 <= speed <= 1.0 for speed in speeds)


def test_what_real_time_can_not_do() -> None:
    with pytest.raises(ValueError, match="use a control group"):
        RealtimeEmulation("jetson-nano", trace="quota")
    lifted = Trace("free", (Event(0, Change(quota_cpus=math.inf)),))
    assert RealtimeEmulation("jetson-nano", trace=lifted, cpus=[CPU]).failed is None
    with pytest.raises(ValueError, match="unknown device"):
        RealtimeEmulation("toaster")
    with pytest.raises(ValueError, match="use userspace"):
        RealtimeEmulation(
            "jetson-nano", governor="ondemand", trace=Trace("s", (Event(0, Change(speed=0.5)),))
        )
