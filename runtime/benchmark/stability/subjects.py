# SPDX-License-Identifier: Apache-2.0
"""What is measured in real time: the runtime by each policy, and other engines."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aio.governors import Plan
from aio.runtime.benchmark.peers import OnnxRuntimePeer
from aio.runtime.benchmark.stability.figures import Request
from aio.runtime.model_file import read_model_file
from aio.runtime.runtime import Runtime

_SEED = 0
POLICIES = 4  # the first subjects: one runtime by policy; peers follow
MIN_INFERENCE_MS = 20.0  # below it a clock thief's period and a scheduler's slice are too coarse


@dataclass(frozen=True)
class Subject:
    """Something that answers; `infer` returns the plan it used, None if it has no levels."""

    name: str
    infer: Callable[[], Plan | None]

    def requests(self, seconds: float, cpu_khz: int = 0) -> list[Request]:
        """Run inferences for so long, at least one, at a clock that the caller knows."""
        end_s = time.monotonic() + seconds
        found: list[Request] = []
        while not found or time.monotonic() < end_s:
            begin_ns = time.perf_counter_ns()
            plan = self.infer()
            found.append(Request((time.perf_counter_ns() - begin_ns) / 1e6, cpu_khz, plan))
        return found


@dataclass(frozen=True)
class Field:
    """The subjects over one model, the first one adaptive.

    `target_ms` is the latency of a call to hold, `batch` the samples per call.
    """

    subjects: tuple[Subject, ...]
    target_ms: float
    batch: int
    adaptive: Runtime


@contextlib.contextmanager
def open_field(path: Path, cache_dir: Path, *, peers: bool) -> Iterator[Field]:
    """Load a model once per policy, on one thread, all with the same calibration and target.

    The target is what the densest level takes now.

    Args:
        path: the model file.
        cache_dir: where the calibration is kept, so that it is made here and now.
        peers: measure ONNX Runtime too.
    """
    with contextlib.ExitStack() as stack:

        def load(policy: str = "adaptive", level: int | None = None) -> Runtime:
            runtime = Runtime.load(path, threads=1, policy=policy, level=level, cache_dir=cache_dir)
            return stack.enter_context(runtime)

        adaptive, table = load(), load("table")
        dense_ms = adaptive.levels[0].predicted_ms
        assert dense_ms is not None
        for runtime in (adaptive, table):
            runtime.target_ms = dense_ms
        batch = max(1, round(MIN_INFERENCE_MS / dense_ms))
        shape = (batch, *adaptive.inputs[0].shape)
        x = np.random.default_rng(_SEED).standard_normal(shape, dtype=np.float32)
        sparsest = len(adaptive.levels) - 1
        subjects = [
            Subject("adaptive", _plans(adaptive, x)),
            Subject("table", _plans(table, x)),
            Subject("fixed densest", _plans(load(level=0), x)),
            Subject("fixed sparsest", _plans(load(level=sparsest), x)),
        ]
        if peers:
            peer = OnnxRuntimePeer(read_model_file(path), level=0, threads=1, batch=batch)
            subjects.append(Subject(peer.name, _peer(peer, x)))
        for subject in subjects:
            subject.infer()
        yield Field(tuple(subjects), dense_ms * batch, batch, adaptive)


def _plans(runtime: Runtime, x: NDArray[np.float32]) -> Callable[[], Plan]:
    return lambda: runtime.run(x).record.plan


def _peer(peer: OnnxRuntimePeer, x: NDArray[np.float32]) -> Callable[[], None]:
    def infer() -> None:
        peer.infer(x)

    return infer
