# SPDX-License-Identifier: Apache-2.0
"""Measure subjects in turns at each point, until they were measured well enough.

Turns are short, so that all subjects see the same drift of the machine. What is recorded before
clocks and policy have settled is warm-up. An interruption ends the recording, not the program:
what was measured until then is kept.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from aio.runtime.profiling.points import Clocks, Point, governors_in_force
from aio.runtime.profiling.samples import COLD, STEADY, WARMUP, Sample, Timing, stamped
from aio.runtime.profiling.statistics import median_interval
from aio.runtime.profiling.subjects import Field, Subject

TURN_S = 1.0
LEAD_PART, MAX_LEAD_S = 0.25, 0.25  # of a turn: the kernel and the sampler need some 50 ms
SETTLE_S = 0.25  # more, the first time at a point
MIN_STEADY = 30  # samples, before the stability of their median means anything
MIN_TURNS = 3
CLOCK_TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Effort:
    """How long to measure and at which pace.

    Args:
        count: steady samples per subject and point; None does not count.
        seconds: steady time per subject and point; without `stable` all of it is used.
        stable: end before, when the 95 % interval of every median is this part of it or less.
        rate: calls per second, at fixed times; None calls as `idle_ms` says.
        idle_ms: pause after each call.
        turn_s: length of a turn.
        sustained: whether the point is to show what becomes of it in the long run.
    """

    count: int | None = None
    seconds: float = 8.0
    stable: float | None = 0.02
    rate: float | None = None
    idle_ms: float = 0.0
    turn_s: float = TURN_S
    sustained: bool = False


@dataclass
class Visit:
    """What happened at a point. `stopped_by` says which rule ended it."""

    point: Point
    governor: str | None = None
    notes: list[str] = field(default_factory=list)
    stopped_by: str = "not measured"


@dataclass
class Recording:
    """Everything recorded. `interrupted` names what ended it early, None if nothing did."""

    samples: list[Sample] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    interrupted: str | None = None
    exit_code: int = 0


class Recorder:
    """Records a field of subjects.

    Args:
        subjects: what is measured.
        clocks: what makes the settings.
        effort: how long and how often.
        keep: is given the samples of each turn as soon as it ends.
        progress: is told which part of the work is done.
        at_point: is called at the end of each point, while its settings are in force.
    """

    def __init__(
        self,
        subjects: Field,
        clocks: Clocks,
        effort: Effort,
        *,
        keep: Callable[[Sequence[Sample]], object] = lambda samples: None,
        progress: Callable[[float], object] = lambda part: None,
        at_point: Callable[[int], object] = lambda point: None,
    ) -> None:
        self._field, self._clocks, self._effort = subjects, clocks, effort
        self._keep, self._progress, self._at_point = keep, progress, at_point
        self._turn = 0
        self._called: set[str] = set()
        self.recording = Recording()

    def record(self, wanted: Sequence[Point]) -> Recording:
        """Measure each point in turn; see Recording for what an interruption does.

        Raises:
            ValueError: a point can't be set; nothing was measured.
            SettingsError: setting it failed.
        """
        recording = self.recording
        for point in wanted:  # all of them, before minutes are spent on the first
            self._clocks.check(point)
        try:
            for index, point in enumerate(wanted):
                self._visit(index, point, len(wanted))
        except KeyboardInterrupt:
            recording.interrupted, recording.exit_code = "SIGINT", 130
        except SystemExit as end:  # how signals end `with` blocks here
            code = end.code if isinstance(end.code, int) else 1
            recording.interrupted, recording.exit_code = f"signal {code - 128}", code
        return recording

    def _visit(self, index: int, point: Point, count: int) -> None:
        visit = Visit(point)
        self.recording.visits.append(visit)
        visit.notes += self._clocks.set(point)
        latencies: dict[str, list[float]] = {s.name: [] for s in self._field.subjects}
        steady_s = dict.fromkeys(latencies, 0.0)
        rounds = 0
        while (reason := self._enough(latencies, steady_s, rounds)) is None:
            for place, subject in enumerate(self._field.subjects):
                took = [s for s in self._one_turn(index, subject, rounds) if s.phase == STEADY]
                latencies[subject.name] += [sample.latency_ms for sample in took]
                if took:
                    span_ns = took[-1].time_ns - took[0].time_ns
                    steady_s[subject.name] += span_ns / 1e9 + took[-1].latency_ms / 1e3
                part = self._part(latencies, steady_s)
                share = (place + 1) / len(self._field.subjects)
                self._progress((index + min(part, 0.99) * share) / count)
            if problem := self._clocks.problem():
                raise OSError(f"no longer emulated: {problem}")
            rounds += 1
        visit.stopped_by = reason
        visit.governor = self._governor()
        visit.notes += self._disagreement(index, point)
        self._at_point(index)
        self._progress((index + 1) / count)

    def _enough(
        self, latencies: dict[str, list[float]], steady_s: dict[str, float], rounds: int
    ) -> str | None:
        """Return which rule says that every subject was measured well enough, None if none does."""
        effort = self._effort
        if effort.count is not None:
            least = min(map(len, latencies.values()))
            return f"{effort.count} samples" if least >= effort.count else None
        if rounds and min(steady_s.values()) >= effort.seconds * (1 - LEAD_PART):
            return f"{effort.seconds:g} s"
        if effort.stable is None or rounds < MIN_TURNS:
            return None
        if all(len(v) >= MIN_STEADY and _width(v) <= effort.stable for v in latencies.values()):
            return f"medians known to {effort.stable:.1%}"
        return None

    def _part(self, latencies: dict[str, list[float]], steady_s: dict[str, float]) -> float:
        if self._effort.count is not None:
            return min(map(len, latencies.values())) / self._effort.count
        return min(steady_s.values()) / self._effort.seconds

    def _one_turn(self, point: int, subject: Subject, rounds: int) -> list[Sample]:
        """Call a subject for the length of a turn, at least once in steady state."""
        effort, taken = self._effort, list[Sample]()
        turn_s = min(effort.turn_s, max(effort.seconds, 1e-3))
        lead_s = min(LEAD_PART * turn_s, MAX_LEAD_S)
        if rounds == 0:
            extra_s = min(SETTLE_S, lead_s)
            lead_s, turn_s = lead_s + extra_s, turn_s + extra_s
        begin_ns = time.monotonic_ns()
        due_ns, ended_ns, steady = begin_ns, None, 0
        try:
            while True:
                past_s = (time.monotonic_ns() - begin_ns) / 1e9
                if steady and (past_s >= turn_s or steady == effort.count):
                    return taken
                phase = WARMUP if past_s < lead_s or not taken else STEADY
                if subject.name not in self._called:
                    phase = COLD
                    self._called.add(subject.name)
                due_ns = self._wait(due_ns, ended_ns)
                where = (point, subject.name, phase, self._turn)
                sample, ended_ns = self._call(subject, where, due_ns, ended_ns)
                taken.append(sample)
                steady += phase == STEADY
        finally:
            # Also of a turn that a signal ends: its samples are as good as others.
            self._turn += 1
            self.recording.samples += taken
            self._keep(taken)

    def _wait(self, due_ns: int, ended_ns: int | None) -> int:
        """Wait for the time of the next call and return when that is."""
        effort = self._effort
        if ended_ns is None:
            return due_ns
        if effort.rate is None:
            due_ns = ended_ns + round(effort.idle_ms * 1e6)
        else:
            period_ns = round(1e9 / effort.rate)
            # What is more than a period late is dropped, as a camera drops frames.
            due_ns = max(due_ns + period_ns, ended_ns - period_ns)
        ahead_s = (due_ns - time.monotonic_ns()) / 1e9
        if ahead_s > 0:
            time.sleep(ahead_s)
        return due_ns

    def _call(
        self,
        subject: Subject,
        where: tuple[int, str, str, int],
        due_ns: int,
        ended_ns: int | None,
    ) -> tuple[Sample, int]:
        begin_ns = time.monotonic_ns()
        record = subject.call()
        end_ns = time.monotonic_ns()
        timing = Timing(
            *where,
            time_ns=begin_ns,
            latency_ms=(end_ns - begin_ns) / 1e6,
            queue_ms=None if self._effort.rate is None else max(begin_ns - due_ns, 0) / 1e6,
            idle_ms=None if ended_ns is None else (begin_ns - ended_ns) / 1e6,
        )
        device = subject.device() if record is None else record.sample
        return stamped(timing, device, record), end_ns

    def _governor(self) -> str | None:
        policies = self._field.subjects[0].device().clock.policies
        return governors_in_force([policy.name for policy in policies])

    def _disagreement(self, index: int, point: Point) -> list[str]:
        """Say when the sensors do not see the clock that was set."""
        if point.cpu_khz is None:
            return []
        samples = (s for s in self.recording.samples if s.point == index and s.phase == STEADY)
        seen = sorted(s.cpu_khz for s in samples if s.cpu_khz is not None)
        if not seen:
            return [f"{point.cpu_khz} kHz were set, and no sensor sees the clock"]
        khz = seen[len(seen) // 2]
        if abs(khz - point.cpu_khz) <= CLOCK_TOLERANCE * point.cpu_khz:
            return []
        return [f"{point.cpu_khz} kHz were asked for, the sensors see {khz}"]


def _width(latencies_ms: Sequence[float]) -> float:
    """Return the width of the median's interval over the median."""
    ordered = sorted(latencies_ms)
    low_ms, high_ms = median_interval(ordered)
    middle_ms = ordered[(len(ordered) - 1) // 2]
    return (high_ms - low_ms) / middle_ms if middle_ms > 0 else math.inf
