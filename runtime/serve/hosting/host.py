# SPDX-License-Identifier: Apache-2.0
"""The models being served, their state, and the way of a request through the executor."""

import asyncio
import enum
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from aio.runtime.errors import InputError
from aio.runtime.serve.errors import ControlError, UnavailableError, UnknownModelError, row_of
from aio.runtime.serve.hosting.engine import Engine, answer_parameters, describe
from aio.runtime.serve.hosting.lifecycle import Lifecycle, ModelDirectory
from aio.runtime.serve.hosting.regions import Regions
from aio.runtime.serve.hosting.repository import reserved
from aio.runtime.serve.hosting.settings import ModelSettings
from aio.runtime.serve.hosting.states import LOADING, READY, ModelState
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.protocol.schema import InferRequest, InferResult
from aio.runtime.serve.scheduling.admission import DeadlineError
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.scheduling.inference import Answer, Inferences
from aio.runtime.serve.telemetry.recent import Recent
from aio.runtime.serve.telemetry.request_log import note
from aio.runtime.serve.telemetry.statistics import ModelStatistics, Served
from aio.runtime.serve.transport.body import Buffers

if TYPE_CHECKING:
    from aio.governors import DeviceSample

Encoded = TypeVar("Encoded")

VERSION = "1"  # of a model that is served from a single file


class State(enum.Enum):
    """What the server can do now; the value says it to a client that must wait."""

    LOADING = "the model is being loaded and calibrated; retry later"
    READY = "ready"
    DRAINING = "the server is about to stop"
    STOPPING = "the server is stopping"


class ServedModel:
    """One loaded model behind the executor thread.

    Args:
        engine: the model.
        dispatcher: the way to the executor thread.
        name: what it is served as; None is the model's own name.
        version: of the model.
    """

    def __init__(
        self,
        engine: Engine,
        dispatcher: Dispatcher,
        name: str | None = None,
        version: str = VERSION,
    ) -> None:
        self.engine = engine
        self.spec = describe(engine, version, name)
        self.settings = ModelSettings(engine)
        self.statistics = ModelStatistics()
        self.recent = Recent()
        self._inferences = Inferences(engine, dispatcher)
        self._requests = 0
        self._draining: asyncio.Event | None = None  # set when the last request is answered

    @property
    def pending(self) -> int:
        """Requests that wait or run."""
        return self._inferences.pending

    async def infer(
        self, request: InferRequest, arrived_s: float, encode: Callable[[InferResult], Encoded]
    ) -> Encoded:
        """Return the encoded answer; `arrived_s` is on `time.monotonic`'s clock.

        Encoding is done here because a request whose answer can't be encoded has failed, and is
        counted so.

        Cancelling the task that awaits it takes the request out of the queue; a request that runs
        already is finished for nobody. What comes of it is counted in `statistics`, a request that
        is not answered too.

        Raises:
            UnavailableError: the queue is full, the time allowed is not enough, or the model makes
                way for another version.
            AioError: what `encode` raised.
        """
        note(model=self.spec.name, request_id=request.request_id)
        if self._draining is not None:
            raise UnavailableError(
                f"version {self.spec.version} of model {self.spec.name!r} was replaced or unloaded "
                "while the request was being read; retry now"
            )
        self._requests += 1
        try:
            return await self._infer(request, arrived_s, encode)
        finally:
            self._requests -= 1
            if self._draining is not None and not self._requests:
                self._draining.set()

    def failed(self, error: BaseException, arrived_s: float) -> None:
        """Count a request that failed now; `infer` does that for those that got so far."""
        note(model=self.spec.name)
        in_server_ns = (time.monotonic() - arrived_s) * 1e9
        late = isinstance(error, DeadlineError)
        self.statistics.failed(row_of(error).reason, in_server_ns, late=late)

    async def drain(self) -> None:
        """Take no further request, and wait until all that were taken are answered."""
        self._draining = asyncio.Event()
        if self._requests:
            await self._draining.wait()

    async def _infer(
        self, request: InferRequest, arrived_s: float, encode: Callable[[InferResult], Encoded]
    ) -> Encoded:
        try:
            answer = await self._inferences.run(request, arrived_s)
        except (Exception, asyncio.CancelledError) as error:
            self.failed(error, arrived_s)
            raise
        record, queue_ms = answer.record, (answer.began_s - answer.queued_s) * 1e3
        note(aio_level=record.level, aio_ratio=record.ratio, aio_latency_ms=record.latency_ms)
        parameters = {**answer_parameters(record), "aio_queue_ms": round(queue_ms, 4)}
        failure: str | None = None
        try:
            return encode(InferResult(answer.outputs, parameters, record, queue_ms))
        except Exception as error:
            failure = row_of(error).reason
            raise
        finally:
            # Counting takes time that the client need not wait for.
            served = partial(_served, request, answer, arrived_s, time.monotonic())
            asyncio.get_running_loop().call_soon(self._count, served, queue_ms, failure)

    def _count(self, make: Callable[[], Served], queue_ms: float, failure: str | None) -> None:
        served = make()
        if failure is None:
            self.statistics.served(served)
        else:
            self.statistics.wasted(served, failure)
        self.recent.add(served.record, queue_ms=queue_ms)


