# SPDX-License-Identifier: Apache-2.0
"""Depthwise and grouped convolutions against float64 NumPy, once per instruction set.

Groups are of any size, so that blocks of 16 output channels span one, several or parts of groups.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from reference import UNIT, gamma

from aio.runtime import _native

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
ISAS = _native.supported_isas()
VECTOR_ISAS = [isa for isa in ISAS if isa != "scalar"]
LEVELS = 3


class Case(NamedTuple):
    groups: int
    group_inputs: int
    group_outputs: int
    height: int
    width: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (1, 1, 1, 1)
    dilation: tuple[int, int] = (1, 1)
    sparse: bool = True
    residual: bool = True
    seed: int = 0

    @property
    def channels(self) -> int:
        return self.groups * self.group_inputs

    @property
    def outputs(self) -> int:
        return self.groups * self.group_outputs

    @property
    def padded(self) -> tuple[int, int]:
        top, left, bottom, right = self.padding
        return self.height + top + bottom, self.width + left + right

    @property
    def extent(self) -> tuple[int, int]:
        (height, width), (down, right) = self.kernel, self.dilation
        return (height - 1) * down + 1, (width - 1) * right + 1


@st.composite
def cases(draw: st.DrawFn, *, depthwise: bool) -> Case:
    pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
    sizes = st.just(1) if depthwise else st.integers(1, 20)
    case = Case(
        groups=draw(st.integers(2, 50 if depthwise else 9)),
        group_inputs=draw(sizes),
        group_outputs=draw(sizes),
        height=draw(st.integers(1, 18)),
        width=draw(st.integers(1, 33)),
        kernel=draw(st.tuples(st.integers(1, 5), st.integers(1, 5))),
        stride=draw(pairs),
        padding=draw(st.tuples(*[st.integers(0, 3)] * 4)),
        dilation=draw(pairs),
        sparse=draw(st.booleans()),
        residual=draw(st.booleans()),
        seed=draw(st.integers(0, 1000)),
    )
    # Enlarge the image until the kernel fits.
    missing = [max(0, e - p) for e, p in zip(case.extent, case.padded, strict=True)]
    return case._replace(height=case.height + missing[0], width=case.width + missing[1])


ANY = cases(depthwise=True) | cases(depthwise=False)
NARROW_INPUT = Case(3, 1, 1, 9, 9, (3, 3))
WIDE = Case(96, 1, 1, 30, 31, (3, 3), stride=(2, 2), sparse=False)
FIVE = Case(40, 1, 1, 12, 13, (5, 5), padding=(2, 2, 2, 2))
MULTIPLIER = Case(12, 1, 2, 8, 8, (3, 3))
WHOLE_BLOCKS = Case(3, 5, 32, 8, 8, (3, 3))
STRADDLING = Case(4, 7, 10, 8, 8, (3, 3))


class Layer:
    """Random weights and epilogue of a case: relu6(conv(x) [+ y]), y another output of x."""

    def __init__(self, case: Case) -> None:
        rng = np.random.default_rng(case.seed)
        shape = (case.outputs, case.group_inputs, *case.kernel)
        self.case = case
        self.weight = rng.standard_normal(shape, dtype=np.float32)
        self.score = rng.random((-(-case.outputs // 16), *shape[1:]), dtype=np.float32)
        self.threshold = np.array([-np.inf, 0.4, 0.8], np.float32)
        self.scale = rng.standard_normal((LEVELS, case.outputs), dtype=np.float32)
        self.bias = rng.standard_normal((LEVELS, case.outputs), dtype=np.float32)
        self.x = rng.standard_normal((2, case.channels, case.height, case.width), dtype=np.float32)

    def executor(self, isa: str, threads: int = 1) -> _native.Executor:
        case = self.case
        graph = _native.Graph(LEVELS)
        x = graph.input("x", case.channels, case.height, case.width)
        value = graph.conv2d(
            "conv",
            x,
            self.weight,
            score=self.score if case.sparse else None,
            threshold=self.threshold if case.sparse else None,
            scale=self.scale,
            bias=self.bias,
            stride=case.stride,
            padding=case.padding,
            dilation=case.dilation,
            groups=case.groups,
        )
        if self.has_residual:
            value = graph.add("sum", value, x)
        graph.output(graph.activation("act", value, "relu6"))
        return _native.Executor(graph, threads=threads, isa=isa)

    @property
    def has_residual(self) -> bool:
        height, width = (
            (p - e) // s + 1
            for p, e, s in zip(self.case.padded, self.case.extent, self.case.stride, strict=True)
        )
        return self.case.residual and self.x.shape[1:] == (self.case.outputs, height, width)

    def masked_weight(self, level: int) -> Doubles:
        if not self.case.sparse:
            return self.weight.astype(np.float64)
        kept = np.repeat(self.score > self.threshold[level], 16, axis=0)[: len(self.weight)]
        return np.where(kept, self.weight, 0.0)

    def expected(self, level: int) -> tuple[Doubles, Doubles]:
        """Return the result in float64 and a bound on float32's rounding error (Higham)."""
        weight = self.masked_weight(level)
        scale = self.scale[level].astype(np.float64)[:, None, None]
        bias = self.bias[level].astype(np.float64)[:, None, None]
        exact = scale * self._correlate(self.x, weight) + bias
        reach = np.abs(scale) * self._correlate(np.abs(self.x), np.abs(weight)) + np.abs(bias)
        bound = gamma(2 * self.weight[0].size + 3) * reach + UNIT * np.abs(exact) + 1e-30
        if self.has_residual:
            exact += self.x
            bound += UNIT * np.abs(exact)
        return np.clip(exact, 0.0, 6.0), bound

    def _correlate(self, x: Floats, weight: Doubles) -> Doubles:
        case = self.case
        top, left, bottom, right = case.padding
        padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, case.extent, axis=(2, 3))
        taps = windows[:, :, :: case.stride[0], :: case.stride[1]]
        taps = taps[..., :: case.dilation[0], :: case.dilation[1]]
        parts = [
            np.einsum("nchwyx,ocyx->nohw", inputs, kernels, optimize=True)
            for inputs, kernels in zip(
                np.split(taps, case.groups, axis=1), np.split(weight, case.groups), strict=True
            )
        ]
        return np.concatenate(parts, axis=1)


