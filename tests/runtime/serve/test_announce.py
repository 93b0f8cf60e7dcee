# SPDX-License-Identifier: Apache-2.0
"""The lines printed at the start."""

import json
import math
import shlex
from pathlib import Path

import pytest
from fake_engine import FakeEngine, record

from aio.runtime.serve import announce

URL = "http://127.0.0.1:8000"


def test_start_line() -> None:
    assert announce.start_line(FakeEngine(), URL, target="default", level=None) == (
        "aio-serve: fake on http://127.0.0.1:8000 | isa scalar | threads 2 | clock fake 1510 MHz "
        "| target 1 ms (default) | 3 levels"
    )


def test_start_line_of_what_is_not_known_or_pinned() -> None:
    engine = FakeEngine(device=record(cpu_khz=None).sample, given_target_ms=math.inf)
    line = announce.start_line(engine, URL, target="given", level=2)
    assert "| clock fake unknown | no target | level 2 of 3 only" in line


def test_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = {"name": "x", "shape": [1, 1, 2, 3], "datatype": "FP32", "data": [0, 12, 16, 0, 0, 0]}
    text = json.dumps({"id": "it's a 7", "inputs": [tensor]})
    path = tmp_path / "example.json"
    path.write_text(text + "\n")
    monkeypatch.setattr(announce, "EXAMPLE_REQUEST", path)
    lines = announce.example(URL, "digits").splitlines()
    assert lines[1:3] == ["      ##@@", "    "]
    assert shlex.split(lines[-1]) == ["curl", "-s", f"{URL}/v2/models/digits/infer", "-d", text]
