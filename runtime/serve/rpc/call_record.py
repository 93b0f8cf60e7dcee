# SPDX-License-Identifier: Apache-2.0
"""What the log says of one call: as much as of a request over HTTP. None is made unless read."""

import time

from aio.runtime.serve.rpc.request import Headers
from aio.runtime.serve.rpc.status import Status
from aio.runtime.serve.telemetry.request_log import log_request, note_in
from aio.runtime.serve.telemetry.trace import TraceContext, named_by, note_trace

Peer = tuple[str, int] | None


class CallRecord:
    """The record of a call, from its headers to its end.

    Args:
        peer: address and port of the client.
        headers: all that came with the call.
    """

    def __init__(self, peer: Peer, headers: Headers) -> None:
        self._start_s = time.perf_counter()
        self._peer = peer
        self._path = next((value for name, value in headers if name == ":path"), None)
        self._trace: TraceContext | None
        self._trace, self._request_id = named_by(headers)
        self._noted: dict[str, object] = {}

    def begin(self) -> None:
        """Tell the task that runs, which answers the call, whose it is and where to note."""
        note_in(self._noted)
        note_trace(self._trace, self._request_id)

    def end(self, status: Status) -> None:
        """Log the call, that has ended so."""
        # What a header says counts more than what a message does.
        named = {
            "request_id": self._request_id or self._noted.get("request_id"),
            "trace_id": None if self._trace is None else self._trace.trace_id,
            # A stream that ends well may have had messages that were refused.
            "error": status.details or self._noted.get("error"),
        }
        self._log("gRPC", {"grpc_status": status.code.name}, {**self._noted, **named})

    def refuse(self, method: str | None, http_status: int) -> None:
        """Log what is no call of gRPC and was answered with a status of HTTP."""
        self._log(method, {"status": http_status}, {"error": "this is not gRPC"})

    def _log(self, method: str | None, ended: dict[str, object], noted: dict[str, object]) -> None:
        log_request(
            method,
            None if self._path is None else self._path.partition("?")[0],
            ended,
            duration_ms=(time.perf_counter() - self._start_s) * 1000,
            client=self._peer,
            noted=noted,
        )
