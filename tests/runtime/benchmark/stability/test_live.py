# SPDX-License-Identifier: Apache-2.0
"""The measurements in real time, shortened: every subject answers, every figure is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aio.governors.sysfs import ROOT_VARIABLE
from aio.runtime.benchmark.stability import neighbour, pace_cost, realtime
from aio.runtime.shipped import SHIPPED_MODEL

CPU = max(os.sched_getaffinity(0))
SUBJECTS = {"adaptive", "table", "fixed densest", "fixed sparsest", "ONNX Runtime"}


def test_under_thieves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(realtime, "STEP_S", 0.05)
    parts: list[float] = []
    before = os.sched_getaffinity(0)
    found = realtime.under_thieves(
        SHIPPED_MODEL, cpu=CPU, rounds=1, others=1, peers=True, progress=parts.append
    )
    assert set(found.subjects) == SUBJECTS
    assert found.batch > 1
    for live in found.subjects.values():
        assert set(live.by_speed) == set(realtime.SPEEDS)
        assert live.overall.requests == sum(s.requests for s in live.by_speed.values())
    assert parts[0] == 0.0
    assert os.sched_getaffinity(0) == before
    assert ROOT_VARIABLE not in os.environ


def test_beside_a_neighbour(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / neighbour.PROGRAM
    program.write_text("#!/bin/sh\nexec sleep 10\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(neighbour, "STAY_S", 0.05)
    found = neighbour.beside_neighbour(
        SHIPPED_MODEL, cpu=CPU, turns=1, peers=False, progress=lambda part: None
    )
    assert set(found.subjects) == SUBJECTS - {"ONNX Runtime"}
    assert all(s.requests >= 2 for s in found.subjects.values())


def test_without_the_neighbour_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError, match="apt-get install stress-ng"):
        neighbour.beside_neighbour(
            SHIPPED_MODEL, cpu=CPU, turns=1, peers=False, progress=lambda part: None
        )


def test_pace_cost() -> None:
    found = pace_cost.pace_cost(SHIPPED_MODEL, level=3, seconds=0.05)
    assert found.level == 3
    assert found.without_us.count >= pace_cost.MIN_PAIRS
    assert -0.5 < found.overhead < 0.5
    assert found.standard_error > 0.0
