# SPDX-License-Identifier: Apache-2.0
"""What becomes of latency in the long run: medians by minute, and when throttling begins."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from aio.runtime.profiling.samples import STEADY, Sample

MINUTE_NS = 60_000_000_000
CLOCK_DROP = 0.05  # below the first minute's clock: throttling, whoever does it
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
MAX_S = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Minute:
    """The medians of a minute's steady samples; minutes count from 0, the last may be shorter."""

    minute: int
    count: int
    p50_ms: float
    cpu_khz: int | None
    temperature_mc: int | None
    ratio: float | None


@dataclass(frozen=True, slots=True)
class Onset:
    """When throttling began, in seconds since the first sample, and how it showed."""

    after_s: float
    reason: str


def duration_s(text: str) -> float:
    """Return the seconds that a text such as 90s, 30m or 1h means.

    Raises:
        ValueError: it is none, or not from 0 to 7 days.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not 0.0 < seconds <= MAX_S:
        raise ValueError(f"--sustained {text!r}: expected a time such as 90s, 30m or 1h, to 168h")
    return seconds


def minutes(samples: Sequence[Sample]) -> tuple[Minute, ...]:
    """Return the medians of one subject's samples by minute of the run."""
    steady = [sample for sample in samples if sample.phase == STEADY]
    if not steady:
        return ()
    begin_ns = samples[0].time_ns
    groups: dict[int, list[Sample]] = {}
    for sample in steady:
        groups.setdefault((sample.time_ns - begin_ns) // MINUTE_NS, []).append(sample)
    return tuple(_minute(number, group) for number, group in sorted(groups.items()))


def onset(samples: Sequence[Sample]) -> Onset | None:
    """Return when throttling began; None if it did not, or nothing could have shown it.

    What counts is a reason that the kernel gives, or a minute whose median clock is 5 % below the
    first minute's.
    """
    if not samples:
        return None
    begin_ns = samples[0].time_ns
    said = next((sample for sample in samples if sample.throttle), None)
    found = [] if said is None else [Onset((said.time_ns - begin_ns) / 1e9, str(said.throttle))]
    by_minute = [m for m in minutes(samples) if m.cpu_khz is not None]
    for minute in by_minute[1:]:
        first_khz, khz = by_minute[0].cpu_khz, minute.cpu_khz
        if first_khz and khz and khz < (1.0 - CLOCK_DROP) * first_khz:
            reason = f"median clock {khz / 1e3:.0f} MHz after {first_khz / 1e3:.0f}"
            found.append(Onset(60.0 * minute.minute, reason))
            break
    return min(found, key=lambda item: item.after_s, default=None)


def _minute(number: int, group: Sequence[Sample]) -> Minute:
    clocks = [s.cpu_khz for s in group if s.cpu_khz is not None]
    degrees = [s.temperature_mc for s in group if s.temperature_mc is not None]
    ratios = [s.ratio for s in group if s.ratio is not None]
    return Minute(
        minute=number,
        count=len(group),
        p50_ms=median(s.latency_ms for s in group),
        cpu_khz=round(median(clocks)) if clocks else None,
        temperature_mc=round(median(degrees)) if degrees else None,
        ratio=sum(ratios) / len(ratios) if ratios else None,
    )
