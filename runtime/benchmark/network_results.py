# SPDX-License-Identifier: Apache-2.0
"""What `network` measured, as medians and spreads over the rounds."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from aio.runtime.benchmark.limits import limit_ms
from aio.runtime.benchmark.peers.subjects import AbsentPeer, PeerSubject
from aio.runtime.benchmark.spread import Spread, spread
from aio.runtime.model_file import ModelFile

if TYPE_CHECKING:
    from aio.runtime.benchmark.network import LevelSubject


NEAR = 2.0  # times the least hand-over


@dataclass(frozen=True, slots=True)
class LayerResult:
    """One layer at a level. `share` is its part of the time of all layers.

    `density` is the part of its weights that is kept, None for a layer without weights.
    """

    name: str
    op: str
    kernel: str
    output_shape: tuple[int, ...]
    density: float | None
    latency_ms: Spread
    gflops: Spread
    limit_ms: Spread
    of_limit: Spread
    share: Spread


@dataclass(frozen=True, slots=True)
class LevelResult:
    """One level on a number of threads.

    `gflops` counts kept weights only, two operations each, as the direct algorithm needs them;
    so does `limit_ms`. The limit of the algorithm used differs where Winograd's is. `of_limit` is
    the limit over the latency, `speedup` the latency of the first level measured over this one's,
    `thread_speedup` that of the first number of threads over this one's: each the median of the
    ratios of the rounds. `handover_ns` is how long a cache line takes to another thread and back,
    `near_thread_speedup` that of the rounds in which it took no more than twice the least: on a
    virtual machine, those in which the processors shared a cache. Both are None on one thread.
    """

    level: int
    ratio: float
    accuracy: float | None
    macs: int
    nonzero_weights: int
    working_set_bytes: int
    latency_ms: Spread
    gflops: Spread
    peak_gflops: Spread
    bandwidth_gbs: Spread
    limit_ms: Spread
    of_limit: Spread
    algorithm_limit_ms: Spread
    of_algorithm_limit: Spread
    speedup: Spread
    thread_speedup: Spread
    handover_ns: Spread | None
    near_thread_speedup: Spread | None
    layers: tuple[LayerResult, ...]


@dataclass(frozen=True, slots=True)
class PeerResult:
    """Another engine with the model of a level.

    `max_error` is the largest difference of its answer from ours, over the largest value of ours.
    `over_ours` is its latency over that of each of our levels, in the order of the results.
    """

    name: str
    version: str
    level: int
    ratio: float
    sparse: bool
    max_error: float
    latency_ms: Spread
    over_ours: tuple[Spread, ...]


@dataclass(frozen=True, slots=True)
class ThreadsResult:
    """Everything measured on one number of threads."""

    threads: int
    levels: tuple[LevelResult, ...]
    peers: tuple[PeerResult, ...]


@dataclass(frozen=True, slots=True)
class NetworkBenchmark:
    """A network on every number of threads; `absent` are peers that could not be measured."""

    model: str
    isa: str
    batch: int
    rounds: int
    results: tuple[ThreadsResult, ...]
    absent: tuple[AbsentPeer, ...]


def summarize(
    model: ModelFile,
    subjects: "Sequence[LevelSubject]",
    peers: Sequence[PeerSubject],
    absent: Sequence[AbsentPeer],
    batch: int,
) -> NetworkBenchmark:
    """Return the results of all rounds; subjects are ordered by number of threads, then level."""
    groups = [list(group) for _, group in groupby(subjects, key=lambda s: s.threads)]
    results = tuple(
        ThreadsResult(
            threads=group[0].threads,
            levels=tuple(
                _level(model, subject, group[0], groups[0][index])
                for index, subject in enumerate(group)
            ),
            peers=tuple(
                _peer(model, peer, group) for peer in peers if peer.threads == group[0].threads
            ),
        )
        for group in groups
    )
    first = subjects[0]
    return NetworkBenchmark(
        model=model.manifest.name,
        isa=first.executor.isa,
        batch=batch,
        rounds=len(first.samples),
        results=results,
        absent=tuple(absent),
    )


def _peer(model: ModelFile, peer: PeerSubject, ours: "Sequence[LevelSubject]") -> PeerResult:
    return PeerResult(
        name=peer.kind.name,
        version=peer.process.version,
        level=peer.level,
        ratio=model.manifest.levels[peer.level].ratio,
        sparse=peer.kind.sparse,
        max_error=peer.max_error,
        latency_ms=spread(peer.latencies_ms),
        over_ours=tuple(
            _ratio(peer.latencies_ms, [sample.latency_ms for sample in subject.samples])
            for subject in ours
        ),
    )


def _level(
    model: ModelFile, subject: "LevelSubject", dense: "LevelSubject", few: "LevelSubject"
) -> LevelResult:
    info = model.manifest.levels[subject.level]
    flops = sum(work.flops for work in subject.work)
    latencies = [sample.latency_ms for sample in subject.samples]
    few_latencies = [sample.latency_ms for sample in few.samples]
    handovers = [each.handover_ns for each in subject.samples if each.handover_ns is not None]
    limits = [sum(_limits(subject, index)) for index in range(len(latencies))]
    own_limits = [
        sum(_limits(subject, index, of_algorithm=True)) for index in range(len(latencies))
    ]
    return LevelResult(
        level=subject.level,
        ratio=info.ratio,
        accuracy=info.accuracy,
        macs=model.macs(subject.level),
        nonzero_weights=model.nonzero_weights(subject.level),
        working_set_bytes=subject.working_set_bytes,
        latency_ms=spread(latencies),
        gflops=spread([flops / ms / 1e6 for ms in latencies]),
        peak_gflops=spread([sample.rates.peak_gflops for sample in subject.samples]),
        bandwidth_gbs=spread([sample.rates.bandwidth_gbs for sample in subject.samples]),
        limit_ms=spread(limits),
        of_limit=_ratio(limits, latencies),
        algorithm_limit_ms=spread(own_limits),
        of_algorithm_limit=_ratio(own_limits, latencies),
        speedup=_ratio([sample.latency_ms for sample in dense.samples], latencies),
        thread_speedup=_ratio(few_latencies, latencies),
        handover_ns=spread(handovers) if handovers else None,
        near_thread_speedup=_near(_ratios(few_latencies, latencies), handovers),
        layers=_layers(subject),
    )


def _near(values: Sequence[float], handovers_ns: Sequence[float]) -> Spread | None:
    """Return the spread over the rounds in which threads were as near as ever."""
    if not handovers_ns:
        return None
    most_ns = NEAR * min(handovers_ns)
    return spread([v for v, ns in zip(values, handovers_ns, strict=True) if ns <= most_ns])


def _limits(subject: "LevelSubject", index: int, *, of_algorithm: bool = False) -> list[float]:
    """Return the limit of every layer in a round."""
    rates = subject.samples[index].rates
    return [limit_ms(work, rates, of_algorithm=of_algorithm) for work in subject.work]


def _ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    return spread(_ratios(above, below))


def _ratios(above: Sequence[float], below: Sequence[float]) -> list[float]:
    return [a / b for a, b in zip(above, below, strict=True)]


def _layers(subject: "LevelSubject") -> tuple[LayerResult, ...]:
    if not subject.samples[0].layer_ms:
        return ()
    limits = [_limits(subject, index) for index in range(len(subject.samples))]
    totals = [sum(sample.layer_ms) for sample in subject.samples]
    results = []
    for index, (layer, work) in enumerate(zip(subject.layers, subject.work, strict=True)):
        # A clock that did not move says less than its resolution.
        times = [max(sample.layer_ms[index], 1e-6) for sample in subject.samples]
        layer_limits = [limit[index] for limit in limits]
        kept = layer["nonzero_weights"][subject.level]
        weights = layer["prunable_weights"] or kept
        results.append(
            LayerResult(
                name=layer["name"],
                op=layer["op"],
                kernel=layer["kernels"][subject.level],
                output_shape=tuple(layer["output_shape"]),
                density=kept / weights if weights else None,
                latency_ms=spread(times),
                gflops=spread([work.flops / ms / 1e6 for ms in times]),
                limit_ms=spread(layer_limits),
                of_limit=_ratio(layer_limits, times),
                share=_ratio(times, totals),
            )
        )
    return tuple(results)
