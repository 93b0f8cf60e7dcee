# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct
import zlib

from daemon_parts import device_sample, full_sample
from hypothesis import given
from hypothesis import strategies as st

from aio.governors.daemon.layout import (
    DETAIL_CAPACITY,
    FILE_BYTES,
    HEADER_BYTES,
    RECORD_BYTES,
    Header,
    Record,
    hot_values,
    parse_header,
    parse_record,
)

BOOT = bytes(range(16))
HEADER = Header(1234, 99, BOOT)
RECORD = Record(8, 11, 10, 3, 20_000, (1_500_000, None, 0, 918_000), b'{"a":1}\n[]')


def test_the_layout_is_what_the_documentation_says() -> None:
    """Golden bytes: programs in other languages read them."""
    data = HEADER.pack()
    assert (HEADER_BYTES, RECORD_BYTES, FILE_BYTES) == (64, 64, 128 + 262_144)
    assert data[:40] == struct.pack("<8sIIIIIIQ", b"AIOSENSE", 1, 262_272, 64, 262_144, 1234, 0, 99)
    assert data[40:60] == BOOT + bytes(4)
    assert data[60:] == struct.pack("<I", zlib.crc32(data[:60]))
    record = RECORD.pack()
    assert record[:36] == struct.pack("<QqqQI", 8, 11, 10, 3, 20_000)
    assert record[36:60] == struct.pack("<IIIIII", 0b1101, 1_500_000, 0, 0, 918_000, 10)
    assert record[60:64] == struct.pack("<I", zlib.crc32(record[:60] + record[64:]))
    assert record[64:] == RECORD.detail


def test_what_was_packed_is_found() -> None:
    assert parse_header(HEADER.pack() + b"rest") == HEADER
    assert parse_record(RECORD.pack() + b"rest") == RECORD


def test_how_much_to_read() -> None:
    assert parse_record(RECORD.pack()[:-1]) == RECORD_BYTES + len(RECORD.detail)
    assert parse_record(RECORD.pack()[: RECORD_BYTES - 1]) is None


def test_headers_that_are_none() -> None:
    good = HEADER.pack()
    assert parse_header(good[:63]) == "truncated: 63 bytes"
    assert parse_header(bytes(64)) == "not a file of the sampling daemon"
    newer = good[:8] + b"\x02" + good[9:]
    assert parse_header(newer) == "layout version 2, this release reads 1: update the older one"
    for at in (*range(12, 64),):
        damaged = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        assert parse_header(damaged) == "its header is damaged"


def test_a_header_that_points_outside() -> None:
    outside = Header(1, 2, BOOT, record_offset=64, detail_capacity=DETAIL_CAPACITY + 1)
    assert parse_header(outside.pack()) == "its header contradicts itself"
    inside = Header(1, 2, BOOT, record_offset=32)
    assert parse_header(inside.pack()) == "its header contradicts itself"


@given(st.integers(0, len(RECORD.pack()) - 1), st.integers(1, 255))
def test_every_changed_byte_is_found(at: int, change: int) -> None:
    good = RECORD.pack()
    found = parse_record(good[:at] + bytes([good[at] ^ change]) + good[at + 1 :])
    assert not isinstance(found, Record)


@given(st.binary(max_size=200))
def test_garbage_is_no_record(data: bytes) -> None:
    assert not isinstance(parse_record(data), Record)
    assert not isinstance(parse_record(bytes(len(data))), Record)


@given(st.integers(0, len(RECORD.pack())))
def test_a_mixture_of_two_records_is_none(at: int) -> None:
    """Also where the two differ in the sequence alone."""
    later = Record(10, *(getattr(RECORD, name) for name in RECORD.__slots__[1:]))
    mixed = later.pack()[:at] + RECORD.pack()[at:]
    found = parse_record(mixed)
    assert not isinstance(found, Record) or mixed in {RECORD.pack(), later.pack()}


def test_hot_values() -> None:
    assert hot_values(full_sample()) == (1_500_000, 2_000_000, 306_000, 918_000)
    assert hot_values(device_sample(None)) == (None, 2_000_000, None, None)


def test_values_beyond_the_fields_are_clamped() -> None:
    record = Record(2, 1, 1, 1, 10**12, (10**12, -5, None, None), b"")
    found = parse_record(record.pack())
    assert isinstance(found, Record)
    assert (found.period_us, found.hot[:2]) == (0xFFFFFFFF, (0xFFFFFFFF, 0))
