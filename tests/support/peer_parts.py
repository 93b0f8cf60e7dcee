# SPDX-License-Identifier: Apache-2.0
"""Engines that are none, as modules that a peer's process imports by name."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Answers what ONNX Runtime does, so that it is right of any model.
HONEST = """
from aio.runtime.benchmark.peers.engines.onnxruntime_engine import load
def version():
    print("an engine that talks")
    return "1.2"
"""
WRONG = """
from aio.runtime.benchmark.peers.engines import onnxruntime_engine
def version():
    return "0.1"
def load(model, threads, batch):
    infer = onnxruntime_engine.load(model, threads, batch)
    return lambda x: infer(x) + 1
"""
ABSENT = """
def version():
    import an_engine_that_nobody_has
"""
BROKEN = """
def version():
    return "3"
def load(model, threads, batch):
    raise RuntimeError("out of order")
"""
# Its answer says what it was told.
ECHO = """
import os
import numpy as np
def version():
    return "9"
def load(model, threads, batch):
    told = [threads, batch, int(os.environ["OMP_NUM_THREADS"]), os.getpid()]
    return lambda x: np.concatenate([np.float32(told), x.ravel()])
"""
ENGINES = {
    "honest_engine": HONEST,
    "wrong_engine": WRONG,
    "absent_engine": ABSENT,
    "broken_engine": BROKEN,
    "echo_engine": ECHO,
}


@pytest.fixture
def fake_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let child processes import the engines above; return their folder."""
    folder = tmp_path / "engines"
    folder.mkdir()
    for name, text in ENGINES.items():
        (folder / f"{name}.py").write_text(text)
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    return folder
