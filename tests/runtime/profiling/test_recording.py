# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from aio.governors import ClockSample, DeviceSample
from aio.runtime.profiling.points import Point, RealClocks
from aio.runtime.profiling.recording import Effort, Recorder
from aio.runtime.profiling.samples import COLD, STEADY, WARMUP, Sample
from aio.runtime.profiling.subjects import Field, Subject

DEVICE = DeviceSample(0, ClockSample(0, 1_000_000, 2_000_000, "fake"))
SHORT = Effort(count=4, stable=None, turn_s=0.004)


def subject(name: str, call: Callable[[], None] = lambda: None) -> Subject:
    return Subject(name, "fake", 1, 0.0, call, lambda: DEVICE, ())


def field(*subjects: Subject) -> Field:
    return Field(subjects, 1, None, None, None)


class Refusing(RealClocks):
    def __init__(self, *, broken: str | None = None) -> None:
        super().__init__(None)
        self.broken = broken

    def check(self, point: Point) -> None:
        if point.governor == "turbo":
            raise ValueError("no turbo")

    def problem(self) -> str | None:
        return self.broken


def test_subjects_take_turns_at_each_point() -> None:
    kept: list[Sample] = []
    ended: list[int] = []
    recorder = Recorder(
        field(subject("a"), subject("b")),
        RealClocks(None),
        SHORT,
        keep=kept.extend,
        at_point=ended.append,
    )
    found = recorder.record([Point(), Point()])
    assert kept == found.samples
    assert (ended, found.interrupted, found.exit_code) == ([0, 1], None, 0)
    assert [visit.stopped_by for visit in found.visits] == ["4 samples"] * 2
    turns = [key for key, _ in itertools.groupby(found.samples, lambda s: (s.point, s.subject))]
    assert turns[:2] == [(0, "a"), (0, "b")]
    for name in ("a", "b"):
        own = [s.phase for s in found.samples if s.subject == name]
        assert (own[0], own.count(COLD)) == (COLD, 1)
        assert WARMUP in own
        for point in (0, 1):
            steady = [s for s in found.samples if (s.subject, s.point) == (name, point)]
            assert [s.phase for s in steady].count(STEADY) >= 4
    assert all(s.cpu_khz == 1_000_000 and s.idle_ms != 0 for s in found.samples)


@pytest.mark.parametrize(
    ("error", "cause", "code"),
    [(KeyboardInterrupt(), "SIGINT", 130), (SystemExit(143), "signal 15", 143)],
)
def test_what_was_measured_before_an_interruption_is_kept(
    error: BaseException, cause: str, code: int
) -> None:
    calls = itertools.count()

    def call() -> None:
        if next(calls) == 5:
            raise error

    kept: list[Sample] = []
    found = Recorder(field(subject("a", call)), RealClocks(None), SHORT, keep=kept.extend).record(
        [Point()]
    )
    assert (found.interrupted, found.exit_code) == (cause, code)
    assert len(found.samples) == len(kept) == 5
    assert found.visits[0].stopped_by == "not measured"


def test_every_point_is_looked_at_before_the_first_is_measured() -> None:
    recorder = Recorder(field(subject("a")), Refusing(), SHORT)
    with pytest.raises(ValueError, match="no turbo"):
        recorder.record([Point(), Point("turbo")])
    assert recorder.recording.samples == []


def test_an_emulation_that_ended_is_an_error() -> None:
    recorder = Recorder(field(subject("a")), Refusing(broken="a thief was killed"), SHORT)
    with pytest.raises(OSError, match="no longer emulated: a thief was killed"):
        recorder.record([Point()])


def test_stability_ends_a_point() -> None:
    effort = Effort(seconds=30.0, stable=1e9, turn_s=0.02)
    found = Recorder(field(subject("a")), RealClocks(None), effort).record([Point()])
    assert found.visits[0].stopped_by.startswith("medians known to")


def test_a_rate_is_kept_and_lateness_is_told() -> None:
    effort = Effort(count=5, stable=None, rate=200.0, turn_s=0.1)
    found = Recorder(field(subject("a")), RealClocks(None), effort).record([Point()])
    steady = [s for s in found.samples if s.phase == STEADY]
    assert all(s.queue_ms is not None and s.queue_ms >= 0 for s in steady)
    gaps = [b.time_ns - a.time_ns for a, b in itertools.pairwise(steady) if a.turn == b.turn]
    assert sum(gaps) / len(gaps) >= 4.9e6


def test_pauses_are_made() -> None:
    effort = Effort(count=3, stable=None, idle_ms=2.0, turn_s=0.02)
    found = Recorder(field(subject("a")), RealClocks(None), effort).record([Point()])
    idle = [s.idle_ms for s in found.samples if s.idle_ms is not None]
    assert min(idle) >= 2.0


def test_a_clock_that_the_sensors_do_not_see_is_told() -> None:
    found = Recorder(field(subject("a")), RealClocks(None), SHORT).record([Point(cpu_khz=500_000)])
    assert found.visits[0].notes == ["500000 kHz were asked for, the sensors see 1000000"]
