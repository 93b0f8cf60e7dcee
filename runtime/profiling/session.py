# SPDX-License-Identifier: Apache-2.0
"""One profile from beginning to end: clocks, subjects, recording; everything put back after it."""

import os
import resource
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from aio.governors.devices import ladder, load_device
from aio.governors.emulation.rules import governor_names
from aio.governors.settings import ClockSettings
from aio.governors.settings.signals import ending_raises
from aio.governors.sysfs import ROOT_VARIABLE
from aio.runtime.benchmark.surroundings import environment, pinned
from aio.runtime.profiling.device_profile import DeviceProfile
from aio.runtime.profiling.environment import environment_report
from aio.runtime.profiling.points import (
    Clocks,
    Point,
    RealClocks,
    emulated_clocks,
    points,
    restricted,
)
from aio.runtime.profiling.recording import Effort, Recorder
from aio.runtime.profiling.result import LayerTrace, Profile, SubjectInfo
from aio.runtime.profiling.samples import Sample
from aio.runtime.profiling.subjects import Field, Wanted, open_field

ALL = "all"
PINNING = {"performance", "powersave", "userspace"}  # whatever the load is
EMULATED_STEPS = 6  # clocks of a ladder to visit when none are named
# A governor that follows the load has nothing to decide when there is always work: at this many
# times the densest level's time between calls, even that level leaves it a choice.
PERIOD_OF_CALLS = 2.5


@dataclass(frozen=True, slots=True)
class Options:
    """What to do.

    `freqs` are kHz, `"all"`, or None; `gpu_hz` is Hz. `device` is a board to emulate with clocks
    down to a `span`-th of the highest. `cpus` are where to run; None is where the process may,
    or one CPU under emulation. `calibration_dir` is where to keep a calibration over all points.
    """

    wanted: Wanted
    effort: Effort = field(default_factory=Effort)
    governors: tuple[str, ...] = ()
    freqs: tuple[int, ...] | str | None = None
    gpu_hz: int | None = None
    device: str | None = None
    span: float = 3.0
    cpus: tuple[int, ...] | None = None
    deadline_ms: float | None = None
    calibration_dir: Path | None = None

    @property
    def sets(self) -> bool:
        """Return whether a clock is to be set."""
        return bool(self.governors) or self.freqs is not None or self.gpu_hz is not None


def profile(
    options: Options,
    *,
    keep: Callable[[Sequence[Sample]], object] = lambda samples: None,
    progress: Callable[[float], object] = lambda part: None,
) -> Profile:
    """Measure everything that is asked for; SIGTERM and SIGINT end it early with what there is.

    Args:
        options: what to do.
        keep: is given the samples of each turn as soon as it ends.
        progress: is told which part of the work is done.
    """
    begin, begin_s = datetime.now(timezone.utc).isoformat(timespec="seconds"), time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(ending_raises())
        if options.device is None and options.cpus is not None:
            stack.enter_context(pinned(_allowed(options.cpus)))
        if options.device is not None:
            clocks, wanted, options = _emulated(stack, options)
            subjects = stack.enter_context(open_field(options.wanted))
        else:
            # Loaded, and so calibrated, at the clocks that were found.
            subjects = stack.enter_context(open_field(options.wanted))
            clocks, wanted = _real(stack, options)
        effort = _paced(options, wanted, subjects)
        layers: list[LayerTrace] = []
        device_profile = _device_profile(stack, options)

        def at_point(point: int) -> None:
            layers.extend(_trace_layers(subjects, point))
            if device_profile is not None:
                device_profile.observe()

        recorder = Recorder(
            subjects,
            clocks,
            effort,
            keep=keep,
            progress=progress,
            at_point=at_point,
        )
        environment = environment_report(time.monotonic_ns())
        recording = recorder.record(wanted)
        stored = None
        if device_profile is not None and recording.interrupted is None:
            stored = device_profile.store()
        return Profile(
            model=_name(options.wanted),
            ratios=_ratios(subjects),
            batch=subjects.batch,
            target_ms=subjects.target_ms,
            dense_ms=subjects.dense_ms,
            given_deadline_ms=options.deadline_ms,
            emulated=clocks.emulated,
            speeds=_speeds(clocks),
            effort=effort,
            subjects=tuple(
                SubjectInfo(s.name, s.engine, s.threads, s.load_ms, s.accuracies)
                for s in subjects.subjects
            ),
            recording=recording,
            layers=tuple(layers),
            environment=environment,
            peak_rss_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            begin=begin,
            calibration=None if stored is None else str(stored),
            duration_s=time.monotonic() - begin_s,
        )


