# SPDX-License-Identifier: Apache-2.0
"""The models being served, their state, and the way of a request through the executor."""

import asyncio
import enum
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from aio.runtime.serve.errors import UnavailableError, UnknownModelError, row_of
from aio.runtime.serve.hosting.engine import Engine, answer_parameters, describe
from aio.runtime.serve.protocol.schema import InferRequest, InferResult
from aio.runtime.serve.scheduling.admission import DeadlineError
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.scheduling.inference import Answer, Inferences
from aio.runtime.serve.telemetry.statistics import ModelStatistics, Served

if TYPE_CHECKING:
    from aio.governors import DeviceSample

VERSION = "1"  # a server with a model directory will have more


class State(enum.Enum):
    """What the server can do now; the value says it to a client that must wait."""

    LOADING = "the model is being loaded and calibrated; retry later"
    READY = "ready"
    STOPPING = "the server is stopping"


class ServedModel:
    """One loaded model behind the executor thread."""

    def __init__(self, engine: Engine, dispatcher: Dispatcher) -> None:
        self.engine = engine
        self.spec = describe(engine, VERSION)
        self.statistics = ModelStatistics()
        self._inferences = Inferences(engine, dispatcher)

    @property
    def pending(self) -> int:
        """Requests that wait or run."""
        return self._inferences.pending

    async def infer(self, request: InferRequest, arrived_s: float) -> InferResult:
        """Return the answer; `arrived_s` is on `time.monotonic`'s clock.

        Cancelling the task that awaits it takes the request out of the queue; a request that runs
        already is finished for nobody. What comes of it is counted in `statistics`, a request that
        is not answered too.

        Raises:
            UnavailableError: the queue is full, or the time allowed is not enough.
        """
        try:
            answer = await self._inferences.run(request, arrived_s)
        except (Exception, asyncio.CancelledError) as error:
            in_server_ns = (time.monotonic() - arrived_s) * 1e9
            late = isinstance(error, DeadlineError)
            self.statistics.failed(row_of(error).reason, in_server_ns, late=late)
            raise
        self.statistics.served(_served(request, answer, arrived_s))
        record, queue_ms = answer.record, (answer.began_s - answer.queued_s) * 1e3
        parameters = {**answer_parameters(record), "aio_queue_ms": round(queue_ms, 4)}
        return InferResult(answer.outputs, parameters, record, queue_ms)


def _served(request: InferRequest, answer: Answer, arrived_s: float) -> Served:
    now_s = time.monotonic()
    timeout_ms = request.timeout_ms
    return Served(
        record=answer.record,
        cause=answer.cause,
        samples=request.samples,
        compute_input_ns=(answer.queued_s - arrived_s) * 1e9,
        queue_ns=(answer.began_s - answer.queued_s) * 1e9,
        compute_infer_ns=(answer.ended_s - answer.began_s) * 1e9,
        compute_output_ns=(now_s - answer.ended_s) * 1e9,
        leads=answer.leads,
        late=timeout_ms is not None and (now_s - arrived_s) * 1e3 > timeout_ms,
    )


class Host:
    """All models by name, and whether they can be asked."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self.dispatcher = dispatcher
        self.state = State.LOADING
        self._models: dict[str, ServedModel] = {}

    @property
    def models(self) -> tuple[ServedModel, ...]:
        """The models that are loaded."""
        return tuple(self._models.values())

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines of the models that are loaded."""
        return tuple(model.engine for model in self.models)

    @property
    def device(self) -> "DeviceSample | None":
        """The newest sample of the device, None while no model is loaded."""
        return next((engine.device for engine in self.engines), None)

    async def load(self, loader: Callable[[], Engine]) -> ServedModel:
        """Load a model in the executor thread and be ready; what the loader raises passes."""
        engine = await self.dispatcher.run(loader)
        model = ServedModel(engine, self.dispatcher)
        self._models[model.spec.name] = model
        if self.state is State.LOADING:
            self.state = State.READY
        return model

    def check_ready(self) -> None:
        """Raise UnavailableError unless requests can be answered."""
        if self.state is not State.READY:
            raise UnavailableError(self.state.value)

    def find(self, name: str, version: str | None = None) -> ServedModel:
        """Return a model that can be asked; no version means the one there is.

        Raises:
            UnavailableError: no model can be asked now.
            UnknownModelError: there is no such model or version.
        """
        self.check_ready()
        model = self._models.get(name)
        if model is None:
            known = ", ".join(self._models)
            raise UnknownModelError(f"no model is named {name[:80]!r}; there is {known}")
        if version not in {None, model.spec.version}:
            raise UnknownModelError(
                f"model {name!r} has no version {version!r}; there is {model.spec.version}"
            )
        return model

    def close(self, timeout_s: float) -> bool:
        """Release the models; return False if work still runs after the time, and nothing was."""
        self.state = State.STOPPING
        if not self.dispatcher.close(timeout_s):
            return False
        for model in self._models.values():
            model.engine.close()
        self._models.clear()
        return True
