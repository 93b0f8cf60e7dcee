# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from aio.runtime import _native
from aio.runtime.benchmark.kernels import DENSITIES, SHAPES, ConvShape, bench_kernels


def test_small_layers() -> None:
    done: list[float] = []
    shapes = [ConvShape(32, 16, 3, 5), ConvShape(16, 48, 1, 4)]
    result = bench_kernels("scalar", shapes=shapes, rounds=2, progress=done.append)
    assert (result.isa, result.rounds, done) == ("scalar", 2, [0.5, 1.0])
    assert result.peak_gflops.count == 4
    for layer, shape in zip(result.layers, shapes, strict=True):
        assert layer.shape == shape
        assert [item.density for item in layer.densities] == list(DENSITIES)
        for item in layer.densities:
            assert item.gflops.count == item.of_peak.count == 2
            assert item.gflops.median > 0


def test_blocks_of_eight() -> None:
    shapes = [ConvShape(32, 24, 3, 4)]
    result = bench_kernels("scalar", shapes=shapes, block_height=8, rounds=1)
    assert result.block_height == 8
    assert result.layers[0].kernel == "sparse_conv_f32_1x4x8_scalar"


def test_densities_are_exact() -> None:
    from aio.runtime.benchmark.kernels import _graph  # noqa: PLC0415

    shape = ConvShape(64, 64, 3, 7)
    executor = _native.Executor(_graph(shape, np.random.default_rng(0)))
    (layer,) = [layer for layer in executor.layers() if layer["name"] == "conv"]
    dense = 64 * 64 * 9
    assert layer["nonzero_weights"][0] == dense
    for kept, density in zip(layer["nonzero_weights"], DENSITIES, strict=True):
        assert abs(kept / dense - density) < 16 / dense


def test_shapes_are_those_of_resnets() -> None:
    assert [shape.label for shape in SHAPES[:2]] == ["3x3, 64->64, 56x56", "3x3, 128->128, 28x28"]
    assert {shape.group for shape in SHAPES} == {"3x3", "1x1"}
