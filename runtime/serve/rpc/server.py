# SPDX-License-Identifier: Apache-2.0
"""The gRPC server: a port, its limits, and a good end. It shares the event loop with HTTP."""

import asyncio
import socket

from aio.runtime.errors import InputError
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rpc import health, service
from aio.runtime.serve.rpc.connection import Connection, Shared
from aio.runtime.serve.rpc.handlers import Gate, TokenCheck
from aio.runtime.serve.rpc.messages import HEALTH, INFERENCE
from aio.runtime.serve.rpc.reserve import address
from aio.runtime.serve.rpc.status import Code, Status
from aio.runtime.serve.transport.body import Buffers

BACKLOG = 128
LAST_S = 0.2  # for answers on their way, when nothing else is to be waited for
LOOK_S = 0.02

_STOPPING = Status(Code.UNAVAILABLE, "the server is stopping")


class RpcServer:
    """The V2 protocol and gRPC's health service on one port.

    Args:
        host: the models.
        limits: bounds for clients.
        reserved: a bound socket that does not listen.
        token: what callers must present; None lets everybody in.
    """

    def __init__(
        self,
        host: Host,
        limits: Limits,
        reserved: socket.socket,
        token: TokenCheck | None = None,
    ) -> None:
        self._reserved = reserved
        buffers = Buffers(limits.buffered_bytes)
        self._gate = Gate(limits, token, service.OPEN | health.OPEN)
        self._gate.add(INFERENCE, service.Service(host, limits, buffers).answers())
        self._gate.add(HEALTH, health.Health(host).answers())
        self._shared = Shared(limits, buffers, self._gate.begin)
        self._server: asyncio.Server | None = None

    @property
    def calls(self) -> int:
        """Calls that have begun and not ended."""
        return self._gate.calls

    async def start(self) -> None:
        """Listen and answer.

        Raises:
            InputError: another program has taken the port.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(
                lambda: Connection(self._shared), sock=self._reserved, backlog=BACKLOG
            )
        except OSError as error:
            place = address(self._reserved)
            raise InputError(f"can't listen on {place} for gRPC: {error.strerror}") from None

    async def stop(self, grace_s: float) -> int:
        """Take no new calls and wait for those that run; return how many stay without an answer."""
        assert self._server is not None
        loop = asyncio.get_running_loop()
        self._server.close()
        connections = self._shared.connections
        for connection in list(connections):
            connection.go_away()
        end_s = loop.time() + grace_s - LAST_S
        while self._gate.active and loop.time() < end_s:
            await asyncio.sleep(LOOK_S)
        cut_off = self._gate.active
        for connection in list(connections):
            connection.end(_STOPPING)  # streams that wait for their clients too
        end_s = loop.time() + LAST_S
        while connections and loop.time() < end_s:
            await asyncio.sleep(LOOK_S)
        for connection in list(connections):
            connection.abort()
        return cut_off
