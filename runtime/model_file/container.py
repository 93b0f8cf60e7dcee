# SPDX-License-Identifier: Apache-2.0
"""The container of a model file: a safetensors file, read without trusting a byte of it.

Eight bytes of little-endian header length, a JSON header, raw tensors. The header is parsed here
rather than by the safetensors library because the library maps whatever it is given, opens pipes,
keeps the last of duplicate keys and accepts headers of 100 MB.

Files up to `MAX_COPIED_BYTES` are read into memory, larger ones are mapped. A mapped file that
somebody truncates in place kills the process (SIGBUS); writers replace files by rename instead.
"""

import math
import mmap
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aio.runtime.model_file import strict_json
from aio.runtime.model_file.defect import Defect, show
from aio.runtime.model_file.fields import Fields, check_integer, check_string

MAX_HEADER_BYTES = 16 << 20
MAX_COPIED_BYTES = 64 << 20
MAX_RANK = 8
_LENGTH_BYTES = 8
_F32 = np.dtype("<f4")
_ALL_DTYPES = frozenset(
    [
        "BOOL",
        "F4",
        "F6_E2M3",
        "F6_E3M2",
        "U8",
        "I8",
        "F8_E5M2",
        "F8_E4M3",
        "F8_E8M0",
        "I16",
        "U16",
        "F16",
        "BF16",
        "I32",
        "U32",
        "F32",
        "C64",
        "F64",
        "I64",
        "U64",
    ]
)


@dataclass(frozen=True)
class Container:
    """The parts of the file: strings of `__metadata__`, tensors by name, and every byte."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, NDArray[np.float32]]
    data: memoryview


def read_container(path: Path) -> Container:
    """Read a safetensors file of float32 tensors.

    Raises:
        Defect: the file is not what it should be.
        OSError: it can't be opened or read.
    """
    data = _read_file(path)
    header_end, header = _read_header(data)
    metadata = Fields(header.pop("__metadata__", None), "__metadata__")
    texts = {
        key: check_string(value, f"__metadata__.{show(key)}")
        for key, value in metadata.rest().items()
    }
    return Container(texts, _tensors(header, data[header_end:]), data)


def _read_file(path: Path) -> memoryview:
    if "\0" in str(path):
        raise Defect("a path can't hold a null byte")
    # O_NONBLOCK keeps open() from waiting for the other end of a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        before = os.fstat(descriptor)
        if stat.S_ISDIR(before.st_mode):
            raise Defect("is a directory, expected a file")
        if not stat.S_ISREG(before.st_mode):
            raise Defect("is not a regular file")
        if before.st_size == 0:
            raise Defect("is empty")
        if before.st_size > MAX_COPIED_BYTES:
            return _map(descriptor, before.st_size)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            content = file.read(before.st_size + 1)
        if len(content) != before.st_size:
            raise Defect(f"changed while it was read: {before.st_size} bytes, then {len(content)}")
        return memoryview(content)
    finally:
        os.close(descriptor)


def _map(descriptor: int, size: int) -> memoryview:
    try:
        return memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ))
    except ValueError:
        raise Defect(f"changed while it was read: it had {size} bytes") from None


def _read_header(data: memoryview) -> tuple[int, dict[str, object]]:
    if len(data) < _LENGTH_BYTES:
        raise Defect(f"has {len(data)} bytes, too few for the {_LENGTH_BYTES}-byte header length")
    length = int.from_bytes(data[:_LENGTH_BYTES], "little")
    if length > MAX_HEADER_BYTES:
        raise Defect(
            f"header length is {length} bytes, the limit is {MAX_HEADER_BYTES}; "
            "is this a safetensors file?"
        )
    end = _LENGTH_BYTES + length
    if end > len(data):
        raise Defect(f"is truncated: the header ends at byte {end}, the file at {len(data)}")
    raw = bytes(data[_LENGTH_BYTES:end])
    if not raw.startswith(b"{"):
        raise Defect(f"header starts with {show(raw[:1])}, expected {{")
    header = strict_json.parse(raw, "header")
    if not isinstance(header, dict):  # "{" at the front leaves no other type, but for mypy
        raise Defect("header is not a JSON object")
    return end, header


@dataclass(frozen=True)
class _Entry:
    name: str
    shape: tuple[int, ...]
    begin: int
    end: int


def _tensors(header: Mapping[str, object], data: memoryview) -> dict[str, NDArray[np.float32]]:
    entries = [_entry(name, value, len(data)) for name, value in header.items()]
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    position, previous = 0, "the header"
    for entry in entries:
        if entry.begin < position:
            raise Defect(f"tensor {show(entry.name)} overlaps {show(previous)}")
        if entry.begin > position:
            raise Defect(
                f"{entry.begin - position} bytes between {show(previous)} and tensor "
                f"{show(entry.name)} belong to no tensor"
            )
        position, previous = entry.end, entry.name
    if position != len(data):
        raise Defect(f"{len(data) - position} bytes after the last tensor belong to no tensor")
    return {entry.name: _view(entry, data) for entry in entries}


def _entry(name: str, value: object, data_bytes: int) -> _Entry:
    fields = Fields(value, f"tensor {show(name)}")
    dtype = fields.text("dtype")
    if dtype != "F32":
        hint = "" if dtype in _ALL_DTYPES else ", which is no safetensors type"
        raise Defect(f"tensor {show(name)} has dtype {show(dtype)}{hint}; this reader takes F32")
    sides = fields.items("shape")
    if len(sides) > MAX_RANK:
        raise Defect(f"tensor {show(name)} has {len(sides)} dimensions, the limit is {MAX_RANK}")
    shape = tuple(check_integer(side, f"{fields.where}.shape", 1, data_bytes) for side in sides)
    begin, end = fields.integers("data_offsets", 2, 0, 1 << 62)
    fields.finish()
    if end > data_bytes:
        raise Defect(
            f"tensor {show(name)} ends at byte {end} of the data, the file has {data_bytes}: "
            "it is truncated or its offsets are wrong"
        )
    size = _F32.itemsize * math.prod(shape)
    if end - begin != size:
        raise Defect(
            f"tensor {show(name)} of shape {list(shape)} needs {size} bytes, "
            f"its offsets {begin} to {end} give {end - begin}"
        )
    return _Entry(name, shape, begin, end)


def _view(entry: _Entry, data: memoryview) -> NDArray[np.float32]:
    array = np.frombuffer(data[entry.begin : entry.end], dtype=_F32).reshape(entry.shape)
    # The header's length need not be a multiple of 4. Kernels may rely on aligned floats.
    return np.require(array, np.float32, ["C", "ALIGNED"])
