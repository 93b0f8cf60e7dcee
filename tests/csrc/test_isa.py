# SPDX-License-Identifier: Apache-2.0
"""Which instruction set is used, and how it is forced."""

from __future__ import annotations

import numpy as np
import pytest

from aio.runtime import _native


def graph() -> _native.Graph:
    graph = _native.Graph(1)
    graph.output(graph.activation("relu", graph.input("x", 1, 1, 1), "relu"))
    return graph


def test_scalar_is_always_there_and_last() -> None:
    assert _native.supported_isas()[-1] == "scalar"


def test_best_isa_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIO_FORCE_ISA", raising=False)
    assert _native.Executor(graph()).isa == _native.supported_isas()[0]
    assert _native.native_info()["isa_used"] == _native.supported_isas()[0]


@pytest.mark.parametrize("isa", _native.supported_isas())
def test_environment_forces_an_isa(isa: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIO_FORCE_ISA", isa)
    assert _native.Executor(graph()).isa == isa
    assert _native.native_info()["isa_used"] == isa


def test_an_argument_beats_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIO_FORCE_ISA", "nonsense")
    assert _native.Executor(graph(), isa="scalar").isa == "scalar"


def test_an_unknown_isa_lists_the_valid_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIO_FORCE_ISA", "mmx")
    with pytest.raises(ValueError, match=r"AIO_FORCE_ISA='mmx' is unknown; valid here: .*scalar"):
        _native.Executor(graph())
    with pytest.raises(ValueError, match="isa='mmx' is unknown"):
        _native.Executor(graph(), isa="mmx")


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("isa", _native.supported_isas())
def test_fma_peak_and_bandwidth_are_plausible(isa: str, threads: int) -> None:
    assert 0.01 < _native.measure_fma_peak(isa, 1.0, threads) < 10_000
    buffer = np.ones(10_000, np.float32)
    assert 0.01 < _native.measure_bandwidth(isa, buffer, 1.0, threads) < 100_000


def test_hand_over_between_threads_is_plausible() -> None:
    assert 1 < _native.measure_handover_ns() < 1e6


@pytest.mark.parametrize("duration_ms", [0.0, -1.0, float("nan"), 1e9])
def test_measurements_refuse_a_bad_duration(duration_ms: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        _native.measure_fma_peak("scalar", duration_ms)
    with pytest.raises(ValueError, match="outside"):
        _native.measure_bandwidth("scalar", np.ones(128, np.float32), duration_ms)


@pytest.mark.parametrize("threads", [0, -1, 1025])
def test_measurements_refuse_a_bad_number_of_threads(threads: int) -> None:
    with pytest.raises(ValueError, match=f"threads={threads} is outside"):
        _native.measure_fma_peak("scalar", 1.0, threads)
    with pytest.raises(ValueError, match=f"threads={threads} is outside"):
        _native.measure_bandwidth("scalar", np.ones(128, np.float32), 1.0, threads)


def test_bandwidth_needs_a_buffer_worth_reading() -> None:
    with pytest.raises(ValueError, match="has 255 floats, 2 threads need at least 256"):
        _native.measure_bandwidth("scalar", np.ones(255, np.float32), 1.0, threads=2)
    with pytest.raises(TypeError):
        _native.measure_bandwidth("scalar", np.ones(999, np.float64), 1.0)


def test_a_layer_says_what_it_reads_and_writes_at_least() -> None:
    made = _native.Graph(2)
    source = made.input("x", 3, 4, 5)
    weight = np.ones((16, 3, 1, 1), np.float32)
    score, threshold = np.arange(3, dtype=np.float32), np.array([-1.0, 0.5], np.float32)
    conv = made.conv2d("conv", source, weight, score=score.reshape(1, 3, 1, 1), threshold=threshold)
    both = made.add("sum", conv, made.conv2d("other", source, weight))
    made.output(both)
    layers = {layer["name"]: layer for layer in _native.Executor(made, isa="scalar").layers()}
    assert layers["conv"]["weight_bytes"] == [4 * 48 + 2 * 3, 4 * 32 + 2 * 2]
    assert layers["conv"]["kernels"] == [layers["conv"]["kernel"]] * 2
    # One of the convolutions takes the other's result too, to which it adds its own.
    sizes = sorted(layer["activation_bytes"] for layer in layers.values())
    assert sizes == [4 * 20 * (3 + 16), 4 * 20 * (3 + 16 + 16)]
