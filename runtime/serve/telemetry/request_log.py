# SPDX-License-Identifier: Apache-2.0
"""One record for each HTTP request, with what the model did for it.

The query and the headers are left out: that is where people put secrets.
"""

import contextvars
import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aio.runtime.serve.telemetry.trace import current_request_id, current_trace_id

MAX_TEXT = 200  # characters of what a client chose

logger = logging.getLogger(__name__)

# What was noted of the request being answered; None where requests are not logged.
_noted: contextvars.ContextVar[dict[str, object] | None] = contextvars.ContextVar(
    "noted", default=None
)


def note(**fields: object) -> None:
    """Add fields to the record of the request that is being answered; None is left out."""
    noted = _noted.get()
    if noted is not None:
        noted.update({name: _short(value) for name, value in fields.items() if value is not None})


def _short(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4)
    return value[:MAX_TEXT] if isinstance(value, str) else value


class RequestLog:
    """ASGI application around another, that logs every request at level info."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    @classmethod
    def around(cls, app: ASGIApp) -> ASGIApp:
        """Return the application with a log if anybody reads it, else as it is."""
        return cls(app) if logger.isEnabledFor(logging.INFO) else app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, then log."""
        start_s = time.perf_counter()
        noted: dict[str, object] = {}
        status = None

        async def send_and_look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        _noted.set(noted)
        try:
            await self._app(scope, receive, send_and_look)
        finally:
            _log(scope, status, (time.perf_counter() - start_s) * 1000, noted)


def _log(scope: Scope, status: int | None, duration_ms: float, noted: dict[str, object]) -> None:
    client = scope.get("client")
    named = {"request_id": current_request_id(), "trace_id": current_trace_id()}
    noted.update({name: _short(value) for name, value in named.items() if value is not None})
    fields = {
        "method": scope["method"][:20],
        "path": scope["path"][:MAX_TEXT],
        "status": status,
        "duration_ms": round(duration_ms, 3),
        "client": f"{client[0]}:{client[1]}" if client else None,
        **noted,
    }
    more = " ".join(f"{name}={value}" for name, value in noted.items())
    logger.info(
        "%s %s %s %.1f ms %s%s",
        fields["method"],
        fields["path"],
        "no answer" if status is None else status,
        duration_ms,
        fields["client"] or "unix",
        f" {more}" if more else "",
        extra={"fields": fields},
    )
