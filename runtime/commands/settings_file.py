# SPDX-License-Identifier: Apache-2.0
"""A configuration file in TOML as a dictionary, with errors that say which file and line."""

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
        InputError: the file can't be read, is too large, or is not TOML.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise InputError(f"can't read the configuration {path}: {error.strerror}") from None
    if len(content) > MAX_FILE_BYTES:
        raise InputError(f"the configuration {path} has more than {MAX_FILE_BYTES} bytes")
    try:
        values: dict[str, Any] = tomllib.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # also UnicodeDecodeError
        raise InputError(f"the configuration {path} is not TOML: {error}") from None
    return values
