# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from model_parts import small_model
from numpy.typing import NDArray
from peer_parts import fake_engines

from aio.runtime import Runtime
from aio.runtime.benchmark.peers.registry import PeerKind
from aio.runtime.benchmark.peers.subjects import MAX_RELATIVE_ERROR, open_peers
from aio.runtime.model_file import ModelFile, read_model_file

__all__ = ["fake_engines"]  # a fixture

Ours = Callable[[int], NDArray[np.float32]]
HONEST = PeerKind("honest", "Honest", "honest_engine")
SPARSE = PeerKind("sparse", "Sparse", "honest_engine", sparse=True)


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    return read_model_file(small_model().write(tmp_path / "small.aio"))


@pytest.fixture
def x(model: ModelFile) -> NDArray[np.float32]:
    size = (2, *model.manifest.input.shape)
    return np.random.default_rng(0).standard_normal(size, dtype=np.float32)


@pytest.fixture
def ours(model: ModelFile, x: NDArray[np.float32]) -> Ours:
    with Runtime.load(model.path, calibrate=False) as runtime:
        answers = [runtime.infer(x, level=level) for level in range(3)]
    return lambda level: answers[level]


@pytest.mark.usefixtures("fake_engines")
def test_dense_engines_get_one_model_and_sparse_ones_all(
    model: ModelFile, x: NDArray[np.float32], ours: Ours
) -> None:
    with open_peers(model, x, ours, kinds=[HONEST, SPARSE], levels=[0, 2], threads=[1, 2]) as (
        subjects,
        absent,
    ):
        for subject in subjects:
            subject.measure()
            subject.measure()
        found = [(subject.kind.key, subject.threads, subject.level) for subject in subjects]
        assert found == [
            (key, threads, level)
            for threads in (1, 2)
            for key, level in (("honest", 0), ("sparse", 0), ("sparse", 2))
        ]
        assert all(len(subject.latencies_ms) == 2 for subject in subjects)
        assert all(0 <= subject.max_error < MAX_RELATIVE_ERROR for subject in subjects)
        assert not absent


@pytest.mark.usefixtures("fake_engines")
def test_engines_that_cannot_be_measured_are_listed_with_the_reason(
    model: ModelFile, x: NDArray[np.float32], ours: Ours
) -> None:
    kinds = [
        PeerKind("wrong", "Wrong", "wrong_engine"),
        PeerKind("absent", "Absent", "absent_engine"),
        PeerKind("broken", "Broken", "broken_engine"),
        PeerKind("deepsparse", "DeepSparse", "honest_engine", sparse=True),
        HONEST,
    ]
    with open_peers(model, x, ours, kinds=kinds, levels=[1], threads=[1]) as (subjects, absent):
        assert [subject.kind.key for subject in subjects] == ["honest"]
        reasons = {peer.name: peer.reason for peer in absent}
    assert reasons["Wrong"].startswith("answers something else: off by up to 1")
    assert "an_engine_that_nobody_has is not installed" in reasons["Absent"]
    assert "out of order" in reasons["Broken"]
    assert "--deepsparse PYTHON" in reasons["DeepSparse"]
    assert len(reasons) == 4


@pytest.mark.usefixtures("fake_engines")
def test_an_answer_of_another_size_is_refused(
    model: ModelFile, x: NDArray[np.float32], ours: Ours
) -> None:
    kinds = [PeerKind("echo", "Echo", "echo_engine")]
    with open_peers(model, x, ours, kinds=kinds, levels=[0], threads=[1]) as (subjects, absent):
        assert not subjects
        assert "where we answer (2, 10)" in absent[0].reason
