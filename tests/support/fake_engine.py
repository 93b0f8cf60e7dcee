# SPDX-License-Identifier: Apache-2.0
"""An engine with a known answer, and a server around it, for tests of the protocol alone."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from aio.governors import (
    Capability,
    ClockSample,
    Decision,
    DeviceSample,
    Plan,
    PredictionError,
    Status,
)
from aio.runtime.inputs import accurate_levels, as_duration_ms
from aio.runtime.records import InferenceRecord, Journal, LevelInfo, RuntimeStats, TensorInfo
from aio.runtime.runtime import Inference
from aio.runtime.serve.limits import Limits
from aio.runtime.serve.rpc.reserve import address
from aio.runtime.serve.security.guard import Policy
from aio.runtime.serve.server import Server
from aio.runtime.serve.transport.listen import bind

if TYPE_CHECKING:
    from aio.runtime.serve.hosting.engine import Engine
    from aio.runtime.serve.protocol.schema import Tensor

SHAPE = (1, 2, 3)
SIZE = 6
CLASSES = 4
DEFAULT_TARGET_MS = 2.0
LABELS = ("ant", "bee", "cat", "dog")


def level_info(index: int, ratio: float) -> LevelInfo:
    return LevelInfo(index, ratio, None, nonzero_weights=1, macs=1, predicted_ms=None)


def record(
    level: int = 0,
    ratio: float = 0.0,
    *,
    predicted_ms: float | None = 0.25,
    cpu_khz: int | None = 1_510_000,
    replans: int = 0,
) -> InferenceRecord:
    """Return the record of an inference that took half a millisecond."""
    clock = ClockSample(0, cpu_khz, None, "fake", (), None if cpu_khz else "no sensor")
    return InferenceRecord(
        time_ns=0,
        plan=Plan.uniform(level),
        levels=(level,),
        replans=replans,
        ratio=ratio,
        batch=1,
        latency_ms=0.5,
        wait_ms=0.0,
        predicted_ms=predicted_ms,
        target_ms=1.0,
        deadline_ms=None,
        slowdown=1.0,
        reason="fits the target",
        sample=DeviceSample(0, clock),
    )


def expected(x: Tensor) -> Tensor:
    """Return what the fake answers at level 0, whatever the bits of the input mean."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.multiply(x.reshape(len(x), -1)[:, :CLASSES], 2, dtype=np.float32)


