# SPDX-License-Identifier: Apache-2.0
"""Where the sampling daemon and its clients meet: a folder on this machine.

`AIO_RUNTIME_DIR` names it, else it is `aio` in `XDG_RUNTIME_DIR`, else /run/aio for root, else a
folder of the user's own in the temporary folder. Nothing in it survives a boot.
"""

from __future__ import annotations

import os
import stat
import tempfile
import uuid
from pathlib import Path

from aio.governors.sysfs import Sysfs

RUNTIME_VARIABLE = "AIO_RUNTIME_DIR"
SYSTEM_FOLDER = Path("/run/aio")

SAMPLES_NAME = "governor.samples"
LOCK_NAME = "governor.lock"
SOCKET_NAME = "governor.sock"

UNKNOWN_BOOT = bytes(16)


def runtime_dir() -> Path:
    """Return the folder of a daemon started by this user; it need not exist."""
    if named := os.environ.get(RUNTIME_VARIABLE):
        return Path(named).absolute()
    if session := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(session) / "aio"
    if os.geteuid() == 0:
        return SYSTEM_FOLDER
    return _temporary_folder() / f"aio-{os.geteuid()}"


def _temporary_folder() -> Path:
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError:  # none can be written to, as in a container with a read-only root
        return Path("/tmp")


def client_dirs() -> tuple[Path, ...]:
    """Return where a client looks for a daemon: the user's own folder, then the machine's."""
    if os.environ.get(RUNTIME_VARIABLE):
        return (runtime_dir(),)
    return tuple(dict.fromkeys((runtime_dir(), SYSTEM_FOLDER)))


def make_runtime_dir(folder: Path) -> None:
    """Create the folder unless it exists, and check that no other user controls it.

    Root's folder can be read by everyone, so that one daemon serves all users.

    Raises:
        PermissionError: it belongs to another user, or others may write to it.
        OSError: it can't be created.
    """
    folder.mkdir(mode=0o755 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(f"{folder} is no folder; remove it or set {RUNTIME_VARIABLE}")
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        raise PermissionError(
            f"{folder} belongs to user {status.st_uid} with mode {status.st_mode & 0o777:o}: "
            f"others could forge what is published there; set {RUNTIME_VARIABLE} to a folder "
            "that only you can write to"
        )


def boot_id() -> bytes:
    """Return the 16 bytes that name this boot, zeros where the kernel does not say."""
    # This machine's, whatever AIO_SYSFS_ROOT says: it tells whose monotonic clock counts.
    sysfs = Sysfs(Path("/"))
    text = sysfs.read_optional(sysfs.proc / "sys/kernel/random/boot_id") or ""
    try:
        return uuid.UUID(text.strip()).bytes
    except ValueError:
        return UNKNOWN_BOOT
