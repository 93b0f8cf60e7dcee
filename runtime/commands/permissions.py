# SPDX-License-Identifier: Apache-2.0
"""Permissions of a file as the value of an option: octal digits."""

import argparse
import re

from aio.runtime.serve.transport.unix_socket import MAX_MODE


class Permissions(int):
    """Permissions that are shown as people write them, such as 0660."""

    def __str__(self) -> str:
        return f"{self:04o}"


def permissions(text: str) -> Permissions:
    """Return the permissions that octal digits say.

    Raises:
        argparse.ArgumentTypeError: they are none, or more than 0777.
    """
    if not re.fullmatch(r"(0o)?[0-7]+", text) or int(text, 8) > MAX_MODE:
        raise argparse.ArgumentTypeError(
            f"expected octal digits from 0 to {MAX_MODE:04o}, such as 0660, found {text!r}"
        )
    return Permissions(text, 8)
