# SPDX-License-Identifier: Apache-2.0
"""The lines printed at the start."""

import json
import math
import re
import shlex
from pathlib import Path

import pytest
from fake_engine import FakeEngine, record

from aio.runtime.serve import announce

URL = "http://127.0.0.1:8000"


def test_start_line() -> None:
    assert announce.start_line(FakeEngine(), URL, target="default", level=None) == (
        "aio-serve: fake on http://127.0.0.1:8000 | isa scalar | threads 2 | clock fake 1510 MHz "
        "| sensors thermal zones | target 1 ms (default) | 3 levels"
    )


def test_start_line_of_what_is_not_known_or_pinned() -> None:
    engine = FakeEngine(device=record(cpu_khz=None).sample, given_target_ms=math.inf)
    line = announce.start_line(engine, URL, target="given", level=2)
    assert "| clock fake unknown | sensors thermal zones | no target | level 2 of 3 only" in line


def test_start_line_without_other_sensors() -> None:
    line = announce.start_line(FakeEngine(sensors=()), URL, target="given", level=None)
    assert "| no other sensors |" in line


def test_start_entry_of_the_json_log() -> None:
    line = announce.start_entry(
        FakeEngine(), URL, target="default", level=None, grpc="127.0.0.1:8001"
    )
    assert "\n" not in line
    entry = json.loads(line)
    time = entry.pop("time")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert entry == {
        "level": "info",
        "logger": "aio-serve",
        "message": f"serving fake on {URL}",
        "model": "fake",
        "address": URL,
        "grpc_address": "127.0.0.1:8001",
        "isa": "scalar",
        "threads": 2,
        "clock_driver": "fake",
        "cpu_khz": 1_510_000,
        "sensors": {"cpu_clock": "fake", "thermal": "zones"},
        "target_ms": 1.0,
        "target_from": "default",
        "levels": 3,
        "pinned_level": None,
    }


def test_start_entry_of_what_is_not_known() -> None:
    engine = FakeEngine(device=record(cpu_khz=None).sample, given_target_ms=math.inf)
    entry = json.loads(announce.start_entry(engine, URL, target="given", level=2))
    assert (entry["cpu_khz"], entry["target_ms"], entry["pinned_level"]) == (None, None, 2)


def test_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = {"name": "x", "shape": [1, 1, 2, 3], "datatype": "FP32", "data": [0, 12, 16, 0, 0, 0]}
    text = json.dumps({"id": "it's a 7", "inputs": [tensor]})
    path = tmp_path / "example.json"
    path.write_text(text + "\n")
    monkeypatch.setattr(announce, "EXAMPLE_REQUEST", path)
    lines = announce.example(URL, "digits").splitlines()
    assert lines[1:3] == ["      ##@@", "    "]
    assert shlex.split(lines[-1]) == ["curl", "-s", f"{URL}/v2/models/digits/infer", "-d", text]