def _served(request: InferRequest, answer: Answer, arrived_s: float, encoded_s: float) -> Served:
    timeout_ms = request.timeout_ms
    return Served(
        record=answer.record,
        cause=answer.cause,
        samples=request.samples,
        compute_input_ns=(answer.queued_s - arrived_s) * 1e9,
        queue_ns=(answer.began_s - answer.queued_s) * 1e9,
        compute_infer_ns=(answer.ended_s - answer.began_s) * 1e9,
        compute_output_ns=(encoded_s - answer.ended_s) * 1e9,
        leads=answer.leads,
        late=timeout_ms is not None and (encoded_s - arrived_s) * 1e3 > timeout_ms,
    )


def check_own_name(name: str) -> None:
    """Raise InputError if a model can't be served as what its file calls it."""
    why = reserved(name)
    if why is not None:
        raise InputError(
            f"{why}; put the file into a directory as OTHER_NAME.aio, and serve that with "
            "--model-repository"
        )


class Host:
    """All models by name, and whether they can be asked.

    Args:
        dispatcher: the way to the executor thread.
        limits: bounds for clients.
    """

    def __init__(self, dispatcher: Dispatcher, limits: Limits = Limits()) -> None:  # noqa: B008
        self.dispatcher = dispatcher
        self.regions = Regions(limits.regions, Buffers(limits.buffered_bytes))
        self._most_loads = limits.loads
        self.state = State.LOADING
        self._models: dict[str, ServedModel] = {}
        self._lifecycle: Lifecycle | None = None

    @property
    def models(self) -> tuple[ServedModel, ...]:
        """The models that answer."""
        return tuple(self._models.values())

    @property
    def engines(self) -> dict[str, Engine]:
        """The engines of the models that answer, by the names they are served as."""
        return {name: model.engine for name, model in self._models.items()}

    @property
    def device(self) -> "DeviceSample | None":
        """The newest sample of the device, None while no model is loaded."""
        return next((engine.device for engine in self.engines.values()), None)

    async def load(self, loader: Callable[[], Engine]) -> ServedModel:
        """Load the one model in the executor thread; what the loader raises passes.

        Raises:
            InputError: the model has a name that none can have.
        """
        engine = await self.dispatcher.run(loader)
        try:
            check_own_name(engine.name)
        except InputError:
            engine.close()
            raise
        model = self._serve(engine)
        self._models[model.spec.name] = model
        self._be_ready()
        return model

    async def open(self, directory: ModelDirectory) -> tuple[ServedModel, ...]:
        """Load the models of a directory; ready when each was tried, though some may be broken.

        Raises:
            AioError: none can be loaded, or one that must can't; the message says which and why.
        """
        self._lifecycle = Lifecycle(
            directory, self.dispatcher, self._serve, self._models, self._most_loads
        )
        await self._lifecycle.start()
        self._be_ready()
        return self.models

    def find(self, name: str, version: str | None = None) -> ServedModel:
        """Return a model that can be asked; no version means the one that serves.

        Raises:
            UnavailableError: the model, or the server, is not ready yet or is stopping.
            UnknownModelError: there is no such model or version, or it is not loaded.
        """
        model = self._models.get(name)
        if self.state is State.STOPPING:
            raise UnavailableError(self.state.value)
        if model is not None and version in {None, model.spec.version}:
            return model
        if self._awaits(name, version):
            raise UnavailableError(State.LOADING.value)
        raise UnknownModelError(self._absent(name, version))

    async def index(self, ready_only: bool = False) -> list[ModelState]:
        """Return the state of every model that is known, in the order of their names."""
        if self._lifecycle is None:
            states = [ModelState(item.spec.name, item.spec.version, READY) for item in self.models]
        else:
            states = await self._lifecycle.index()
        return [state for state in states if state.state == READY or not ready_only]

    async def load_model(self, name: str) -> list[ModelState]:
        """Serve the newest version of a model of the directory; see `Lifecycle.load`."""
        return await self._controlled().load(name)

    async def unload_model(self, name: str) -> list[ModelState]:
        """Stop serving a model; see `Lifecycle.unload`."""
        return await self._controlled().unload(name)

    def stop(self) -> None:
        """Take no further request, and give up loading."""
        self.state = State.STOPPING
        if self._lifecycle is not None:
            self._lifecycle.stop()

    def drain(self) -> bool:
        """Go on answering but be ready no more; return False if there is nothing to answer with."""
        if self.state is State.READY:
            self.state = State.DRAINING
        return self.state is State.DRAINING

    def close(self, timeout_s: float) -> bool:
        """Release the models; return False if work still runs after the time, and nothing was."""
        self.stop()
        end_s = time.monotonic() + timeout_s
        if self._lifecycle is not None and not self._lifecycle.close(timeout_s):
            return False
        if not self.dispatcher.close(max(0.0, end_s - time.monotonic())):
            return False
        for model in self._models.values():
            model.engine.close()
        self._models.clear()
        self.regions.unregister()
        return True

    def _serve(
        self, engine: Engine, name: str | None = None, version: str = VERSION
    ) -> ServedModel:
        return ServedModel(engine, self.dispatcher, name, version)

    def _be_ready(self) -> None:
        if self.state is State.LOADING:
            self.state = State.READY

    def _awaits(self, name: str, version: str | None) -> bool:
        """Return whether the model may soon be there."""
        if self._lifecycle is None:
            return self.state is State.LOADING
        known = self._known(name, version)
        return known is not None and known.state == LOADING

    def _known(self, name: str, version: str | None) -> ModelState | None:
        """Return what is known of a version; where nothing serves, of another one at least."""
        if self._lifecycle is None:
            return None
        known = self._lifecycle.why_not(name, version)
        if known is None and name not in self._models:
            known = self._lifecycle.why_not(name)
        return known

    def _absent(self, name: str, version: str | None) -> str:
        model = self._models.get(name)
        known = self._known(name, version)
        if model is not None and version is not None:
            serves = model.spec.version
            if known is None:
                return f"model {name!r} has no version {version[:40]!r}; there is {serves}"
            return (
                f"version {version} of model {name!r} does not serve, version {serves} does: "
                f"{known.reason}"
            )
        if known is not None:
            return f"model {name!r} does not serve: {known.reason}"
        there = ", ".join(self._models) or "none"
        return f"no model is named {name[:80]!r}; there is {there}"

    def _controlled(self) -> Lifecycle:
        if self._lifecycle is None:
            raise ControlError(
                "this server serves one file; start it with --model-repository DIR and "
                "--model-control explicit to load and unload models"
            )
        return self._lifecycle
