# SPDX-License-Identifier: Apache-2.0
"""Answers in JSON."""

from collections.abc import Mapping

from starlette.responses import Response

from aio.runtime.serve.protocol import codec_json


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return `value` as a JSON response."""
    body = codec_json.dumps(value)
    return Response(body, status, headers=headers, media_type="application/json")