def _device_profile(stack: ExitStack, options: Options) -> DeviceProfile | None:
    folder, path = options.calibration_dir, options.wanted.model
    if folder is None or path is None:
        return None
    return stack.enter_context(DeviceProfile(path, options.wanted.threads, folder))


def _real(stack: ExitStack, options: Options) -> tuple[Clocks, tuple[Point, ...]]:
    if not options.sets:
        return RealClocks(None), (Point(),)
    settings = stack.enter_context(ClockSettings())
    named = options.freqs or ()
    freqs = settings.freqs_khz() if isinstance(named, str) else named
    return RealClocks(settings), points(options.governors, freqs, options.gpu_hz)


def _emulated(stack: ExitStack, options: Options) -> tuple[Clocks, tuple[Point, ...], Options]:
    """Start the emulation, and return the options as they are below it."""
    assert options.device is not None
    wanted = _emulated_points(options)
    cpus = options.cpus or (max(os.sched_getaffinity(0)),)
    clocks = stack.enter_context(emulated_clocks(options.device, options.span, cpus))
    for point in wanted:
        clocks.check(point)
    stack.enter_context(environment(ROOT_VARIABLE, str(clocks.root)))
    # What is calibrated under emulation must not be taken for this machine later.
    stack.enter_context(pinned(_allowed(cpus)))
    inner = replace(options.wanted, cache_dir=clocks.root / "cache")
    if inner.threads is None:
        inner = replace(inner, threads=len(cpus))
    return clocks, wanted, replace(options, wanted=inner)


def _emulated_points(options: Options) -> tuple[Point, ...]:
    """Return the points; by default some clocks of the ladder, under the governor userspace."""
    assert options.device is not None
    known = {*governor_names(), *load_device(options.device).governors}
    for governor in options.governors:
        if governor not in known:
            raise ValueError(f"governor {governor!r}: known are {', '.join(sorted(known))}")
    steps = ladder(restricted(load_device(options.device), options.span)).freqs_khz
    freqs = options.freqs
    if freqs == ALL:
        freqs = steps
    elif freqs is None and not options.governors:
        last = len(steps) - 1
        count = min(EMULATED_STEPS, len(steps))
        freqs = tuple(steps[round(last * k / max(count - 1, 1))] for k in reversed(range(count)))
    assert not isinstance(freqs, str)
    return points(options.governors, freqs or (), options.gpu_hz)


def _paced(options: Options, wanted: Sequence[Point], subjects: Field) -> Effort:
    """Give governors that follow the load something to decide, unless the user set a pace."""
    effort = options.effort
    follows = any(p.governor not in {*PINNING, None} for p in wanted)
    given = effort.rate is not None or effort.idle_ms > 0.0
    if options.device is None or not follows or given or subjects.dense_ms is None:
        return effort
    return replace(effort, rate=1e3 / (PERIOD_OF_CALLS * subjects.dense_ms))


def _trace_layers(subjects: Field, point: int) -> list[LayerTrace]:
    traces = []
    for subject in subjects.subjects:
        runtime, x = subject.runtime, subjects.sample
        if runtime is None or x is None or runtime.last is None:
            continue
        plan = runtime.last.plan
        begin_ns = time.monotonic_ns()
        times_ms = runtime.layer_times_ms(x, plan)
        names = (layer["name"] for layer in runtime.layers)
        layers = tuple(zip(names, times_ms, strict=True))
        traces.append(LayerTrace(point, subject.name, begin_ns, str(plan), layers))
    return traces


def _speeds(clocks: Clocks) -> tuple[dict[str, float], ...]:
    checked = getattr(clocks, "checked", ())
    return tuple({**asdict(point), "error": point.error} for point in checked)


def _name(wanted: Wanted) -> str:
    path = wanted.onnx if wanted.model is None else wanted.model
    assert path is not None
    return path.name


def _ratios(subjects: Field) -> tuple[float, ...]:
    runtime = next((s.runtime for s in subjects.subjects if s.runtime is not None), None)
    return () if runtime is None else tuple(level.ratio for level in runtime.levels)


def _allowed(cpus: Sequence[int]) -> Sequence[int]:
    allowed = os.sched_getaffinity(0)
    if not allowed.issuperset(cpus):
        raise ValueError(f"--cpus {sorted(cpus)}: this process may use {sorted(allowed)}")
    return cpus
