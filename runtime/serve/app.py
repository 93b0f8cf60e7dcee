# SPDX-License-Identifier: Apache-2.0
"""The ASGI application: paths, and every error as `{"error": "..."}`."""

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from aio.runtime.errors import AioError
from aio.runtime.serve.errors import row_of
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rest.answer import json_response
from aio.runtime.serve.rest.endpoints import Endpoints
from aio.runtime.serve.rest.routes import routes
from aio.runtime.serve.telemetry.metrics import Metrics
from aio.runtime.serve.telemetry.trace import Traced

RETRY_AFTER_S = "1"
INTERNAL = "internal error; the server's log has the details"

logger = logging.getLogger(__name__)


def make_app(host: Host, limits: Limits) -> ASGIApp:
    """Return the application that serves the models of `host`."""
    metrics = Metrics()
    metrics.watch_pending(lambda: host.dispatcher.pending)
    metrics.watch_device(lambda: host.device)
    metrics.watch_governors(lambda: host.engines)
    endpoints = Endpoints(host, metrics, limits)
    app = Starlette(
        routes=routes(host, endpoints, endpoints.infer),
        exception_handlers={
            HTTPException: _answer_http_error,
            AioError: _answer_error,
            Exception: _answer_internal_error,
        },
    )
    # A redirect would be made from the Host header, which the client chooses.
    app.router.redirect_slashes = False
    return Traced(app)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = f"there is no path {request.scope['path'][:200]!r}"
    elif error.status_code == 405:
        detail = f"{request.method[:20]!r} is not a method of {request.scope['path'][:200]!r}"
    return json_response({"error": detail}, error.status_code, dict(error.headers or {}))


async def _answer_error(_: Request, error: Exception) -> Response:
    status = row_of(error).status
    headers = {}
    if status == 503:
        headers["retry-after"] = RETRY_AFTER_S
    if status == 408:
        headers["connection"] = "close"
    if status == 500:
        logger.error("%s", error)
    return json_response({"error": str(error)}, status, headers)


async def _answer_internal_error(_: Request, error: Exception) -> Response:
    # Starlette raises it again after this answer, and uvicorn logs it with its traceback.
    return json_response({"error": INTERNAL}, 500)
