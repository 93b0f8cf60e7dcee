# SPDX-License-Identifier: Apache-2.0
"""Real inferences beside a neighbour that comes and goes on the same core; nothing is emulated.

The neighbour is `stress-ng --cpu 1`, a few seconds there and a few seconds away. Subjects take
turns of one whole coming and going.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from aio.governors import PredictionError
from aio.runtime.benchmark.stability.figures import Request, Stability, stability
from aio.runtime.benchmark.stability.subjects import open_field
from aio.runtime.benchmark.surroundings import pinned

STAY_S = 3.0
PROGRAM = "stress-ng"


@dataclass(frozen=True, slots=True)
class NeighbourResult:
    """Every subject by name; `prediction_error` is the adaptive policy's."""

    target_ms: float
    batch: int
    subjects: dict[str, Stability]
    prediction_error: PredictionError | None


def beside_neighbour(
    path: Path,
    *,
    cpu: int,
    turns: int,
    peers: bool,
    progress: Callable[[float], object],
) -> NeighbourResult:
    """Run every subject beside the neighbour.

    Args:
        path: the model file.
        cpu: where inferences and the neighbour run.
        turns: of every subject.
        peers: measure ONNX Runtime too.
        progress: is told which part of the work is done.

    Raises:
        FileNotFoundError: stress-ng is not installed.
    """
    if shutil.which(PROGRAM) is None:
        raise FileNotFoundError(f"{PROGRAM} is not installed; on Debian: apt-get install {PROGRAM}")
    with (
        tempfile.TemporaryDirectory() as cache,
        pinned({cpu}),
        open_field(path, Path(cache), peers=peers) as field,
    ):
        found: dict[str, list[Request]] = {subject.name: [] for subject in field.subjects}
        for turn in range(turns):
            for index, subject in enumerate(field.subjects):
                progress((turn + index / len(field.subjects)) / turns)
                found[subject.name] += subject.requests(STAY_S)
                with _neighbour(cpu):
                    found[subject.name] += subject.requests(STAY_S)
        return NeighbourResult(
            target_ms=field.target_ms,
            batch=field.batch,
            subjects={name: stability(r, field.target_ms) for name, r in found.items()},
            prediction_error=field.adaptive.stats().prediction_error,
        )


@contextmanager
def _neighbour(cpu: int) -> Iterator[None]:
    """Run the neighbour on a CPU; its own time limit ends it should this process die."""
    command = [PROGRAM, "--quiet", "--cpu", "1", "--taskset", str(cpu)]
    process = subprocess.Popen([*command, "--timeout", f"{2 * STAY_S:.0f}s"])
    try:
        yield
    finally:
        process.terminate()
        process.wait()
