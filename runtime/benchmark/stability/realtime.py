# SPDX-License-Identifier: Apache-2.0
"""Real inferences while clock thieves make this machine slower, step by step.

The steps are those of the trace `steps`: full speed, 0.8, 0.6, 0.45 and 0.35 of it, two seconds
each. A subject runs for whole rounds of the trace, and rounds of the subjects take turns, so that
all see the same drift of the machine. The sensors read the emulation's tree.
"""

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from aio.governors import PredictionError
from aio.governors.devices import ladder, load_device
from aio.governors.emulation.realtime import RealtimeEmulation
from aio.governors.sysfs import ROOT_VARIABLE
from aio.runtime.benchmark.stability.figures import Request, Stability, stability
from aio.runtime.benchmark.stability.subjects import Subject, open_field
from aio.runtime.benchmark.surroundings import environment, pinned

BOARD = "jetson-orin-nano"
SPEEDS = (1.0, 0.8, 0.6, 0.45, 0.35)
STEP_S = 2.0
PERIOD_US = 1000


@dataclass(frozen=True, slots=True)
class Live:
    """How one subject did: over all requests, and per speed."""

    overall: Stability
    by_speed: dict[float, Stability]


@dataclass(frozen=True, slots=True)
class ThievesResult:
    """Every subject by name; `prediction_error` is the adaptive policy's."""

    target_ms: float
    batch: int
    subjects: dict[str, Live]
    prediction_error: PredictionError | None


def under_thieves(
    path: Path,
    *,
    cpu: int,
    rounds: int,
    others: int,
    peers: bool,
    progress: Callable[[float], object],
) -> ThievesResult:
    """Run every subject over the steps.

    Args:
        path: the model file.
        cpu: where inferences and the thief run.
        rounds: of the adaptive policy over all speeds.
        others: rounds of each other subject.
        peers: measure ONNX Runtime too.
        progress: is told which part of the work is done.
    """
    with (
        RealtimeEmulation(
            load_device(BOARD), governor="userspace", cpus=[cpu], period_us=PERIOD_US
        ) as emulation,
        environment(ROOT_VARIABLE, str(emulation.root)),
        tempfile.TemporaryDirectory() as cache,
        pinned({cpu}),
    ):
        emulation.set_fraction(1.0)
        with open_field(path, Path(cache), peers=peers) as field:
            found: dict[str, dict[float, list[Request]]] = {
                subject.name: {speed: [] for speed in SPEEDS} for subject in field.subjects
            }
            turns = list(_turns(field.subjects, rounds, others))
            for done, subject in enumerate(turns):
                progress(done / len(turns))
                for speed in SPEEDS:
                    emulation.set_fraction(speed)
                    found[subject.name][speed] += subject.requests(STEP_S, _khz(speed))
            return ThievesResult(
                target_ms=field.target_ms,
                batch=field.batch,
                subjects={name: _live(by, field.target_ms) for name, by in found.items()},
                prediction_error=field.adaptive.stats().prediction_error,
            )


def _turns(subjects: tuple[Subject, ...], rounds: int, others: int) -> Iterator[Subject]:
    """Yield whose turn it is: the first subject's rounds with those of the others in between."""
    rest = [subject for _ in range(others) for subject in subjects[1:]]
    for turn in range(rounds):
        yield subjects[0]
        yield from rest[len(rest) * turn // rounds : len(rest) * (turn + 1) // rounds]


def _khz(speed: float) -> int:
    return ladder(load_device(BOARD)).at_fraction(speed)


def _live(by_speed: dict[float, list[Request]], target_ms: float) -> Live:
    everything = [request for requests in by_speed.values() for request in requests]
    figures = {speed: stability(requests, target_ms) for speed, requests in by_speed.items()}
    return Live(stability(everything, target_ms), figures)
