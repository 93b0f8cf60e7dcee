# SPDX-License-Identifier: Apache-2.0
"""Answers as an ASGI server sends them, and every error as `{"error": "..."}`."""

import logging
import math
from collections.abc import Mapping
from typing import NamedTuple

from starlette.responses import Response
from starlette.types import Send

from aio.runtime.errors import AioError
from aio.runtime.serve.errors import RETRY_AFTER_S, message_of, row_of
from aio.runtime.serve.protocol import codec_json
from aio.runtime.serve.telemetry.request_log import note

INTERNAL = "internal error; the server's log has the details"
JSON = {"content-type": "application/json"}
RETRY_AFTER = "retry-after"

logger = logging.getLogger(__name__)


class Answer(NamedTuple):
    """A whole HTTP answer; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    async def send(self, send: Send) -> None:
        """Send it."""
        headers = [
            (name.encode("latin-1"), value.encode("latin-1"))
            for name, value in self.headers.items()
        ]
        headers.append((b"content-length", b"%d" % len(self.body)))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


def error_answer(error: AioError | MemoryError) -> Answer:
    """Return the answer for an error, by the table of errors; log what is our own fault."""
    message = message_of(error)
    note(error=message)
    status = row_of(error).status
    headers = dict(JSON)
    if status == 503:
        # At least a second: the header has whole seconds, and 0 would ask for a busy loop.
        wait_s = getattr(error, "retry_after_s", None) or RETRY_AFTER_S
        headers[RETRY_AFTER] = str(max(1, math.ceil(wait_s)))
    if status == 408:
        headers["connection"] = "close"
    if status == 500:
        logger.error("%s", message)
    return Answer(status, headers, codec_json.dumps({"error": message}))


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return `value` as a JSON response of the router's application."""
    return Response(codec_json.dumps(value), status, headers={**JSON, **(headers or {})})
