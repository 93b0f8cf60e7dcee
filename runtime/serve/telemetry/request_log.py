# SPDX-License-Identifier: Apache-2.0
"""One record for each request, over HTTP or gRPC, with what the model did for it.

The query and the headers are left out: that is where people put secrets.
"""

import contextvars
import logging
import time
from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from aio.runtime.serve.telemetry.trace import current_request_id, current_trace_id

MAX_TEXT = 200  # characters of what a client chose

logger = logging.getLogger(__name__)

# What was noted of the request being answered; None where requests are not logged.
_noted: contextvars.ContextVar[dict[str, object] | None] = contextvars.ContextVar(
    "noted", default=None
)


def is_read() -> bool:
    """Return whether anybody reads what is logged of requests."""
    return logger.isEnabledFor(logging.INFO)


def note(**fields: object) -> None:
    """Add fields to the record of the request that is being answered; None is left out."""
    noted = _noted.get()
    if noted is not None:
        noted.update(_known(fields))


def note_in(noted: dict[str, object]) -> None:
    """Let what the task that runs notes from now on be found there."""
    _noted.set(noted)


def log_request(
    method: str | None,
    path: str | None,
    ended: Mapping[str, object],
    *,
    duration_ms: float | None,
    client: tuple[str, int] | None,
    noted: Mapping[str, object],
) -> None:
    """Log a request that has ended.

    Args:
        method: of HTTP, or "gRPC"; None if the request was not read so far, as for the next two.
        path: without the query.
        ended: how, as one field; None in it is "no answer".
        duration_ms: from the head of the request to the end of its answer.
        client: address and port; None for a Unix socket.
        noted: what else there is to say; None is left out.
    """
    noted = _known(noted)
    fields = {
        "method": None if method is None else method[:20],
        "path": None if path is None else path[:MAX_TEXT],
        **ended,
        "duration_ms": None if duration_ms is None else round(duration_ms, 3),
        "client": f"{client[0]}:{client[1]}" if client else None,
        **noted,
    }
    (status,) = ended.values()
    words = [
        fields["method"] or "-",
        fields["path"] or "-",
        "no answer" if status is None else status,
        "-" if duration_ms is None else f"{duration_ms:.1f} ms",
        fields["client"] or "unix",
        *(f"{name}={value}" for name, value in noted.items()),
    ]
    logger.info("%s", " ".join(map(str, words)), extra={"fields": fields})


class RequestLog:
    """ASGI application around another, that logs every request at level info."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    @classmethod
    def around(cls, app: ASGIApp) -> ASGIApp:
        """Return the application with a log if anybody reads it, else as it is."""
        return cls(app) if is_read() else app

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

        note_in(noted)
        try:
            await self._app(scope, receive, send_and_look)
        except Exception:
            status = status or 500  # the server answers in place of what it runs
            raise
        finally:
            # What a header says counts more than what the body does.
            named = {"request_id": current_request_id(), "trace_id": current_trace_id()}
            log_request(
                scope["method"],
                scope["path"],
                {"status": status},
                duration_ms=(time.perf_counter() - start_s) * 1000,
                client=scope.get("client"),
                noted={**noted, **_known(named)},
            )


def _known(fields: Mapping[str, object]) -> dict[str, object]:
    return {name: _short(value) for name, value in fields.items() if value is not None}


def _short(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4)
    return value[:MAX_TEXT] if isinstance(value, str) else value
