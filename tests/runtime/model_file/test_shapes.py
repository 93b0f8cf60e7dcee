# SPDX-License-Identifier: Apache-2.0
"""Inferred shapes against the native graph builder; the limit on memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model_parts import ModelBuilder, ModelParts

from aio.runtime import ModelFileError, _native
from aio.runtime.model_file import read_model_file

pairs = st.tuples(st.integers(1, 5), st.integers(1, 5))
sides = st.tuples(*[st.integers(0, 4)] * 4)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    kernel=pairs,
    stride=pairs,
    dilation=pairs,
    padding=sides,
)
def test_windows_fit_where_the_native_core_says_so(
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: tuple[int, int, int, int],
    tmp_path: Path,
) -> None:
    builder = ModelBuilder((2, *size), (0.0,))
    builder.conv("c", "x", (3, 2, *kernel), stride=stride, padding=padding, dilation=dilation)
    path = builder.finish(["c"]).write(tmp_path / "m.aio")
    graph = _native.Graph(1)
    source = graph.input("x", 2, *size)
    weight = builder.tensors["c.weight"]
    try:
        value = graph.conv2d("c", source, weight, stride=stride, padding=padding, dilation=dilation)
    except ValueError:
        with pytest.raises(ModelFileError, match="does not fit"):
            read_model_file(path)
    else:
        assert read_model_file(path).shapes["c"] == graph.shape(value)


@settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    channels=st.integers(1, 12),
    weight=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    groups=st.integers(1, 13),
)
def test_groups_fit_where_the_native_core_says_so(
    channels: int, weight: tuple[int, int], groups: int, tmp_path: Path
) -> None:
    builder = ModelBuilder((channels, 1, 1), (0.0,))
    builder.conv("c", "x", (*weight, 1, 1), groups=groups)
    path = builder.finish(["c"]).write(tmp_path / "m.aio")
    graph = _native.Graph(1)
    source = graph.input("x", channels, 1, 1)
    try:
        value = graph.conv2d("c", source, builder.tensors["c.weight"], groups=groups)
    except ValueError:
        with pytest.raises(ModelFileError, match=r"do not divide|input channels"):
            read_model_file(path)
    else:
        assert read_model_file(path).shapes["c"] == graph.shape(value)


def wide(count: int, side: int, *, kept: bool) -> ModelParts:
    """Return a model of values of 16 channels each; `kept` keeps all of them alive."""
    builder = ModelBuilder((16, side, side), (0.0,))
    names = [builder.node("n0", "relu", ["x"])]
    for index in range(1, count):
        names.append(builder.node(f"n{index}", "relu", [names[0] if kept else names[-1]]))
    total = names[0]
    for index, name in enumerate(names[1:]):
        total = builder.node(f"s{index}", "add", [total, name]) if kept else name
    return builder.finish([total])


def test_memory_counts_what_is_alive_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "m.aio"
    model = read_model_file(wide(100, 1024, kept=False).write(path))
    assert model.shapes["n99"] == (16, 1024, 1024)
    with pytest.raises(ModelFileError, match=r"activations need .* the limit is 1073741824"):
        read_model_file(wide(100, 1024, kept=True).write(path))


def test_memory_counts_padding_of_channels_and_borders(tmp_path: Path) -> None:
    path = tmp_path / "m.aio"
    builder = ModelBuilder((1, 4096, 4096), (0.0,))
    builder.node("n", "global_avg_pool2d", ["x"])
    with pytest.raises(ModelFileError, match="activations need"):
        read_model_file(builder.finish(["n"]).write(path))
    builder = ModelBuilder((1, 9, 9), (0.0,))
    builder.conv("c", "x", (1, 1, 1, 1), padding=(8000, 8000, 8000, 8000), stride=(9000, 9000))
    with pytest.raises(ModelFileError, match="activations need"):
        read_model_file(builder.finish(["c"]).write(path))