@pytest.mark.parametrize("isa", ISAS)
@settings(max_examples=80, deadline=None)
@given(case=ANY)
@example(case=NARROW_INPUT)
@example(case=WIDE)
@example(case=FIVE)
@example(case=MULTIPLIER)
@example(case=WHOLE_BLOCKS)
@example(case=STRADDLING)
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
@settings(max_examples=40, deadline=None)
@given(case=ANY, threads=st.integers(1, 3))
@example(case=WIDE, threads=2)
def test_vector_isas_agree_bit_for_bit(case: Case, threads: int) -> None:
    layer = Layer(case)
    executors = [layer.executor(isa, threads) for isa in VECTOR_ISAS]
    for level in range(LEVELS):
        for executor in executors:
            executor.set_level(level)
        first, *others = [executor.run(layer.x)[0] for executor in executors]
        assert all(np.array_equal(first, other) for other in others)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize(
    "case",
    [
        Case(48, 1, 1, 112, 112, (3, 3), sparse=False),  # threads share out rows
        Case(512, 1, 1, 7, 14, (7, 7), padding=(3, 3, 3, 3), sparse=False),  # or blocks
        Case(8, 16, 16, 28, 28, (3, 3)),
    ],
)
def test_threads_do_not_change_the_result(isa: str, case: Case) -> None:
    layer = Layer(case)
    (one,), (three,) = (layer.executor(isa, threads).run(layer.x) for threads in (1, 3))
    exact, bound = layer.expected(0)
    assert (np.abs(one - exact) <= bound).all()
    assert np.array_equal(one, three)


@pytest.mark.parametrize("case", [NARROW_INPUT, MULTIPLIER, WHOLE_BLOCKS, STRADDLING])
def test_counts_follow_the_masks(case: Case) -> None:
    layer = Layer(case)
    (info,) = layer.executor(ISAS[0]).layers()
    pixels = int(np.prod(info["output_shape"][1:]))
    for level in range(LEVELS):
        kept = np.count_nonzero(layer.masked_weight(level))
        assert info["nonzero_weights"][level] == kept
        assert info["macs"][level] == kept * pixels
    assert info["prunable_weights"] == layer.weight.size
    assert info["sparse"]


@pytest.mark.parametrize(
    ("case", "kernel"),
    [
        (FIVE, "depthwise_conv_f32_1x4x16_scalar"),
        (NARROW_INPUT, "depthwise_conv_f32_1x4x16_scalar"),
        (MULTIPLIER, "sparse_conv_f32_1x4x16_scalar"),
        # Large enough for Winograd's algorithm, which does not know groups.
        (Case(2, 130, 40, 33, 34, (3, 3), sparse=False), "sparse_conv_f32_1x4x16_scalar"),
    ],
)
def test_selection_by_name(case: Case, kernel: str) -> None:
    (info,) = Layer(case).executor("scalar").layers()
    assert info["kernel"] == kernel


def test_residual_and_activation_are_fused() -> None:
    layer = Layer(FIVE)
    assert layer.has_residual
    assert [info["name"] for info in layer.executor(ISAS[0]).layers()] == ["conv"]


def test_one_channel_does_not_reach_another() -> None:
    layer = Layer(FIVE._replace(residual=False))
    executor = layer.executor(ISAS[0])
    (before,) = executor.run(layer.x)
    layer.x[:, 7] = np.nan
    (after,) = executor.run(layer.x)
    assert np.isnan(after[:, 7]).all()
    others = np.arange(before.shape[1]) != 7
    assert np.array_equal(before[:, others], after[:, others])
