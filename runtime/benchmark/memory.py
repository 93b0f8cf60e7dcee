# SPDX-License-Identifier: Apache-2.0
"""Resident memory of a process that serves a model with all its levels, beside ONNX Runtime.

Every subject is a fresh child process that imports an engine, loads models from files, answers one
input with each of them (ours: at each level), and then reads its own resident memory and the most
it ever had, VmRSS and VmHWM in /proc/self/status. What is resident before a model is loaded is the
interpreter, NumPy and the engine.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aio.runtime.benchmark.peers.process import PeerMissingError, PeerProcess
from aio.runtime.benchmark.peers.registry import PEERS, missing_reason
from aio.runtime.lowering import build_executor
from aio.runtime.model_file import ModelFile, read_model_file

_OURS = "aio.runtime.benchmark.memory_subject"
_OTHER = PEERS["onnxruntime"]
_SEED = 0


@dataclass(frozen=True, slots=True)
class MemoryResult:
    """One process; all bytes. `start_rss_bytes` is before a model was loaded.

    `weight_bytes` is what the weights take: packed, all levels together; for others their files.
    """

    name: str
    models: int
    levels: int
    weight_bytes: int
    start_rss_bytes: int
    rss_bytes: int
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class MemoryBenchmark:
    """All processes, ours first. `missing` says why others could not be measured."""

    model: str
    threads: int
    dense_weight_bytes: int
    results: tuple[MemoryResult, ...]
    missing: str | None


def bench_memory(
    model: ModelFile,
    *,
    threads: int,
    progress: Callable[[float], object] = lambda part: None,
) -> MemoryBenchmark:
    """Measure the model at all its levels, ONNX Runtime with the densest one and with all.

    Raises:
        PeerFailedError: a process ended early; the message is the end of what it said.
    """
    levels = len(model.manifest.levels)
    # Read anew, as it takes the weights.
    packed = build_executor(read_model_file(model.path), threads=threads, isa=None).weight_bytes
    with tempfile.TemporaryDirectory(prefix="aio-memory-") as name:
        folder = Path(name)
        bench = _Bench(model, threads, folder)
        results = [
            bench.measure("this runtime", _OURS, [model.path], levels=levels, weight_bytes=packed)
        ]
        missing = None
        progress(1 / 3)
        try:
            for part, count in ((2 / 3, 1), (1.0, levels)):
                paths = [_onnx_file(model, level, folder) for level in range(count)]
                size = sum(path.stat().st_size for path in paths)
                results.append(
                    bench.measure(
                        _OTHER.name, _OTHER.engine, paths, levels=count, weight_bytes=size
                    )
                )
                progress(part)
        except PeerMissingError as error:
            missing = missing_reason(_OTHER, error.module)
        except ModuleNotFoundError as error:  # onnx, which writes the files
            missing = missing_reason(_OTHER, str(error.name))
    dense = 4 * sum(weights.weight.size for weights in model.weights.values())
    return MemoryBenchmark(model.manifest.name, threads, dense, tuple(results), missing)


class _Bench:
    """Measures one process after the other."""

    def __init__(self, model: ModelFile, threads: int, folder: Path) -> None:
        self._threads, self._folder = threads, folder
        shape = (1, *model.manifest.input.shape)
        self._x = np.random.default_rng(_SEED).standard_normal(shape, dtype=np.float32)

    def measure(
        self, name: str, engine: str, models: Sequence[Path], *, levels: int, weight_bytes: int
    ) -> MemoryResult:
        python = Path(sys.executable)
        with PeerProcess(python, engine, self._threads, 1, self._folder) as process:
            start, _ = process.memory()
            for path in models:
                process.answer(process.load(path), self._x)
            rss, peak = process.memory()
        return MemoryResult(name, len(models), levels, weight_bytes, start, rss, peak)


def _onnx_file(model: ModelFile, level: int, folder: Path) -> Path:
    from aio.runtime.benchmark.onnx_model import to_onnx  # noqa: PLC0415 - needs the extra

    path = folder / f"level{level}.onnx"
    if not path.exists():
        path.write_bytes(to_onnx(model, level))
    return path
