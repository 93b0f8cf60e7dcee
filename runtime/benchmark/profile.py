# SPDX-License-Identifier: Apache-2.0
"""How a loaded model behaves at given clocks: latency, levels, and the clock that was really seen.

A point is one combination of settings. The model is calibrated before any of them is made, as in
an application that is running when the governor or the clock changes.
"""

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, pstdev

import numpy as np
from numpy.typing import NDArray

from aio.governors.drivers.cpufreq import survey
from aio.governors.settings import ClockSettings
from aio.governors.sysfs import Sysfs
from aio.runtime.records import InferenceRecord, LatencySummary, summarize
from aio.runtime.runtime import Runtime

SETTLE_PART = 0.2  # of the time of a point, before anything counts
MAX_SETTLE_S = 0.5  # the kernel and the sampler need some 50 ms to follow
MIN_INFERENCES = 5
CLOCK_TOLERANCE = 0.05
_SEED = 0


@dataclass(frozen=True, slots=True)
class Point:
    """The settings wanted; None leaves what is there."""

    governor: str | None = None
    cpu_khz: int | None = None
    gpu_hz: int | None = None


@dataclass(frozen=True, slots=True)
class LevelShare:
    """The part of the inferences and of the time that a level was the sparsest one planned."""

    level: int
    inferences: int
    time: float


@dataclass(frozen=True, slots=True)
class PointResult:
    """What was measured at a point. `seen_khz` is the median of the samples the choices used.

    `governor` is the one in force, None where no policy says. `cv` is the standard deviation of
    the latency over its mean.
    """

    wanted: Point
    governor: str | None
    seen_khz: int | None
    clock_driver: str
    latency_ms: LatencySummary
    cv: float
    levels: tuple[LevelShare, ...]
    level_changes: int
    notes: tuple[str, ...]


def points(
    governors: Sequence[str | None], cpu_khz: Sequence[int | None], gpu_hz: int | None
) -> tuple[Point, ...]:
    """Return every combination; an empty sequence leaves that setting alone."""
    pairs = itertools.product(governors or (None,), cpu_khz or (None,))
    return tuple(Point(governor, khz, gpu_hz) for governor, khz in pairs)


def profile(
    runtime: Runtime,
    wanted: Sequence[Point],
    clocks: ClockSettings | None,
    *,
    seconds: float,
    level: int | None = None,
    progress: Callable[[float], object] = lambda part: None,
) -> tuple[PointResult, ...]:
    """Measure each point in turn.

    Args:
        runtime: the loaded model.
        wanted: the points, in the order they are set.
        clocks: what sets them; None if none of them changes anything.
        seconds: how long to measure each.
        level: use this level instead of what the governor chooses.
        progress: is told which part of the work is done.
    """
    generator = np.random.default_rng(_SEED)
    x = generator.standard_normal((1, *runtime.inputs[0].shape), dtype=np.float32)
    if clocks is not None:
        for point in wanted:  # all of them, before minutes are spent on the first
            _check(clocks, point)
    results = []
    for index, point in enumerate(wanted):
        notes = [] if clocks is None else _set(clocks, point)

        def part(done: float, before: int = index) -> None:
            progress((before + done) / len(wanted))

        _infer(runtime, x, level, min(SETTLE_PART * seconds, MAX_SETTLE_S))
        records = _infer(runtime, x, level, seconds, part)
        results.append(_result(point, records, notes))
    return tuple(results)


def _check(clocks: ClockSettings, point: Point) -> None:
    if point.governor is not None:
        clocks.check_governor(point.governor)
    if point.cpu_khz is not None:
        clocks.check_freq_khz(point.cpu_khz)


def _set(clocks: ClockSettings, point: Point) -> list[str]:
    if point.governor is not None:
        clocks.set_governor(point.governor)
    applied = [] if point.cpu_khz is None else list(clocks.set_freq_khz(point.cpu_khz))
    if point.gpu_hz is not None:
        applied += clocks.set_gpu_freq_hz(point.gpu_hz)
    return [item.note for item in applied if item.note is not None]


def _infer(
    runtime: Runtime,
    x: NDArray[np.float32],
    level: int | None,
    seconds: float,
    progress: Callable[[float], object] = lambda part: None,
) -> list[InferenceRecord]:
    records: list[InferenceRecord] = []
    begin_s = time.monotonic()
    while (past_s := time.monotonic() - begin_s) < seconds or len(records) < MIN_INFERENCES:
        progress(min(1.0, past_s / seconds))
        records.append(runtime.run(x, level=level).record)
    return records


def _result(point: Point, records: Sequence[InferenceRecord], notes: Sequence[str]) -> PointResult:
    latencies = [record.latency_ms for record in records]
    clock = records[-1].clock
    seen = [record.cpu_khz for record in records if record.cpu_khz is not None]
    seen_khz = None if not seen else round(median(seen))
    # Asked anew: the sampler looks at governors once a second only.
    names = {policy.name for policy in clock.policies}
    governors = {policy.governor for policy in survey(Sysfs()) if policy.name in names} - {None}
    pairs = itertools.pairwise(records)
    notes = [*notes, *_disagreement(point, seen_khz)]
    return PointResult(
        wanted=point,
        governor=", ".join(sorted(map(str, governors))) or None,
        seen_khz=seen_khz,
        clock_driver=clock.driver,
        latency_ms=summarize(sorted(latencies)),
        cv=pstdev(latencies) / (math.fsum(latencies) / len(latencies)),
        levels=_shares(records),
        level_changes=sum(before.level != after.level for before, after in pairs),
        notes=tuple(notes),
    )


def _shares(records: Sequence[InferenceRecord]) -> tuple[LevelShare, ...]:
    total_ms = math.fsum(record.latency_ms for record in records)
    shares = []
    for level in sorted({record.level for record in records}):
        latencies = [record.latency_ms for record in records if record.level == level]
        shares.append(LevelShare(level, len(latencies), math.fsum(latencies) / total_ms))
    return tuple(shares)


def _disagreement(point: Point, seen_khz: int | None) -> list[str]:
    """Say when the sensors do not see the clock that was set."""
    if point.cpu_khz is None:
        return []
    if seen_khz is None:
        return [f"{point.cpu_khz} kHz were set, and no sensor sees the clock"]
    if abs(seen_khz - point.cpu_khz) <= CLOCK_TOLERANCE * point.cpu_khz:
        return []
    return [f"{point.cpu_khz} kHz were asked for, the sensors see {seen_khz}"]
