# SPDX-License-Identifier: Apache-2.0
"""How calls end: gRPC's codes, every error as one of them, and both as trailers.

An error has the code that its HTTP status has, which the table of errors.py gives.
"""

import logging
from enum import IntEnum
from typing import NamedTuple
from urllib.parse import quote

from aio.runtime.errors import AioError
from aio.runtime.serve.errors import RETRY_AFTER_S, message_of, row_of

INTERNAL = "internal error; the server's log has the details"
MAX_DETAILS = 2000  # characters; clients take no more than 8 KiB of trailers
# What may stand in `grpc-message` as it is: ASCII that can be printed, without the percent sign.
PLAIN = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")

logger = logging.getLogger(__name__)


class Code(IntEnum):
    """The codes of gRPC, by their numbers on the wire."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# HTTP status -> code; what is not here is UNKNOWN.
CODES = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    408: Code.DEADLINE_EXCEEDED,
    409: Code.FAILED_PRECONDITION,
    413: Code.RESOURCE_EXHAUSTED,
    415: Code.UNIMPLEMENTED,
    500: Code.INTERNAL,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
}


class Status(NamedTuple):
    """How a call ends; `more` are trailers that tell when to try again."""

    code: Code
    details: str = ""
    more: tuple[tuple[str, str], ...] = ()

    def trailers(self) -> list[tuple[str, str]]:
        """Return the status as a client reads it."""
        trailers = [("grpc-status", str(int(self.code)))]
        if self.details:
            trailers.append(("grpc-message", quote(self.details[:MAX_DETAILS], safe=PLAIN)))
        return [*trailers, *self.more]


def status_of(error: BaseException) -> Status:
    """Return the status for an error; a defect goes to the log and is not told to the client."""
    http = row_of(error).status
    code = CODES.get(http, Code.UNKNOWN)
    if not isinstance(error, AioError | MemoryError):
        logger.error("a call failed", exc_info=error)
        return Status(code, INTERNAL)
    text = message_of(error)
    if http == 500:
        logger.error("%s", text)
    if http != 503:
        return Status(code, text)
    after_s = getattr(error, "retry_after_s", None) or RETRY_AFTER_S
    # The first is for the client library, which may try again by itself and keeps it from the
    # program; the second is for the program.
    after_ms = str(max(1, round(after_s * 1000)))
    more = (("grpc-retry-pushback-ms", after_ms), ("retry-after-ms", after_ms))
    return Status(code, text, more)
