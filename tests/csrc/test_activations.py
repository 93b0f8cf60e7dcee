# SPDX-License-Identifier: Apache-2.0
"""Every activation against torch in float64: alone, after a convolution and after an addition."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from aio.runtime import _native

Doubles = NDArray[np.float64]
SLOPE = 0.3
TORCH: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "leaky_relu": lambda x: functional.leaky_relu(x, SLOPE),
    "silu": functional.silu,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
}
# No slope here exceeds 1.5, so that an error of the input grows by no more; the function itself is
# within 1e-6 of its value (csrc/kernels/vec16/smooth.inc) and of a value of the order of its input.
STEEPEST = 1.5
OWN_ERROR = 1e-6


def expected(kind: str, x: Doubles) -> Doubles:
    result: Doubles = TORCH[kind](torch.from_numpy(x)).numpy()
    return result


@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("kind", TORCH)
@settings(max_examples=10, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 999),
    threads=st.integers(1, 2),
)
def test_it_is_torchs(
    isa: str, kind: str, shape: tuple[int, int, int], seed: int, threads: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((shape[0], shape[0], 1, 1), dtype=np.float32)
    x = 3 * rng.standard_normal((2, *shape), dtype=np.float32)
    graph = _native.Graph(1)
    source = graph.input("x", *shape)
    conv = graph.conv2d("conv", source, weight)
    total = graph.add("sum", source, source)
    for name, value in (("a", source), ("b", conv), ("c", total)):
        graph.output(graph.activation(name, value, kind, negative_slope=SLOPE))
    exact = x.astype(np.float64)
    product = np.einsum("oi,nihw->nohw", weight[:, :, 0, 0].astype(np.float64), exact)
    reach = np.einsum("oi,nihw->nohw", np.abs(weight[:, :, 0, 0]), np.abs(exact))
    # Higham: a sum of n products, rounded twice each at most.
    bounds = [np.zeros_like(exact), (2 * shape[0] + 3) * 2.0**-24 * reach, np.zeros_like(exact)]
    outputs = _native.Executor(graph, isa=isa, threads=threads).run(x)
    for y, inner, bound in zip(outputs, (exact, product, 2 * exact), bounds, strict=True):
        error = STEEPEST * bound + OWN_ERROR * (1 + np.abs(inner))
        assert (np.abs(y - expected(kind, inner)) <= error).all()


@pytest.mark.parametrize("kind", [kind for kind in TORCH if kind != "leaky_relu"])
def test_it_is_fused_into_a_layer(kind: str) -> None:
    graph = _native.Graph(1)
    conv = graph.conv2d("conv", graph.input("x", 3, 4, 4), np.ones((5, 3, 1, 1), np.float32))
    graph.output(graph.activation("act", conv, kind))
    assert [layer["name"] for layer in _native.Executor(graph).layers()] == ["conv"]
