# SPDX-License-Identifier: Apache-2.0
"""Which instruction set is used, and how it is forced."""

from __future__ import annotations

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


@pytest.mark.parametrize("isa", _native.supported_isas())
def test_fma_peak_is_plausible(isa: str) -> None:
    assert 0.01 < _native.measure_fma_peak(isa, 1.0) < 10_000


@pytest.mark.parametrize("duration_ms", [0.0, -1.0, float("nan"), 1e9])
def test_fma_peak_refuses_a_bad_duration(duration_ms: float) -> None:
    with pytest.raises(ValueError, match="outside"):
        _native.measure_fma_peak("scalar", duration_ms)
