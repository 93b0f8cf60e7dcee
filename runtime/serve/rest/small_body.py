# SPDX-License-Identifier: Apache-2.0
"""The body of a request that has a few members at most: a small JSON object, or nothing."""

from reprlib import repr as short_repr
from typing import cast

from starlette.requests import Request

from aio.runtime.serve.errors import RequestError
from aio.runtime.serve.protocol import codec_json
from aio.runtime.serve.transport.body import check_coding, read_body

REMEDY = "send a small JSON object"


async def read_object(request: Request, limit: int) -> dict[str, object]:
    """Return the JSON object of a request's body of `limit` bytes at most; no body is an empty one.

    Raises:
        RequestError: it is large, slow, compressed, cut short or something else.
    """
    check_coding(request.headers.get("content-encoding", "identity"))
    text = bytes(await read_body(request.receive, limit, REMEDY))
    if not text:
        return {}
    value = codec_json.loads(text)
    if type(value) is not dict:
        raise RequestError(f"the request must be a JSON object, got {short_repr(value)}")
    return cast("dict[str, object]", value)
