# SPDX-License-Identifier: Apache-2.0
"""The profile as JSON, and read again. docs/profiling.md describes every field."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aio.runtime.profiling.result import Profile
from aio.runtime.profiling.sustained import minutes, onset

SCHEMA = "aio-profile/1"
MAX_BYTES = 64 << 20


def as_document(profile: Profile) -> dict[str, Any]:
    """Return the profile as plain data, without the samples."""
    recording = profile.recording
    return {
        "schema": SCHEMA,
        "begin": profile.begin,
        "duration_s": profile.duration_s,
        "interrupted": recording.interrupted,
        "emulated": profile.emulated,
        "emulated_speeds": list(profile.speeds),
        "model": {"name": profile.model, "ratios": list(profile.ratios)},
        "batch": profile.batch,
        "target_ms": profile.target_ms,
        "dense_ms": profile.dense_ms,
        "deadline_ms": profile.deadline_ms,
        "calibration": profile.calibration,
        "peak_rss_bytes": profile.peak_rss_bytes,
        "effort": asdict(profile.effort),
        "environment": profile.environment,
        "subjects": [asdict(info) for info in profile.subjects],
        "points": [
            {
                "label": visit.point.label,
                "wanted": asdict(visit.point),
                "governor": visit.governor,
                "notes": list(visit.notes),
                "stopped_by": visit.stopped_by,
                "figures": {name: asdict(one) for name, one in figures.items()},
            }
            for visit, figures in zip(recording.visits, profile.at_points, strict=True)
        ],
        "overall": {
            name: {
                "figures": asdict(one),
                "frequency_spread": profile.spreads[name],
                "by_clock": [asdict(clock) for clock in profile.clocks[name]],
            }
            for name, one in profile.overall.items()
        },
        "sustained": _sustained(profile) if profile.effort.sustained else None,
    }


def _sustained(profile: Profile) -> dict[str, Any]:
    """Return medians by minute and when throttling began, by subject."""
    found = {}
    for info in profile.subjects:
        samples = profile.samples(info.name)
        began = onset(samples)
        found[info.name] = {
            "minutes": [asdict(minute) for minute in minutes(samples)],
            "throttling": None if began is None else asdict(began),
        }
    return found


def read_document(path: Path) -> dict[str, Any]:
    """Return a profile that was written as JSON.

    Raises:
        ValueError: the file is none, or of another version.
        OSError: it can't be read.
    """
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path}: more than {MAX_BYTES >> 20} MiB, no profile is that large")
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise ValueError(f"{path} is no profile: its schema is {found!r}, expected {SCHEMA!r}")
    assert isinstance(document, dict)
    return document
