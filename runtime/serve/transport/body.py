# SPDX-License-Identifier: Apache-2.0
"""Reading a request body that may be huge, endless, slow, compressed, or cut short."""

import asyncio

from starlette.requests import ClientDisconnect, Request

from aio.runtime.serve.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    DisconnectedError,
    EncodingError,
    UnavailableError,
)
from aio.runtime.serve.limits import Limits


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


class Body:
    """One request's body; its bytes count as held until `release`."""

    def __init__(self, request: Request, limits: Limits, buffers: Buffers) -> None:
        self._request = request
        self._limits = limits
        self._buffers = buffers
        self._data = bytearray()

    def release(self) -> None:
        """Give the body's bytes back to the server's count."""
        self._buffers.give_back(len(self._data))

    async def read(self) -> bytearray:
        """Return the whole body.

        Raises:
            BodyTooLargeError: it is declared or found to be over the limit.
            BodyTimeoutError: it did not arrive in time.
            EncodingError: it is compressed.
            DisconnectedError: the client went away.
            UnavailableError: the server holds too many bytes already.
        """
        encoding = self._request.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise EncodingError(
                f"content-encoding {encoding[:40]!r} is not supported; send the body uncompressed"
            )
        # The HTTP parser has checked that Content-Length, when given, is one decimal number.
        self._check_size(int(self._request.headers.get("content-length", "0")))
        try:
            await asyncio.wait_for(self._collect(), self._limits.body_s)
        except asyncio.TimeoutError:
            raise BodyTimeoutError(
                f"only {len(self._data)} bytes of the body came within {self._limits.body_s:g} s"
            ) from None
        except ClientDisconnect:
            raise DisconnectedError("the client closed the connection") from None
        return self._data

    async def _collect(self) -> None:
        async for chunk in self._request.stream():
            self._check_size(len(self._data) + len(chunk))
            self._buffers.take(len(chunk))
            self._data += chunk

    def _check_size(self, size: int) -> None:
        if size > self._limits.body_bytes:
            raise BodyTooLargeError(
                f"the body has {size} bytes or more, the limit is {self._limits.body_bytes}; "
                "send a smaller batch"
            )
