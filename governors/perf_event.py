# SPDX-License-Identifier: Apache-2.0
"""The kernel's counter of CPU cycles for one thread and all it starts, through perf_event_open(2).

The C library has no wrapper for the call, hence its number per machine. Counts are those of the
threads' own running time, whatever cores they ran on.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from typing import NamedTuple, final

SYSCALLS = {"x86_64": 298, "aarch64": 241}

_TYPE_HARDWARE = 0
_CPU_CYCLES = 0
_TIME_ENABLED, _TIME_RUNNING = 1, 2
_INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HYPERVISOR = 1 << 1, 1 << 5, 1 << 6
_CLOSE_ON_EXEC = 8
# struct perf_event_attr in its first version: type, size, config, sample_period, sample_type,
# read_format, flags, wakeup_events, bp_type, config1.
_ATTRIBUTES = struct.Struct("=IIQQQQQIIQ")
_COUNTS = struct.Struct("=QQQ")


class CycleCount(NamedTuple):
    """Cycles so far, and how long the threads ran while they were counted."""

    cycles: int
    running_ns: int


@final
class CycleCounter:
    """A counter for the thread `thread_id`, and the threads that it starts from now on.

    Args:
        thread_id: a thread of this process.
        kernel: also count cycles spent in the kernel, which needs perf_event_paranoid below 2.

    Raises:
        OSError: the kernel refuses; errno says why.
    """

    def __init__(self, thread_id: int, *, kernel: bool) -> None:
        flags = _INHERIT | (0 if kernel else _EXCLUDE_KERNEL | _EXCLUDE_HYPERVISOR)
        attributes = _ATTRIBUTES.pack(
            _TYPE_HARDWARE,
            _ATTRIBUTES.size,
            _CPU_CYCLES,
            0,
            0,
            _TIME_ENABLED | _TIME_RUNNING,
            flags,
            0,
            0,
            0,
        )
        self._fd = _perf_event_open(attributes, thread_id)

    def read(self) -> CycleCount:
        """Return the counts so far."""
        cycles, _, running_ns = _COUNTS.unpack(os.read(self._fd, _COUNTS.size))
        return CycleCount(cycles, running_ns)

    def close(self) -> None:
        """Stop counting."""
        os.close(self._fd)


def _perf_event_open(attributes: bytes, thread_id: int) -> int:
    number = SYSCALLS.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"the number of perf_event_open on {platform.machine()}")
    library = ctypes.CDLL(None, use_errno=True)
    any_cpu, no_group = -1, -1
    fd: int = library.syscall(
        ctypes.c_long(number),
        ctypes.c_char_p(attributes),
        ctypes.c_int(thread_id),
        ctypes.c_int(any_cpu),
        ctypes.c_int(no_group),
        ctypes.c_ulong(_CLOSE_ON_EXEC),
    )
    if fd < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return fd
