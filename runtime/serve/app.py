# SPDX-License-Identifier: Apache-2.0
"""The ASGI application: paths, and every error as `{"error": "..."}`."""

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from aio.runtime.errors import AioError
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.page.routes import page_routes
from aio.runtime.serve.rest.answers import INTERNAL, error_answer, json_response
from aio.runtime.serve.rest.endpoints import Endpoints
from aio.runtime.serve.rest.infer import InferEndpoint, InferFirst
from aio.runtime.serve.rest.routes import routes
from aio.runtime.serve.security.guard import Policy
from aio.runtime.serve.telemetry.metrics import Metrics
from aio.runtime.serve.telemetry.trace import Traced


def make_app(host: Host, limits: Limits, policy: Policy) -> ASGIApp:
    """Return the application that serves the models of `host`; a guard enforces the policy."""
    metrics = Metrics()
    metrics.watch_models(lambda: host.models)
    metrics.watch_host()
    metrics.watch_device(lambda: host.device)
    metrics.watch_governors(lambda: host.engines)
    infer = InferEndpoint(host, limits)
    app = Starlette(
        routes=[
            *routes(host, limits, Endpoints(host, metrics, limits, policy), infer),
            *page_routes(host, limits),
        ],
        exception_handlers={
            HTTPException: _answer_http_error,
            AioError: _answer_error,
            MemoryError: _answer_error,
            Exception: _answer_internal_error,
        },
    )
    # A redirect would be made from the Host header, which the client chooses.
    app.router.redirect_slashes = False
    return Traced(InferFirst(infer, app))


async def _answer_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = f"there is no path {request.scope['path'][:200]!r}"
    elif error.status_code == 405:
        detail = f"{request.method[:20]!r} is not a method of {request.scope['path'][:200]!r}"
    return json_response({"error": detail}, error.status_code, dict(error.headers or {}))


async def _answer_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, AioError | MemoryError)
    status, headers, body = error_answer(error)
    return Response(body, status, headers=dict(headers))


async def _answer_internal_error(_: Request, error: Exception) -> Response:
    # Starlette raises it again after this answer, and uvicorn logs it with its traceback.
    return json_response({"error": INTERNAL}, 500)
