# SPDX-License-Identifier: Apache-2.0
"""The reading side of the shared file: never waits, never raises, believes nothing unchecked.

The file is read through a descriptor, not through a mapping: should someone truncate it, a mapped
page would end this process with SIGBUS, while `pread` just returns less. A read takes a few
microseconds, and the same record is decoded once.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from aio.governors.daemon.encoding import Decoder
from aio.governors.daemon.folder import UNKNOWN_BOOT, boot_id
from aio.governors.daemon.layout import (
    HEADER_BYTES,
    RECORD_BYTES,
    Header,
    Record,
    parse_header,
    parse_record,
)

if TYPE_CHECKING:
    from aio.governors.base import Capability, DeviceSample

TRIES = 8  # a writer is inside a record for some 5 us; one that stays there was stopped
_FIRST_DETAIL_BYTES = 4096
# A pipe put in the file's place must not block, and a link is not followed.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class Published:
    """What a daemon published last. Its age is for the reader to judge, by `published_ns`."""

    pid: int
    start_id: int
    published_ns: int
    samples: int
    period_s: float
    sample: DeviceSample
    capabilities: tuple[Capability, ...]


class SharedReader:
    """Reads the file of a daemon, through restarts and damage. Not thread-safe.

    Args:
        path: the file, which need not exist.
        boot: the boot that counts, this one if None.
    """

    def __init__(self, path: Path, boot: bytes | None = None) -> None:
        self.path = path
        self._boot = boot_id() if boot is None else boot
        self._fd: int | None = None
        self._identity: tuple[int, int] | None = None
        self._header = Header(0, 0, UNKNOWN_BOOT)
        self._detail_bytes = _FIRST_DETAIL_BYTES
        self._sequence = 0
        self._published: Published | None = None
        self._decoder = Decoder()

    def read(self) -> Published | str:
        """Return what was published last, or why there is nothing that can be believed."""
        try:
            found = self._follow() or self._record()
        except FileNotFoundError:
            found = f"no daemon: {self.path} does not exist"
        except OSError as error:
            found = f"{self.path}: {(error.strerror or str(error)).lower()}"
        if isinstance(found, Record):
            found = self._decoded(found)
        if isinstance(found, str):
            self.close()  # look at everything anew the next time
        return found

    def close(self) -> None:
        """Close the descriptor; the next read opens the file again."""
        fd, self._fd = self._fd, None
        self._published = None
        if fd is not None:
            os.close(fd)

    def _follow(self) -> str | None:
        """Have the file open that the path names now; return what is wrong with it."""
        status = self.path.lstat()
        if self._fd is not None and (status.st_dev, status.st_ino) == self._identity:
            return None
        self.close()
        self._fd = os.open(self.path, _FLAGS)
        status = os.fstat(self._fd)
        self._identity = status.st_dev, status.st_ino
        if not stat.S_ISREG(status.st_mode):
            return f"{self.path} is no regular file"
        if status.st_uid not in {0, os.geteuid()}:
            return f"{self.path} belongs to user {status.st_uid}, who could write anything into it"
        header = parse_header(os.pread(self._fd, HEADER_BYTES, 0))
        if isinstance(header, str):
            return f"{self.path}: {header}"
        if UNKNOWN_BOOT not in {header.boot_id, self._boot} and header.boot_id != self._boot:
            return f"{self.path} is left over from another boot"
        self._header = header
        return None

    def _record(self) -> Record | Published | str:
        fd, offset = self._fd, self._header.record_offset
        assert fd is not None  # _follow opened it
        for _ in range(TRIES):
            found = parse_record(os.pread(fd, RECORD_BYTES + self._detail_bytes, offset))
            if isinstance(found, Record):
                return found
            if found is None:
                os.sched_yield()
            else:
                self._detail_bytes = found - RECORD_BYTES + 256
        # A writer that lost its core in the middle goes on in milliseconds; until it is stale, the
        # record before is as good. A damaged file never gets fresh again.
        torn = f"{self.path}: damaged, or its writer was stopped in the middle of a record"
        return self._published or torn

    def _decoded(self, record: Record) -> Published | str:
        if self._published is not None and record.sequence == self._sequence:
            return self._published
        try:
            sample, capabilities = self._decoder.decode(record.detail, record.time_ns)
        except ValueError as error:
            return f"{self.path}: a sample that this release can't read: {error}"
        self._sequence = record.sequence
        self._published = Published(
            pid=self._header.pid,
            start_id=self._header.start_id,
            published_ns=record.published_ns,
            samples=record.samples,
            period_s=record.period_us / 1e6,
            sample=sample,
            capabilities=capabilities,
        )
        return self._published
