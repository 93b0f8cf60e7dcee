# SPDX-License-Identifier: Apache-2.0
"""A finished profile: what was recorded, with its figures, for everything that writes it out."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from aio.runtime.profiling.recording import Effort, Recording
from aio.runtime.profiling.samples import STEADY, Sample
from aio.runtime.profiling.statistics import (
    DEADLINE_SLACK,
    AtClock,
    Figures,
    by_clock,
    figures,
    frequency_spread,
)


@dataclass(frozen=True, slots=True)
class SubjectInfo:
    """What a subject was; see `subjects.Subject`."""

    name: str
    engine: str
    threads: int
    load_ms: float
    accuracies: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class LayerTrace:
    """An inference of one sample that was timed layer by layer, at the end of a point."""

    point: int
    subject: str
    time_ns: int
    plan: str
    layers: tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Profile:
    """Everything about one run.

    `calibration` is the file that a calibration was kept in, if one was asked for.
    `target_ms` and `deadline_ms` are for a call of `batch` samples; `dense_ms` is what the
    densest level takes at full clock by calibration. `speeds` are the emulated speeds wanted and
    achieved. `peak_rss_bytes` is of the process with all subjects in it.
    """

    model: str
    ratios: tuple[float, ...]
    batch: int
    target_ms: float | None
    dense_ms: float | None
    given_deadline_ms: float | None
    emulated: str | None
    speeds: tuple[dict[str, float], ...]
    effort: Effort
    subjects: tuple[SubjectInfo, ...]
    recording: Recording
    layers: tuple[LayerTrace, ...]
    environment: dict[str, object]
    peak_rss_bytes: int
    begin: str
    calibration: str | None
    duration_s: float

    @property
    def deadline_ms(self) -> float | None:
        """Return what a response may take: the given time, or 1.2 times the target."""
        if self.given_deadline_ms is not None or self.target_ms is None:
            return self.given_deadline_ms
        return DEADLINE_SLACK * self.target_ms

    @property
    def title(self) -> str:
        """Return what was profiled, with the word emulated where it belongs."""
        batch = f", batch {self.batch}" if self.batch > 1 else ""
        emulated = f"; {self.emulated}" if self.emulated else ""
        return f"{self.model}{batch}{emulated}"

    def samples(self, subject: str, point: int | None = None) -> list[Sample]:
        """Return the samples of a subject, at one point or at all."""
        return [
            sample
            for sample in self.recording.samples
            if sample.subject == subject and point in {None, sample.point}
        ]

    def steady(self, subject: str, point: int | None = None) -> list[Sample]:
        """Return those of them that count."""
        return [s for s in self.samples(subject, point) if s.phase == STEADY]

    @cached_property
    def at_points(self) -> tuple[dict[str, Figures], ...]:
        """Return the figures per point by subject; a subject without steady samples is left out."""
        return tuple(self._figures(index) for index in range(len(self.recording.visits)))

    @cached_property
    def overall(self) -> dict[str, Figures]:
        """Return the figures over all points by subject."""
        return self._figures(None)

    @cached_property
    def clocks(self) -> dict[str, tuple[AtClock, ...]]:
        """Return the latencies by clock of each subject."""
        return {info.name: by_clock(self.samples(info.name)) for info in self.subjects}

    @property
    def spreads(self) -> dict[str, float | None]:
        """Return the spread across frequencies of each subject."""
        return {name: frequency_spread(clocks) for name, clocks in self.clocks.items()}

    def _figures(self, point: int | None) -> dict[str, Figures]:
        found = {}
        for info in self.subjects:
            # A device that is emulated uses the power of this one, which says nothing.
            samples = self.samples(info.name, point)
            if self.emulated:
                samples = without_energy(samples)
            one = figures(samples, info.accuracies, self.deadline_ms)
            if one is not None:
                found[info.name] = one
        return found


def without_energy(samples: Sequence[Sample]) -> list[Sample]:
    """Return samples whose power and energy are unknown."""
    return [sample._replace(power_mw=None, energy_uj=None) for sample in samples]
