# SPDX-License-Identifier: Apache-2.0
"""The nested sparse convolution against float64 NumPy, once per instruction set.

Shapes lie below, at and above every tile; bands may be empty; density goes from 0 to 1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference import UNIT, gamma
from winograd import correlate, error_bound

from aio.runtime import _native

Floats = NDArray[np.float32]
ISAS = _native.supported_isas()
VECTOR_ISAS = [isa for isa in ISAS if isa != "scalar"]
LEVELS = 4


class Case(NamedTuple):
    in_channels: int
    out_channels: int
    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int, int, int]
    dilation: tuple[int, int]
    densities: tuple[float, ...]
    seed: int
    block_height: int = 16

    @property
    def padded(self) -> tuple[int, int]:
        top, left, bottom, right = self.padding
        return self.height + top + bottom, self.width + left + right

    @property
    def reach(self) -> tuple[int, int]:
        return tuple((k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True))  # type: ignore[return-value]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    case = Case(
        in_channels=draw(st.integers(1, 40)),
        out_channels=draw(st.integers(1, 50)),
        height=draw(st.integers(1, 18)),
        width=draw(st.integers(1, 33)),
        kernel=draw(st.tuples(st.integers(1, 5), st.integers(1, 5))),
        stride=draw(pairs),
        padding=draw(st.tuples(*[st.integers(0, 3)] * 4)),
        dilation=draw(pairs),
        densities=tuple(sorted(draw(st.tuples(*[st.floats(0, 1)] * LEVELS)), reverse=True)),
        seed=draw(st.integers(0, 1000)),
        block_height=draw(st.sampled_from([16, 8])),
    )
    # Enlarge the image until the kernel fits.
    missing = [max(0, r - p) for r, p in zip(case.reach, case.padded, strict=True)]
    return case._replace(height=case.height + missing[0], width=case.width + missing[1])


@st.composite
def winograd_cases(draw: st.DrawFn) -> Case:
    """Return layers that are worth a Winograd transform at their denser levels."""
    densities = draw(st.tuples(*[st.floats(0.3, 1)] * LEVELS))
    return Case(
        in_channels=draw(st.sampled_from([16, 17, 40, 127, 128, 130, 257])),
        out_channels=draw(st.integers(33, 70)),
        height=draw(st.integers(9, 33)),
        width=draw(st.integers(9, 33)),
        kernel=(3, 3),
        stride=(1, 1),
        padding=draw(st.tuples(*[st.integers(0, 3)] * 4)),
        dilation=(1, 1),
        densities=tuple(sorted(densities, reverse=True)),
        seed=draw(st.integers(0, 1000)),
    )


class Layer:
    """Random weights, scores and epilogue of a case."""

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(case.seed)
        shape = (case.out_channels, case.in_channels, *case.kernel)
        blocks = (-(-case.out_channels // case.block_height), *shape[1:])
        self.case = case
        self.weight = rng.standard_normal(shape, dtype=np.float32)
        self.score = rng.random(blocks, dtype=np.float32)
        self.threshold = np.array([1 - d for d in case.densities], np.float32)
        self.scale = rng.standard_normal((LEVELS, case.out_channels), dtype=np.float32)
        self.bias = rng.standard_normal((LEVELS, case.out_channels), dtype=np.float32)
        image = (2, case.in_channels, case.height, case.width)
        self.x = rng.standard_normal(image, dtype=np.float32)

    def executor(self, isa: str, threads: int = 1) -> _native.Executor:
        case = self.case
        graph = _native.Graph(LEVELS)
        x = graph.input("x", case.in_channels, case.height, case.width)
        graph.output(
            graph.conv2d(
                "conv",
                x,
                self.weight,
                score=self.score,
                threshold=self.threshold,
                scale=self.scale,
                bias=self.bias,
                stride=case.stride,
                padding=case.padding,
                dilation=case.dilation,
                block_height=case.block_height,
            )
        )
        return _native.Executor(graph, threads=threads, isa=isa)

    def expected(self, level: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the result in float64 and a bound on float32's rounding error (Higham)."""
        kept = np.repeat(self.score > self.threshold[level], self.case.block_height, axis=0)
        kept = kept[: len(self.weight)]
        weight = np.where(kept, self.weight, 0.0)
        scale = self.scale[level].astype(np.float64)[:, None, None]
        bias = self.bias[level].astype(np.float64)[:, None, None]
        exact = scale * self._correlate(self.x.astype(np.float64), weight) + bias
        reach = np.abs(scale) * self._correlate(np.abs(self.x).astype(np.float64), np.abs(weight))
        terms = 2 * self.weight[0].size + 3
        bound = gamma(terms) * (reach + np.abs(bias)) + UNIT * np.abs(exact) + 1e-30
        if self.may_use_winograd:
            bound += np.abs(scale) * error_bound(self._padded(self.x), weight)
        return exact, bound

    @property
    def may_use_winograd(self) -> bool:
        case = self.case
        window = (case.kernel, case.stride, case.dilation)
        return case.block_height == 16 and window == ((3, 3), (1, 1), (1, 1))

    def _padded(self, x: NDArray[Any]) -> NDArray[np.float64]:
        top, left, bottom, right = self.case.padding
        sides = ((0, 0), (0, 0), (top, bottom), (left, right))
        return np.pad(x.astype(np.float64), sides)

    def _correlate(self, x: NDArray[Any], weight: NDArray[np.float64]) -> NDArray[np.float64]:
        dy, dx = self.case.dilation
        padded = self._padded(x)
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.case.reach, axis=(2, 3))
        sy, sx = self.case.stride
        taps = windows[:, :, ::sy, ::sx, ::dy, ::dx]
        result: NDArray[np.float64] = np.einsum("nchwyx,ocyx->nohw", taps, weight, optimize=True)
        return result


