# SPDX-License-Identifier: Apache-2.0
"""The bytes of the shared file: a header written once, and one record written again and again.

Little-endian, version 1. Changing a field's place or meaning takes a new version; the JSON of the
detail may gain members without one.

    header   0  8s   magic "AIOSENSE"            record   0  u64  sequence, odd while it is written
             8  u32  layout version                       8  i64  when it was published, ns
            12  u32  bytes of the file                   16  i64  time of the sample, ns
            16  u32  place of the record                 24  u64  samples since the start
            20  u32  room for the detail, bytes          32  u32  time between samples, us
            24  u32  pid of the writer                   36  u32  which of the next four are known
            28  u32  0                                   40  u32  cpu_khz                    (bit 0)
            32  u64  random number of this start         44  u32  max_khz                    (bit 1)
            40  16s  boot id, zeros if unknown           48  u32  clock of the first GPU     (bit 2)
            56  u32  0                                   52  u32  the same at full speed     (bit 3)
            60  u32  CRC-32 of bytes 0 to 59             56  u32  bytes of the detail
                                                         60  u32  CRC-32 of bytes 0 to 59, detail
                                                         64       detail: lines of text

Times are of CLOCK_MONOTONIC, which all processes of one boot share; the boot id tells a file that
was left by another boot. The detail is the sample without its time, one field of DeviceSample a
line, its name before its JSON: `power {"source":"ac","battery":null}`; the capabilities follow. The
CRC covers the sequence, so that a mixture of two records is never taken for one, whatever order a
processor makes stores visible in.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aio.governors.base import DeviceSample

MAGIC = b"AIOSENSE"
VERSION = 1
DETAIL_CAPACITY = 256 * 1024  # a policy takes about 300 bytes; a machine of 512 policies fits

_HEADER = struct.Struct("<8sIIIIIIQ16sII")
_RECORD = struct.Struct("<QqqQIIIIIIII")
_SEQUENCE = struct.Struct("<Q")
_CRC = struct.Struct("<I")
_MAX_U32 = 0xFFFFFFFF

HEADER_BYTES = _HEADER.size
RECORD_OFFSET = HEADER_BYTES
RECORD_BYTES = _RECORD.size
FILE_BYTES = RECORD_OFFSET + RECORD_BYTES + DETAIL_CAPACITY
SEQUENCE_BYTES = _SEQUENCE.size


@dataclass(frozen=True, slots=True)
class Header:
    """Who writes the file, and where its parts are."""

    pid: int
    start_id: int
    boot_id: bytes
    record_offset: int = RECORD_OFFSET
    detail_capacity: int = DETAIL_CAPACITY

    def pack(self) -> bytes:
        """Return the header's bytes."""
        body = _HEADER.pack(
            *(MAGIC, VERSION, FILE_BYTES, self.record_offset, self.detail_capacity),
            *(self.pid, 0, self.start_id, self.boot_id, 0, 0),
        )[:-4]
        return body + _CRC.pack(zlib.crc32(body))


@dataclass(frozen=True, slots=True)
class Record:
    """One record. `hot` are cpu_khz, max_khz, gpu_khz, gpu_max_khz; None where unknown."""

    sequence: int
    published_ns: int
    time_ns: int
    samples: int
    period_us: int
    hot: tuple[int | None, int | None, int | None, int | None]
    detail: bytes

    def pack(self) -> bytes:
        """Return the record's bytes, its sequence included."""
        present = sum(1 << bit for bit, value in enumerate(self.hot) if value is not None)
        head = _RECORD.pack(
            *(self.sequence, self.published_ns, self.time_ns, self.samples),
            *(min(self.period_us, _MAX_U32), present),
            *(min(max(value or 0, 0), _MAX_U32) for value in self.hot),
            *(len(self.detail), 0),
        )[:-4]
        return head + _CRC.pack(zlib.crc32(self.detail, zlib.crc32(head))) + self.detail


def hot_values(sample: DeviceSample) -> tuple[int | None, int | None, int | None, int | None]:
    """Return what a reader without a JSON parser wants most."""
    gpu = sample.gpus[0] if sample.gpus else None
    return (
        sample.clock.cpu_khz,
        sample.clock.max_khz,
        gpu.cur_freq_khz if gpu else None,
        gpu.max_freq_khz if gpu else None,
    )


def pack_sequence(sequence: int) -> bytes:
    """Return the bytes of a sequence counter."""
    return _SEQUENCE.pack(sequence)


def parse_header(data: bytes) -> Header | str:
    """Return the header, or why these bytes are none that can be read here."""
    if len(data) < HEADER_BYTES:
        return f"truncated: {len(data)} bytes"
    fields = _HEADER.unpack_from(data)
    magic, version, file_bytes, offset, capacity, pid, _, start_id, boot, _, crc = fields
    if magic != MAGIC:
        return "not a file of the sampling daemon"
    if version != VERSION:
        return f"layout version {version}, this release reads {VERSION}: update the older one"
    if crc != zlib.crc32(data[: HEADER_BYTES - 4]):
        return "its header is damaged"
    if offset < HEADER_BYTES or file_bytes < offset + RECORD_BYTES + capacity:
        return "its header contradicts itself"
    return Header(pid, start_id, boot, offset, capacity)


def parse_record(data: bytes) -> Record | int | None:
    """Return the record at the start of `data`, how many bytes it would take, or None if torn."""
    if len(data) < RECORD_BYTES:
        return None
    sequence, published, time_ns, samples, period, present, *rest = _RECORD.unpack_from(data)
    *values, detail_bytes, crc = rest
    if sequence == 0 or sequence % 2 or detail_bytes > DETAIL_CAPACITY:
        return None
    if len(data) < RECORD_BYTES + detail_bytes:
        return RECORD_BYTES + int(detail_bytes)
    detail = data[RECORD_BYTES : RECORD_BYTES + detail_bytes]
    if crc != zlib.crc32(detail, zlib.crc32(data[: RECORD_BYTES - 4])):
        return None
    cpu, top, gpu, gpu_top = (
        value if present >> bit & 1 else None for bit, value in enumerate(values)
    )
    return Record(sequence, published, time_ns, samples, period, (cpu, top, gpu, gpu_top), detail)
