# SPDX-License-Identifier: Apache-2.0
"""A small residual network for tests of the native executor."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from aio.runtime import _native

Floats = NDArray[np.float32]
LEVELS = 3


class Weights(TypedDict):
    weight: Floats
    score: Floats
    threshold: Floats


def weights(rng: np.random.Generator, *shape: int) -> Weights:
    blocks = (-(-shape[0] // 16), *shape[1:])
    return {
        "weight": rng.standard_normal(shape, dtype=np.float32),
        "score": rng.random(blocks, dtype=np.float32),
        "threshold": np.array([-np.inf, 0.5, 0.9], np.float32),
    }


def network(threads: int = 1, size: int = 16, isa: str | None = None) -> _native.Executor:
    """A small residual network with two outputs."""
    rng = np.random.default_rng(0)
    graph = _native.Graph(LEVELS)
    x = graph.input("x", 3, size, size)
    pad = (1, 1, 1, 1)
    a = graph.conv2d("conv1", x, **weights(rng, 32, 3, 3, 3), padding=pad)
    a = graph.activation("relu1", a, "relu")
    b = graph.conv2d("conv2", a, **weights(rng, 32, 32, 3, 3), padding=pad)
    b = graph.activation("relu2", graph.add("sum", b, a), "relu")
    pooled = graph.max_pool2d("pool", b, (2, 2), (2, 2), (0, 0, 0, 0))
    flat = graph.flatten("flat", graph.global_avg_pool2d("gap", pooled))
    graph.output(graph.linear("fc", flat, **weights(rng, 10, 32)))
    graph.output(b)
    return _native.Executor(graph, threads=threads, isa=isa)


def image(size: int = 16, batch: int = 1) -> Floats:
    rng = np.random.default_rng(1)
    return rng.standard_normal((batch, 3, size, size), dtype=np.float32)
