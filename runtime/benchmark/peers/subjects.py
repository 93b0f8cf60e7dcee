# SPDX-License-Identifier: Apache-2.0
"""Other engines as subjects of a benchmark: started, loaded, and their answers checked."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aio.runtime.benchmark.peers.process import PeerFailedError, PeerMissingError, PeerProcess
from aio.runtime.benchmark.peers.registry import PeerKind, interpreter, missing_reason
from aio.runtime.model_file import ModelFile

# Over the largest value of the answer. Engines round differently, Winograd's algorithm most: MNN is
# off by 0.0035 on ResNet-50 with random weights.
MAX_RELATIVE_ERROR = 1e-2

# Before a sample: caches fill, and the scheduler spreads threads that slept over the CPUs.
WARMUP_MS = 60.0
REPEATS = 3

# Return our answer to the input at a level.
Ours = Callable[[int], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class AbsentPeer:
    """An engine that was asked for and could not be measured, and why."""

    name: str
    threads: int
    reason: str


@dataclass
class PeerSubject:
    """An engine on a number of threads with the model of a level.

    `max_error` is the largest difference of its answer from ours, over the largest value of ours;
    `latencies_ms` has one entry per round.
    """

    kind: PeerKind
    process: PeerProcess
    number: int
    level: int
    max_error: float
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def threads(self) -> int:
        """Return on how many threads it runs."""
        return self.process.threads

    def measure(self) -> None:
        """Keep a sample: the median of some runs, after warming up."""
        self.latencies_ms.append(
            self.process.latency_ms(self.number, warmup_ms=WARMUP_MS, repeats=REPEATS)
        )


@contextmanager
def open_peers(
    model: ModelFile,
    x: NDArray[np.float32],
    ours: Ours,
    *,
    kinds: Sequence[PeerKind],
    levels: Sequence[int],
    threads: Sequence[int],
    deepsparse: Path | None = None,
) -> Iterator[tuple[list[PeerSubject], list[AbsentPeer]]]:
    """Yield the engines that are there and answer as we do, and those that are not or do not.

    An engine that gains nothing from zeros runs the first of the levels, others run all of them.

    Args:
        model: the checked model file.
        x: the input, a batch.
        ours: what we answer.
        kinds: the engines.
        levels: the levels, densest first.
        threads: numbers of threads, each with processes of its own.
        deepsparse: interpreter of the environment that has DeepSparse.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="aio-peers-")))
        models = _Models(model, len(x), folder)
        subjects: list[PeerSubject] = []
        absent: list[AbsentPeer] = []
        for count in threads:
            for kind in kinds:
                wanted = levels if kind.sparse else levels[:1]
                try:
                    process = stack.enter_context(_start(kind, count, len(x), folder, deepsparse))
                    for level in wanted:
                        number = process.load(models.path(level))
                        error = _error(process.answer(number, x), ours(level))
                        subjects.append(PeerSubject(kind, process, number, level, error))
                except PeerMissingError as error:
                    reason = missing_reason(kind, error.module)
                    absent.append(AbsentPeer(kind.name, count, reason))
                except PeerFailedError as error:
                    absent.append(AbsentPeer(kind.name, count, str(error)))
        models.clear()
        yield subjects, absent


class _Models:
    """ONNX files of the levels, made when they are asked for."""

    def __init__(self, model: ModelFile, batch: int, folder: Path) -> None:
        self._model, self._batch, self._folder = model, batch, folder

    def path(self, level: int) -> Path:
        from aio.runtime.benchmark.onnx_model import to_onnx  # noqa: PLC0415 - needs the extra

        path = self._folder / f"level{level}.onnx"
        if not path.exists():
            path.write_bytes(to_onnx(self._model, level, self._batch))
        return path

    def clear(self) -> None:
        """Free the space; the engines have loaded what they need."""
        for path in self._folder.glob("level*.onnx"):
            path.unlink()


def _start(
    kind: PeerKind, threads: int, batch: int, folder: Path, deepsparse: Path | None
) -> PeerProcess:
    python = interpreter(kind, deepsparse)
    if python is None:
        raise PeerFailedError(f"not asked for: name its environment with --{kind.key} PYTHON")
    return PeerProcess(python, kind.engine, threads, batch, folder)


def _error(answer: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest difference over the largest value; refuse one that rounding can't make."""
    if answer.size != expected.size:
        raise PeerFailedError(f"answers {answer.shape} where we answer {expected.shape}")
    scale = float(np.abs(expected).max())
    error = float(np.abs(answer.reshape(expected.shape) - expected).max())
    if not error <= MAX_RELATIVE_ERROR * scale:
        raise PeerFailedError(
            f"answers something else: off by up to {error:.3g} where the largest value is "
            f"{scale:.3g}"
        )
    return error / scale if scale else 0.0