@dataclass
class FakeEngine:
    """Answers its input times two; a pinned level is added, so that it can be seen."""

    name: str = "fake"
    isa: str = "scalar"
    threads: int = 2
    given_target_ms: float | None = 1.0
    battery_target_ms: float | None = None
    min_accuracy: float | None = None
    policy: str = "adaptive"
    sensors: tuple[Capability, ...] = (
        Capability("fake", "cpu_clock", Status.VALUE, "always"),
        Capability("zones", "thermal", Status.VALUE, "3 zones"),
        Capability("other", "thermal", Status.VALUE, "not used"),
        Capability("nvml", "gpu_clock", Status.UNSUPPORTED, "no GPU"),
    )
    device: DeviceSample = field(default_factory=lambda: record().sample)
    last: InferenceRecord | None = None
    inputs: tuple[TensorInfo, ...] = (TensorInfo("image", SHAPE),)
    outputs: tuple[TensorInfo, ...] = (TensorInfo("logits", (CLASSES,), LABELS),)
    levels: tuple[LevelInfo, ...] = (level_info(0, 0.0), level_info(1, 0.5), level_info(2, 0.9))
    record: InferenceRecord = field(default_factory=record)
    error: Exception | None = None
    predicted_ms: float | None = None  # of one sample at the sparsest level
    # Set: calls pass. Cleared: calls wait, as if the executor were busy.
    passing: threading.Event = field(default_factory=threading.Event)
    calls: list[tuple[tuple[int, ...], float | None, int | None]] = field(default_factory=list)
    budgets: list[float | None] = field(default_factory=list)  # of the same calls
    closed: bool = False
    journal: Journal = field(default_factory=lambda: Journal(3))
    decisions: tuple[Decision, ...] = ()
    residual: float = 1.0
    prediction_error: PredictionError | None = None

    def __post_init__(self) -> None:
        self.passing.set()

    @property
    def target_ms(self) -> float:
        return DEFAULT_TARGET_MS if self.given_target_ms is None else self.given_target_ms

    @target_ms.setter
    def target_ms(self, target_ms: float | None) -> None:
        self.given_target_ms = None if target_ms is None else as_duration_ms("target_ms", target_ms)

    @property
    def allowed_levels(self) -> tuple[int, ...]:
        every = tuple(range(len(self.levels)))
        if self.min_accuracy is None:
            return every
        return accurate_levels([level.accuracy for level in self.levels], self.min_accuracy)

    def set_min_accuracy(self, min_accuracy: float | None) -> None:
        if min_accuracy is not None:
            accurate_levels([level.accuracy for level in self.levels], min_accuracy)
        self.min_accuracy = min_accuracy

    @property
    def clock(self) -> ClockSample:
        return self.device.clock

    def stats(self) -> RuntimeStats:
        return self.journal.stats(
            self.decisions, len(self.decisions), self.residual, self.prediction_error
        )

    def reset(self) -> None:
        self.record = record()
        self.error = None
        self.passing.set()
        self.predicted_ms = None
        self.calls.clear()
        self.budgets.clear()

    def predict_ms(self, batch: int = 1, level: int | None = None) -> float | None:
        if self.predicted_ms is None:
            return None
        return batch * self.predicted_ms * (1 if level is None else 3 - level)

    def run(
        self,
        x: Mapping[str, Tensor],
        *,
        deadline_ms: float | None = None,
        level: int | None = None,
        budget_ms: float | None = None,
    ) -> Inference:
        self.budgets.append(budget_ms)
        return self._run(x["image"], deadline_ms, level)

    def _run(self, x: Tensor, deadline_ms: float | None, level: int | None) -> Inference:
        assert x.dtype == np.float32
        assert x.flags.aligned
        self.calls.append((x.shape, deadline_ms, level))
        self.passing.wait(30)
        if self.error is not None:
            raise self.error
        self.last = self.record
        self.journal.note(self.record)
        y = np.add(expected(x), level or 0, dtype=np.float32)
        return Inference({"logits": y}, self.record)

    def close(self) -> None:
        self.closed = True


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class LiveServer:
    """A real server on a real socket, in a thread."""

    def __init__(
        self,
        loader: Callable[[], Engine],
        limits: Limits | None = None,
        policy: Policy | None = None,
        *,
        grpc: bool = False,
    ) -> None:
        self.announced = threading.Event()
        reserved = bind("127.0.0.1", 0) if grpc else None
        self.grpc = None if reserved is None else address(reserved)
        self.server = Server(
            loader,
            lambda _: self.announced.set(),
            limits or Limits(),
            policy or Policy(),
            reserved=reserved,
        )
        self.listener = bind("127.0.0.1", 0)
        self.port: int = self.listener.getsockname()[1]
        self._thread = threading.Thread(target=self.server.run, args=([self.listener],))

    def start(self) -> None:
        self._thread.start()
        self.wait_for(lambda: self.server.started)

    def end(self) -> None:
        """Do what a signal does, and wait until the server has stopped."""
        self.server.should_exit = True
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.listener.close()

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 20) -> None:
        end_s = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end_s, "timed out"
            time.sleep(0.005)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Reply(response.status, found, response.read())
        finally:
            connection.close()

    def infer(self, value: object, model: str = "fake") -> Reply:
        return self.request("POST", f"/v2/models/{model}/infer", json.dumps(value).encode())


@contextmanager
def serving(
    loader: Callable[[], Engine],
    limits: Limits | None = None,
    policy: Policy | None = None,
    *,
    grpc: bool = False,
) -> Iterator[LiveServer]:
    """Run a server; wait for the model with `announced` if it matters."""
    server = LiveServer(loader, limits, policy, grpc=grpc)
    server.start()
    try:
        yield server
    finally:
        server.end()
        assert server.server.host.close(timeout_s=5)


def tensor_json(x: Tensor, **members: object) -> dict[str, object]:
    """Return a request with `x` as flat JSON data."""
    tensor = {"name": "image", "shape": list(x.shape), "datatype": "FP32"}
    return {"inputs": [{**tensor, "data": x.ravel().tolist()}], **members}


def tensor_binary(x: Tensor, **members: object) -> tuple[bytes, dict[str, str]]:
    """Return a request with `x` as binary data, and its headers."""
    raw = x.astype("<f4").tobytes()
    tensor = {"name": "image", "shape": list(x.shape), "datatype": "FP32"}
    size = {"parameters": {"binary_data_size": len(raw)}}
    text = json.dumps({"inputs": [{**tensor, **size}], **members}).encode()
    return text + raw, {"Inference-Header-Content-Length": str(len(text))}
