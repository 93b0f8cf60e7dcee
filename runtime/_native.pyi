# SPDX-License-Identifier: Apache-2.0
"""The native core: kernels, graph executor, thread pool. Private; use aio.runtime.Runtime."""

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

class NativeInfo(TypedDict):
    isa_found: list[str]  # best first, always ends with "scalar"
    isa_used: str
    compiler: str
    cxx_standard: int

class LayerInfo(TypedDict):
    name: str
    op: str
    kernel: str  # symbol of the kernel chosen, e.g. "sparse_conv_f32_4x7x16_avx512"; "" for a view
    kernels: list[str]  # the one that runs at each level
    output_shape: tuple[int, ...]  # without batch: (C, H, W) or (features,)
    parts: int  # that a paced run can give levels of their own
    sparse: bool  # has block scores, so its level can be chosen
    macs: list[int]  # multiply-accumulates per sample and level
    nonzero_weights: list[int]  # weights kept per level, channel padding not counted
    prunable_weights: int  # 0 for a layer without scores
    weight_bytes: list[int]  # kept weights and their offsets, by level
    activation_bytes: int  # per sample: every value read and the one made, without padding

def supported_isas() -> list[str]:
    """Return the instruction sets this machine can run, best first."""

def native_info() -> NativeInfo:
    """Return what was found and what is used. Raises ValueError for a bad AIO_FORCE_ISA."""

def measure_fma_peak(isa: str, duration_ms: float, threads: int = 1) -> float:
    """Return the fp32 FMA peak in GFLOP/s, measured for `duration_ms`; threads are added up."""

def measure_bandwidth(
    isa: str, buffer: NDArray[np.float32], duration_ms: float, threads: int = 1
) -> float:
    """Return how fast a buffer is read again and again, in GB/s (10^9 bytes).

    Each thread reads a part of its own; the fastest pass of each is added up. At least two passes
    are made, however long they take. Raises ValueError for less than 128 floats per thread.
    """

def measure_handover_ns() -> float:
    """Return the nanoseconds in which a cache line goes to another thread and back, at best."""

def measure_cpu_khz() -> float:
    """Return the clock of this thread's core in kHz, from about 50 us of dependent additions.

    0.0 when the thread's CPU time cannot be read.
    """

class Graph:
    """Builder of a network. Every method returns the id of the value it makes.

    All raise ValueError with the node's name when shapes or attributes do not fit. Arrays are not
    copied unless they must be converted: leave them as they are until an executor has packed them.
    """

    def __init__(self, levels: int) -> None: ...
    def input(self, name: str, channels: int, height: int, width: int) -> int: ...
    def flat_input(self, name: str, features: int) -> int: ...
    def conv2d(
        self,
        name: str,
        input: int,
        weight: NDArray[np.float32],
        *,
        score: NDArray[np.float32] | None = None,
        threshold: NDArray[np.float32] | None = None,
        scale: NDArray[np.float32] | None = None,
        bias: NDArray[np.float32] | None = None,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int, int, int] = (0, 0, 0, 0),
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
        block_height: int = 16,
    ) -> int:
        """Add a convolution; padding is (top, left, bottom, right), scale and bias are (K, O).

        The score is (ceil(O / block_height), I, kh, kw); block_height is 16 or 8.

        With groups the weight is (O, I / groups, kh, kw), and a block's score holds for the
        element of that number in the group of each of the block's output channels.
        """

    def linear(
        self,
        name: str,
        input: int,
        weight: NDArray[np.float32],
        *,
        score: NDArray[np.float32] | None = None,
        threshold: NDArray[np.float32] | None = None,
        scale: NDArray[np.float32] | None = None,
        bias: NDArray[np.float32] | None = None,
        block_height: int = 16,
    ) -> int: ...
    def add(self, name: str, a: int, b: int) -> int:
        """Add values of equal shapes, or a (C, 1, 1) image to each pixel of a (C, H, W) one."""

    def mul(self, name: str, a: int, b: int) -> int:
        """Multiply two values, of shapes as for `add`."""

    def concat(self, name: str, inputs: Sequence[int]) -> int:
        """Join 2 to 256 images along their channels, or flat values along their features."""

    def affine(
        self,
        name: str,
        input: int,
        *,
        scale: NDArray[np.float32] | None = None,
        bias: NDArray[np.float32] | None = None,
    ) -> int:
        """Add scale * x + bias with a row of scale and bias per level.

        Both are (K, C), or (K, F) for a flat value; None stands for 1 and 0.
        """

    def softmax(self, name: str, input: int) -> int:
        """Add a softmax over each pixel's channels, or over all features of a flat value."""

    def layer_norm(
        self,
        name: str,
        input: int,
        *,
        eps: float,
        over: str,
        weight: NDArray[np.float32] | None = None,
        bias: NDArray[np.float32] | None = None,
    ) -> int:
        """Add a layer normalisation over the "sample", or over the "channels" of each pixel.

        `weight` and `bias` have the shape of what is normalised: (C, H, W) or (F,), and (C,).
        """

    def activation(self, name: str, input: int, kind: str, *, negative_slope: float = 0.01) -> int:
        """Add an element-wise activation, as torch defines it.

        `kind` is "relu", "relu6", "leaky_relu" (the only one with a slope), "silu", "hardswish",
        "hardsigmoid", "sigmoid", "tanh", "gelu" (with erf) or "gelu_tanh".
        """

    def max_pool2d(
        self,
        name: str,
        input: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int, int, int],
    ) -> int: ...
    def avg_pool2d(
        self,
        name: str,
        input: int,
        kernel: tuple[int, int],
        stride: tuple[int, int],
        padding: tuple[int, int, int, int],
        count_include_pad: bool,
    ) -> int: ...
    def adaptive_max_pool2d(self, name: str, input: int, output_size: tuple[int, int]) -> int: ...
    def adaptive_avg_pool2d(self, name: str, input: int, output_size: tuple[int, int]) -> int:
        """Add an average of windows as torch chooses them.

        Row y of H reads the rows from floor(y h / H) to ceil((y + 1) h / H) of the h there are.
        """

    def upsample(
        self,
        name: str,
        input: int,
        size: tuple[int, int],
        mode: str,
        align_corners: bool = False,
    ) -> int:
        """Add torch's interpolate to a size; `mode` is "nearest" or "bilinear"."""

    def global_avg_pool2d(self, name: str, input: int) -> int: ...
    def flatten(self, name: str, input: int) -> int: ...
    def output(self, value: int) -> None: ...
    def shape(self, value: int) -> tuple[int, ...]:
        """Return a value's shape without batch: (C, H, W), or (features,) when flat."""

