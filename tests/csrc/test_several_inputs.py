# SPDX-License-Identifier: Apache-2.0
"""Graphs of several inputs, images and flat ones, in batches, paced or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from aio.runtime import _native

Floats = NDArray[np.float32]
EACH_ISA = pytest.mark.parametrize("isa", _native.supported_isas())
RNG = np.random.default_rng(5)
WEIGHT = RNG.standard_normal((4, 20), dtype=np.float32)


def two_inputs(isa: str | None = None) -> _native.Executor:
    """features @ WEIGHT.T + mean of the image; an input that nothing reads."""
    graph = _native.Graph(1)
    image = graph.input("image", 4, 3, 5)
    features = graph.flat_input("features", 20)
    graph.input("unused", 2, 2, 2)
    pooled = graph.flatten("flat", graph.global_avg_pool2d("gap", image))
    graph.output(graph.add("sum", graph.linear("fc", features, WEIGHT), pooled))
    graph.output(features)
    return _native.Executor(graph, isa=isa)


def arrays(batch: int) -> list[Floats]:
    shapes = ((batch, 4, 3, 5), (batch, 20), (batch, 2, 2, 2))
    return [RNG.standard_normal(shape, dtype=np.float32) for shape in shapes]


def check(outputs: list[Floats], inputs: list[Floats]) -> None:
    expected = inputs[1] @ WEIGHT.T + inputs[0].mean((2, 3))
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-5, atol=1e-5)
    assert np.array_equal(outputs[1], inputs[1])


@EACH_ISA
@pytest.mark.parametrize("batch", [0, 1, 3])
def test_inputs_are_taken_in_order(isa: str, batch: int) -> None:
    inputs = arrays(batch)
    check(two_inputs(isa).run(inputs), inputs)
    check(two_inputs(isa).run(tuple(inputs)), inputs)


@EACH_ISA
def test_a_paced_run_takes_several_inputs(isa: str) -> None:
    executor, inputs = two_inputs(isa), arrays(2)
    executor.set_pace(np.ones((1, len(executor.layers()))), [0])
    outputs, elapsed_ns, _, _ = executor.run_paced(inputs, budget_ns=1e9)
    check(outputs, inputs)
    assert elapsed_ns > 0.0


def test_one_input_may_come_alone_or_in_a_list() -> None:
    graph = _native.Graph(1)
    graph.output(graph.flat_input("x", 3))
    executor = _native.Executor(graph)
    x = np.ones((2, 3), np.float32)
    assert np.array_equal(executor.run(x)[0], x)
    assert np.array_equal(executor.run([x])[0], x)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (arrays(1)[0], "got 1 array, but the graph has 3 inputs"),
        (arrays(1)[:2], "got 2 arrays, but the graph has 3 inputs"),
        ([], "got 0 arrays"),
        (
            [arrays(1)[0], np.zeros((1, 21), np.float32), arrays(1)[2]],
            r"input 1 has shape \(1, 21\), expected \(N, 20\)",
        ),
        (
            [arrays(1)[0], np.zeros((), np.float32), arrays(1)[2]],
            r"input 1 has shape \(\), expected \(N, 20\)",
        ),
        ([arrays(1)[0], arrays(2)[1], arrays(1)[2]], "input 1 has 2 samples, input 0 has 1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        two_inputs().run(x)


def test_what_is_no_array_is_refused() -> None:
    with pytest.raises(TypeError, match="must be an array of numbers, got <class 'dict'>"):
        two_inputs().run([*arrays(1)[:2], {}])  # type: ignore[list-item]