DENSE_1X1 = Case(64, 64, 7, 7, (1, 1), (1, 1), (0, 0, 0, 0), (1, 1), (1.0, 0.5, 0.05, 0.0), 1)
WIDE = Case(3, 17, 4, 29, (3, 3), (1, 1), (1, 1, 1, 1), (1, 1), (1.0, 1.0, 0.3, 0.3), 2)
WINOGRAD = Case(130, 40, 33, 34, (3, 3), (1, 1), (0, 2, 1, 3), (1, 1), (1.0, 0.9, 0.8, 0.0), 4)
EIGHT_HIGH = WINOGRAD._replace(block_height=8)
STRIDED = Case(130, 16, 9, 15, (3, 3), (2, 2), (1, 1, 0, 1), (1, 1), (0.9, 0.5, 0.1, 0.05), 3)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=60, deadline=None)
@given(case=cases() | winograd_cases())
@example(case=DENSE_1X1)
@example(case=WIDE)
@example(case=STRIDED)
@example(case=WINOGRAD)
@example(case=EIGHT_HIGH)
def test_every_level_is_within_rounding_error(isa: str, case: Case) -> None:
    layer = Layer(case)
    executor = layer.executor(isa)
    for level in range(LEVELS):
        executor.set_level(level)
        exact, bound = layer.expected(level)
        (y,) = executor.run(layer.x)
        assert y.shape == exact.shape
        assert (np.abs(y - exact) <= bound).all()


@pytest.mark.skipif(len(VECTOR_ISAS) < 2, reason="needs two vector ISAs")
@settings(max_examples=60, deadline=None)
@given(case=cases() | winograd_cases(), threads=st.integers(1, 3))
@example(case=WINOGRAD, threads=2)
@example(case=EIGHT_HIGH, threads=2)
def test_vector_isas_agree_bit_for_bit(case: Case, threads: int) -> None:
    layer = Layer(case)
    executors = [layer.executor(isa, threads) for isa in VECTOR_ISAS]
    for level in range(LEVELS):
        for executor in executors:
            executor.set_level(level)
        first, *others = [executor.run(layer.x)[0] for executor in executors]
        assert all(np.array_equal(first, other) for other in others)


def test_dense_levels_use_winograd() -> None:
    (info,) = Layer(WINOGRAD).executor("scalar").layers()
    assert info["kernel"] == "sparse_conv_f32_1x4x16_scalar or winograd_f32_4x4_scalar"
    assert info["kernels"][0] == "winograd_f32_4x4_scalar"
    sparse = WINOGRAD._replace(densities=(0.1, 0.1, 0.1, 0.1))
    (info,) = Layer(sparse).executor("scalar").layers()
    assert info["kernel"] == "sparse_conv_f32_1x4x16_scalar"


