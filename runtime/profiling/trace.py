# SPDX-License-Identifier: Apache-2.0
"""The profile as a trace that ui.perfetto.dev and chrome://tracing open.

The Trace Event Format (JSON): complete events "X" for calls and layers, counters "C" for clock,
level and temperature, metadata "M" for names. Times are us since the first sample. A process per
point, a thread per subject; the layers of an inference are slices inside a slice of their own, as
it was timed apart from the others.
"""

from collections.abc import Iterator
from typing import Any

from aio.runtime.profiling.result import Profile
from aio.runtime.profiling.samples import Sample

Event = dict[str, Any]
COUNTERS = 0  # thread of a process that counters belong to


def trace_document(profile: Profile) -> dict[str, Any]:
    """Return the trace as plain data, ready for JSON."""
    times = [sample.time_ns for sample in profile.recording.samples]
    origin_ns = min(times, default=0)
    events = [*_names(profile), *_calls(profile, origin_ns), *_layers(profile, origin_ns)]
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"profile": profile.title, "begin": profile.begin},
    }


def _names(profile: Profile) -> Iterator[Event]:
    for point, visit in enumerate(profile.recording.visits):
        label = f"{'emulated ' if profile.emulated else ''}{visit.point.label}"
        yield _named("process_name", point, COUNTERS, label)
        for thread, info in enumerate(profile.subjects, start=1):
            yield _named("thread_name", point, thread, info.name)


def _named(what: str, point: int, thread: int, name: str) -> Event:
    return {"ph": "M", "name": what, "pid": point + 1, "tid": thread, "args": {"name": name}}


def _calls(profile: Profile, origin_ns: int) -> Iterator[Event]:
    threads = {info.name: thread for thread, info in enumerate(profile.subjects, start=1)}
    for sample in profile.recording.samples:
        begin_us = (sample.time_ns - origin_ns) / 1e3
        common = {"pid": sample.point + 1, "ts": begin_us}
        yield {
            **common,
            "ph": "X",
            "name": sample.plan or sample.subject,
            "cat": sample.phase,
            "tid": threads[sample.subject],
            "dur": sample.latency_ms * 1e3,
            "args": _arguments(sample),
        }
        if sample.cpu_khz is not None:
            yield {**common, **_counter("CPU clock", {"MHz": sample.cpu_khz / 1e3})}
        if sample.temperature_mc is not None:
            yield {**common, **_counter("temperature", {"C": sample.temperature_mc / 1e3})}
        if sample.level is not None:
            yield {**common, **_counter(f"level of {sample.subject}", {"level": sample.level})}


def _counter(name: str, values: dict[str, float]) -> Event:
    return {"ph": "C", "name": name, "tid": COUNTERS, "args": values}


def _arguments(sample: Sample) -> dict[str, object]:
    shown = ("latency_ms", "queue_ms", "idle_ms", "predicted_ms", "replans", "ratio", "throttle")
    values = {name: getattr(sample, name) for name in shown}
    return {name: value for name, value in values.items() if value is not None}


def _layers(profile: Profile, origin_ns: int) -> Iterator[Event]:
    threads = {info.name: thread for thread, info in enumerate(profile.subjects, start=1)}
    for trace in profile.layers:
        begin_us = (trace.time_ns - origin_ns) / 1e3
        common = {"ph": "X", "pid": trace.point + 1, "tid": threads[trace.subject]}
        whole_us = sum(ms for _, ms in trace.layers) * 1e3
        name = f"one sample, layer by layer: {trace.plan}"
        yield {**common, "name": name, "cat": "layers", "ts": begin_us, "dur": whole_us}
        for layer, ms in trace.layers:
            yield {**common, "name": layer, "cat": "layers", "ts": begin_us, "dur": ms * 1e3}
            begin_us += ms * 1e3
