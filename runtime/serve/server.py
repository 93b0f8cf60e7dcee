# SPDX-License-Identifier: Apache-2.0
"""The process: listen, load, say so, serve, and stop in good order.

The socket listens before the model is loaded, so that a probe sees "live" at once and "ready"
when calibration is done. SIGTERM or SIGINT stops accepting, answers what is running, and ends
with exit code 0; a second SIGINT ends at once. With a time to drain, SIGTERM first only makes
the server "not ready", and it goes on answering until whoever balances the load has noticed.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING

import uvicorn

from aio.governors.daemon.notify import ServiceManager
from aio.runtime.serve.app import make_app
from aio.runtime.serve.hosting.engine import Engine
from aio.runtime.serve.hosting.host import Host, ServedModel
from aio.runtime.serve.hosting.lifecycle import ModelDirectory
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.scheduling.batching import Batching
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.security.guard import Guard, Policy
from aio.runtime.serve.telemetry.request_log import RequestLog
from aio.runtime.serve.transport.connection import guarded
from aio.runtime.serve.transport.descriptors import AcceptErrors

if TYPE_CHECKING:
    from aio.runtime.serve.rpc.server import RpcServer

FORCED = 130  # what shells report for SIGINT
CUT_OFF = 1
BACKLOG = 128
TICKS_A_SECOND = 10  # of uvicorn's main loop
TOKEN_PERIOD_S = 5
OPEN = Policy()

logger = logging.getLogger(__name__)


class Server(uvicorn.Server):
    """uvicorn with a model to load, and signals that mean a normal end.

    Args:
        models: makes the one engine, in the executor thread; or the directory of models.
        announce: called with each model once all that are loaded at the start answer.
        limits: bounds for clients.
        policy: who may ask.
        reserved: a bound socket for gRPC, which is not served without.
        drain_s: time between being told to stop and not accepting any more.
    """

    def __init__(
        self,
        models: Callable[[], Engine] | ModelDirectory,
        announce: Callable[[ServedModel], None],
        limits: Limits,
        policy: Policy = OPEN,
        *,
        reserved: socket.socket | None = None,
        drain_s: float = 0.0,
    ) -> None:
        batching = Batching(limits.merged_batch, limits.merge_wait_ms)
        self.host = Host(Dispatcher(limits.queue, limits.queue_ms, batching), limits)
        self.failure: BaseException | None = None
        self.cut_off = 0
        self._models = models
        self._announce = announce
        self._limits = limits
        self._reserved = reserved
        self._rpc: RpcServer | None = None
        self._token = policy.token
        self._drain_s = drain_s
        self._drained_at_s: float | None = None  # on the monotonic clock, once draining
        self._manager = ServiceManager()
        super().__init__(_config(self.host, limits, policy))
        self.host.dispatcher.requests = self._requests

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then begin to load."""
        asyncio.get_running_loop().set_exception_handler(AcceptErrors())
        await super().startup(sockets)
        if self._reserved is not None:
            from aio.runtime.serve.rpc.server import RpcServer  # noqa: PLC0415 -- costs memory

            self._rpc = RpcServer(self.host, self._limits, self._reserved, self._token)
            await self._rpc.start()
        self._loading = asyncio.create_task(self._load())
        self._loading.add_done_callback(self._loaded)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting and wait, within bounds, for the requests that run."""
        self._manager.tell("STOPPING=1")
        self.host.stop()
        rpc = None
        if self._rpc is not None:
            rpc = asyncio.create_task(self._rpc.stop(self._limits.stop_s))
        await super().shutdown(sockets)
        self.cut_off = len(self.server_state.tasks) + (0 if rpc is None else await rpc)

    async def on_tick(self, counter: int) -> bool:
        """Do what is due now and then; return whether to stop."""
        if counter % TICKS_A_SECOND == 0:
            self._manager.tell("WATCHDOG=1")
        if self._token is not None and counter % (TICKS_A_SECOND * TOKEN_PERIOD_S) == 0:
            self._token.refresh()
        if self._drained_at_s is not None and time.monotonic() >= self._drained_at_s:
            self.should_exit = True
        return await super().on_tick(counter)

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
        """Begin to drain, or to stop; a SIGINT while stopping ends the process here."""
        if self.should_exit and sig == signal.SIGINT:
            os._exit(FORCED)
        if sig == signal.SIGTERM and self._may_drain() and self.host.drain():
            self._drained_at_s = time.monotonic() + self._drain_s
            self._manager.tell("STOPPING=1", "STATUS=draining")
        else:
            self.should_exit = True

    def _requests(self) -> int:
        calls = 0 if self._rpc is None else self._rpc.calls
        return len(self.server_state.tasks) + calls

    def _may_drain(self) -> bool:
        return self._drain_s > 0 and self._drained_at_s is None and not self.should_exit

    async def _load(self) -> None:
        if isinstance(self._models, ModelDirectory):
            loaded = await self.host.open(self._models)
        else:
            loaded = (await self.host.load(self._models),)
        for model in loaded:
            self._announce(model)
        names = ", ".join(model.spec.name for model in loaded)
        self._manager.tell("READY=1", f"STATUS=serving {names}")

    def _loaded(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self.failure = task.exception()
            self.should_exit = self.should_exit or self.failure is not None


def serve(
    listeners: Sequence[socket.socket],
    models: Callable[[], Engine] | ModelDirectory,
    announce: Callable[[ServedModel], None],
    limits: Limits,
    policy: Policy = OPEN,
    *,
    reserved: socket.socket | None = None,
    drain_s: float = 0.0,
) -> int:
    """Serve until a signal; return the exit code. What loading at the start raises passes."""
    server = Server(models, announce, limits, policy, reserved=reserved, drain_s=drain_s)
    server.run(list(listeners))
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
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # as it is if it was closed before the start
                with contextlib.suppress(OSError):  # nobody is left to be told
                    stream.flush()
        os._exit(code)
    return code


def _config(host: Host, limits: Limits, policy: Policy) -> uvicorn.Config:
    return uvicorn.Config(
        RequestLog.around(Guard(make_app(host, limits, policy), policy)),
        http=guarded(limits),
        loop="asyncio",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,  # RequestLog says more, and nothing of what must not be logged
        proxy_headers=False,  # nobody in front of us is known to tell the truth
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=limits.keep_alive_s,
        timeout_graceful_shutdown=limits.stop_s,
    )
