# SPDX-License-Identifier: Apache-2.0
"""Sparse convolutions against the multiply-add peak of the same core, measured in the same rounds.

The layers are those of ResNets; one layer is one graph, one density is one level. Only useful work
counts: two operations per kept weight and output pixel. A level that Winograd computes takes fewer
and may exceed the peak.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from aio.runtime import _native
from aio.runtime.benchmark.spread import Spread, spread
from aio.runtime.model_file.ops import DEFAULT_BLOCK_HEIGHT

DENSITIES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05)
PEAK_MS = 2.0
WARMUP = 2
REPEATS = 5
_SEED = 0
_LAYER = "conv"


@dataclass(frozen=True, slots=True)
class ConvShape:
    """A square convolution with stride 1 that keeps the size of the image."""

    inputs: int
    outputs: int
    kernel: int
    side: int

    @property
    def group(self) -> str:
        """Return "3x3" or "1x1"."""
        return f"{self.kernel}x{self.kernel}"

    @property
    def label(self) -> str:
        """Return the shape in words."""
        return f"{self.group}, {self.inputs}->{self.outputs}, {self.side}x{self.side}"


SHAPES = (
    ConvShape(64, 64, 3, 56),
    ConvShape(128, 128, 3, 28),
    ConvShape(256, 256, 3, 14),
    ConvShape(512, 512, 3, 7),
    ConvShape(256, 64, 1, 56),
    ConvShape(64, 256, 1, 56),
    ConvShape(1024, 256, 1, 14),
    ConvShape(512, 2048, 1, 7),
)
GROUPS = ("all", "3x3", "1x1")


@dataclass(frozen=True, slots=True)
class DensityResult:
    """Speed of one layer at one density; `of_peak` compares within each round."""

    density: float
    gflops: Spread
    of_peak: Spread


@dataclass(frozen=True, slots=True)
class LayerResult:
    """One layer at every density, and the kernel that ran."""

    shape: ConvShape
    kernel: str
    densities: tuple[DensityResult, ...]


@dataclass(frozen=True, slots=True)
class KernelBenchmark:
    """All layers, and the peak they are held against."""

    isa: str
    block_height: int
    rounds: int
    peak_gflops: Spread
    layers: tuple[LayerResult, ...]


class _Subject:
    """One layer, ready to be timed at any density."""

    def __init__(
        self, shape: ConvShape, isa: str | None, height: int, generator: np.random.Generator
    ) -> None:
        self.shape = shape
        self.executor = _native.Executor(_graph(shape, generator, height), threads=1, isa=isa)
        self.executor.set_profiling(True)
        self.index, info = next(
            (i, layer) for i, layer in enumerate(self.executor.layers()) if layer["name"] == _LAYER
        )
        self.kernel, self.macs = info["kernel"], info["macs"]
        size = (1, shape.inputs, shape.side, shape.side)
        self.x = generator.standard_normal(size, dtype=np.float32)
        self.gflops: list[list[float]] = [[] for _ in DENSITIES]
        self.of_peak: list[list[float]] = [[] for _ in DENSITIES]

    def measure(self, level: int) -> float:
        """Return useful GFLOP/s in the steady state: the median of runs that follow each other."""
        self.executor.set_level(level)
        for _ in range(WARMUP):
            self._time_ns()
        time_ns = median(self._time_ns() for _ in range(REPEATS))
        return 2 * self.macs[level] / time_ns

    def _time_ns(self) -> int:
        self.executor.run(self.x)
        return max(1, self.executor.layer_ns()[self.index])


def bench_kernels(
    isa: str | None = None,
    *,
    shapes: Sequence[ConvShape] = SHAPES,
    block_height: int = DEFAULT_BLOCK_HEIGHT,
    rounds: int = 15,
    progress: Callable[[float], object] = lambda part: None,
) -> KernelBenchmark:
    """Measure every layer at every density, the peak before each layer.

    Raises:
        ValueError: this machine can't run the ISA, or there are no kernels of the block height.
    """
    generator = np.random.default_rng(_SEED)
    subjects = [_Subject(shape, isa, block_height, generator) for shape in shapes]
    used = subjects[0].executor.isa
    peaks = []
    for done in range(rounds):
        for position in generator.permutation(len(subjects)):
            subject = subjects[position]
            peak = _native.measure_fma_peak(used, PEAK_MS)
            peaks.append(peak)
            for level in generator.permutation(len(DENSITIES)):
                gflops = subject.measure(int(level))
                subject.gflops[level].append(gflops)
                subject.of_peak[level].append(gflops / peak)
        progress((done + 1) / rounds)
    results = tuple(_result(subject) for subject in subjects)
    return KernelBenchmark(used, block_height, rounds, spread(peaks), results)


def _result(subject: _Subject) -> LayerResult:
    densities = tuple(
        DensityResult(density, spread(subject.gflops[level]), spread(subject.of_peak[level]))
        for level, density in enumerate(DENSITIES)
    )
    return LayerResult(subject.shape, subject.kernel, densities)


def _graph(
    shape: ConvShape, generator: np.random.Generator, height: int = DEFAULT_BLOCK_HEIGHT
) -> _native.Graph:
    kernel = (shape.kernel, shape.kernel)
    blocks = (-(-shape.outputs // height), shape.inputs, *kernel)
    score = generator.random(blocks, dtype=np.float32)
    pad = shape.kernel // 2
    graph = _native.Graph(len(DENSITIES))
    source = graph.input("x", shape.inputs, shape.side, shape.side)
    size = (shape.outputs, shape.inputs, *kernel)
    layer = graph.conv2d(
        _LAYER,
        source,
        generator.standard_normal(size, dtype=np.float32),
        score=score,
        threshold=_thresholds(score),
        padding=(pad, pad, pad, pad),
        block_height=height,
    )
    graph.output(layer)
    return graph


def _thresholds(score: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return one threshold per density; scores above it are kept."""
    ordered = np.sort(score, axis=None)
    pruned = [round((1 - density) * ordered.size) for density in DENSITIES]
    return np.array(
        [ordered[count - 1] if count else -np.inf for count in pruned], dtype=np.float32
    )
