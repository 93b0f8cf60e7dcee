# SPDX-License-Identifier: Apache-2.0
"""The gRPC server: a port, its limits, and a good end. It shares the event loop with HTTP."""

import asyncio
import socket

import grpc

from aio.runtime.errors import InputError
from aio.runtime.serve.hosting.host import Host
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rpc import health, service
from aio.runtime.serve.rpc.freed_memory import keep_freed_memory
from aio.runtime.serve.rpc.handlers import Gate, TokenCheck
from aio.runtime.serve.rpc.messages import HEALTH, INFERENCE
from aio.runtime.serve.rpc.reserve import address

MS_PER_S = 1000
KIB = 1024
METADATA_BYTES = 16 * KIB
# A client may send this much before the server has read it; with gRPC's default of 64 KiB the
# tensor of an image is sent in many turns. Per connection and call.
WINDOW_BYTES = 1024 * KIB
FRAME_BYTES = 1024 * KIB
# What goes around the largest body: names, shapes, parameters.
ENVELOPE_BYTES = 64 * KIB
LAST_S = 0.2  # for answers on their way, when nothing else is to be waited for
LOOK_S = 0.02
PING_INTERVAL_S = 10
PING_STRIKES = 3


class RpcServer:
    """The V2 protocol and gRPC's health service on one port.

    Args:
        host: the models.
        limits: bounds for clients.
        reserved: a bound socket that does not listen; its address is taken over.
        token: what callers must present; None lets everybody in.
    """

    def __init__(
        self,
        host: Host,
        limits: Limits,
        reserved: socket.socket,
        token: TokenCheck | None = None,
    ) -> None:
        keep_freed_memory()
        self._reserved = reserved
        self._gate = Gate(limits, token, service.OPEN | health.OPEN)
        self._server = grpc.aio.server(
            options=_options(limits), maximum_concurrent_rpcs=limits.connections
        )
        self._server.add_generic_rpc_handlers(
            (
                self._gate.service(INFERENCE, service.Service(host, limits).answers()),
                self._gate.service(HEALTH, health.Health(host).answers()),
            )
        )

    async def start(self) -> None:
        """Listen and answer.

        Raises:
            InputError: another program has taken the port.
        """
        place = address(self._reserved)
        try:
            # Two sockets may have a port until one listens, so nobody gets it in between.
            self._server.add_insecure_port(place)
        except RuntimeError as error:
            raise InputError(f"can't listen on {place} for gRPC: {error}") from None
        await self._server.start()
        self._reserved.close()

    async def stop(self, grace_s: float) -> int:
        """Take no new calls and wait for those that run; return how many stay without an answer."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.ensure_future(self._server.stop(grace_s))
        end_s = loop.time() + grace_s - LAST_S
        while self._gate.active and loop.time() < end_s:
            await asyncio.sleep(LOOK_S)
        cut_off = self._gate.active
        await self._server.stop(LAST_S)  # ends streams that wait for their clients
        await stopping
        return cut_off


def _options(limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", limits.body_bytes + ENVELOPE_BYTES),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_metadata_size", METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES),
        ("grpc.max_concurrent_streams", limits.queue),
        ("grpc.max_allowed_incoming_connections", limits.connections),
        ("grpc.server_handshake_timeout_ms", round(limits.head_s * MS_PER_S)),
        # Clients that are gone without a word are found by a ping, and idle ones sent away;
        # their library connects again by itself.
        ("grpc.keepalive_time_ms", limits.keep_alive_s * MS_PER_S),
        ("grpc.keepalive_timeout_ms", round(limits.head_s * MS_PER_S)),
        ("grpc.max_connection_idle_ms", limits.keep_alive_s * MS_PER_S),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", PING_INTERVAL_S * MS_PER_S),
        ("grpc.http2.max_ping_strikes", PING_STRIKES),
        ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
        ("grpc.http2.max_frame_size", FRAME_BYTES),
    ]
