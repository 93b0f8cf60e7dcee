# SPDX-License-Identifier: Apache-2.0
"""Every error as a gRPC status, by the HTTP status it has in the table of errors.py."""

import logging
from typing import Any, NamedTuple

import grpc

from aio.runtime.errors import AioError
from aio.runtime.serve.errors import row_of

INTERNAL = "internal error; the server's log has the details"
RETRY_AFTER_S = 1.0

# HTTP status -> gRPC status; what is not here is UNKNOWN.
CODES = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    408: grpc.StatusCode.DEADLINE_EXCEEDED,
    409: grpc.StatusCode.FAILED_PRECONDITION,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.UNIMPLEMENTED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
}

logger = logging.getLogger(__name__)


class Status(NamedTuple):
    """How a call ends that failed; `trailers` tell when to try again."""

    code: Any
    details: str
    trailers: tuple[tuple[str, str], ...] = ()


def status_of(error: BaseException) -> Status:
    """Return the status for an error; a defect goes to the log and is not told to the client."""
    http = row_of(error).status
    code = CODES.get(http, grpc.StatusCode.UNKNOWN)
    if not isinstance(error, AioError):
        logger.error("a call failed", exc_info=error)
        return Status(code, INTERNAL)
    if http == 500:
        logger.error("%s", error)
    if http != 503:
        return Status(code, str(error))
    after_s = getattr(error, "retry_after_s", None) or RETRY_AFTER_S
    # The first is for the client library, which may try again by itself and keeps it from the
    # program; the second is for the program.
    after_ms = str(max(1, round(after_s * 1000)))
    trailers = (("grpc-retry-pushback-ms", after_ms), ("retry-after-ms", after_ms))
    return Status(code, str(error), trailers)
