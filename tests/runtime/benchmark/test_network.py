# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from model_parts import small_model
from peer_parts import fake_engines

from aio.runtime import _native
from aio.runtime.benchmark.limits import Probe
from aio.runtime.benchmark.network import MIN_ROUNDS, Effort, bench_network
from aio.runtime.benchmark.peers.registry import PEERS, PeerKind
from aio.runtime.model_file import ModelFile, read_model_file

__all__ = ["fake_engines"]  # a fixture

PEAK_GFLOPS, BANDWIDTH_GBS = 2.0, 0.5


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    return read_model_file(small_model().write(tmp_path / "small.aio"))


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine always do the same."""
    monkeypatch.setattr(Probe, "peak_gflops", lambda self: PEAK_GFLOPS)
    monkeypatch.setattr(Probe, "bandwidth_gbs", lambda self, size_bytes: BANDWIDTH_GBS)


def test_every_subject_is_measured_in_every_round(model: ModelFile) -> None:
    done: list[float] = []
    cpus = os.sched_getaffinity(0)
    effort = Effort(levels=(0, 2), threads=(1, 2), seconds=0.001, layers=True)
    result = bench_network(model, effort, progress=done.append)
    assert os.sched_getaffinity(0) == cpus
    assert result.rounds >= MIN_ROUNDS
    assert [threads.threads for threads in result.results] == [1, 2]
    for threads in result.results:
        assert [level.level for level in threads.levels] == [0, 2]
        for level in threads.levels:
            spreads = [level.latency_ms, level.of_limit, level.peak_gflops, level.thread_speedup]
            spreads += [layer.latency_ms for layer in level.layers]
            assert {spread.count for spread in spreads} == {result.rounds}
            assert (level.handover_ns is None) == (threads.threads == 1)
    assert done == sorted(done)
    assert all(0 <= part <= 1 for part in done)


def test_rounds_with_threads_near_each_other_are_told_apart(
    model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    times_ns = itertools.cycle([60.0, 100.0, 310.0])
    monkeypatch.setattr(_native, "measure_handover_ns", lambda: next(times_ns))
    result = bench_network(model, Effort(levels=(0,), threads=(1, 2), seconds=0.001))
    one, two = (threads.levels[0] for threads in result.results)
    assert one.near_thread_speedup is None
    assert two.handover_ns is not None
    assert two.handover_ns.minimum == 60.0
    assert two.near_thread_speedup is not None
    assert two.near_thread_speedup.count == result.rounds - result.rounds // 3


@pytest.mark.usefixtures("steady")
def test_the_limit_adds_up_over_the_layers(model: ModelFile) -> None:
    effort = Effort(levels=(0, 1), seconds=0.001, layers=True)
    (threads,) = bench_network(model, effort, isa="scalar").results
    for level in threads.levels:
        assert level.limit_ms.mad == 0
        layers = sum(layer.limit_ms.median for layer in level.layers)
        assert level.limit_ms.median == pytest.approx(layers)
        arithmetic_ms = 2 * level.macs / PEAK_GFLOPS / 1e6
        assert level.limit_ms.median >= arithmetic_ms
        assert level.of_limit.median == pytest.approx(
            level.limit_ms.median / level.latency_ms.median
        )
        assert level.gflops.median == pytest.approx(2 * level.macs / level.latency_ms.median / 1e6)
    assert threads.levels[0].speedup.median == threads.levels[0].thread_speedup.median == 1.0
    assert threads.levels[0].limit_ms.median > threads.levels[1].limit_ms.median


@pytest.mark.usefixtures("steady")
def test_layers_say_what_ran(model: ModelFile) -> None:
    effort = Effort(levels=(2,), seconds=0.001, layers=True)
    (threads,) = bench_network(model, effort, isa="scalar").results
    layers = {layer.name: layer for layer in threads.levels[0].layers}
    assert layers["stem"].density == 1.0
    assert layers["body"].density == pytest.approx(0.2, abs=0.05)
    assert layers["pool"].density is None
    assert layers["head"].kernel == "sparse_linear_f32_1x16_scalar"
    assert sum(layer.share.median for layer in layers.values()) == pytest.approx(1, abs=0.5)
    bandwidth_ms = (3 + 20) * 11 * 9 * 4 / BANDWIDTH_GBS / 1e6
    assert layers["stem"].limit_ms.median >= bandwidth_ms


def test_batches_count_as_often_as_they_have_samples(model: ModelFile, steady: None) -> None:
    one, two = (
        bench_network(model, Effort(levels=(0,), batch=batch, seconds=0.001)).results[0].levels[0]
        for batch in (1, 2)
    )
    assert one.limit_ms.median < two.limit_ms.median <= 2 * one.limit_ms.median
    assert two.macs == one.macs  # of one sample


@pytest.mark.usefixtures("fake_engines")
def test_peers_are_measured_in_the_same_rounds(model: ModelFile) -> None:
    kinds = (
        PeerKind("honest", "Honest", "honest_engine"),
        PeerKind("sparse", "Sparse", "honest_engine", sparse=True),
        PeerKind("wrong", "Wrong", "wrong_engine"),
    )
    effort = Effort(levels=(0, 2), threads=(1, 2), seconds=0.001, peers=kinds)
    result = bench_network(model, effort)
    for threads in result.results:
        found = [(peer.name, peer.level, peer.ratio) for peer in threads.peers]
        assert found == [("Honest", 0, 0.0), ("Sparse", 0, 0.0), ("Sparse", 2, 0.8)]
        for peer in threads.peers:
            assert peer.version == "1.2"
            assert peer.latency_ms.count == result.rounds
            assert len(peer.over_ours) == 2
            assert all(over.count == result.rounds for over in peer.over_ours)
    assert [(peer.name, peer.threads) for peer in result.absent] == [("Wrong", 1), ("Wrong", 2)]


def test_onnx_runtime_beside_ours(model: ModelFile) -> None:
    effort = Effort(levels=(1,), seconds=0.001, peers=(PEERS["onnxruntime"],))
    result = bench_network(model, effort)
    (peer,) = result.results[0].peers
    assert (peer.name, peer.level, result.absent) == ("ONNX Runtime", 1, ())
    assert peer.max_error < 1e-4
    assert peer.latency_ms.median > 0
