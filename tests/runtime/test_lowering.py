# SPDX-License-Identifier: Apache-2.0
"""The executor means what the file says: every operator, level and ISA against float64 NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_parts import (
    ModelBuilder,
    ModelParts,
    activation_model,
    grouped_model,
    later_model,
    small_model,
)
from reference import evaluate

from aio.runtime import InputError, ModelFileError, _native
from aio.runtime.lowering import build_executor
from aio.runtime.model_file import read_model_file

ACTIVATIONS = ("relu", "relu6", "hardswish")
RATIOS = (0.0, 0.3, 0.6, 0.9, 0.95)


def check(parts: ModelParts, path: Path, *, batch: int, threads: int, isa: str) -> None:
    """Compare every output at every level with the reference."""
    executor = build_executor(read_model_file(parts.write(path)), threads=threads, isa=isa)
    rng = np.random.default_rng(7)
    inputs = [
        rng.standard_normal((batch, *spec["shape"]), dtype=np.float32)
        for spec in parts.manifest["inputs"]
    ]
    for level in range(len(parts.manifest["levels"])):
        executor.set_level(level)
        expected = evaluate(parts, inputs, level)
        for output, value in zip(executor.run(inputs), expected.values(), strict=True):
            assert output.shape == value.exact.shape
            assert (np.abs(output - value.exact) <= value.error).all()


@pytest.mark.parametrize("height", [16, 8])
@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("threads", [1, 2])
def test_every_operator(isa: str, threads: int, height: int, tmp_path: Path) -> None:
    check(
        small_model(RATIOS, block_height=height),
        tmp_path / "m.aio",
        batch=3,
        threads=threads,
        isa=isa,
    )


@pytest.mark.parametrize("height", [16, 8])
@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("threads", [1, 2])
def test_groups(isa: str, threads: int, height: int, tmp_path: Path) -> None:
    check(grouped_model(block_height=height), tmp_path / "m.aio", batch=3, threads=threads, isa=isa)


@pytest.mark.parametrize("height", [16, 8])
@pytest.mark.parametrize("isa", _native.supported_isas())
def test_activations(isa: str, height: int, tmp_path: Path) -> None:
    check(activation_model(block_height=height), tmp_path / "m.aio", batch=2, threads=2, isa=isa)


def test_block_height_without_kernels_is_refused(tmp_path: Path) -> None:
    model = read_model_file(small_model(block_height=4).write(tmp_path / "m.aio"))
    with pytest.raises(ModelFileError, match="'body': there are no kernels for blocks of 4 output"):
        build_executor(model, threads=1, isa=None)


@pytest.mark.parametrize("isa", _native.supported_isas())
@pytest.mark.parametrize("threads", [1, 2])
def test_operators_of_version_2(isa: str, threads: int, tmp_path: Path) -> None:
    check(later_model(), tmp_path / "m.aio", batch=3, threads=threads, isa=isa)


sizes = st.integers(1, 9)


@st.composite
def networks(draw: st.DrawFn) -> ModelParts:
    """Random networks: a chain of layers with shortcuts, all sizes small and odd."""
    builder = ModelBuilder(
        (draw(st.integers(1, 35)), draw(sizes), draw(sizes)),
        RATIOS,
        seed=draw(st.integers(0, 99)),
        block_height=draw(st.sampled_from([16, 8])),
    )
    value, shape = "x", builder.shape
    for index in range(draw(st.integers(1, 5))):
        value, shape = _grow(draw, builder, value, shape, f"n{index}")
    outputs = [value] if value != "x" else []
    builder.node("flat", "flatten", [value])
    features = int(np.prod(shape))
    # One layer always has so many blocks that every ratio can be met.
    builder.linear("wide", "flat", (draw(st.integers(1, 40)), features), scale=draw(st.booleans()))
    builder.linear("head", "wide", (48, builder.tensors["wide.weight"].shape[0]))
    parts = builder.finish([*outputs, "head"])
    _fit_ratios(parts)
    return parts


def _grow(
    draw: st.DrawFn, builder: ModelBuilder, value: str, shape: tuple[int, int, int], name: str
) -> tuple[str, tuple[int, int, int]]:
    channels, height, width = shape
    kind = draw(
        st.sampled_from(["conv", "conv", "relu", "relu6", "hardswish", "max", "avg", "add"])
    )
    if kind in ACTIVATIONS:
        return builder.node(name, kind, [value]), shape
    if kind == "add":
        side = builder.node(f"{name}_side", "relu", [value])
        return builder.node(name, "add", [value, side]), shape
    kernel = draw(st.integers(1, min(3, height))), draw(st.integers(1, min(4, width)))
    stride = draw(st.integers(1, 3)), draw(st.integers(1, 2))
    half = (kernel[0] // 2, kernel[1] // 2) * 2
    padding = [draw(st.integers(0, limit)) for limit in half]
    rows = (height + padding[0] + padding[2] - kernel[0]) // stride[0] + 1
    columns = (width + padding[1] + padding[3] - kernel[1]) // stride[1] + 1
    if kind == "conv":
        groups = draw(st.sampled_from([n for n in range(1, channels + 1) if channels % n == 0]))
        out = groups * draw(st.integers(1, max(1, 35 // groups)))
        builder.conv(
            name,
            value,
            (out, channels // groups, *kernel),
            stride=stride,
            padding=padding,
            groups=groups,
            sparse=draw(st.booleans()),
            scale=draw(st.booleans()),
            bias=draw(st.booleans()),
        )
        return name, (out, rows, columns)
    attrs: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding}
    if kind == "max":
        return builder.node(name, "max_pool2d", [value], attrs), (channels, rows, columns)
    attrs["count_include_pad"] = draw(st.booleans())
    return builder.node(name, "avg_pool2d", [value], attrs), (channels, rows, columns)


def _fit_ratios(parts: ModelParts) -> None:
    """Let the manifest say what the masks of these tiny layers really prune."""
    kept = np.zeros(len(RATIOS))
    total = 0
    for name, score in parts.tensors.items():
        if not name.endswith(".score"):
            continue
        layer = name.removesuffix(".score")
        rows = parts.tensors[f"{layer}.weight"].shape[0]
        height = parts.node(layer)["attrs"].get("block_height", 16)
        heights = np.full(len(score), height)
        heights[-1] = rows - height * (len(score) - 1)
        weights = heights.reshape(-1, *[1] * (score.ndim - 1))
        thresholds = parts.tensors[f"{layer}.threshold"]
        kept += [float((weights * (score > threshold)).sum()) for threshold in thresholds]
        total += parts.tensors[f"{layer}.weight"].size
    ratios = (1 - kept / total) * (1 - 1e-4) + np.arange(len(RATIOS)) * 1e-5
    for level, ratio in zip(parts.manifest["levels"], ratios, strict=True):
        level["ratio"] = float(ratio)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(parts=networks(), isa=st.sampled_from(_native.supported_isas()), batch=st.integers(1, 3))
def test_random_networks(parts: ModelParts, isa: str, batch: int, tmp_path: Path) -> None:
    check(parts, tmp_path / "random.aio", batch=batch, threads=1 + batch % 2, isa=isa)


@pytest.mark.parametrize("make", [small_model, grouped_model])
def test_native_counts_agree_with_the_file(make: Callable[[], ModelParts], tmp_path: Path) -> None:
    model = read_model_file(make().write(tmp_path / "m.aio"))
    executor = build_executor(model, threads=1, isa=None)
    counted = {
        layer["name"]: (tuple(layer["nonzero_weights"]), tuple(layer["macs"]))
        for layer in executor.layers()
        if any(layer["nonzero_weights"])
    }
    expected = {layer.node: (layer.nonzero_weights, layer.macs) for layer in model.layers}
    assert counted == expected


def test_unknown_isa_is_an_input_error(tmp_path: Path) -> None:
    model = read_model_file(small_model().write(tmp_path / "m.aio"))
    with pytest.raises(InputError, match="altivec"):
        build_executor(model, threads=1, isa="altivec")


def test_weights_are_kept_unless_they_are_given_up(tmp_path: Path) -> None:
    model = read_model_file(small_model().write(tmp_path / "m.aio"))
    shape = (1, *model.manifest.input.shape)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    build_executor(model, threads=1, isa=None)
    answers = [
        build_executor(model, threads=1, isa=None, keep_weights=keep).run(x)
        for keep in (True, False)
    ]
    for kept, taken in zip(*answers, strict=True):
        np.testing.assert_array_equal(kept, taken)
    assert not model.weights
