# SPDX-License-Identifier: Apache-2.0
"""Reading files that are replaced, emptied, removed and forbidden, below a root that is set."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aio.governors.base import SensorError
from aio.governors.sysfs import ROOT_VARIABLE, HotFile, Sysfs, default_root, explain


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@contextmanager
def unprivileged(path: Path) -> Iterator[None]:
    """Make `path` unreadable for this process, also when the tests run as root."""
    mode = path.stat().st_mode
    path.chmod(0)
    if os.geteuid() != 0:
        yield
        path.chmod(mode)
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        path.chmod(mode)


@pytest.fixture
def number(tmp_path: Path) -> Path:
    path = tmp_path / "number"
    path.write_text("1\n")
    return path


def test_root_is_slash_unless_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(ROOT_VARIABLE, raising=False)
    assert default_root() == Path("/")
    monkeypatch.setenv(ROOT_VARIABLE, "")
    assert default_root() == Path("/")
    monkeypatch.setenv(ROOT_VARIABLE, str(tmp_path))
    assert Sysfs().cpu == tmp_path / "sys/devices/system/cpu"
    assert Sysfs().proc == tmp_path / "proc"


def test_root_that_is_no_folder_is_named(monkeypatch: pytest.MonkeyPatch, number: Path) -> None:
    monkeypatch.setenv(ROOT_VARIABLE, str(number))
    with pytest.raises(ValueError, match=r"AIO_SYSFS_ROOT='.*number' is not a folder; name one"):
        default_root()


def test_relative_root_survives_a_change_of_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "board/sys").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    sysfs = Sysfs(Path("board"))
    monkeypatch.chdir("/")
    assert sysfs.list(sysfs.root) == ["sys"]


def test_root_may_be_sys_itself(tmp_path: Path) -> None:
    (tmp_path / "devices/system/cpu").mkdir(parents=True)
    assert Sysfs(tmp_path).cpu == tmp_path / "devices/system/cpu"
    (tmp_path / "sys").mkdir()
    assert Sysfs(tmp_path).cpu == tmp_path / "sys/devices/system/cpu"


def test_missing_file(tmp_path: Path) -> None:
    sysfs = Sysfs(tmp_path)
    assert sysfs.read_optional(tmp_path / "none") is None
    with pytest.raises(FileNotFoundError):
        sysfs.read(tmp_path / "none")


def test_hot_file_sees_a_rewrite_with_the_same_descriptor(number: Path) -> None:
    hot = HotFile(number, replaceable=False)
    assert hot.read() == "1\n"
    before = open_descriptors()
    for value in range(20):
        number.write_text(f"{value}\n")
        assert hot.read() == f"{value}\n"
    assert open_descriptors() == before
    hot.close()
    hot.close()


def test_hot_file_gives_an_unchanged_content_as_the_same_string(number: Path) -> None:
    hot = HotFile(number, replaceable=False)
    first = hot.read()
    assert hot.read() is first
    number.write_text("2\n")
    second = hot.read()
    assert second == "2\n"
    assert hot.read() is second
    hot.close()


def test_hot_file_that_is_missing(tmp_path: Path) -> None:
    hot = HotFile(tmp_path / "none", replaceable=True)
    assert hot.read_optional() is None
    with pytest.raises(SensorError, match="none: no such file or directory"):
        hot.read_required()
    (tmp_path / "none").write_text("1")
    assert (hot.read_optional(), hot.read_required()) == ("1", "1")
    hot.close()


@pytest.mark.parametrize("keep_old_name", [True, False])
def test_hot_file_follows_a_replaced_file(number: Path, keep_old_name: bool) -> None:
    hot = HotFile(number, replaceable=True)
    assert hot.read() == "1\n"
    if keep_old_name:  # an editor that keeps a backup: the old inode stays linked
        number.rename(number.with_suffix(".bak"))
    fresh = number.with_suffix(".new")
    fresh.write_text("2\n")
    fresh.replace(number)
    assert hot.read() == "2\n"
    hot.close()


def test_hot_file_that_is_removed_and_comes_back(number: Path) -> None:
    hot = HotFile(number, replaceable=True)
    hot.read()
    number.unlink()
    with pytest.raises(FileNotFoundError):
        hot.read()
    number.write_text("3\n")
    assert hot.read() == "3\n"
    hot.close()


def test_hot_file_opens_again_when_its_descriptor_dies(number: Path) -> None:
    hot = HotFile(number, replaceable=False)
    hot.read()
    assert hot._fd is not None
    folder = os.open(number.parent, os.O_RDONLY)
    os.dup2(folder, hot._fd)  # reading it now fails, as after ENODEV
    os.close(folder)
    assert hot.read() == "1\n"
    hot.close()


def test_empty_file_reads_as_empty(number: Path) -> None:
    number.write_text("")
    hot = HotFile(number, replaceable=True)
    assert hot.read() == ""
    hot.close()


def test_folder_in_place_of_a_file_leaks_no_descriptor(tmp_path: Path) -> None:
    hot = HotFile(tmp_path, replaceable=True)
    before = open_descriptors()
    for _ in range(3):
        with pytest.raises(IsADirectoryError):
            hot.read()
    assert open_descriptors() == before


def test_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    hot = HotFile(tmp_path / "pipe", replaceable=True)
    with pytest.raises(OSError, match="seek"):
        hot.read()
    assert Sysfs(tmp_path).read_optional(tmp_path / "pipe") is None


def test_bytes_that_are_no_text(number: Path) -> None:
    number.write_bytes(b"\xff\xfe\x00\x31")
    assert "\ufffd" in Sysfs(number.parent).read(number)


def test_endless_file_is_cut(number: Path) -> None:
    number.write_bytes(b"9" * 100_000)
    assert len(Sysfs(number.parent).read(number)) == 16 * 1024


def test_forbidden_file_is_explained(number: Path) -> None:
    with unprivileged(number), pytest.raises(PermissionError) as caught:
        Sysfs(number.parent).read(number)
    assert explain(caught.value) == "permission denied"
    assert explain(OSError()) == "oserror"
