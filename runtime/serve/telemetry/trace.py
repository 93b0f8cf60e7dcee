# SPDX-License-Identifier: Apache-2.0
"""Trace context of W3C: whose trace a request belongs to, and which span of it is ours.

A valid `traceparent` is taken over with a span identifier of our own, and answered; one that is
not valid is ignored, as the specification says, and `tracestate` with it. Without one there is no
trace: this server begins none. `x-request-id` names a request in the log; without it the `id` of an
inference does.

    current_trace_id()      in code that runs for a request, and in what logs it
"""

import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

TRACEPARENT, TRACESTATE, REQUEST_ID = "traceparent", "tracestate", "x-request-id"
MAX_TRACESTATE = 512
_NAMES = frozenset((TRACEPARENT, TRACESTATE, REQUEST_ID))
_HEADERS = {name.encode("ascii"): name for name in _NAMES}
# Version ff is forbidden; a later version may have more after the flags.
_PARENT = re.compile(
    r"(?P<version>(?!ff)[0-9a-f]{2})-(?P<trace>(?!0{32})[0-9a-f]{32})"
    r"-(?P<span>(?!0{16})[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_VISIBLE = re.compile(r"[\x21-\x7e]{1,128}")
_STATE = re.compile(r"[\x20-\x7e]*")
SAMPLED = 1


@dataclass(frozen=True)
class TraceContext:
    """The trace of a request.

    Attributes:
        trace_id: of the whole trace, 32 hexadecimal digits.
        parent_id: the caller's span, 16 digits.
        span_id: ours, 16 digits.
        flags: of version 0 of the specification; 1 is "sampled".
        state: `tracestate` as it came, to be passed on.
    """

    trace_id: str
    parent_id: str
    span_id: str
    flags: int
    state: str = ""

    @classmethod
    def parse(cls, traceparent: str | None, tracestate: str = "") -> "TraceContext | None":
        """Return the trace with a new span for us, None if there is no valid `traceparent`."""
        found = None if traceparent is None else _PARENT.fullmatch(traceparent.strip(" \t"))
        if found is None or (found["more"] is not None and found["version"] == "00"):
            return None
        state = tracestate.strip(" \t")
        if len(state) > MAX_TRACESTATE or _STATE.fullmatch(state) is None:
            state = ""
        flags = int(found["flags"], 16) & SAMPLED
        return cls(found["trace"], found["span"], _new_span(), flags, state)

    @property
    def traceparent(self) -> str:
        """Return the header for those we call or answer: the same trace, our span."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


_trace: ContextVar[TraceContext | None] = ContextVar("aio_trace", default=None)
_request_id: ContextVar[str | None] = ContextVar("aio_request_id", default=None)


def current_trace() -> TraceContext | None:
    """Return the trace of the request that is being answered, None outside of any."""
    return _trace.get()


def current_trace_id() -> str | None:
    """Return the identifier of the trace, None without one."""
    trace = _trace.get()
    return None if trace is None else trace.trace_id


def current_request_id() -> str | None:
    """Return what a header calls the request, None if none does."""
    return _request_id.get()


def note_trace(trace: TraceContext | None, request_id: str | None = None) -> None:
    """Set both for the task that runs, as when a request begins."""
    _trace.set(trace)
    _request_id.set(request_id)


def named_by(headers: Iterable[tuple[str, str]]) -> tuple[TraceContext | None, str | None]:
    """Return the trace of a request and what it is called, as far as valid headers say so.

    One that is there twice is none, except for `tracestate`.
    """
    found: dict[str, str] = {}
    for name, text in headers:
        if name not in _NAMES:
            continue
        if name not in found:
            found[name] = text
        else:
            found[name] = f"{found[name]},{text}" if name == TRACESTATE else ""
    request_id = found.get(REQUEST_ID)
    if request_id is not None and _VISIBLE.fullmatch(request_id) is None:
        request_id = None
    return TraceContext.parse(found.get(TRACEPARENT), found.get(TRACESTATE, "")), request_id


class Traced:
    """An ASGI application with the trace of every request noted, and answered in headers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Note trace and request identifier, and run the application."""
        headers = _of_http(scope["headers"]) if scope["type"] == "http" else []
        if not headers:
            await self._app(scope, receive, send)
            return
        trace, request_id = named_by(headers)
        note_trace(trace, request_id)
        answered = _answer_headers(trace, request_id)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *answered]
            await send(message)

        await self._app(scope, receive, send_with_headers if answered else send)


def _of_http(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Return the headers that matter."""
    return [(_HEADERS[raw], value.decode("latin-1")) for raw, value in headers if raw in _HEADERS]


def _answer_headers(
    trace: TraceContext | None, request_id: str | None
) -> list[tuple[bytes, bytes]]:
    headers = []
    if trace is not None:
        headers.append((TRACEPARENT.encode("ascii"), trace.traceparent.encode("ascii")))
        if trace.state:
            headers.append((TRACESTATE.encode("ascii"), trace.state.encode("ascii")))
    if request_id is not None:
        headers.append((REQUEST_ID.encode("ascii"), request_id.encode("ascii")))
    return headers


def _new_span() -> str:
    while True:  # all zeros is no identifier
        span = secrets.token_hex(8)
        if span.strip("0"):
            return span
