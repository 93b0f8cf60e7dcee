# SPDX-License-Identifier: Apache-2.0
"""A listening Unix socket: its permissions, and what a dead server left in its place.

The file appears with its permissions, and listens before another server may look at it. Whoever
looks holds a lock on the folder, which leaves nothing behind: two servers that start at one time
can't both find a dead one's socket and take each other's.
"""

import errno
import fcntl
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aio.runtime.errors import InputError

MAX_PATH_BYTES = 107  # sun_path of Linux, without the zero at its end
MAX_MODE = 0o777
BACKLOG = 128
LOCK_S = 2.0  # far more than a server takes to find out what is there
LOCK_LOOK_S = 0.02


class UnixListener(socket.socket):
    """A Unix socket that listens; `close` removes its file, unless another one is there by now."""

    path: Path
    identity: tuple[int, int]

    def close(self) -> None:
        """Stop listening and remove the file."""
        if self.fileno() >= 0:
            remove_if(self.path, self.identity)
        super().close()


def bind_unix(path: Path, mode: int = 0o660) -> UnixListener:
    """Return a socket that listens on `path`; a file of permissions `mode` appears there.

    Raises:
        InputError: the path can't be used, or somebody listens there.
    """
    if not 0 <= mode <= MAX_MODE:
        raise InputError(f"permissions must be 0 to 0777, got {mode:#o}")
    path = path.absolute()
    size = len(os.fsencode(path))
    if size > MAX_PATH_BYTES or "\0" in str(path):
        raise InputError(
            f"the socket's path has {size} bytes, the limit is {MAX_PATH_BYTES}; choose a shorter "
            "--unix-socket"
        )
    listener = UnixListener(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.path, listener.identity = path, (-1, -1)
    try:
        with _locked(path.parent, LOCK_S):
            _remove_dead(path)
            _bind(listener, path, mode)
            listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise InputError(f"can't listen on {path}: {error.strerror}") from None
    except BaseException:
        listener.close()
        raise
    return listener


def remove_if(path: Path, identity: tuple[int, int]) -> None:
    """Remove a file if it is the one of this device and inode."""
    try:
        found = path.lstat()
        if (found.st_dev, found.st_ino) == identity:
            path.unlink()
    except OSError:
        return  # it is gone, or out of reach: the next start finds out


def _bind(listener: UnixListener, path: Path, mode: int) -> None:
    # The mask belongs to the whole process; the server has one thread still.
    before = os.umask(MAX_MODE & ~mode)
    try:
        listener.bind(str(path))
    finally:
        os.umask(before)
    found = path.lstat()
    listener.identity = found.st_dev, found.st_ino


@contextmanager
def _locked(folder: Path, within_s: float) -> Iterator[None]:
    """Keep other servers from starting in this folder meanwhile.

    Raises:
        InputError: somebody has locked it for longer than that; whoever can open it may.
    """
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        until_s = time.monotonic() + within_s
        while not _try_lock(number):
            if time.monotonic() >= until_s:
                raise InputError(
                    f"another program has locked the folder {folder} for {within_s:g} s; choose "
                    "one that only the server may open for --unix-socket"
                )
            time.sleep(LOCK_LOOK_S)
        yield
    finally:
        os.close(number)


def _try_lock(number: int) -> bool:
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_dead(path: Path) -> None:
    """Remove the socket of a server that is no more.

    Raises:
        InputError: the file is something else, or its server lives.
    """
    try:
        kind = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise InputError(f"{path} is there and is no socket; choose another --unix-socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        result = client.connect_ex(str(path))
    if result != errno.ECONNREFUSED:
        raise InputError(
            f"{path} is in use; stop the program that listens there, or choose another "
            "--unix-socket"
        )
    path.unlink()
