# SPDX-License-Identifier: Apache-2.0
"""What a measurement sets around itself and puts back: CPUs and environment variables."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager


@contextmanager
def pinned(cpus: Iterable[int]) -> Iterator[None]:
    """Keep this thread, and threads and processes it makes, on these CPUs.

    Threads that exist already stay where they may run.
    """
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def environment(name: str, value: str) -> Iterator[None]:
    """Give a variable of this process's environment a value."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
