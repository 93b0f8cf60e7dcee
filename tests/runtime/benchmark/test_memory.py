# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from model_parts import small_model
from peer_parts import fake_engines

from aio.runtime.benchmark import memory
from aio.runtime.benchmark.memory import bench_memory
from aio.runtime.benchmark.peers.registry import PeerKind
from aio.runtime.model_file import ModelFile, read_model_file

__all__ = ["fake_engines"]  # a fixture


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    return read_model_file(small_model().write(tmp_path / "small.aio"))


def test_three_processes(model: ModelFile) -> None:
    done: list[float] = []
    result = bench_memory(model, threads=1, progress=done.append)
    found = [(process.name, process.models, process.levels) for process in result.results]
    assert found == [("this runtime", 1, 3), ("ONNX Runtime", 1, 1), ("ONNX Runtime", 3, 3)]
    for process in result.results:
        assert 0 < process.start_rss_bytes <= process.peak_rss_bytes
        assert 0 < process.rss_bytes <= process.peak_rss_bytes
    ours, one, three = result.results
    assert ours.weight_bytes >= result.dense_weight_bytes
    assert one.weight_bytes > result.dense_weight_bytes
    assert three.weight_bytes == pytest.approx(3 * one.weight_bytes, rel=0.01)
    assert result.missing is None
    assert done == [1 / 3, 2 / 3, 1.0]


@pytest.mark.usefixtures("fake_engines")
def test_without_onnx_runtime(model: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_OTHER", PeerKind("absent", "Absent", "absent_engine"))
    result = bench_memory(model, threads=1)
    assert [process.name for process in result.results] == ["this runtime"]
    assert result.missing is not None
    assert "an_engine_that_nobody_has is not installed" in result.missing
