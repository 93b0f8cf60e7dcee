# SPDX-License-Identifier: Apache-2.0
"""From a checked model file to a planned native executor."""

from collections.abc import Callable, Mapping

from aio.runtime import _native
from aio.runtime.errors import InputError, ModelFileError
from aio.runtime.model_file import InputSpec, ModelFile, Node, Weights
from aio.runtime.model_file.later_ops import AdaptivePoolAttrs, LayerNormAttrs, UpsampleAttrs
from aio.runtime.model_file.ops import PLAIN_ACTIVATIONS, ConvAttrs, LeakyReluAttrs, PoolAttrs
from aio.runtime.model_file.parameters import Parameters

_Tensors = Weights | Parameters | None
_Lower = Callable[[_native.Graph, Node, list[int], _Tensors], int]


def build_executor(
    model: ModelFile, *, threads: int, isa: str | None, keep_weights: bool = True
) -> _native.Executor:
    """Return an executor of the model; it holds packed copies of the weights.

    Args:
        model: the checked model file.
        threads: to compute with.
        isa: instruction set, None is the best one.
        keep_weights: False takes them from the model, so that each goes as soon as it is packed.

    Raises:
        ModelFileError: the native core refuses the graph.
        InputError: this machine can't run `isa`.
    """
    graph = build_graph(model, keep_weights=keep_weights)
    try:
        return _native.Executor(graph, threads=threads, isa=isa)
    except ValueError as error:
        raise InputError(str(error)) from error


def build_graph(model: ModelFile, *, keep_weights: bool = True) -> _native.Graph:
    """Return the model's graph for the native core; it views the weights.

    Raises:
        ModelFileError: the native core refuses it.
    """
    manifest = model.manifest
    weights = model.weights if keep_weights else model.take_weights()
    graph = _native.Graph(len(manifest.levels))
    try:
        values = {spec.name: _input(graph, spec) for spec in manifest.inputs}
        for node in manifest.nodes:
            inputs = [values[name] for name in node.inputs]
            tensors = weights.get(node.name) or model.parameters.get(node.name)
            values[node.name] = _LOWER[node.op](graph, node, inputs, tensors)
        for output in manifest.outputs:
            graph.output(values[output.node])
    except ValueError as error:
        raise ModelFileError(f"{model.path}: {error}") from error
    return graph


def _input(graph: _native.Graph, spec: InputSpec) -> int:
    if len(spec.shape) == 1:
        return graph.flat_input(spec.name, spec.shape[0])
    channels, height, width = spec.shape
    return graph.input(spec.name, channels, height, width)


def _conv2d(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    assert isinstance(tensors, Weights)
    assert isinstance(node.attrs, ConvAttrs)
    return graph.conv2d(
        node.name,
        inputs[0],
        tensors.weight,
        score=tensors.score,
        threshold=tensors.threshold,
        scale=tensors.scale,
        bias=tensors.bias,
        block_height=tensors.block_height,
        stride=node.attrs.stride,
        padding=node.attrs.padding,
        dilation=node.attrs.dilation,
        groups=node.attrs.groups,
    )


def _linear(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    assert isinstance(tensors, Weights)
    return graph.linear(
        node.name,
        inputs[0],
        tensors.weight,
        score=tensors.score,
        threshold=tensors.threshold,
        scale=tensors.scale,
        bias=tensors.bias,
        block_height=tensors.block_height,
    )


def _add(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    return graph.add(node.name, inputs[0], inputs[1])


def _mul(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    return graph.mul(node.name, inputs[0], inputs[1])


def _concat(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    return graph.concat(node.name, inputs)


def _affine(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    assert isinstance(tensors, Mapping)
    return graph.affine(node.name, inputs[0], **tensors)


def _activation(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    return graph.activation(node.name, inputs[0], node.op)


def _leaky_relu(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    assert isinstance(node.attrs, LeakyReluAttrs)
    slope = node.attrs.negative_slope
    return graph.activation(node.name, inputs[0], "leaky_relu", negative_slope=slope)


def _max_pool(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    attrs = node.attrs
    assert isinstance(attrs, PoolAttrs)
    return graph.max_pool2d(node.name, inputs[0], attrs.kernel, attrs.stride, attrs.padding)


def _avg_pool(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
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


def _global_pool(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    return graph.global_avg_pool2d(node.name, inputs[0])


def _adaptive_avg_pool(
    graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors
) -> int:
    assert isinstance(node.attrs, AdaptivePoolAttrs)
    return graph.adaptive_avg_pool2d(node.name, inputs[0], node.attrs.output_size)


def _adaptive_max_pool(
    graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors
) -> int:
    assert isinstance(node.attrs, AdaptivePoolAttrs)
    return graph.adaptive_max_pool2d(node.name, inputs[0], node.attrs.output_size)


def _upsample(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    attrs = node.attrs
    assert isinstance(attrs, UpsampleAttrs)
    return graph.upsample(node.name, inputs[0], attrs.size, attrs.mode, attrs.align_corners)


def _softmax(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    return graph.softmax(node.name, inputs[0])


def _layer_norm(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    attrs = node.attrs
    assert isinstance(attrs, LayerNormAttrs)
    assert isinstance(tensors, Mapping)
    return graph.layer_norm(node.name, inputs[0], eps=attrs.eps, over=attrs.over, **tensors)


def _flatten(graph: _native.Graph, node: Node, inputs: list[int], tensors: _Tensors) -> int:
    return graph.flatten(node.name, inputs[0])


_LOWER: dict[str, _Lower] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "add": _add,
    "mul": _mul,
    "concat": _concat,
    "affine": _affine,
    **dict.fromkeys(PLAIN_ACTIVATIONS, _activation),
    "leaky_relu": _leaky_relu,
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "global_avg_pool2d": _global_pool,
    "adaptive_avg_pool2d": _adaptive_avg_pool,
    "adaptive_max_pool2d": _adaptive_max_pool,
    "upsample": _upsample,
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "flatten": _flatten,
}
