# SPDX-License-Identifier: Apache-2.0
"""The process: listen, load, say so, serve, and stop in good order.

The socket listens before the model is loaded, so that a probe sees "live" at once and "ready"
when calibration is done. SIGTERM or SIGINT stops accepting, answers what is running, and ends
with exit code 0; a second SIGINT ends at once.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from aio.runtime.serve.app import make_app
from aio.runtime.serve.hosting.engine import Engine
from aio.runtime.serve.hosting.host import Host, ServedModel
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.telemetry.metrics import Metrics
from aio.runtime.serve.transport.connection import guarded

if TYPE_CHECKING:
    from aio.runtime.serve.rpc.server import RpcServer

FORCED = 130  # what shells report for SIGINT
CUT_OFF = 1
BACKLOG = 128

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn with a model to load, and signals that mean a normal end.

    Args:
        loader: makes the engine; runs in the executor thread.
        announce: called with the model once it answers.
        limits: bounds for clients.
        reserved: a bound socket for gRPC, which is not served without.
    """

    def __init__(
        self,
        loader: Callable[[], Engine],
        announce: Callable[[ServedModel], None],
        limits: Limits,
        reserved: socket.socket | None = None,
    ) -> None:
        self.host = Host(Dispatcher(limits.queue))
        self.failure: BaseException | None = None
        self.cut_off = 0
        self._loader = loader
        self._announce = announce
        self._limits = limits
        self._metrics = Metrics()
        self._reserved = reserved
        self._rpc: RpcServer | None = None
        super().__init__(_config(self.host, limits, self._metrics))

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then begin to load."""
        await super().startup(sockets)
        if self._reserved is not None:
            from aio.runtime.serve.rpc.server import RpcServer  # noqa: PLC0415 -- costs memory

            self._rpc = RpcServer(self.host, self._metrics, self._limits, self._reserved)
            await self._rpc.start()
        self._loading = asyncio.create_task(self._load())
        self._loading.add_done_callback(self._loaded)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting and wait, within bounds, for the requests that run."""
        self.host.stop()
        rpc = None
        if self._rpc is not None:
            rpc = asyncio.create_task(self._rpc.stop(self._limits.stop_s))
        await super().shutdown(sockets)
        self.cut_off = len(self.server_state.tasks) + (0 if rpc is None else await rpc)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the two signals while serving; unlike uvicorn, don't raise them again after."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop; a second SIGINT ends the process here."""
        if self.should_exit and sig == signal.SIGINT:
            os._exit(FORCED)
        self.should_exit = True

    async def _load(self) -> None:
        self._announce(await self.host.load(self._loader))

    def _loaded(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.failure = task.exception()
            self.should_exit = self.should_exit or self.failure is not None


def serve(
    listener: socket.socket,
    loader: Callable[[], Engine],
    announce: Callable[[ServedModel], None],
    limits: Limits,
    reserved: socket.socket | None = None,
) -> int:
    """Serve until a signal; return the exit code. What the loader raises passes."""
    server = Server(loader, announce, limits, reserved)
    server.run([listener])
    if server.failure is not None:
        server.host.close(timeout_s=0)
        raise server.failure
    code = CUT_OFF if server.cut_off else 0
    if server.cut_off:
        logger.error("%d requests were not answered in time", server.cut_off)
    if not server.host.close(timeout_s=1):
        # Native work (loading, or a request that was cut off) can't be interrupted, and
        # the interpreter would wait for its thread.
        logger.warning("stopped in the middle of loading or of an inference")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def _config(host: Host, limits: Limits, metrics: Metrics) -> uvicorn.Config:
    return uvicorn.Config(
        make_app(host, limits, metrics),
        http=guarded(limits),
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=logging.getLogger("uvicorn.access").isEnabledFor(logging.INFO),
        proxy_headers=False,  # nobody in front of us is known to tell the truth
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=limits.stop_s,
    )
