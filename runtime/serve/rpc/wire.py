# SPDX-License-Identifier: Apache-2.0
"""Tensors in the bytes of a protobuf message, past the library that would copy them twice.

A request with raw tensors is a small message and a few long fields. The long ones are taken out
as views of the bytes that came, and the library parses the rest; the same backwards for answers.
"""

from collections.abc import Collection, Iterator
from contextlib import suppress
from typing import NamedTuple

from aio.runtime.serve.errors import RequestError

RAW_INPUT = 7  # ModelInferRequest.raw_input_contents
RAW_OUTPUT = 6  # ModelInferResponse.raw_output_contents
MAX_FIELDS = 1024  # top-level fields of a request; each is a tensor or a parameter
MAX_TEXT = 1024  # bytes; longer ones are not worth sending back
_LENGTH = 2  # wire type of strings, bytes and messages
_FIXED = {1: 8, 5: 4}  # bytes that follow a tag of these wire types
_MAX_VARINT = 10


class Split(NamedTuple):
    """A message without the fields of one number, and those fields in their order."""

    rest: bytes
    raw: list[memoryview]


def split(data: bytes | memoryview, number: int) -> Split:
    """Take the length-delimited fields of this number out of a message.

    Raises:
        RequestError: the bytes are no message, or have too many fields.
    """
    view = memoryview(data)
    rest: list[memoryview] = []
    raw: list[memoryview] = []
    for tag, start, body, end in _fields(data):
        if tag == number << 3 | _LENGTH:
            raw.append(view[body:end])
        else:
            rest.append(view[start:end])
    return Split(b"".join(rest), raw)


def texts(data: bytes | memoryview, numbers: Collection[int]) -> dict[int, str]:
    """Return the texts in the fields of these numbers, as far as the message can be read."""
    found: dict[int, str] = {}
    with suppress(RequestError):
        for tag, _, body, end in _fields(data):
            if tag & 7 == _LENGTH and tag >> 3 in numbers and end - body <= MAX_TEXT:
                found[tag >> 3] = bytes(data[body:end]).decode("utf-8", "replace")
    return found


def join(rest: bytes, number: int, raw: list[bytes]) -> bytes:
    """Return the message `rest` with the fields `raw` of this number added."""
    parts = [rest]
    for item in raw:
        parts += (_as_varint(number << 3 | _LENGTH), _as_varint(len(item)), item)
    return b"".join(parts)


def nest(number: int, *parts: bytes) -> bytes:
    """Return a message whose one field is the message that the parts make together."""
    size = sum(map(len, parts))
    return b"".join((_as_varint(number << 3 | _LENGTH), _as_varint(size), *parts))


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield the tag of each field, and where it, its content and the next one begin."""
    at = 0
    for _ in range(MAX_FIELDS):
        if at == len(data):
            return
        start = at
        tag, at = _varint(data, at)
        body = at
        if tag & 7 == _LENGTH:
            size, body = _varint(data, at)
            at = body + size
        elif tag & 7 in _FIXED:
            at += _FIXED[tag & 7]
        elif tag & 7 == 0:
            _, at = _varint(data, at)
        else:
            raise RequestError("the message is not valid protobuf: a field of unknown kind")
        if at > len(data):
            raise RequestError("the message is not valid protobuf: it ends inside a field")
        yield tag, start, body, at
    raise RequestError(f"the message has more than {MAX_FIELDS} fields")


def _varint(data: bytes | memoryview, at: int) -> tuple[int, int]:
    """Return the number at `at` and where the next byte is."""
    value = shift = 0
    for byte in data[at : at + _MAX_VARINT]:
        value |= (byte & 0x7F) << shift
        shift += 7
        at += 1
        if byte < 0x80:
            return value, at
    raise RequestError("the message is not valid protobuf: a number has no end")


def _as_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
