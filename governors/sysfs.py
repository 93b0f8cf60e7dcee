# SPDX-License-Identifier: Apache-2.0
"""The only file that touches /sys and /proc, under a root that can be set.

`AIO_SYSFS_ROOT` replaces "/": with `AIO_SYSFS_ROOT=/tmp/board` the clock of policy 0 is read from
`/tmp/board/sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq` and the control group from
`/tmp/board/proc/self/cgroup`. A root without `sys` that has `devices/system/cpu` is taken as /sys
itself. Everything here only reads.

Real kernel files never change their identity while they exist; those of a fake tree are replaced
by editors and `os.replace`, or truncated and written again, so a reader there looks twice.
"""

from __future__ import annotations

import os
from pathlib import Path

from aio.governors.base import SensorError

ROOT_VARIABLE = "AIO_SYSFS_ROOT"

_MAX_BYTES = 16 * 1024  # a kernel attribute is at most a page; 16 KiB pages exist
# A pipe or a terminal put where a number should be must not block the sampling thread.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


def default_root() -> Path:
    """Return the root of the running machine, or what AIO_SYSFS_ROOT names.

    Raises:
        ValueError: the variable names something that is not a folder.
    """
    value = os.environ.get(ROOT_VARIABLE)
    if not value:
        return Path("/")
    root = Path(value)
    if not root.is_dir():
        raise ValueError(
            f"{ROOT_VARIABLE}={value!r} is not a folder; "
            "name one that contains sys/devices/system/cpu, or unset the variable"
        )
    return root


class HotFile:
    """A small file that is read again and again through one descriptor.

    An unchanged content is returned as the very same string, so a caller may compare by identity
    and parse only what is new.
    """

    def __init__(self, path: Path, *, replaceable: bool) -> None:
        self.path = path
        self._name = str(path)
        self._replaceable = replaceable
        self._fd: int | None = None
        self._identity: tuple[int, int] | None = None
        self._data = b""
        self._text = ""

    def read(self) -> str:
        """Return the content, empty if the file stays empty.

        Raises:
            OSError: the file can't be read, also not after opening it anew.
        """
        # Empty is the moment between truncating and writing: worth another look, not a wait.
        data = self._read_once() or self._read_once() or self._read_once()
        if data != self._data:
            self._data, self._text = data, _decode(data)
        return self._text

    def read_optional(self) -> str | None:
        """Return the content, or None if the file can't be read."""
        try:
            return self.read()
        except OSError:
            return None

    def read_required(self) -> str:
        """Return the content.

        Raises:
            SensorError: the file can't be read; the message names it and says why.
        """
        try:
            return self.read()
        except OSError as error:
            raise SensorError(f"{self.path}: {explain(error)}") from error

    def close(self) -> None:
        """Close the descriptor; the next read opens the file again."""
        # Forgotten first: should closing fail, a later read must not meet the dead descriptor.
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _read_once(self) -> bytes:
        if self._fd is not None:
            if self._replaceable and self._was_replaced():
                self.close()
                return self._open()
            try:
                return os.pread(self._fd, _MAX_BYTES, 0)
            except OSError:
                # ENODEV: the policy went away and may be back behind a new file.
                self.close()
        return self._open()

    def _open(self) -> bytes:
        """Open the file and return its content."""
        self._fd = os.open(self._name, _FLAGS)
        if self._replaceable:
            self._identity = _identity(os.fstat(self._fd))
        try:
            return os.pread(self._fd, _MAX_BYTES, 0)
        except OSError:
            self.close()
            raise

    def _was_replaced(self) -> bool:
        """Compare path and descriptor; the open descriptor keeps its inode from being reused."""
        return _identity(os.stat(self._name)) != self._identity  # noqa: PTH116


class Sysfs:
    """The files of one machine, real or fake.

    Attributes:
        root: what stands for "/".
        sys: the folder of /sys.
        proc: the folder of /proc.
        cpu: the folder of the CPUs, /sys/devices/system/cpu.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = (default_root() if root is None else root).absolute()
        bare = not (self.root / "sys").exists() and (self.root / "devices/system/cpu").is_dir()
        self.sys = self.root if bare else self.root / "sys"
        self.proc = self.root / "proc"
        self.cpu = self.sys / "devices/system/cpu"

    def read(self, path: Path) -> str:
        """Return the content of a file.

        Raises:
            OSError: it is missing or can't be read.
        """
        fd = os.open(path, _FLAGS)
        try:
            return _decode(os.pread(fd, _MAX_BYTES, 0))
        finally:
            os.close(fd)

    def read_optional(self, path: Path) -> str | None:
        """Return the content of a file, or None if it is missing or can't be read."""
        try:
            return self.read(path)
        except OSError:
            return None

    def list(self, path: Path) -> list[str]:
        """Return the names in a folder.

        Raises:
            OSError: it is missing or can't be read.
        """
        return os.listdir(path)  # noqa: PTH208

    def list_optional(self, path: Path) -> tuple[str, ...]:
        """Return the names in a folder in order; none if it is missing or can't be read."""
        try:
            return tuple(sorted(self.list(path)))
        except OSError:
            return ()

    def hot(self, path: Path) -> HotFile:
        """Return a reader that keeps its descriptor."""
        return HotFile(path, replaceable=self.root != Path("/"))


def explain(error: OSError) -> str:
    """Return the reason of a failed read without the path, e.g. "permission denied"."""
    return (error.strerror or type(error).__name__).lower()


def _decode(data: bytes) -> str:
    return data.decode("ascii", "replace")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
