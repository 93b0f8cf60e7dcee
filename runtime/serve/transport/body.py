# SPDX-License-Identifier: Apache-2.0
"""A request's body: into memory that is right for its tensors, within bounds.

A body of declared length is received straight into memory that nobody has zeroed, placed so that
the tensors behind the JSON begin on a cache line: it is never copied again. A body in chunks is
gathered; its framing is read strictly, since two readings of it are how requests are smuggled.
"""

import re
from typing import Protocol

import numpy as np
from starlette.types import Receive

from aio.runtime.serve.errors import (
    BodyTooLargeError,
    DisconnectedError,
    EncodingError,
    RequestError,
    UnavailableError,
)

ALIGNMENT = 64  # bytes; a cache line and the widest vector
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})(?:[ \t]*;[\t\x20-\x7e]*)?")
MAX_LINE = 256  # of a chunk's size with its extensions
MAX_TRAILERS = 4096  # bytes


class Buffers:
    """Counts the body bytes held by all requests together. Used in the event loop only."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    def take(self, size: int) -> None:
        """Count `size` bytes more, or raise UnavailableError."""
        if self._held + size > self._limit:
            raise UnavailableError(
                f"requests in progress hold {self._held} bytes of {self._limit}; retry later"
            )
        self._held += size

    def give_back(self, size: int) -> None:
        """Count `size` bytes less."""
        self._held -= size


class Body(Protocol):
    """A body that is being received; its bytes count as held until `release`."""

    @property
    def received(self) -> int:
        """Return how many bytes have come."""

    @property
    def complete(self) -> bool:
        """Return whether all of it is there."""

    @property
    def data(self) -> memoryview:
        """Return what has come."""

    def feed(self, pending: bytearray) -> None:
        """Take the bytes of this body from the front of `pending`."""

    def release(self) -> None:
        """Give the body's bytes back to the server's count."""


def aligned(size: int, start: int) -> memoryview:
    """Return memory that nobody has zeroed, of which the byte at `start` is aligned.

    Raises:
        MemoryError: there is not so much.
    """
    memory = np.empty(size + ALIGNMENT, np.uint8)
    skip = -(memory.__array_interface__["data"][0] + start) % ALIGNMENT
    return memory.data[skip : skip + size]


class SizedBody:
    """A body of declared length.

    Attributes:
        with_head: the memory of the head and the body.

    Args:
        size: bytes.
        start: offset in the body that is to be aligned.
        buffers: where its bytes count.
        head_bytes: memory before the body's, for a head that may come with it.
    """

    def __init__(self, size: int, start: int, buffers: Buffers, head_bytes: int = 0) -> None:
        self.with_head = aligned(head_bytes + size, head_bytes + start)
        self._memory = self.with_head[head_bytes:]
        self._buffers = buffers
        self.received = 0

    @property
    def complete(self) -> bool:
        """Return whether all of it is there."""
        return self.received == len(self._memory)

    @property
    def data(self) -> memoryview:
        """Return what has come."""
        return self._memory[: self.received]

    @property
    def space(self) -> memoryview:
        """Return the memory of what is still to come."""
        return self._memory[self.received :]

    def advance(self, size: int) -> None:
        """Note that `size` bytes were put into `space`."""
        self._buffers.take(size)
        self.received += size

    def feed(self, pending: bytearray) -> None:
        """Take the bytes of this body from the front of `pending`."""
        space = self.space
        size = min(len(pending), len(space))
        space[:size] = pending[:size]
        self.advance(size)
        del pending[:size]

    def release(self) -> None:
        """Give the body's bytes back to the server's count."""
        self._buffers.give_back(self.received)


class ChunkedBody:
    """A body in chunks.

    Args:
        limit: most bytes it may have.
        buffers: where its bytes count.
    """

    def __init__(self, limit: int, buffers: Buffers) -> None:
        self._limit = limit
        self._buffers = buffers
        self._data = bytearray()
        self._rest: int | None = None  # of the chunk, its line end included; None: before its size
        self._trailers = -1  # bytes of them; -1: before the last chunk
        self.complete = False

    @property
    def received(self) -> int:
        """Return how many bytes have come."""
        return len(self._data)

    @property
    def data(self) -> memoryview:
        """Return what has come."""
        return memoryview(self._data)

    def feed(self, pending: bytearray) -> None:
        """Take the bytes of this body from the front of `pending`.

        Raises:
            RequestError: the framing is wrong.
            BodyTooLargeError: the body is over the limit.
            MemoryError: there is none for more of it.
        """
        while not self.complete and pending:
            if self._rest is not None:
                self._take_data(pending)
                if self._rest is not None:
                    return
            else:
                line = _take_line(pending)
                if line is None:
                    return
                self._take_size(line) if self._trailers < 0 else self._take_trailer(line)

    def release(self) -> None:
        """Give the body's bytes back to the server's count."""
        self._buffers.give_back(len(self._data))

    def _take_size(self, line: bytes) -> None:
        found = CHUNK_SIZE.fullmatch(line)
        if found is None:
            shown = line[:20].decode("latin-1")
            raise RequestError(f"a chunk's size must be a hexadecimal number, got {shown!r}")
        size = int(found[1], 16)
        if size == 0:
            self._trailers = 0
            return
        if len(self._data) + size > self._limit:
            raise too_large(len(self._data) + size, self._limit)
        self._rest = size + 2

    def _take_data(self, pending: bytearray) -> None:
        assert self._rest is not None
        size = min(len(pending), self._rest - 2)
        if size > 0:
            self._buffers.take(size)
            try:
                self._data += memoryview(pending)[:size]
            except MemoryError:
                self._buffers.give_back(size)
                raise
            del pending[:size]
            self._rest -= size
        if self._rest == 2 and len(pending) >= 2:
            if pending[:2] != b"\r\n":
                raise RequestError("a chunk is longer than its size")
            del pending[:2]
            self._rest = None

    def _take_trailer(self, line: bytes) -> None:
        self._trailers += len(line) + 2
        if self._trailers > MAX_TRAILERS:
            raise RequestError(f"the headers after the last chunk are over {MAX_TRAILERS} bytes")
        self.complete = not line


def too_large(size: int, limit: int) -> BodyTooLargeError:
    """Return the error for a body of `size` bytes; who reads the body knows the remedy."""
    return BodyTooLargeError(f"the body has {size} bytes or more, the limit is {limit}")


def check_coding(coding: str) -> None:
    """Raise EncodingError if a body is compressed."""
    if coding.lower() != "identity":
        raise EncodingError(
            f"content-encoding {coding[:40]!r} is not supported; send the body uncompressed"
        )


async def read_body(receive: Receive, limit: int, remedy: str) -> bytes | bytearray | memoryview:
    """Return the whole body; our connections give it at once, other servers in pieces.

    Raises:
        BodyTooLargeError: it is over the limit; `remedy` is what to do then.
        DisconnectedError: the client went away before its end.
    """
    data = bytearray()
    try:
        message = await receive()
        if message["type"] == "http.request" and not message.get("more_body", False):
            body: bytes | memoryview = message.get("body", b"")
            if len(body) > limit:
                raise too_large(len(body), limit)
            return body
        while message["type"] == "http.request":
            data += message.get("body", b"")
            if len(data) > limit:
                raise too_large(len(data), limit)
            if not message.get("more_body", False):
                return data
            message = await receive()
    except BodyTooLargeError as error:
        raise BodyTooLargeError(f"{error}; {remedy}") from None
    raise DisconnectedError("the client closed the connection")


def _take_line(pending: bytearray) -> bytes | None:
    """Take a line from the front, without its end; None if its end has not come."""
    end = pending.find(b"\n", 0, MAX_LINE)
    if end < 0:
        if len(pending) >= MAX_LINE:
            raise RequestError(f"a line between chunks is over {MAX_LINE} bytes")
        return None
    line = bytes(pending[: end + 1])
    del pending[: end + 1]
    if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
        raise RequestError("lines between chunks must end in CR LF")
    return line[:-2]
