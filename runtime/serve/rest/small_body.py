# SPDX-License-Identifier: Apache-2.0
"""The body of a request that has a few members at most: a small JSON object, or nothing."""

import asyncio
from reprlib import repr as short_repr
from typing import cast

from starlette.requests import ClientDisconnect, Request

from aio.runtime.serve.errors import (
    BodyTimeoutError,
    BodyTooLargeError,
    DisconnectedError,
    EncodingError,
    RequestError,
)
from aio.runtime.serve.protocol import codec_json

MAX_BYTES = 16 * 1024
TIMEOUT_S = 10.0


async def read_object(request: Request) -> dict[str, object]:
    """Return the JSON object of a request's body; no body is an empty object.

    Raises:
        RequestError: it is large, slow, compressed, cut short or something else.
    """
    encoding = request.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity":
        raise EncodingError(
            f"content-encoding {encoding[:40]!r} is not supported; send the body uncompressed"
        )
    try:
        text = await asyncio.wait_for(_collect(request), TIMEOUT_S)
    except asyncio.TimeoutError:
        raise BodyTimeoutError(f"the body did not come within {TIMEOUT_S:g} s") from None
    except ClientDisconnect:
        raise DisconnectedError("the client closed the connection") from None
    if not text:
        return {}
    value = codec_json.loads(text)
    if type(value) is not dict:
        raise RequestError(f"the request must be a JSON object, got {short_repr(value)}")
    return cast("dict[str, object]", value)


async def _collect(request: Request) -> bytes:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MAX_BYTES:
            raise BodyTooLargeError(f"the body has more than {MAX_BYTES} bytes, the limit here")
    return bytes(data)
