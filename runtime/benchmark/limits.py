# SPDX-License-Identifier: Apache-2.0
"""The physical limit of a network: the time that its arithmetic or its memory needs at least.

A layer needs max(FLOPs / peak, bytes / bandwidth), a network the sum over its layers. FLOPs are two
per kept weight and output pixel, as the direct algorithm needs them; bytes are the kept weights
with their offsets, every input once and the output once. Peak and bandwidth are measured on the
same threads, close in time to what they are held against.
"""

import math
from dataclasses import dataclass

import numpy as np

from aio.runtime import _native

PEAK_MS = 1.0
BANDWIDTH_MS = 1.0
MIN_FLOATS_PER_THREAD = 1024
# F(4x4, 3x3) of Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016): 36
# multiplications for 16 outputs of 9 taps, at any density.
_WINOGRAD = "winograd_f32_4x4_"
_WINOGRAD_PART = 36 / (16 * 9)


@dataclass(frozen=True, slots=True)
class Work:
    """What one layer needs for one call at one level.

    `flops` is what the direct algorithm needs for the kept weights, `algorithm_flops` what the
    algorithm needs that runs; Winograd's transforms are not counted.
    """

    flops: int
    algorithm_flops: float
    bytes: int


@dataclass(frozen=True, slots=True)
class Rates:
    """What the machine can do: GFLOP/s (10^9) and GB/s (10^9)."""

    peak_gflops: float
    bandwidth_gbs: float


def layer_work(layer: "_native.LayerInfo", level: int, batch: int) -> Work:
    """Return what a layer needs at a level for a batch."""
    macs, kept = layer["macs"][level], layer["nonzero_weights"][level]
    algorithm_macs = float(macs)
    if layer["kernels"][level].startswith(_WINOGRAD) and kept:
        dense = layer["prunable_weights"] or kept
        algorithm_macs = dense * (macs / kept) * _WINOGRAD_PART
    return Work(
        flops=2 * macs * batch,
        algorithm_flops=2 * algorithm_macs * batch,
        bytes=layer["weight_bytes"][level] + layer["activation_bytes"] * batch,
    )


def limit_ms(work: Work, rates: Rates, *, of_algorithm: bool = False) -> float:
    """Return the time a layer needs at least; of the direct algorithm, or of the one that runs."""
    flops = work.algorithm_flops if of_algorithm else work.flops
    return max(flops / rates.peak_gflops, work.bytes / rates.bandwidth_gbs) / 1e6


def working_set_bytes(executor: _native.Executor, level: int) -> int:
    """Return what an inference touches: the weights a level keeps, and the activations' arena."""
    kept = sum(layer["weight_bytes"][level] for layer in executor.layers())
    return kept + executor.arena_bytes


class Probe:
    """Measures what this machine can do now, on some threads.

    Bandwidth depends on how many bytes are in use: those of a small network stay in a cache. So it
    is measured on a buffer as large as what the level at hand touches, which is read again and
    again as a network in use is.

    Args:
        isa: instruction set whose vectors compute and read.
        threads: how many threads work together.
        most_bytes: the largest buffer that will be asked for.
    """

    def __init__(self, isa: str, threads: int, most_bytes: int) -> None:
        self.isa = isa
        self.threads = threads
        self._buffer = np.ones(self._floats(most_bytes), np.float32)

    def peak_gflops(self) -> float:
        """Return the fp32 multiply-add peak of now."""
        return _native.measure_fma_peak(self.isa, PEAK_MS, self.threads)

    def bandwidth_gbs(self, size_bytes: int) -> float:
        """Return how fast so many bytes are read again and again now."""
        part = self._buffer[: self._floats(size_bytes)]
        return _native.measure_bandwidth(self.isa, part, BANDWIDTH_MS, self.threads)

    def handover_ns(self) -> float | None:
        """Return how long a cache line takes to another thread and back, None for one thread."""
        return _native.measure_handover_ns() if self.threads > 1 else None

    def _floats(self, size_bytes: int) -> int:
        return max(math.ceil(size_bytes / 4), MIN_FLOATS_PER_THREAD * self.threads)