def test_blocks_of_eight_do_not_use_winograd() -> None:
    (info,) = Layer(EIGHT_HIGH).executor("scalar").layers()
    assert info["kernel"] == "sparse_conv_f32_1x4x8_scalar"


@pytest.mark.parametrize("height", [4, 12, 0, -8, 1 << 20])
def test_block_height_without_kernels_is_refused(height: int) -> None:
    graph = _native.Graph(1)
    x = graph.input("x", 2, 4, 4)
    weight = np.ones((8, 2, 1, 1), np.float32)
    message = (
        f"'conv': there are no kernels for blocks of {height} output channels, only for 16 and"
    )
    with pytest.raises(ValueError, match=message):
        graph.conv2d("conv", x, weight, block_height=height)


def test_depthwise_convolution_needs_blocks_of_sixteen() -> None:
    graph = _native.Graph(1)
    x = graph.input("x", 32, 4, 4)
    weight = np.ones((32, 1, 3, 3), np.float32)
    with pytest.raises(ValueError, match="depthwise convolution needs blocks of 16"):
        graph.conv2d("conv", x, weight, groups=32, block_height=8)


def test_the_bound_is_of_the_same_convolution() -> None:
    layer = Layer(WINOGRAD)
    weight = layer.weight.astype(np.float64)
    tiled = correlate(layer._padded(layer.x), weight, absolute=False)
    np.testing.assert_allclose(tiled, layer._correlate(layer.x, weight), atol=1e-9)


def test_one_huge_pixel_changes_only_its_neighbours() -> None:
    # Winograd's error is relative to the largest pixel of a patch, no further.
    layer = Layer(WINOGRAD)
    layer.x[0, :, 20, 20] = 1e6
    executor = layer.executor(ISAS[0])
    before = Layer(WINOGRAD)
    exact, bound = before.expected(0)
    (y,) = executor.run(layer.x)
    far = np.abs(y - exact) <= bound
    assert far[0, :, :14].all()
    assert far[0, :, :, :14].all()
    assert far[1].all()


@pytest.mark.parametrize("height", [16, 8])
@pytest.mark.parametrize("isa", ISAS)
def test_counts_follow_the_masks(isa: str, height: int) -> None:
    layer = Layer(STRIDED._replace(out_channels=20, block_height=height))
    (info,) = layer.executor(isa).layers()
    pixels = int(np.prod(info["output_shape"][1:]))
    for level in range(LEVELS):
        kept = np.repeat(layer.score > layer.threshold[level], height, axis=0)[:20]
        assert info["nonzero_weights"][level] == kept.sum()
        assert info["macs"][level] == kept.sum() * pixels
    assert info["prunable_weights"] == layer.weight.size
    assert info["sparse"]


@pytest.mark.parametrize(
    ("size", "isa", "kernel"),
    [
        (56, "avx512", "sparse_conv_f32_4x7x16_avx512"),
        (8, "avx512", "sparse_conv_f32_3x8x16_avx512"),
        (7, "avx512", "sparse_conv_f32_4x7x16_avx512"),
        (1, "avx512", "sparse_linear_f32_1x16_avx512"),
        (1, "avx2_fma3", "sparse_linear_f32_1x16_avx2_fma3"),
        (12, "avx2_fma3", "sparse_conv_f32_2x3x16_avx2_fma3"),
        (3, "avx2_fma3", "sparse_conv_f32_2x3x16_avx2_fma3"),
        (8, "scalar", "sparse_conv_f32_1x4x16_scalar"),
        (56, "avx512", "sparse_conv_f32_4x7x8_avx512"),
        (12, "avx2_fma3", "sparse_conv_f32_3x4x8_avx2_fma3"),
        (1, "avx2_fma3", "sparse_conv_f32_1x1x8_avx2_fma3"),
        (8, "scalar", "sparse_conv_f32_1x4x8_scalar"),
    ],
)
def test_selection_by_name(size: int, isa: str, kernel: str) -> None:
    if isa not in ISAS:
        pytest.skip(f"{isa} is not supported by this processor")
    case = DENSE_1X1._replace(height=size, width=size, block_height=16 if "x16_" in kernel else 8)
    assert Layer(case).executor(isa).layers()[0]["kernel"] == kernel
