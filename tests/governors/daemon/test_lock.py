# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from aio.governors.daemon.lock import FileLock, LockedError

HOLD = """
import sys, time
from pathlib import Path
from aio.governors.daemon.lock import FileLock
FileLock(Path(sys.argv[1])).acquire("the other")
print("held", flush=True)
time.sleep(600)
"""


def test_one_holder(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    first.acquire("process 1, which came first")
    with pytest.raises(LockedError) as caught:
        second.acquire("process 2")
    assert str(caught.value) == f"process 1, which came first holds {tmp_path / 'lock'}"
    assert caught.value.holder == "process 1, which came first"
    first.release()
    second.acquire("process 2")
    second.release()
    second.release()
    assert (tmp_path / "lock").read_text() == ""


def test_a_killed_holder_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    lock = FileLock(path)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match="the other holds"):
            lock.acquire("me")
        process.kill()
    lock.acquire("me")
    lock.release()


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileLock(tmp_path / "missing/lock").acquire("me")


def test_a_holder_that_wrote_nothing_yet(tmp_path: Path) -> None:
    first, second = FileLock(tmp_path / "lock"), FileLock(tmp_path / "lock")
    first.acquire("")
    with pytest.raises(LockedError, match="another process holds"):
        second.acquire("me")
    first.release()


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="No locks available") as caught:
        FileLock(tmp_path / "lock").acquire("me")
    assert not isinstance(caught.value, LockedError)
