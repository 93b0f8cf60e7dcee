# SPDX-License-Identifier: Apache-2.0
"""The headers with which a call begins, and its messages where they are compressed."""

import re
import zlib
from typing import NamedTuple

from aio.runtime.serve.errors import BodyTooLargeError, RequestError

CONTENT_TYPE = re.compile(r"application/grpc(\+proto)?( *;.*)?", re.IGNORECASE)
TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
# What messages may be compressed with, as the window that zlib asks for.
WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
ACCEPTED = ",".join(("identity", *WINDOWS))

Headers = list[tuple[str, str]]


class NoGrpcError(Exception):
    """The request is HTTP but not gRPC; `status` is what HTTP has for it."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP status {status}")
        self.status = status


class UnsupportedError(RequestError):
    """The messages of the call are compressed in a way that is not known here."""


class Request(NamedTuple):
    """What a call is for; `timeout_s` is None if the client waits without end."""

    path: str
    encoding: str
    timeout_s: float | None


def read_request(headers: Headers) -> Request:
    """Return what the headers say.

    Raises:
        NoGrpcError: this is not gRPC.
        RequestError: it is, but a header is not valid.
    """
    found = dict(headers)
    if found.get(":method") != "POST":
        raise NoGrpcError(405)
    if CONTENT_TYPE.fullmatch(found.get("content-type", "")) is None:
        raise NoGrpcError(415)
    encoding = found.get("grpc-encoding", "identity")
    if encoding != "identity" and encoding not in WINDOWS:
        raise UnsupportedError(
            f"messages compressed with {encoding[:40]!r} are not read; use one of {ACCEPTED}"
        )
    return Request(found.get(":path", ""), encoding, _timeout_s(found.get("grpc-timeout")))


def _timeout_s(text: str | None) -> float | None:
    if text is None:
        return None
    found = TIMEOUT.fullmatch(text)
    if found is None:
        raise RequestError(f"grpc-timeout {text[:40]!r} is no number of up to 8 digits and a unit")
    return int(found[1]) * UNIT_S[found[2]]


def decompress(data: memoryview, encoding: str, limit: int) -> bytes:
    """Return a message as it was before it was compressed.

    Raises:
        RequestError: it is not compressed like that.
        BodyTooLargeError: it was longer than the limit.
    """
    if encoding not in WINDOWS:
        raise RequestError("a message is compressed, but there is no header grpc-encoding")
    unpacker = zlib.decompressobj(WINDOWS[encoding])
    try:
        out = unpacker.decompress(data, limit + 1)
    except zlib.error as error:
        raise RequestError(f"a message is not valid {encoding}: {error}") from None
    if len(out) > limit:
        raise too_long(len(out), limit)
    if not unpacker.eof or unpacker.unused_data:
        raise RequestError(f"a message is not valid {encoding}: it has no end, or more behind it")
    return out


def too_long(size: int, limit: int) -> BodyTooLargeError:
    """Return the error for a message of `size` bytes or more."""
    return BodyTooLargeError(
        f"the message has {size} bytes or more, the limit is {limit}; send a smaller batch"
    )
