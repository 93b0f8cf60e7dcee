# SPDX-License-Identifier: Apache-2.0
"""The only file that writes below /sys: one attribute at a time, checked by reading it back."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

from aio.governors.sysfs import explain

# Writes the text of an attribute, in place and never creating a file; raises OSError.
Write = Callable[[Path, str], None]

_MAX_BYTES = 4096

_REMEDIES = {
    errno.EACCES: "run it as root (sudo), or give this user the right to write there",
    errno.EPERM: "run it as root (sudo), or give this user the right to write there",
    errno.EROFS: "containers see /sys read-only: run it on the host, or mount /sys writable",
    errno.EBUSY: "another part of the kernel holds it: try again, or stop what uses it",
    errno.EINVAL: "the kernel does not take this value here",
    errno.ENOENT: "it went away: were its CPUs switched off?",
    errno.ENODEV: "it went away: were its CPUs switched off?",
}


class SettingsError(OSError):
    """A setting can't be changed or restored; the message names path, value and remedy."""


def write_attribute(path: Path, text: str) -> None:
    """Write a kernel attribute in one piece, as the kernel wants it.

    Raises:
        OSError: it can't be opened or written, or the kernel refuses the value.
    """
    # Without O_CREAT: a missing attribute is an error, not a new file.
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)


def read_attribute(path: Path) -> str:
    """Return the text of an attribute, its end of line included.

    Raises:
        SettingsError: it is missing or can't be read.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            return os.pread(fd, _MAX_BYTES, 0).decode("ascii", "replace")
        finally:
            os.close(fd)
    except OSError as error:
        raise settings_error(error, f"{path} can't be read") from error


def settings_error(error: OSError, what: str) -> SettingsError:
    """Return an error that says what failed, why, and what helps."""
    remedy = _REMEDIES.get(error.errno or 0)
    message = f"{what}: {explain(error)}" + (f"; {remedy}" if remedy else "")
    return SettingsError(message)


def change(write: Write, path: Path, text: str, *, slack: float = 0.0) -> bool:
    """Write an attribute unless it has the value already; return whether it was written.

    Args:
        write: what writes it.
        path: the attribute.
        text: the value, with or without an end of line.
        slack: by which part of itself a number may differ when read back.

    Raises:
        SettingsError: it can't be read or written, or the kernel did not take the value.
    """
    wanted = text.strip()
    if read_attribute(path).strip() == wanted:
        return False
    try:
        write(path, text)
    except OSError as error:
        raise settings_error(error, f"{path} can't be set to {wanted}") from error
    found = read_attribute(path).strip()
    if not _is_same(found, wanted, slack):
        raise SettingsError(
            f"{path} reads {found[:80]!r} after {wanted} was written: the kernel did not take it; "
            "a limit of firmware, heat or another program may hold"
        )
    return True


def _is_same(found: str, wanted: str, slack: float) -> bool:
    if found == wanted:
        return True
    if not (found.isdigit() and wanted.isdigit()):
        return False
    return abs(int(found) - int(wanted)) <= slack * int(wanted)
