# SPDX-License-Identifier: Apache-2.0
"""Whole boards whose files lie: whatever stands in them, a sample comes out and no exception."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aio.governors import DeviceSensors, default_threads, open_sensors
from aio.governors.devices import load_device, write_tree
from aio.governors.report import capability_dicts, sample_dict

BOARDS = ("jetson-orin-nano", "snapdragon-888", "laptop-intel-pstate")


@pytest.fixture(autouse=True)
def sixteen_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)))


def files(root: Path) -> list[Path]:
    """Return the regular files of a tree, the kernel's links not followed."""
    return sorted(path for path in root.rglob("*") if path.is_file() and not path.is_symlink())


def build(root: Path, name: str) -> Path:
    write_tree(root, load_device(name))
    cgroup = root / "sys/fs/cgroup/app"
    cgroup.mkdir(parents=True)
    (cgroup / "cpu.max").write_text("50000 100000\n")
    (cgroup / "cpu.stat").write_text("throttled_usec 12\n")
    (root / "proc/self").mkdir(parents=True, exist_ok=True)
    (root / "proc/self/cgroup").write_text("0::/app\n")
    return root


def check_sample(sensors: DeviceSensors) -> None:
    """Read twice and look at what comes out: plain values or None."""
    for _ in range(2):
        sample = sensors.read()
        clock = sample.clock
        assert (clock.cpu_khz is None) == (clock.error is not None)
        assert clock.cpu_khz is None or clock.cpu_khz >= 10_000
        assert sample_dict(sample)["clock"]["driver"] == clock.driver
    assert capability_dicts(sensors.capabilities, clock.time_ns)


def to_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def to_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def to_loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


SPOILERS: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "binary": lambda path: path.write_bytes(b"\xff\x00\xfe" * 7),
    "huge": lambda path: path.write_bytes(b"9" * 1_000_000),
    "negative": lambda path: path.write_text("-1\n"),
    "zero": lambda path: path.write_text("0\n"),
    "unsupported": lambda path: path.write_text("<unsupported>\n"),
    "folder": to_folder,
    "pipe": to_pipe,
    "loop of links": to_loop,
    "gone": Path.unlink,
}


@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("spoil", SPOILERS.values(), ids=SPOILERS)
def test_every_file_at_once(tmp_path: Path, board: str, spoil: Callable[[Path], object]) -> None:
    root = build(tmp_path / "board", board)
    healthy = open_sensors(None, root)
    check_sample(healthy)
    for path in files(root):
        spoil(path)
    check_sample(healthy)  # what is open already
    healthy.close()
    late = open_sensors(None, root)  # and what is met so from the start
    check_sample(late)
    late.close()
    assert default_threads(root).threads >= 1


@pytest.mark.parametrize("board", BOARDS)
def test_the_whole_tree_vanishes(tmp_path: Path, board: str) -> None:
    root = build(tmp_path / "board", board)
    sensors = open_sensors(None, root)
    assert sensors.read().clock.cpu_khz is not None
    shutil.rmtree(root)
    sample = sensors.read()
    check_sample(sensors)
    sensors.close()
    assert sample.clock.driver == "cpufreq"


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_any_bytes_in_any_files(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = build(tmp_path_factory.mktemp("trees") / "board", data.draw(st.sampled_from(BOARDS)))
    targets = data.draw(st.lists(st.sampled_from(files(root)), min_size=1, max_size=12))
    for path in targets:
        path.write_bytes(data.draw(st.binary(max_size=40)))
    sensors = open_sensors(None, root)
    check_sample(sensors)
    sensors.close()
