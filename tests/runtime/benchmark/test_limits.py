# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from aio.runtime import _native
from aio.runtime.benchmark.limits import (
    Probe,
    Rates,
    Work,
    layer_work,
    limit_ms,
    working_set_bytes,
)

if TYPE_CHECKING:
    from aio.runtime._native import LayerInfo


def layer(kernel: str, densities: tuple[float, ...] = (1.0, 0.5)) -> LayerInfo:
    """Return a 3x3 convolution from 32 to 64 channels on 10 x 10 pixels."""
    weights = 64 * 32 * 9
    kept = [int(weights * density) for density in densities]
    return {
        "name": "conv",
        "op": "conv2d",
        "kernel": kernel,
        "kernels": [kernel] * len(kept),
        "output_shape": (64, 10, 10),
        "parts": 1,
        "sparse": True,
        "macs": [100 * count for count in kept],
        "nonzero_weights": kept,
        "prunable_weights": weights,
        "weight_bytes": [4 * count for count in kept],
        "activation_bytes": 1000,
    }


def test_direct_work_is_what_is_kept() -> None:
    weights = 64 * 32 * 9
    found = layer_work(layer("sparse_conv_f32_3x2x16_avx2_fma3"), level=1, batch=3)
    assert found == Work(3 * weights * 100, 3 * weights * 100, 2 * weights + 3000)


@pytest.mark.parametrize("level", [0, 1])
def test_winograd_needs_a_quarter_of_the_dense_multiplications(level: int) -> None:
    weights = 64 * 32 * 9
    found = layer_work(layer("winograd_f32_4x4_avx512"), level, batch=1)
    assert found.flops == 2 * weights * 100 * (1.0, 0.5)[level]
    assert found.algorithm_flops == pytest.approx(2 * weights * 100 / 4)


def test_a_layer_without_weights_only_moves_bytes() -> None:
    pool = layer("pool2d_f32_scalar", densities=(0.0,))
    found = layer_work({**pool, "prunable_weights": 0}, level=0, batch=2)
    assert found == Work(0, 0, 2000)


def test_the_limit_is_the_slower_of_arithmetic_and_memory() -> None:
    rates = Rates(peak_gflops=100.0, bandwidth_gbs=10.0)
    assert limit_ms(Work(200_000_000, 50_000_000.0, 1_000_000), rates) == pytest.approx(2.0)
    assert limit_ms(Work(2_000_000, 2e6, 1_000_000), rates) == pytest.approx(0.1)
    work = Work(200_000_000, 50_000_000.0, 1_000_000)
    assert limit_ms(work, rates, of_algorithm=True) == pytest.approx(0.5)


def test_the_working_set_is_weights_kept_and_activations() -> None:
    graph = _native.Graph(2)
    source = graph.input("x", 16, 6, 6)
    score = np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1)
    weight = np.ones((16, 16, 1, 1), np.float32)
    threshold = np.array([-1.0, 7.0], np.float32)
    graph.output(graph.conv2d("conv", source, weight, score=score, threshold=threshold))
    executor = _native.Executor(graph)
    dense, sparse = (working_set_bytes(executor, level) for level in (0, 1))
    assert dense - executor.arena_bytes == 2 * (sparse - executor.arena_bytes) == 16 * 66


@pytest.mark.parametrize("threads", [1, 2])
def test_a_probe_measures_any_size(threads: int) -> None:
    probe = Probe(_native.supported_isas()[0], threads, most_bytes=1_000_003)
    assert probe.peak_gflops() > 0
    for size in (0, 5, 100_000, 1_000_003):
        assert probe.bandwidth_gbs(size) > 0
