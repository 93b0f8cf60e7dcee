# SPDX-License-Identifier: Apache-2.0
"""A profile and the difference of two as tables."""

import os
from collections.abc import Sequence

from aio.governors.sysfs import ROOT_VARIABLE
from aio.runtime.printing import MISSING, milliseconds, number, text_table
from aio.runtime.profiling.diff import Differences
from aio.runtime.profiling.result import Profile
from aio.runtime.profiling.statistics import Figures
from aio.runtime.profiling.sustained import minutes, onset

NOT_AVAILABLE = "not available"
OFF = 0.10  # emulated speeds that are worth a remark


def profile_text(profile: Profile) -> str:
    """Return the figures point by point, those across all points, and remarks."""
    blocks = [profile.title, _points_table(profile)]
    if len(profile.recording.visits) > 1 or len(profile.subjects) > 1:
        blocks.append(_overall_table(profile))
    if profile.effort.sustained:
        blocks += [_sustained_text(profile, info.name) for info in profile.subjects]
    blocks.append("\n".join(_remarks(profile)))
    return "\n\n".join(blocks)


def _points_table(profile: Profile) -> str:
    header = ["point", "subject", "MHz", "calls", "p50 ms", "p90 ms", "p95 ms", "p99 ms"]
    header += ["p99.9 ms", "max ms", "cv", "misses", "mJ/call", "changes", "time per level"]
    rows = []
    for visit, figures in zip(profile.recording.visits, profile.at_points, strict=True):
        label = visit.point.label
        if visit.point.governor is None and visit.governor is not None:
            label = f"{visit.governor} {label}" if visit.point.cpu_khz else visit.governor
        for name, one in figures.items():
            rows.append([label, name, *_latency_cells(one)])
    return text_table(header, rows, left=2) if rows else "no steady samples"


def _latency_cells(one: Figures) -> list[str]:
    latency = one.latency
    return [
        _mhz(one.seen_khz),
        str(latency.count),
        *map(milliseconds, (latency.p50_ms, latency.p90_ms, latency.p95_ms, latency.p99_ms)),
        *map(milliseconds, (latency.p999_ms, latency.max_ms)),
        f"{latency.cv:.1%}",
        number(one.deadline_misses, ".1%"),
        number(one.energy_mj, ".3g"),
        number(one.level_changes, "d") if one.level_changes is not None else MISSING,
        " ".join(f"{share.level}:{share.time:.0%}" for share in one.levels) or MISSING,
    ]


def _overall_table(profile: Profile) -> str:
    header = ["all points", "calls", "cold ms", "mean ms", "cv", "worst/best"]
    header += ["spread over clocks", "misses", "mean ratio", "accuracy"]
    rows = [
        [
            name,
            str(one.latency.count),
            *map(milliseconds, (one.cold_ms, one.latency.mean_ms)),
            f"{one.latency.cv:.1%}",
            f"{one.latency.worst_over_best:.2f}",
            number(profile.spreads[name], ".1%"),
            number(one.deadline_misses, ".1%"),
            number(one.ratio, ".2f"),
            number(one.accuracy, ".2%"),
        ]
        for name, one in profile.overall.items()
    ]
    return text_table(header, rows) if rows else "no steady samples"


def _sustained_text(profile: Profile, name: str) -> str:
    samples = profile.samples(name)
    rows = [
        [
            str(one.minute),
            str(one.count),
            milliseconds(one.p50_ms),
            _mhz(one.cpu_khz),
            MISSING if one.temperature_mc is None else f"{one.temperature_mc / 1e3:.1f}",
            number(one.ratio, ".2f"),
        ]
        for one in minutes(samples)
    ]
    table = text_table(["minute", "calls", "p50 ms", "MHz", "C", "ratio"], rows)
    began = onset(samples)
    verdict = "no throttling seen"
    if began is not None:
        verdict = f"throttling began after {began.after_s:.0f} s: {began.reason}"
    return f"{name}\n{table}\n{verdict}"


def _remarks(profile: Profile) -> list[str]:
    target = ""
    if profile.target_ms is not None:
        target = f"target {milliseconds(profile.target_ms)} ms, "
    if profile.deadline_ms is not None:
        target += f"a miss is more than {milliseconds(profile.deadline_ms)} ms, "
    lines = [f"{target}peak RSS {profile.peak_rss_bytes / 2**20:.0f} MiB with all subjects"]
    if profile.effort.rate is not None:
        lines.append(f"{profile.effort.rate:.4g} calls per second; a late one counts its waiting")
    lines.append(f"clocks seen by {profile.environment['clock_driver']}")
    if all(one.energy_mj is None for one in profile.overall.values()):
        why = "power is not emulated" if profile.emulated else "no rail is measured here"
        lines.append(f"energy per inference: {NOT_AVAILABLE} ({why})")
    if profile.calibration is not None:
        lines.append(f"calibration over all points kept in {profile.calibration}")
    root = os.environ.get(ROOT_VARIABLE)
    if root and not profile.emulated:
        lines.append(f"settings and clocks are those of {ROOT_VARIABLE}={root}, not this machine's")
    off = [speed for speed in profile.speeds if abs(speed["error"]) > OFF]
    if off:
        names = ", ".join(f"{speed['speed']:.2f} ({speed['error']:+.0%})" for speed in off)
        lines.append(f"note: emulated speeds off by more than 10 %: {names}")
    notes = dict.fromkeys(note for visit in profile.recording.visits for note in visit.notes)
    return [*lines, *(f"note: {note}" for note in notes)]


def diff_text(found: Differences) -> str:
    """Return a table of changes; those within the noise are marked with ~."""
    header = ["point", "subject", "p50 A", "p50 B", "", "p99 A", "p99 B", "", "cv A", "cv B"]
    rows = [
        [
            change.point,
            change.subject,
            *_pair(change.p50_ms, "" if change.certain else "~"),
            *_pair(change.p99_ms, ""),
            *(f"{cv:.1%}" for cv in change.cv),
        ]
        for change in found.changes
    ]
    lines = [text_table(header, rows, left=2), "", "~ the 95 % intervals of the medians overlap"]
    lines += found.only
    if found.conditions:
        lines += ["measured under different conditions:", *(f"  {c}" for c in found.conditions)]
    return "\n".join(lines)


def _pair(values: Sequence[float], mark: str) -> list[str]:
    a, b = values
    return [milliseconds(a), milliseconds(b), f"{mark}{b / a - 1:+.1%}"]


def _mhz(khz: int | None) -> str:
    return MISSING if khz is None else f"{khz / 1e3:.0f}"
