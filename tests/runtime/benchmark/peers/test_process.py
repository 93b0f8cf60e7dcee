# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from peer_parts import fake_engines

from aio.runtime.benchmark.peers.process import PeerFailedError, PeerMissingError, PeerProcess

__all__ = ["fake_engines"]  # a fixture

PYTHON = Path(sys.executable)
PATIENCE_S = 20.0


def start(engine: str, folder: Path) -> PeerProcess:
    return PeerProcess(PYTHON, engine, threads=3, batch=2, folder=folder)


def state(pid: int) -> str | None:
    """Return the state of a process as /proc has it, None if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None
    return text.rpartition(")")[2].split()[0]


@pytest.mark.usefixtures("fake_engines")
def test_an_engine_is_told_what_to_do(tmp_path: Path) -> None:
    with start("echo_engine", tmp_path) as process:
        x = np.arange(4, dtype=np.float32)
        answer = process.answer(process.load(tmp_path / "none.onnx"), x)
        assert (process.version, process.threads) == ("9", 3)
        assert answer[:3].tolist() == [3, 2, 3]
        np.testing.assert_array_equal(answer[4:], x)
        assert process.latency_ms(0, warmup_ms=0.1, repeats=2) > 0
        rss, peak = process.memory()
        assert 1_000_000 < rss <= peak


@pytest.mark.usefixtures("fake_engines")
def test_it_is_stopped_while_others_have_their_turn(tmp_path: Path) -> None:
    with start("echo_engine", tmp_path) as process:
        answer = process.answer(process.load(tmp_path), np.zeros(1, np.float32))
        pid = int(answer[3])
        end_s = time.monotonic() + PATIENCE_S  # the signal is under way
        while state(pid) != "T" and time.monotonic() < end_s:
            time.sleep(0.01)
        assert state(pid) == "T"
    assert state(pid) is None


@pytest.mark.usefixtures("fake_engines")
def test_it_ends_with_its_parent_even_while_stopped(tmp_path: Path) -> None:
    program = f"""
import os, numpy as np
from pathlib import Path
from aio.runtime.benchmark.peers.process import PeerProcess
process = PeerProcess(Path({sys.executable!r}), "echo_engine", 1, 1, Path({str(tmp_path)!r}))
print(int(process.answer(process.load(Path("x")), np.zeros(1, np.float32))[3]), flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    pid = int(done.stdout)
    end_s = time.monotonic() + PATIENCE_S
    while state(pid) not in {None, "Z"}:
        assert time.monotonic() < end_s
        time.sleep(0.01)


@pytest.mark.usefixtures("fake_engines")
def test_what_it_prints_is_not_taken_for_an_answer(tmp_path: Path) -> None:
    with start("honest_engine", tmp_path) as process:
        assert process.version == "1.2"


@pytest.mark.usefixtures("fake_engines")
def test_a_missing_engine_is_named(tmp_path: Path) -> None:
    with pytest.raises(PeerMissingError, match="an_engine_that_nobody_has") as caught:
        start("absent_engine", tmp_path)
    assert caught.value.module == "an_engine_that_nobody_has"


@pytest.mark.usefixtures("fake_engines")
def test_an_engine_that_fails_tells_why(tmp_path: Path) -> None:
    with start("broken_engine", tmp_path) as process:
        with pytest.raises(PeerFailedError, match="RuntimeError: out of order"):
            process.load(tmp_path)
        with pytest.raises(PeerFailedError, match="out of order"):  # it is gone for good
            process.load(tmp_path)


def test_an_interpreter_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(PeerFailedError, match="nowhere/python does not run: No such file"):
        PeerProcess(tmp_path / "nowhere" / "python", "echo_engine", 1, 1, tmp_path)
