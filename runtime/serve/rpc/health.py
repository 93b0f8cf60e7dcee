# SPDX-License-Identifier: Apache-2.0
"""The health service of gRPC: the server as a whole, and each model by its name."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from aio.runtime.serve.errors import UnavailableError, UnknownModelError
from aio.runtime.serve.hosting.host import Host, State
from aio.runtime.serve.rpc.handlers import Read, Stream, Unary, translated
from aio.runtime.serve.rpc.messages import HEALTH, message, methods, parse_message

# Probes come from programs that have no token.
OPEN = frozenset({"Check"})
LOOK_S = 0.25  # models change rarely, and nobody waits for the news

_CHECK, _WATCH = methods(HEALTH)
_Response = message("grpc.health.v1.HealthCheckResponse")


class Health:
    """Tells what the host says of itself."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def answers(self) -> "Mapping[str, Unary | Stream]":
        """Return the function for each method of the service."""
        return {"Check": translated(_CHECK, self._check), "Watch": self._watch}

    async def _check(self, request: Any) -> Any:
        return _Response(status=self._status(request.service))

    async def _watch(self, read: Read, _: Any) -> AsyncIterator[bytes]:
        service = parse_message(_WATCH.parse, await read() or b"").service
        told = None
        while told != _Response.NOT_SERVING or self._host.state is not State.STOPPING:
            try:
                status = self._status(service)
            except UnknownModelError:
                status = _Response.SERVICE_UNKNOWN
            if status != told:
                yield _Response(status=status).SerializeToString()
                told = status
            await asyncio.sleep(LOOK_S)

    def _status(self, service: str) -> Any:
        if not service:
            ready = self._host.state is State.READY
            return _Response.SERVING if ready else _Response.NOT_SERVING
        try:
            self._host.find(service)
        except UnavailableError:
            return _Response.NOT_SERVING
        return _Response.SERVING
