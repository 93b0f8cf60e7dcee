# SPDX-License-Identifier: Apache-2.0
"""Service level objectives: figures that must hold, for use in scripts and CI."""

import operator
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aio.runtime.profiling.result import Profile
from aio.runtime.profiling.statistics import Figures

_FORM = re.compile(
    r"(?:(?P<subject>[^<>=]+):)?(?P<figure>\w+(?:\.\w+)?)\s*"
    r"(?P<sign><=|>=|<|>)\s*(?P<limit>[0-9.]+(?:e-?\d+)?)\s*(?P<unit>[a-zA-Z%]*)"
)
_SIGNS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_PART = {"": 1.0, "%": 0.01}
_MJ = {"mj": 1.0, "j": 1e3}


@dataclass(frozen=True, slots=True)
class Figure:
    """What an assertion can name: where it is from, and its units as factors."""

    read: Callable[[Figures], float | None]
    units: dict[str, float]


FIGURES = {
    "p50": Figure(lambda f: f.latency.p50_ms, _MS),
    "p90": Figure(lambda f: f.latency.p90_ms, _MS),
    "p95": Figure(lambda f: f.latency.p95_ms, _MS),
    "p99": Figure(lambda f: f.latency.p99_ms, _MS),
    "p99.9": Figure(lambda f: f.latency.p999_ms, _MS),
    "min": Figure(lambda f: f.latency.min_ms, _MS),
    "max": Figure(lambda f: f.latency.max_ms, _MS),
    "mean": Figure(lambda f: f.latency.mean_ms, _MS),
    "stdev": Figure(lambda f: f.latency.stdev_ms, _MS),
    "cv": Figure(lambda f: f.latency.cv, _PART),
    "worst_over_best": Figure(lambda f: f.latency.worst_over_best, {"": 1.0}),
    "misses": Figure(lambda f: f.deadline_misses, _PART),
    "accuracy": Figure(lambda f: f.accuracy, _PART),
    "energy": Figure(lambda f: f.energy_mj, _MJ),
}
SPREAD = "spread"  # across the points, not of one


@dataclass(frozen=True, slots=True)
class Assertion:
    """A figure and its limit, at every point. `subject` None is the first one measured."""

    text: str
    subject: str | None
    figure: str
    sign: str
    limit: float
    unit: str

    def check_subject(self, names: Sequence[str]) -> None:
        """Look whether the subject is measured.

        Raises:
            ValueError: it is not.
        """
        if self.subject is not None and self.subject not in names:
            raise ValueError(
                f"--assert {self.text!r}: {self.subject} is not measured, only {', '.join(names)}"
            )

    def failures(self, profile: Profile) -> list[str]:
        """Return where the assertion does not hold, and by how much; empty if it does.

        A figure that is not available fails: nobody knows that it holds.
        """
        name = self.subject or profile.subjects[0].name
        if self.figure == SPREAD:
            value = profile.spreads.get(name)
            return self._verdict(f"{name} across frequencies", value, _PART[self.unit])
        figure = FIGURES[self.figure]
        lines = []
        for visit, found in zip(profile.recording.visits, profile.at_points, strict=True):
            one = found.get(name)
            value = None if one is None else figure.read(one)
            where = f"{name} at {visit.point.label}"
            lines += self._verdict(where, value, figure.units[self.unit])
        return lines

    def _verdict(self, where: str, value: float | None, factor: float) -> list[str]:
        if value is None:
            return [f"{self.text}: {where} it is not available"]
        limit = self.limit * factor
        if _SIGNS[self.sign](value, limit):
            return []
        shown = f"{self.figure} is {value / factor:.4g}{self.unit}"
        if not limit:
            return [f"{self.text}: {where} {shown}"]
        side = "over" if value >= limit else "under"
        return [f"{self.text}: {where} {shown}, {abs(value / limit - 1):.1%} {side} the limit"]


def parse_assertion(text: str) -> Assertion:
    """Return what a text such as `p99<20ms` or `table:cv<=5%` says.

    Raises:
        ValueError: it is not of that form, or names an unknown figure or unit.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"--assert {text!r}: expected [SUBJECT:]FIGURE<LIMIT, such as p99<20ms")
    figure, unit = found["figure"], found["unit"].lower()
    units = _PART if figure == SPREAD else None
    if figure in FIGURES:
        units = FIGURES[figure].units
    if units is None:
        known = ", ".join([*FIGURES, SPREAD])
        raise ValueError(f"--assert {text!r}: no figure {figure!r}, known are {known}")
    if unit not in units:
        names = " or ".join(name or "none" for name in units)
        raise ValueError(f"--assert {text!r}: unit {unit or 'missing'}, expected {names}")
    try:
        limit = float(found["limit"])
    except ValueError:
        raise ValueError(f"--assert {text!r}: {found['limit']!r} is no number") from None
    return Assertion(text, found["subject"], figure, found["sign"], limit, unit)
