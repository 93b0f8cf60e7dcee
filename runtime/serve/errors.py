# SPDX-License-Identifier: Apache-2.0
"""Errors of the server, and the one table that gives every error its HTTP status.

The V2 protocol answers an error with a status of 400 or more and `{"error": "..."}`. The
`reason` of a row is the label Triton uses in `nv_inference_request_failure`.
"""

import asyncio
from typing import NamedTuple

from aio.runtime.errors import AioError, ClosedError, InputError

NO_MEMORY = "the server has no memory left for this request; retry later, or send a smaller batch"
RETRY_AFTER_S = 1  # what clients are told with a 503 where nothing better is known
REJECTED, CANCELED, BACKEND, OTHER = "REJECTED", "CANCELED", "BACKEND", "OTHER"


class RequestError(AioError):
    """The request is not one this server can answer; the message says what to send."""


class UnknownModelError(RequestError):
    """No model of that name or version is served."""


class UnknownRegionError(RequestError):
    """No shared memory region of that name is registered."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no shared memory region is named {name[:80]!r}")


class ModelLoadError(RequestError):
    """The newest version of a model can't be loaded; the message says why and what serves."""


class ControlError(RequestError):
    """Something this server does not do, or was not started so that clients may."""


class GpuMemoryError(ControlError):
    """A region was to be in memory of a GPU."""

    def __init__(self) -> None:
        super().__init__("this server takes no memory of a GPU; it computes on the CPU")


class BodyTimeoutError(RequestError):
    """The body did not arrive in time."""


class BodyTooLargeError(RequestError):
    """The body, or the JSON part of it, is over its limit."""


class CallDeadlineError(RequestError):
    """The deadline that came with a call of gRPC has passed."""


class EncodingError(RequestError):
    """The body is compressed in a way the server does not undo."""


class UnavailableError(AioError):
    """The server can't take the request now; the same request may succeed later.

    Args:
        message: what is in the way.
        retry_after_s: when to try again, as far as that can be told.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class RepositoryError(UnavailableError):
    """The directory of models can't be read; the message says why."""


class DisconnectedError(AioError):
    """The client went away before its request was complete."""


class Row(NamedTuple):
    """How one kind of error is answered and counted."""

    error: type[BaseException]
    status: int
    reason: str


# The first row that matches wins, so a derived class stands above its base.
TABLE = (
    Row(UnknownModelError, 404, OTHER),
    Row(UnknownRegionError, 404, OTHER),
    Row(ControlError, 403, OTHER),
    Row(BodyTimeoutError, 408, CANCELED),
    Row(CallDeadlineError, 408, CANCELED),
    Row(BodyTooLargeError, 413, OTHER),
    Row(EncodingError, 415, OTHER),
    Row(RequestError, 400, OTHER),
    Row(InputError, 400, OTHER),
    Row(DisconnectedError, 400, CANCELED),
    Row(asyncio.CancelledError, 503, CANCELED),  # the client has gone, or the server stops
    Row(UnavailableError, 503, REJECTED),
    Row(ClosedError, 503, REJECTED),
    Row(MemoryError, 503, REJECTED),
    Row(AioError, 500, BACKEND),
)
INTERNAL = Row(BaseException, 500, BACKEND)


def message_of(error: BaseException) -> str:
    """Return what a client is told of an error that was raised on purpose, or for want of memory.

    What Python says of memory is for who knows the code.
    """
    return NO_MEMORY if isinstance(error, MemoryError) else str(error)


def row_of(error: BaseException) -> Row:
    """Return the row for `error`; anything not raised on purpose is internal."""
    return next((row for row in TABLE if isinstance(error, row.error)), INTERNAL)
