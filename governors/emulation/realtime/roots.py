# SPDX-License-Identifier: Apache-2.0
"""Temporary folders for emulated trees, and the removal of those whose owner was killed.

The name carries the owner's process number; a lock on a file inside is held as long as it lives.
Both are checked, because numbers are used again, and the owner may live in another container
that shares the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "aio-emulated-"
LOCK = ".lock"


@contextlib.contextmanager
def temporary_root(folder: Path | None = None) -> Iterator[Path]:
    """Make a folder of our own, and remove it in the end; first remove what dead owners left.

    Args:
        folder: where; by default $TMPDIR, else in memory, else in /tmp or the like.
    """
    parent = default_folder() if folder is None else folder
    remove_stale(parent)
    root = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=parent))
    try:
        # Python's descriptors are not inherited, so no child keeps the lock alive.
        with (root / LOCK).open("w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


def default_folder(memory: Path = Path("/dev/shm")) -> Path:
    """Return where trees are written: on a busy disk renaming a file can take milliseconds."""
    if "TMPDIR" not in os.environ and memory.is_dir() and os.access(memory, os.W_OK):
        return memory
    return Path(tempfile.gettempdir())


def remove_stale(folder: Path) -> list[Path]:
    """Remove the trees of emulators that are gone and return them."""
    removed = []
    for path in folder.glob(f"{PREFIX}*-*"):
        if _is_ours(path) and not _owner_lives(path):
            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    return removed


def _is_ours(path: Path) -> bool:
    """Return whether it is a real folder of this user: the place is open to everybody."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False  # its owner was faster
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()


def _owner_lives(path: Path) -> bool:
    number = path.name.removeprefix(PREFIX).partition("-")[0]
    if not number.isdecimal() or Path(f"/proc/{number}").exists():
        return True
    try:
        with (path / LOCK).open("r", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False  # killed before it could lock
    except OSError:
        return True
    return False
