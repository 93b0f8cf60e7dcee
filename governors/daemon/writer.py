# SPDX-License-Identifier: Apache-2.0
"""The writing side of the shared file: one process, which never waits for a reader.

The file lives in memory (the page cache of a tmpfs), and is written through its descriptor rather
than through a mapping: a store to a mapped page whose file someone truncated kills the process
with SIGBUS, a `pwrite` does not. Readers may map the file or read it, as they like.
"""

from __future__ import annotations

import os
import secrets
import time
from pathlib import Path

from aio.governors.base import Capability, ClockSample, DeviceSample
from aio.governors.daemon.encoding import Encoder
from aio.governors.daemon.folder import boot_id
from aio.governors.daemon.layout import (
    DETAIL_CAPACITY,
    FILE_BYTES,
    HEADER_BYTES,
    RECORD_OFFSET,
    SEQUENCE_BYTES,
    Header,
    Record,
    hot_values,
    pack_sequence,
)


class SharedWriter:
    """Publishes samples in a file. Not thread-safe; that there is one writer is the lock's task.

    Args:
        path: the file, which appears with the first sample.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples = 0
        self._header = Header(os.getpid(), secrets.randbits(64), boot_id()).pack()
        self._sequence = 0
        self._fd: int | None = None
        self._encoder = Encoder()

    def publish(
        self, sample: DeviceSample, capabilities: tuple[Capability, ...], period_s: float
    ) -> None:
        """Write a record; a file that was removed, truncated or overwritten is made anew.

        Raises:
            OSError: the file can't be written, for example because the file system is full.
        """
        self.samples += 1
        record = Record(
            sequence=self._sequence + 2,
            published_ns=time.monotonic_ns(),
            time_ns=sample.time_ns,
            samples=self.samples,
            period_us=round(period_s * 1e6),
            hot=hot_values(sample),
            detail=self._detail(sample, capabilities),
        )
        if self._is_intact():
            self._write(record)
        else:
            self._create(record)
        self._sequence += 2

    def close(self) -> None:
        """Remove the file, so that readers know at once that nobody writes it."""
        if self._fd is not None:
            if self._is_ours():
                self.path.unlink(missing_ok=True)
            os.close(self._fd)
            self._fd = None

    def _detail(self, sample: DeviceSample, capabilities: tuple[Capability, ...]) -> bytes:
        detail = self._encoder.encode(sample, capabilities)
        if len(detail) <= DETAIL_CAPACITY:
            return detail
        # Some hundreds of policies or rails: the clock itself is what clients can't do without.
        return Encoder().encode(DeviceSample(sample.time_ns, _without_policies(sample)), ())

    def _write(self, record: Record) -> None:
        fd = self._open_fd()
        data = record.pack()
        os.pwrite(fd, pack_sequence(record.sequence - 1), RECORD_OFFSET)
        os.pwrite(fd, data[SEQUENCE_BYTES:], RECORD_OFFSET + SEQUENCE_BYTES)
        os.pwrite(fd, data[:SEQUENCE_BYTES], RECORD_OFFSET)

    def _create(self, record: Record) -> None:
        """Put a complete file in place with one rename; readers see it when the inode changes."""
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        fresh.unlink(missing_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(fresh, flags, 0o644)
        try:
            os.ftruncate(fd, FILE_BYTES)
            os.pwrite(fd, self._header, 0)
            os.pwrite(fd, record.pack(), RECORD_OFFSET)
            fresh.replace(self.path)
        except OSError:
            os.close(fd)
            fresh.unlink(missing_ok=True)
            raise
        if self._fd is not None:
            os.close(self._fd)
        self._fd = fd

    def _is_intact(self) -> bool:
        if not self._is_ours():
            return False
        fd = self._open_fd()
        whole = os.fstat(fd).st_size == FILE_BYTES
        return whole and os.pread(fd, HEADER_BYTES, 0) == self._header

    def _is_ours(self) -> bool:
        if self._fd is None:
            return False
        try:
            return os.path.samestat(self.path.lstat(), os.fstat(self._fd))
        except OSError:
            return False

    def _open_fd(self) -> int:
        if self._fd is None:
            raise ValueError("the writer is closed")
        return self._fd


def _without_policies(sample: DeviceSample) -> ClockSample:
    clock = sample.clock
    return ClockSample(clock.time_ns, clock.cpu_khz, clock.max_khz, clock.driver, (), clock.error)
