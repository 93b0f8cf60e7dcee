# SPDX-License-Identifier: Apache-2.0
"""The ASGI application: paths, and every error as `{"error": "..."}`."""

import logging
import math

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from aio.runtime.errors import AioError
from aio.runtime.serve.errors import row_of
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rest.endpoints import Endpoints, json_response
from aio.runtime.serve.telemetry.metrics import Metrics

MIN_RETRY_AFTER_S = 1  # the header has whole seconds
INTERNAL = "internal error; the server's log has the details"

logger = logging.getLogger(__name__)


def make_app(host: Host, limits: Limits) -> Starlette:
    """Return the application that serves the models of `host`."""
    metrics = Metrics()
    metrics.watch_models(lambda: host.models)
    metrics.watch_host()
    metrics.watch_device(lambda: host.device)
    metrics.watch_governors(lambda: host.engines)
    endpoints = Endpoints(host, metrics, limits)
    app = Starlette(
        routes=_routes(endpoints),
        exception_handlers={
            HTTPException: _answer_http_error,
            AioError: _answer_error,
            Exception: _answer_internal_error,
        },
    )
    # A redirect would be made from the Host header, which the client chooses.
    app.router.redirect_slashes = False
    return app


def _routes(endpoints: Endpoints) -> list[Route]:
    routes = [
        Route("/v2", endpoints.server),
        Route("/v2/health/live", endpoints.live),
        Route("/v2/health/ready", endpoints.ready),
        Route("/metrics", endpoints.metrics),
    ]
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        routes += [
            Route(model, endpoints.model),
            Route(f"{model}/ready", endpoints.model_ready),
            Route(f"{model}/stats", endpoints.model_stats),
            Route(f"{model}/infer", endpoints.infer, methods=["POST"]),
        ]
    return routes


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
        wait_s = getattr(error, "retry_after_s", None) or 0.0
        headers["retry-after"] = str(max(MIN_RETRY_AFTER_S, math.ceil(wait_s)))
    if status == 408:
        headers["connection"] = "close"
    if status == 500:
        logger.error("%s", error)
    return json_response({"error": str(error)}, status, headers)


async def _answer_internal_error(_: Request, error: Exception) -> Response:
    # Starlette raises it again after this answer, and uvicorn logs it with its traceback.
    return json_response({"error": INTERNAL}, 500)
