# SPDX-License-Identifier: Apache-2.0
"""Operators that combine, reshape or normalise values, against torch in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from aio.runtime import _native

Floats = NDArray[np.float32]
LEVELS = 2
EACH_ISA = pytest.mark.parametrize("isa", _native.supported_isas())
SIZES = st.tuples(st.integers(1, 70), st.integers(1, 9), st.integers(1, 9))
SEEDS = st.integers(0, 999)


def normal(seed: int, *shape: int) -> Floats:
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def weights(seed: int, *shape: int) -> Floats:
    """As large as keeps the size of what they are applied to."""
    values: Floats = normal(seed, *shape) * np.float32(1 / 9)
    return values


def run(
    isa: str,
    inputs: Sequence[Floats],
    build: Callable[[_native.Graph, list[int]], int],
    *,
    threads: int = 1,
    level: int = 0,
) -> Floats:
    """The output of a graph of the inputs, each an image (N, C, H, W) or flat (N, F)."""
    graph = _native.Graph(LEVELS)
    values = []
    for index, x in enumerate(inputs):
        if x.ndim == 2:
            values.append(graph.flat_input(f"x{index}", x.shape[1]))
        else:
            values.append(graph.input(f"x{index}", *x.shape[1:]))
    graph.output(build(graph, values))
    executor = _native.Executor(graph, isa=isa, threads=threads)
    executor.set_level(level)
    return executor.run(list(inputs))[0]


def check_close(actual: Floats, expected: Tensor, error: float = 2e-6) -> None:
    exact = expected.numpy()
    assert actual.shape == exact.shape
    np.testing.assert_allclose(actual, exact, rtol=error, atol=error)


def tensor(x: Floats) -> Tensor:
    return torch.from_numpy(x.astype(np.float64))


@EACH_ISA
@pytest.mark.parametrize("op", ["add", "mul"])
@settings(max_examples=15, deadline=None)
@given(shape=SIZES, which=st.sampled_from(["equal", "first", "second"]), seed=SEEDS)
def test_pairs_and_broadcasts(
    isa: str, op: str, shape: tuple[int, int, int], which: str, seed: int
) -> None:
    pixel = (shape[0], 1, 1)
    a = normal(seed, 2, *(pixel if which == "first" else shape))
    b = normal(seed + 1, 2, *(pixel if which == "second" else shape))

    def build(graph: _native.Graph, x: list[int]) -> int:
        pair = graph.add("pair", *x) if op == "add" else graph.mul("pair", *x)
        return graph.activation("act", pair, "relu6")

    pair = tensor(a) + tensor(b) if op == "add" else tensor(a) * tensor(b)
    check_close(run(isa, [a, b], build), functional.relu6(pair))


@EACH_ISA
@pytest.mark.parametrize("op", ["add", "mul"])
def test_a_large_pair_is_shared_among_threads(isa: str, op: str) -> None:
    a, b = normal(1, 1, 40, 50, 50), normal(2, 1, 40, 1, 1)
    pair = tensor(a) + tensor(b) if op == "add" else tensor(a) * tensor(b)
    for threads in (1, 3):
        check_close(run(isa, [a, b], lambda g, x: getattr(g, op)("p", *x), threads=threads), pair)


@EACH_ISA
def test_flat_values_of_different_layouts_pair_by_feature(isa: str) -> None:
    image, flat = normal(1, 2, 3, 4, 5), normal(2, 2, 60)
    y = run(isa, [image, flat], lambda g, x: g.mul("m", g.flatten("f", x[0]), x[1]))
    check_close(y, tensor(image).flatten(1) * tensor(flat))


@EACH_ISA
@settings(max_examples=25, deadline=None)
@given(
    channels=st.lists(st.integers(1, 40), min_size=2, max_size=5),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    seed=SEEDS,
)
def test_concat_joins_inputs(
    isa: str, channels: list[int], size: tuple[int, int], seed: int
) -> None:
    parts = [normal(seed + i, 2, c, *size) for i, c in enumerate(channels)]
    y = run(isa, parts, lambda g, x: g.concat("cat", x))
    assert np.array_equal(y, np.concatenate(parts, axis=1))


@EACH_ISA
@settings(max_examples=25, deadline=None)
@given(
    channels=st.lists(st.sampled_from([3, 16, 20, 32, 48]), min_size=2, max_size=6),
    size=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    seed=SEEDS,
    keep=st.booleans(),
)
def test_a_dense_block_is_torchs(
    isa: str, channels: list[int], size: tuple[int, int], seed: int, keep: bool
) -> None:
    """Each layer reads all values before it, joined anew, with a border of zeros around them."""
    x = normal(seed, 2, channels[0], *size)
    expected = [tensor(x)]
    for index, out in enumerate(channels[1:]):
        joined = torch.cat(expected, 1)
        weight = weights(seed + index, out, joined.shape[1], 3, 3)
        conv = functional.conv2d(functional.relu(joined), tensor(weight), padding=1)
        expected.append(functional.relu(conv))

    def build(graph: _native.Graph, values: list[int]) -> int:
        # A graph input must be copied; the value behind an activation is made where it is joined.
        parts = [values[0] if keep else graph.affine("copy", values[0])]
        for index, out in enumerate(channels[1:]):
            joined = graph.concat(f"cat{index}", parts) if index else parts[0]
            before = sum(channels[: index + 1])
            weight = weights(seed + index, out, before, 3, 3)
            source = graph.activation(f"pre{index}", joined, "relu")
            conv = graph.conv2d(f"conv{index}", source, weight, padding=(1, 1, 1, 1))
            parts.append(graph.activation(f"relu{index}", conv, "relu"))
        return graph.concat("all", parts)

    check_close(run(isa, [x], build), torch.cat(expected, 1), 2e-4)


@EACH_ISA
def test_a_concat_is_read_by_a_convolution_over_its_border(isa: str) -> None:
    x = normal(3, 1, 16, 5, 4)
    first, second = normal(4, 16, 16, 1, 1), normal(5, 20, 16, 1, 1)
    last = normal(6, 8, 36, 3, 3)

    def build(graph: _native.Graph, values: list[int]) -> int:
        a = graph.conv2d("a", values[0], first)
        b = graph.conv2d("b", values[0], second)
        joined = graph.concat("cat", [a, b])
        conv = graph.conv2d("last", joined, last, padding=(1, 1, 1, 1))
        # A part is read alone too, after the whole.
        return graph.concat("both", [conv, graph.conv2d("c", a, first)])

    a, b = (functional.conv2d(tensor(x), tensor(w)) for w in (first, second))
    conv = functional.conv2d(torch.cat([a, b], 1), tensor(last), padding=1)
    check_close(
        run(isa, [x], build), torch.cat([conv, functional.conv2d(a, tensor(first))], 1), 2e-5
    )


@EACH_ISA
@settings(max_examples=15, deadline=None)
@given(
    shapes=st.lists(
        st.tuples(st.integers(1, 20), st.integers(1, 4), st.integers(1, 4)), min_size=2, max_size=4
    ),
    seed=SEEDS,
)
def test_flat_concat_has_the_features_in_order(
    isa: str, shapes: list[tuple[int, int, int]], seed: int
) -> None:
    parts = [normal(seed + i, 2, *shape) for i, shape in enumerate(shapes)]

    def build(graph: _native.Graph, x: list[int]) -> int:
        return graph.concat("cat", [graph.flatten(f"f{i}", v) for i, v in enumerate(x)])

    y = run(isa, parts, build)
    assert np.array_equal(y, np.concatenate([part.reshape(2, -1) for part in parts], axis=1))


@EACH_ISA
@settings(max_examples=15, deadline=None)
@given(
    shape=SIZES,
    given_=st.sampled_from(["both", "scale", "bias", "neither"]),
    flat=st.booleans(),
    level=st.integers(0, LEVELS - 1),
    seed=SEEDS,
)
def test_affine_follows_the_level(
    isa: str, shape: tuple[int, int, int], given_: str, flat: bool, level: int, seed: int
) -> None:
    x = normal(seed, 2, *shape)
    width = x[0].size if flat else shape[0]
    scale = normal(seed + 1, LEVELS, width) if given_ in ("both", "scale") else None
    bias = normal(seed + 2, LEVELS, width) if given_ in ("both", "bias") else None

    def build(graph: _native.Graph, values: list[int]) -> int:
        source = graph.flatten("f", values[0]) if flat else values[0]
        affine = graph.affine("affine", source, scale=scale, bias=bias)
        return graph.activation("relu", affine, "relu")

    expected = tensor(x).flatten(1) if flat else tensor(x)
    row = (1, -1) if flat else (1, -1, 1, 1)
    if scale is not None:
        expected = expected * tensor(scale[level]).reshape(row)
    if bias is not None:
        expected = expected + tensor(bias[level]).reshape(row)
    check_close(run(isa, [x], build, level=level), functional.relu(expected))


@EACH_ISA
@pytest.mark.parametrize("kind", ["avg", "max"])
@settings(max_examples=20, deadline=None)
@given(shape=SIZES, size=st.tuples(st.integers(1, 12), st.integers(1, 12)), seed=SEEDS)
def test_adaptive_pools_are_torchs(
    isa: str, kind: str, shape: tuple[int, int, int], size: tuple[int, int], seed: int
) -> None:
    x = normal(seed, 2, *shape)
    name = f"adaptive_{kind}_pool2d"
    y = run(isa, [x], lambda g, v: getattr(g, name)("pool", v[0], size))
    check_close(y, getattr(functional, name)(tensor(x), size))


@EACH_ISA
def test_a_global_pool_is_shared_among_threads_by_channels(isa: str) -> None:
    x = normal(1, 1, 200, 30, 30)
    for threads in (1, 2, 5):
        y = run(isa, [x], lambda g, v: g.global_avg_pool2d("pool", v[0]), threads=threads)
        check_close(y, tensor(x).mean((2, 3), keepdim=True))


@EACH_ISA
@pytest.mark.parametrize("mode", ["nearest", "bilinear", "corners"])
@settings(max_examples=20, deadline=None)
@given(shape=SIZES, size=st.tuples(st.integers(1, 20), st.integers(1, 20)), seed=SEEDS)
def test_upsampling_is_torchs(
    isa: str, mode: str, shape: tuple[int, int, int], size: tuple[int, int], seed: int
) -> None:
    x = normal(seed, 2, *shape)
    corners = mode == "corners"
    kind = "nearest" if mode == "nearest" else "bilinear"
    y = run(isa, [x], lambda g, v: g.upsample("up", v[0], size, kind, align_corners=corners))
    # torch in fp32 too: where it takes a pixel from is rounded.
    expected = functional.interpolate(
        torch.from_numpy(x), size, mode=kind, align_corners=None if kind == "nearest" else corners
    )
    check_close(y, expected, 4e-6)


@EACH_ISA
@settings(max_examples=20, deadline=None)
@given(shape=SIZES, flat=st.booleans(), scale=st.sampled_from([1.0, 30.0, 1e4]), seed=SEEDS)
def test_softmax_is_torchs(
    isa: str, shape: tuple[int, int, int], flat: bool, scale: float, seed: int
) -> None:
    x = np.float32(scale) * normal(seed, 2, *shape)
    x[0, 0] = -np.inf if x[0].shape[0] > 1 else x[0, 0]

    def build(graph: _native.Graph, v: list[int]) -> int:
        return graph.softmax("s", graph.flatten("f", v[0]) if flat else v[0])

    exact = tensor(x).flatten(1) if flat else tensor(x)
    check_close(run(isa, [x], build), functional.softmax(exact, 1))


@EACH_ISA
def test_softmax_keeps_nan_and_zeroes_minus_infinity(isa: str) -> None:
    x = np.zeros((1, 20, 1, 3), np.float32)
    x[0, 4, 0, 0] = np.nan
    x[0, 5:, 0, 1] = -np.inf
    y = run(isa, [x], lambda g, v: g.softmax("s", v[0]))
    assert np.isnan(y[0, :, 0, 0]).all()
    assert np.array_equal(y[0, :, 0, 1], np.array([0.2] * 5 + [0.0] * 15, np.float32))
    assert np.allclose(y[0, :, 0, 2], 1 / 20)


@EACH_ISA
@pytest.mark.parametrize("over", ["sample", "channels", "flat"])
@settings(max_examples=15, deadline=None)
@given(shape=SIZES, vectors=st.booleans(), offset=st.sampled_from([0.0, 50.0]), seed=SEEDS)
def test_layer_norm_is_torchs(
    isa: str, over: str, shape: tuple[int, int, int], vectors: bool, offset: float, seed: int
) -> None:
    x = normal(seed, 2, *shape) + np.float32(offset)
    flat = over == "flat"
    size = {"sample": shape, "channels": shape[:1], "flat": (x[0].size,)}[over]
    weight, bias = (normal(seed + k, *size) if vectors else None for k in (1, 2))

    def build(graph: _native.Graph, v: list[int]) -> int:
        source = graph.flatten("f", v[0]) if flat else v[0]
        kind = "sample" if flat else over
        return graph.layer_norm("n", source, eps=1e-3, over=kind, weight=weight, bias=bias)

    exact = tensor(x).flatten(1) if flat else tensor(x)
    if over == "channels":
        exact = exact.movedim(1, -1)
    exact = functional.layer_norm(
        exact,
        size,
        None if weight is None else tensor(weight),
        None if bias is None else tensor(bias),
        eps=1e-3,
    )
    # The mean is rounded to fp32, whose unit at the offset grows by up to 1 / sqrt(eps).
    check_close(run(isa, [x], build), exact.movedim(-1, 1) if over == "channels" else exact, 5e-4)


@EACH_ISA
def test_squeeze_and_excitation(isa: str) -> None:
    """Padding channels hold sigmoid(0); none of the readers may see them."""
    channels = 20
    x = normal(1, 2, channels, 6, 5)
    depthwise = normal(2, channels, 1, 3, 3)
    squeeze, excite = normal(3, 8, channels, 1, 1), normal(4, channels, 8, 1, 1)
    project = normal(5, 24, channels, 1, 1)

    def build(graph: _native.Graph, v: list[int]) -> int:
        y = graph.conv2d("dw", v[0], depthwise, padding=(1, 1, 1, 1), groups=channels)
        y = graph.activation("act", y, "hardswish")
        s = graph.conv2d("squeeze", graph.global_avg_pool2d("gap", y), squeeze)
        s = graph.conv2d("excite", graph.activation("relu", s, "relu"), excite)
        s = graph.activation("gate", s, "sigmoid")
        return graph.conv2d("project", graph.mul("scale", y, s), project)

    y = functional.conv2d(tensor(x), tensor(depthwise), padding=1, groups=channels)
    y = functional.hardswish(y)
    s = functional.conv2d(y.mean((2, 3), keepdim=True), tensor(squeeze))
    s = torch.sigmoid(functional.conv2d(functional.relu(s), tensor(excite)))
    check_close(run(isa, [x], build), functional.conv2d(y * s, tensor(project)), 2e-5)
