# SPDX-License-Identifier: Apache-2.0
"""The models being served, their state, and the way of a request through the executor."""

import enum
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from aio.runtime.serve.errors import UnavailableError, UnknownModelError
from aio.runtime.serve.hosting.engine import Engine, answer_parameters, describe
from aio.runtime.serve.protocol.schema import InferRequest, InferResult
from aio.runtime.serve.scheduling.dispatcher import Dispatcher
from aio.runtime.serve.telemetry.request_log import note

if TYPE_CHECKING:
    from aio.governors import DeviceSample

VERSION = "1"  # a server with a model directory will have more


class State(enum.Enum):
    """What the server can do now; the value says it to a client that must wait."""

    LOADING = "the model is being loaded and calibrated; retry later"
    READY = "ready"
    DRAINING = "the server is about to stop"
    STOPPING = "the server is stopping"


class ServedModel:
    """One loaded model behind the executor thread."""

    def __init__(self, engine: Engine, dispatcher: Dispatcher) -> None:
        self.engine = engine
        self.spec = describe(engine, VERSION)
        self._dispatcher = dispatcher

    async def infer(self, request: InferRequest, arrived_s: float) -> InferResult:
        """Return the answer; `arrived_s` is on `time.monotonic`'s clock.

        Raises:
            UnavailableError: the queue is full, or the time allowed ran out in it.
        """
        note(model=self.spec.name, request_id=request.request_id)
        result = await self._dispatcher.run(partial(self._infer, request, arrived_s))
        record = result.record
        note(aio_level=record.level, aio_ratio=record.ratio, aio_latency_ms=record.latency_ms)
        return result

    def _infer(self, request: InferRequest, arrived_s: float) -> InferResult:
        deadline_ms = None
        if request.timeout_ms is not None:
            waited_ms = (time.monotonic() - arrived_s) * 1000
            deadline_ms = request.timeout_ms - waited_ms
            if deadline_ms <= 0:
                raise UnavailableError(
                    f"the timeout of {request.timeout_ms:g} ms passed before the request's turn, "
                    f"after {waited_ms:.1f} ms"
                )
        outputs, record = self.engine.run(
            request.inputs, deadline_ms=deadline_ms, level=request.level
        )
        return InferResult(outputs, answer_parameters(record), record)


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
        if self.state not in {State.READY, State.DRAINING}:
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

    def drain(self) -> bool:
        """Go on answering but be ready no more; return False if there is nothing to answer with."""
        if self.state is State.READY:
            self.state = State.DRAINING
        return self.state is State.DRAINING

    def close(self, timeout_s: float) -> bool:
        """Release the models; return False if work still runs after the time, and nothing was."""
        self.state = State.STOPPING
        if not self.dispatcher.close(timeout_s):
            return False
        for model in self._models.values():
            model.engine.close()
        self._models.clear()
        return True
