# SPDX-License-Identifier: Apache-2.0
"""From a checked model file to a planned native executor."""

from collections.abc import Callable

from aio.runtime import _native
from aio.runtime.errors import InputError, ModelFileError
from aio.runtime.model_file import ModelFile, Node, Weights
from aio.runtime.model_file.ops import PLAIN_ACTIVATIONS, ConvAttrs, LeakyReluAttrs, PoolAttrs

_Lower = Callable[[_native.Graph, Node, list[int], Weights | None], int]


def build_executor(model: ModelFile, *, threads: int, isa: str | None) -> _native.Executor:
    """Return an executor of the model, which gives its weights up: only packed ones stay.

    Raises:
        ModelFileError: the native core refuses the graph.
        InputError: this machine can't run `isa`.
    """
    graph = build_graph(model)
    try:
        return _native.Executor(graph, threads=threads, isa=isa)
    except ValueError as error:
        raise InputError(str(error)) from error


def build_graph(model: ModelFile) -> _native.Graph:
    """Return the model's graph for the native core. It takes the model's weights.

    Raises:
        ModelFileError: the native core refuses it.
    """
    manifest = model.manifest
    weights = model.take_weights()
    graph = _native.Graph(len(manifest.levels))
    try:
        values = {manifest.input.name: graph.input(manifest.input.name, *manifest.input.shape)}
        for node in manifest.nodes:
            inputs = [values[name] for name in node.inputs]
            values[node.name] = _LOWER[node.op](graph, node, inputs, weights.get(node.name))
        for output in manifest.outputs:
            graph.output(values[output.node])
    except ValueError as error:
        raise ModelFileError(f"{model.path}: {error}") from error
    return graph


def _conv2d(graph: _native.Graph, node: Node, inputs: list[int], weights: Weights | None) -> int:
    assert weights is not None
    assert isinstance(node.attrs, ConvAttrs)
    return graph.conv2d(
        node.name,
        inputs[0],
        weights.weight,
        score=weights.score,
        threshold=weights.threshold,
        scale=weights.scale,
        bias=weights.bias,
        block_height=weights.block_height,
        stride=node.attrs.stride,
        padding=node.attrs.padding,
        dilation=node.attrs.dilation,
        groups=node.attrs.groups,
    )


def _linear(graph: _native.Graph, node: Node, inputs: list[int], weights: Weights | None) -> int:
    assert weights is not None
    return graph.linear(
        node.name,
        inputs[0],
        weights.weight,
        score=weights.score,
        threshold=weights.threshold,
        scale=weights.scale,
        bias=weights.bias,
        block_height=weights.block_height,
    )


def _add(graph: _native.Graph, node: Node, inputs: list[int], weights: Weights | None) -> int:
    return graph.add(node.name, inputs[0], inputs[1])


def _activation(
    graph: _native.Graph, node: Node, inputs: list[int], weights: Weights | None
) -> int:
    return graph.activation(node.name, inputs[0], node.op)


def _leaky_relu(
    graph: _native.Graph, node: Node, inputs: list[int], weights: Weights | None
) -> int:
    assert isinstance(node.attrs, LeakyReluAttrs)
    slope = node.attrs.negative_slope
    return graph.activation(node.name, inputs[0], "leaky_relu", negative_slope=slope)


def _max_pool(graph: _native.Graph, node: Node, inputs: list[int], weights: Weights | None) -> int:
    attrs = node.attrs
    assert isinstance(attrs, PoolAttrs)
    return graph.max_pool2d(node.name, inputs[0], attrs.kernel, attrs.stride, attrs.padding)


def _avg_pool(graph: _native.Graph, node: Node, inputs: list[int], weights: Weights | None) -> int:
    attrs = node.attrs
    assert isinstance(attrs, PoolAttrs)
    return graph.avg_pool2d(
        node.name,
        inputs[0],
        attrs.kernel,
        attrs.stride,
        attrs.padding,
        bool(attrs.count_include_pad),
    )


def _global_pool(
    graph: _native.Graph, node: Node, inputs: list[int], weights: Weights | None
) -> int:
    return graph.global_avg_pool2d(node.name, inputs[0])


def _flatten(graph: _native.Graph, node: Node, inputs: list[int], weights: Weights | None) -> int:
    return graph.flatten(node.name, inputs[0])


_LOWER: dict[str, _Lower] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "add": _add,
    **dict.fromkeys(PLAIN_ACTIVATIONS, _activation),
    "leaky_relu": _leaky_relu,
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "global_avg_pool2d": _global_pool,
    "flatten": _flatten,
}
