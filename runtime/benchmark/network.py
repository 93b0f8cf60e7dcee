# SPDX-License-Identifier: Apache-2.0
"""A whole network at some of its levels, on some numbers of threads, against the physical limit.

The speed of machines drifts by factors within seconds. So all subjects (a level on a number of
threads, or another engine) take one turn in every round, in random order; every ratio is one of
values of the same round; and medians are taken over the rounds, of which none is left out. The peak
is measured right before and after the runs of a turn, the bandwidth after them.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from aio.runtime import _native
from aio.runtime.benchmark import limits
from aio.runtime.benchmark.limits import Probe, Rates, Work
from aio.runtime.benchmark.network_results import NetworkBenchmark, summarize
from aio.runtime.benchmark.peers.registry import PeerKind
from aio.runtime.benchmark.peers.subjects import REPEATS, WARMUP_MS, open_peers
from aio.runtime.benchmark.surroundings import pinned
from aio.runtime.lowering import build_executor
from aio.runtime.model_file import ModelFile, read_model_file

if TYPE_CHECKING:
    from aio.runtime._native import LayerInfo

MIN_ROUNDS = 5
_SEED = 0


@dataclass(frozen=True, slots=True)
class Effort:
    """What to measure, and for how long.

    `levels` are indices, `threads` numbers of threads; `layers` times each layer too, in a run of
    its own. `seconds` may be exceeded: five rounds are made in any case. `deepsparse` is the Python
    of the environment that has it.
    """

    levels: tuple[int, ...]
    threads: tuple[int, ...] = (1,)
    batch: int = 1
    seconds: float = 3.0
    layers: bool = False
    peers: tuple[PeerKind, ...] = ()
    deepsparse: Path | None = None


@dataclass(frozen=True, slots=True)
class Sample:
    """Runs of a level, and what the machine could do meanwhile. `layer_ms` is of another run."""

    latency_ms: float
    rates: Rates
    handover_ns: float | None = None
    layer_ms: tuple[float, ...] = ()


class Subject(Protocol):
    """What takes its turn in every round."""

    def measure(self) -> None:
        """Keep a sample."""


class LevelSubject:
    """A level on a number of threads; `samples` has one entry per round."""

    def __init__(
        self,
        executor: _native.Executor,
        level: int,
        probe: Probe,
        x: NDArray[np.float32],
        *,
        layers: bool,
    ) -> None:
        self.executor, self.level, self.probe = executor, level, probe
        self.layers: list[LayerInfo] = executor.layers()
        self.work: tuple[Work, ...] = tuple(
            limits.layer_work(layer, level, len(x)) for layer in self.layers
        )
        self.working_set_bytes = limits.working_set_bytes(executor, level)
        self.samples: list[Sample] = []
        self._x = x
        self._with_layers = layers

    @property
    def threads(self) -> int:
        """Return on how many threads it runs."""
        return self.executor.threads

    def answer(self) -> NDArray[np.float32]:
        """Return the first output."""
        self.executor.set_level(self.level)
        return self.executor.run(self._x)[0]

    def measure(self) -> None:
        """Keep a sample: the median of some runs, after warming up."""
        executor = self.executor
        executor.set_level(self.level)
        warm_ms = 0.0
        while warm_ms < WARMUP_MS:
            warm_ms += self._run_ms()
        before = self.probe.peak_gflops()
        latency_ms = median(self._run_ms() for _ in range(REPEATS))
        after = self.probe.peak_gflops()
        handover_ns = self.probe.handover_ns()
        layer_ms = self._layer_ms() if self._with_layers else ()
        bandwidth = self.probe.bandwidth_gbs(self.working_set_bytes)
        rates = Rates((before + after) / 2, bandwidth)
        self.samples.append(Sample(latency_ms, rates, handover_ns, layer_ms))

    def _run_ms(self) -> float:
        begin_ns = time.perf_counter_ns()
        self.executor.run(self._x)
        return (time.perf_counter_ns() - begin_ns) / 1e6

    def _layer_ms(self) -> tuple[float, ...]:
        self.executor.set_profiling(True)
        self.executor.run(self._x)
        self.executor.set_profiling(False)
        return tuple(time_ns / 1e6 for time_ns in self.executor.layer_ns())


def bench_network(
    model: ModelFile,
    effort: Effort,
    *,
    isa: str | None = None,
    progress: Callable[[float], object] = lambda part: None,
) -> NetworkBenchmark:
    """Measure the levels on every number of threads, interleaved, until the time is over.

    Args:
        model: the checked model file.
        effort: what to measure.
        isa: instruction set, None is the best one.
        progress: is told which part of the work is done.

    Raises:
        InputError: this machine can't run `isa`.
    """
    shape = (effort.batch, *model.manifest.input.shape)
    x = np.random.default_rng(_SEED).standard_normal(shape, dtype=np.float32)
    with ExitStack() as stack:
        stack.enter_context(
            pinned(_last_cpus(max(effort.threads)))
        )  # before threads and processes are
        subjects: list[LevelSubject] = []
        for threads in effort.threads:
            # Read anew, as it takes the weights, which peers need too.
            executor = build_executor(read_model_file(model.path), threads=threads, isa=isa)
            subjects += _level_subjects(executor, effort, x)
        by_level = {subject.level: subject for subject in subjects}
        peers, absent = stack.enter_context(
            open_peers(
                model,
                x,
                lambda level: by_level[level].answer(),
                kinds=effort.peers,
                levels=effort.levels,
                threads=effort.threads,
                deepsparse=effort.deepsparse,
            )
        )
        _measure([*subjects, *peers], effort.seconds, progress)
        return summarize(model, subjects, peers, absent, effort.batch)


def _measure(
    subjects: Sequence[Subject], seconds: float, progress: Callable[[float], object]
) -> None:
    """Let every subject take its turn in rounds of random order."""
    generator = np.random.default_rng(_SEED)
    rounds = 0
    begin_s = time.monotonic()
    while (past_s := time.monotonic() - begin_s) < seconds or rounds < MIN_ROUNDS:
        progress(min(past_s / seconds, rounds / MIN_ROUNDS, 1.0))
        for index in generator.permutation(len(subjects)):
            subjects[index].measure()
        rounds += 1


def _last_cpus(count: int) -> list[int]:
    """Return the last CPUs this process may use, for all subjects from the beginning.

    The first CPU of a machine often serves its interrupts, and threads that are moved between runs
    are not where the scheduler left them.
    """
    return sorted(os.sched_getaffinity(0))[-count:]


def _level_subjects(
    executor: _native.Executor, effort: Effort, x: NDArray[np.float32]
) -> list[LevelSubject]:
    most_bytes = max(limits.working_set_bytes(executor, level) for level in effort.levels)
    probe = Probe(executor.isa, executor.threads, most_bytes)
    return [
        LevelSubject(executor, level, probe, x, layers=effort.layers) for level in effort.levels
    ]
