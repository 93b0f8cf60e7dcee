# SPDX-License-Identifier: Apache-2.0
"""The container of a model file: a safetensors file, read without trusting a byte of it.

Eight bytes of little-endian header length, a JSON header, raw tensors. The header is parsed here
rather than by the safetensors library because the library maps whatever it is given, opens pipes,
keeps the last of duplicate keys and accepts headers of 100 MB.

The file is read once, never mapped (docs/adr/0007-weights-are-read-once.md): whoever truncates a
mapped file kills the process, and whoever writes to it changes what was checked. Each tensor has
memory of its own, which goes back to the system with the last array that views it.
"""

import hashlib
import math
import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aio.runtime.model_file import strict_json
from aio.runtime.model_file.defect import Defect, show
from aio.runtime.model_file.fields import Fields, check_integer, check_string

MAX_HEADER_BYTES = 16 << 20
MAX_RANK = 8
_LENGTH_BYTES = 8
# What malloc has given back it may keep for later; pages of a mapping go at once.
_MAPPED_BYTES = 64 << 10
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
class _Entry:
    name: str
    shape: tuple[int, ...]
    begin: int
    end: int


class Container:
    """An open file whose header was read and checked. `shapes` has every tensor by name."""

    def __init__(self, descriptor: int) -> None:
        """Read the header.

        Raises:
            Defect: it is not what it should be.
            OSError: it can't be read.
        """
        self._descriptor = descriptor
        self._status = os.fstat(descriptor)
        self._hash = hashlib.sha256()
        self._position = 0
        self.size_bytes = self._status.st_size
        header = self._read_header()
        metadata = Fields(header.pop("__metadata__", None), "__metadata__")
        self.metadata: Mapping[str, str] = {
            key: check_string(value, f"__metadata__.{show(key)}")
            for key, value in metadata.rest().items()
        }
        self._entries = _entries(header, self.size_bytes - self._position)
        self.shapes: Mapping[str, tuple[int, ...]] = {
            entry.name: entry.shape for entry in self._entries
        }

    def read_tensors(self) -> tuple[dict[str, NDArray[np.float32]], str]:
        """Return the tensors by name, read-only, and the SHA-256 of the whole file. To call once.

        Raises:
            Defect: the file changed since it was opened.
            OSError: it can't be read, or there is not enough memory.
        """
        tensors = {entry.name: self._read_tensor(entry) for entry in self._entries}
        now = os.fstat(self._descriptor)
        if (now.st_size, now.st_mtime_ns) != (self.size_bytes, self._status.st_mtime_ns):
            raise Defect("changed while it was read: somebody wrote to it")
        return tensors, self._hash.hexdigest()

    def _read_header(self) -> dict[str, object]:
        if self.size_bytes < _LENGTH_BYTES:
            raise Defect(
                f"has {self.size_bytes} bytes, too few for the {_LENGTH_BYTES}-byte header length"
            )
        length = int.from_bytes(self._read(_LENGTH_BYTES), "little")
        if length > MAX_HEADER_BYTES:
            raise Defect(
                f"header length is {length} bytes, the limit is {MAX_HEADER_BYTES}; "
                "is this a safetensors file?"
            )
        end = _LENGTH_BYTES + length
        if end > self.size_bytes:
            raise Defect(
                f"is truncated: the header ends at byte {end}, the file at {self.size_bytes}"
            )
        raw = self._read(length)
        if not raw.startswith(b"{"):
            raise Defect(f"header starts with {show(raw[:1])}, expected {{")
        header = strict_json.parse(raw, "header")
        if not isinstance(header, dict):  # "{" at the front leaves no other type, but for mypy
            raise Defect("header is not a JSON object")
        return header

    def _read_tensor(self, entry: _Entry) -> NDArray[np.float32]:
        size = entry.end - entry.begin
        memory = mmap.mmap(-1, size) if size >= _MAPPED_BYTES else bytearray(size)
        self._fill(memory)
        array = np.frombuffer(memory, dtype=_F32).reshape(entry.shape)
        array.flags.writeable = False
        return array

    def _read(self, size: int) -> bytes:
        memory = bytearray(size)
        self._fill(memory)
        return bytes(memory)

    def _fill(self, memory: bytearray | mmap.mmap) -> None:
        """Fill `memory` with the next bytes of the file."""
        with memoryview(memory) as view:
            filled = 0
            while filled < len(view):
                count = os.readv(self._descriptor, [view[filled:]])
                if count == 0:
                    raise Defect(
                        f"changed while it was read: {self.size_bytes} bytes, "
                        f"then {self._position + filled}"
                    )
                filled += count
            self._hash.update(view)
        self._position += filled


@contextmanager
def open_container(path: Path) -> Iterator[Container]:
    """Open a safetensors file of float32 tensors and read its header.

    Raises:
        Defect: the file is not what it should be.
        OSError: it can't be opened or read.
    """
    if "\0" in str(path):
        raise Defect("a path can't hold a null byte")
    # O_NONBLOCK keeps open() from waiting for the other end of a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check_kind(os.fstat(descriptor))
        yield Container(descriptor)
    finally:
        os.close(descriptor)


def _check_kind(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise Defect("is a directory, expected a file")
    if not stat.S_ISREG(status.st_mode):
        raise Defect("is not a regular file")
    if status.st_size == 0:
        raise Defect("is empty")


def _entries(header: Mapping[str, object], data_bytes: int) -> list[_Entry]:
    """Return the tensors in the file's order; together they must fill it."""
    entries = [_entry(name, value, data_bytes) for name, value in header.items()]
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
    if position != data_bytes:
        raise Defect(f"{data_bytes - position} bytes after the last tensor belong to no tensor")
    return entries


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
