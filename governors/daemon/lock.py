# SPDX-License-Identifier: Apache-2.0
"""A lock that a process holds until it ends, however it ends, and that names its holder.

The kernel frees a `flock` with the last descriptor, so a killed holder leaves nothing behind. The
file itself stays: removing it would let two processes lock two files of one name.
"""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

_MAX_BYTES = 200


class LockedError(OSError):
    """Another process holds the lock; `holder` is what it wrote about itself."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{holder} holds {path}")
        self.path = path
        self.holder = holder


class FileLock:
    """The exclusive lock on a file, from `acquire` to `release` or the end of the process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self, holder: str) -> None:
        """Take the lock and write who holds it.

        Raises:
            LockedError: another process, or another object of this one, holds it.
            OSError: the file can't be opened.
        """
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(self.path, flags, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            text = os.pread(fd, _MAX_BYTES, 0).decode("utf-8", "replace").strip()
            os.close(fd)
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise
            raise LockedError(self.path, text or "another process") from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{holder}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; does nothing without it."""
        fd, self._fd = self._fd, None
        if fd is not None:
            os.ftruncate(fd, 0)
            os.close(fd)
