# SPDX-License-Identifier: Apache-2.0
"""SIGTERM as an exit of Python's own, so that what has to be put right on the way out is."""

import contextlib
import signal
import sys
from collections.abc import Iterator

_EXIT_CODE = 128 + signal.SIGTERM


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Leave the block by SystemExit when the process is asked to end."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(_EXIT_CODE))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
