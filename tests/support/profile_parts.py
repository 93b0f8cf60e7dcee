# SPDX-License-Identifier: Apache-2.0
"""Samples and profiles made up for tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aio.runtime.profiling.points import Point
from aio.runtime.profiling.recording import Effort, Recording, Visit
from aio.runtime.profiling.result import LayerTrace, Profile, SubjectInfo
from aio.runtime.profiling.samples import STEADY, Sample

ACCURACIES = (0.9, 0.8, 0.7)


def sample(latency_ms: float = 10.0, **changes: Any) -> Sample:
    """Return a steady sample of the adaptive policy, at level 1 and 1 GHz."""
    plain = Sample(
        point=0,
        subject="adaptive",
        phase=STEADY,
        turn=0,
        time_ns=0,
        latency_ms=latency_ms,
        queue_ms=None,
        idle_ms=None,
        cpu_khz=1_000_000,
        clock_age_ms=1.0,
        gpu_khz=None,
        temperature_mc=None,
        throttle=None,
        quota_throttled_us=None,
        power_mw=None,
        energy_uj=None,
        level=1,
        levels=(1,),
        plan="level 1",
        replans=0,
        ratio=0.5,
        predicted_ms=9.0,
    )
    return plain._replace(**changes)


def other(latency_ms: float, **changes: Any) -> Sample:
    """Return a sample of another engine."""
    absent = ("level", "levels", "plan", "replans", "ratio", "predicted_ms")
    return sample(latency_ms, subject="ort", **dict.fromkeys(absent), **changes)


def profile(samples: Sequence[Sample], **changes: Any) -> Profile:
    """Return a profile of two subjects at the points that the samples name."""
    count = max((one.point for one in samples), default=-1) + 1
    visits = [Visit(Point(governor=f"governor{k}"), f"governor{k}") for k in range(count)]
    fields: dict[str, Any] = {
        "model": "small.aio",
        "ratios": (0.0, 0.5, 0.8),
        "batch": 1,
        "target_ms": 10.0,
        "dense_ms": 9.5,
        "given_deadline_ms": None,
        "emulated": None,
        "speeds": (),
        "effort": Effort(),
        "subjects": (
            SubjectInfo("adaptive", "aio scalar", 1, 5.0, ACCURACIES),
            SubjectInfo("ort", "ONNX Runtime 1", 1, 6.0, ACCURACIES[:1]),
        ),
        "recording": Recording(list(samples), visits),
        "layers": (LayerTrace(0, "adaptive", 50_000_000, "level 1", (("conv", 2.0), ("fc", 1.0))),),
        "environment": {
            "cpu": "a <cpu>",
            "kernel": "6",
            "clock_driver": "fake",
            "versions": {"aio": "1"},
        },
        "peak_rss_bytes": 1 << 20,
        "begin": "2026-01-01T00:00:00+00:00",
        "calibration": None,
        "duration_s": 1.0,
    }
    return Profile(**{**fields, **changes})


def two_points() -> Profile:
    """Return a profile whose adaptive subject is flat and whose other one is not."""
    samples = []
    for point, khz in enumerate((1_000_000, 500_000)):
        for k in range(20):
            at = {"point": point, "turn": point, "time_ns": (point * 20 + k) * 10_000_000}
            samples.append(sample(10.0 + 0.01 * k, cpu_khz=khz, **at))
            samples.append(other(10.0 * (point + 1), cpu_khz=khz, **at))
    return profile(samples)