class Executor:
    """A planned network: packed weights, preplanned arena, thread pool.

    It takes the graph's nodes, so that arrays go as soon as they are packed; the graph is empty
    afterwards.

    `run` releases the GIL and allocates nothing but its outputs. Calls from several threads are
    serialised. Raises ValueError for an ISA that is unknown or not supported here.
    """

    def __init__(self, graph: Graph, *, threads: int = 1, isa: str | None = None) -> None: ...
    def run(
        self, x: NDArray[np.float32] | Sequence[NDArray[np.float32]]
    ) -> list[NDArray[np.float32]]:
        """Return the outputs for x, each (N, ...), at the current level.

        x is (N, C, H, W), or (N, F) for a flat input. For several inputs it is a list or tuple of
        such arrays, in the order in which they were added and with the same N.
        """

    def set_level(self, level: int) -> None:
        """Use `level` for every layer from the next run on. O(1), safe from any thread."""

    def set_layer_levels(self, levels: Sequence[int]) -> None:
        """Use a level per layer, in the order of `layers()`; scale and bias follow it too."""

    def set_pace(self, cost_ns: NDArray[np.float64], allowed: Sequence[int]) -> None:
        """Set what paced runs hold the time against.

        `cost_ns` is levels x layers, the expected time at the clock of now, which the parts of a
        layer share equally; `allowed` are the levels a re-plan may use.
        """

    def run_paced(
        self,
        x: NDArray[np.float32] | Sequence[NDArray[np.float32]],
        *,
        budget_ns: float,
        slowdown: float = 1.0,
        replan: bool = True,
    ) -> tuple[list[NDArray[np.float32]], float, float, int]:
        """Like `run`, moving layers still to run to other levels when the budget asks for it.

        Returns the outputs, the ns elapsed, the ns that `set_pace` says of the levels used, and
        how often levels changed. `slowdown` is by how much longer everything takes than the costs
        say. Raises ValueError before `set_pace`.
        """

    def paced_levels(self) -> list[int]:
        """Return the level of every part of every layer in the last paced run's last sample."""

    def set_profiling(self, enabled: bool) -> None:
        """Record the time of every layer from the next run on."""

    def layer_ns(self) -> list[int]:
        """Return nanoseconds per layer of the last profiled run, in the order of `layers()`."""

    def layers(self) -> list[LayerInfo]: ...
    @property
    def isa(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def levels(self) -> int: ...
    @property
    def weight_bytes(self) -> int:
        """Bytes of packed weights and offsets, all levels together."""

    @property
    def arena_bytes(self) -> int:
        """Bytes of the activation arena."""

class Pace:
    """The pace of an executor that is simulated: the caller runs the layers and tells the time.

    The same code as in `Executor.run_paced`. `cost_ns` is levels x layers.
    """

    def __init__(self, cost_ns: NDArray[np.float64], allowed: Sequence[int]) -> None: ...
    def begin(
        self,
        planned: Sequence[int],
        *,
        budget_ns: float,
        slowdown: float = 1.0,
        replan: bool = True,
    ) -> None:
        """Start an inference with a level per layer."""

    def next(self, elapsed_ns: float) -> int:
        """Return the level to run the next layer at; `elapsed_ns` is since the begin."""

    @property
    def expected_ns(self) -> float:
        """What the costs say of the layers so far, at the levels they ran at."""

    @property
    def replans(self) -> int: ...
    @property
    def levels(self) -> list[int]: ...
