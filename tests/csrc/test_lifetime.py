# SPDX-License-Identifier: Apache-2.0
"""A graph views the caller's arrays and keeps them; an executor keeps what it packed only."""

from __future__ import annotations

import threading
import weakref
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from small_network import weights

from aio.runtime import _native

Floats = NDArray[np.float32]
X = np.random.default_rng(5).standard_normal((1, 32, 5, 5), dtype=np.float32)


class Layer:
    """The arrays of a convolution of 32 channels."""

    def __init__(self) -> None:
        rng = np.random.default_rng(3)
        self.parts: dict[str, Any] = {
            **weights(rng, 32, 32, 3, 3),
            "scale": rng.random((3, 32), dtype=np.float32),
            "bias": rng.random((3, 32), dtype=np.float32),
        }

    def graph(self) -> _native.Graph:
        graph = _native.Graph(3)
        x = graph.input("x", 32, 5, 5)
        parts = dict(self.parts)
        graph.output(graph.conv2d("c", x, parts.pop("weight"), **parts, padding=(1, 1, 1, 1)))
        return graph

    def watch(self) -> list[weakref.ref[Floats]]:
        return [weakref.ref(array) for array in self.parts.values()]


def outputs(executor: _native.Executor) -> list[Floats]:
    answers = []
    for level in range(executor.levels):
        executor.set_level(level)
        answers.append(executor.run(X)[0])
    return answers


def test_a_graph_keeps_its_arrays_until_it_goes() -> None:
    layer = Layer()
    watched = layer.watch()
    graph = layer.graph()
    del layer
    assert all(array() is not None for array in watched)
    del graph
    assert all(array() is None for array in watched)


def test_a_refused_layer_keeps_no_array() -> None:
    weight = np.ones((16, 4, 1, 1), np.float32)
    watched = weakref.ref(weight)
    graph = _native.Graph(1)
    x = graph.input("x", 3, 2, 2)
    with pytest.raises(ValueError, match="4 input channels"):
        graph.conv2d("c", x, weight)
    del weight
    assert watched() is None


def test_an_executor_keeps_no_array() -> None:
    layer = Layer()
    expected = outputs(_native.Executor(layer.graph()))
    watched = layer.watch()
    graph = layer.graph()
    executor = _native.Executor(graph)  # the graph still lives, but has given its arrays up
    for array in layer.parts.values():
        array.fill(np.nan)
    del array, layer
    assert all(array() is None for array in watched)
    for answer, wanted in zip(outputs(executor), expected, strict=True):
        np.testing.assert_array_equal(answer, wanted)
    with pytest.raises(ValueError, match="no input"):
        _native.Executor(graph)


def test_arrays_may_go_on_any_thread() -> None:
    layer = Layer()
    watched = layer.watch()
    graphs = [layer.graph() for _ in range(4)]
    del layer
    threads = [threading.Thread(target=_native.Executor, args=(graph,)) for graph in graphs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    del threads, graphs
    assert all(array() is None for array in watched)


def test_arrays_of_any_layout_are_packed_alike() -> None:
    layer = Layer()
    expected = outputs(_native.Executor(layer.graph()))
    for name, array in layer.parts.items():
        unaligned = np.frombuffer(b"\0" + array.tobytes(), np.uint8)[1:].view(np.float32)
        assert not unaligned.flags.aligned
        wide = np.zeros((*array.shape, 2), np.float32)
        wide[..., 0] = array
        for other in (
            unaligned.reshape(array.shape),
            wide[..., 0],
            np.asfortranarray(array),
            array.astype(np.float64),
            array.astype(">f4"),
        ):
            changed = Layer()
            changed.parts[name] = other
            for answer, wanted in zip(
                outputs(_native.Executor(changed.graph())), expected, strict=True
            ):
                np.testing.assert_array_equal(answer, wanted)


def test_vectors_of_an_affine_and_a_norm_go_too() -> None:
    scale, weight = np.full((1, 32), 2.0, np.float32), np.full((32, 5, 5), 3.0, np.float32)
    watched: list[weakref.ref[Floats]] = [weakref.ref(scale), weakref.ref(weight)]
    graph = _native.Graph(1)
    x = graph.affine("a", graph.input("x", 32, 5, 5), scale=scale)
    graph.output(graph.layer_norm("n", x, eps=1e-5, over="sample", weight=weight))
    del scale, weight
    assert all(array() is not None for array in watched)
    answer = _native.Executor(graph).run(X)[0]
    assert all(array() is None for array in watched)
    exact = 3.0 * (X - X.mean()) / X.std()
    np.testing.assert_allclose(answer, exact, rtol=1e-4, atol=1e-4)
