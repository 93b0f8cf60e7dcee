# SPDX-License-Identifier: Apache-2.0
"""A configuration file in TOML as a dictionary, with errors that say which file and line."""

import os
import stat
import sys
from pathlib import Path
from typing import Any

from aio.runtime.errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_FILE_BYTES = 1 << 20


def read_file(path: Path) -> dict[str, Any]:
    """Return what the file holds.

    Raises:
        InputError: the file can't be read, is no regular file, is too large, or is not TOML.
    """
    try:
        content = _content(path)
    except OSError as error:
        raise InputError(f"can't read the configuration {path}: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"the configuration {path} has more than {MAX_FILE_BYTES} bytes")
    try:
        values: dict[str, Any] = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError
        raise InputError(f"the configuration {path} is not TOML: {error}") from None
    return values


def _content(path: Path) -> bytes:
    """Return the file's bytes, at most one more than are allowed."""
    # Without O_NONBLOCK opening a named pipe would wait for somebody to write.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise InputError(f"the configuration {path} is not a regular file")
        return os.read(descriptor, MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
