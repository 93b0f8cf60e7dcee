# SPDX-License-Identifier: Apache-2.0
"""A model file as an ONNX model at one of its levels, so that other engines can run the same.

Pruned weights are zeros there: ONNX has no masks. Needs the package `onnx`; weights and the scale
of the level's batch normalisation are folded, as the executor does.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from aio.runtime.model_file import ModelFile, Node, Weights
from aio.runtime.model_file.later_ops import AdaptivePoolAttrs, LayerNormAttrs, UpsampleAttrs
from aio.runtime.model_file.ops import (
    ConvAttrs,
    LeakyReluAttrs,
    PoolAttrs,
    WindowAttrs,
)

OPSET = 17
IR_VERSION = 8

Array = NDArray[np.float32]


def to_onnx(model: ModelFile, level: int, batch: int = 1) -> bytes:
    """Return the serialized ONNX model of a level, with a fixed batch.

    Raises:
        ValueError: an operator has no counterpart here; the message names it.
    """
    manifest = model.manifest
    builder = _Builder(model, level, batch)
    for node in manifest.nodes:
        if node.op not in _EMIT:
            raise ValueError(f"node {node.name!r}: {node.op} can't be written as ONNX")
        _EMIT[node.op](builder, node)
    inputs = [spec.name for spec in manifest.inputs]
    outputs = dict.fromkeys(output.node for output in manifest.outputs)  # ONNX wants each once
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, (batch, *model.shapes[name]))
        for name in (*inputs, *outputs)
    }
    graph = helper.make_graph(
        builder.nodes,
        manifest.name,
        [values[name] for name in inputs],
        [values[name] for name in outputs],
        builder.tensors,
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
    proto.ir_version = IR_VERSION
    onnx.checker.check_model(proto)
    return bytes(proto.SerializeToString())


def folded(weights: Weights, level: int) -> tuple[Array, Array]:
    """Return the dense weight of a level, zeros where it is pruned, and its bias."""
    weight = weights.weight
    if weights.score is not None and weights.threshold is not None:
        kept = weights.score > weights.threshold[level]
        weight = weight * np.repeat(kept, weights.block_height, axis=0)[: len(weight)]
    if weights.scale is not None:
        weight = weight * weights.scale[level].reshape(-1, *[1] * (weight.ndim - 1))
    bias = np.zeros(len(weight), np.float32) if weights.bias is None else weights.bias[level]
    return weight.astype(np.float32), bias.astype(np.float32)


class _Builder:
    """The nodes and tensors so far."""

    def __init__(self, model: ModelFile, level: int, batch: int) -> None:
        self.model = model
        self.level = level
        self.batch = batch
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def emit(
        self,
        op: str,
        node: Node,
        extra: tuple[str, ...] = (),
        attributes: Mapping[str, object] | None = None,
    ) -> None:
        self.append(op, [*node.inputs, *extra], node.name, attributes or {})

    def inner(
        self,
        op: str,
        node: Node,
        part: str,
        inputs: Sequence[str],
        attributes: Mapping[str, object] | None = None,
    ) -> str:
        """Add one of several operators that make up a node, and return its value's name."""
        name = f"{node.name}/{part}"
        self.append(op, inputs, name, attributes or {})
        return name

    def append(
        self, op: str, inputs: Sequence[str], name: str, attributes: Mapping[str, object]
    ) -> None:
        made = helper.make_node(op, list(inputs), [name], name)
        for key, value in attributes.items():
            made.attribute.append(helper.make_attribute(key, value))
        self.nodes.append(made)

    def scalar(self, node: Node, value: float) -> str:
        return self.constant(node, np.array(value, np.float32))

    def constant(self, node: Node, value: NDArray[np.generic]) -> str:
        # Numbered, as the checker wants names to be unique.
        return self.tensor(f"{node.name}/{len(self.tensors)}", value)

    def tensor(self, name: str, value: NDArray[np.generic]) -> str:
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def parameters(self, node: Node) -> tuple[str, str]:
        weight, bias = folded(self.model.weights[node.name], self.level)
        return (
            self.tensor(f"{node.name}.weight", weight),
            self.tensor(f"{node.name}.bias", bias),
        )


def _conv2d(builder: _Builder, node: Node) -> None:
    assert isinstance(node.attrs, ConvAttrs)
    weight = builder.model.weights[node.name].weight
    builder.emit(
        "Conv",
        node,
        builder.parameters(node),
        {
            **_window(node.attrs, weight.shape[2:]),
            "dilations": node.attrs.dilation,
            "group": builder.model.shapes[node.inputs[0]][0] // weight.shape[1],
        },
    )


def _window(attrs: WindowAttrs, kernel: tuple[int, ...]) -> dict[str, object]:
    return {"kernel_shape": kernel, "pads": attrs.padding, "strides": attrs.stride}


def _linear(builder: _Builder, node: Node) -> None:
    builder.emit("Gemm", node, builder.parameters(node), {"transB": 1})


def _max_pool(builder: _Builder, node: Node) -> None:
    assert isinstance(node.attrs, PoolAttrs)
    builder.emit("MaxPool", node, (), _window(node.attrs, node.attrs.kernel))


def _avg_pool(builder: _Builder, node: Node) -> None:
    assert isinstance(node.attrs, PoolAttrs)
    window = _window(node.attrs, node.attrs.kernel)
    include_pad = int(bool(node.attrs.count_include_pad))
    builder.emit("AveragePool", node, (), {**window, "count_include_pad": include_pad})


def _relu6(builder: _Builder, node: Node) -> None:
    low = builder.tensor(f"{node.name}.low", np.array(0.0, np.float32))
    high = builder.tensor(f"{node.name}.high", np.array(6.0, np.float32))
    builder.emit("Clip", node, (low, high))


def _hardsigmoid(builder: _Builder, node: Node) -> None:
    builder.emit("HardSigmoid", node, (), {"alpha": 1 / 6, "beta": 0.5})


def _leaky_relu(builder: _Builder, node: Node) -> None:
    assert isinstance(node.attrs, LeakyReluAttrs)
    builder.emit("LeakyRelu", node, (), {"alpha": node.attrs.negative_slope})


def _silu(builder: _Builder, node: Node) -> None:
    gate = builder.inner("Sigmoid", node, "gate", node.inputs)
    builder.emit("Mul", node, (gate,))


def _gelu(builder: _Builder, node: Node) -> None:
    # x Phi(x), where 2 Phi(x) = 1 + erf(x / sqrt(2)): ONNX has no Gelu before opset 20.
    scaled = builder.inner("Mul", node, "scaled", (*node.inputs, builder.scalar(node, 0.5**0.5)))
    _half_one_plus(builder, node, builder.inner("Erf", node, "erf", (scaled,)))


def _gelu_tanh(builder: _Builder, node: Node) -> None:
    x = node.inputs[0]
    square = builder.inner("Mul", node, "square", (x, x))
    factor = builder.inner("Mul", node, "factor", (square, builder.scalar(node, 0.044715)))
    grown = builder.inner("Add", node, "grown", (factor, builder.scalar(node, 1.0)))
    cubic = builder.inner("Mul", node, "cubic", (grown, x))
    scaled = builder.inner(
        "Mul", node, "scaled", (cubic, builder.scalar(node, (2 / math.pi) ** 0.5))
    )
    _half_one_plus(builder, node, builder.inner("Tanh", node, "tanh", (scaled,)))


def _half_one_plus(builder: _Builder, node: Node, gate: str) -> None:
    """Make the node's value x * 0.5 * (1 + gate)."""
    above = builder.inner("Add", node, "above", (gate, builder.scalar(node, 1.0)))
    half = builder.inner("Mul", node, "half", (above, builder.scalar(node, 0.5)))
    builder.emit("Mul", node, (half,))


def _affine(builder: _Builder, node: Node) -> None:
    parameters = builder.model.parameters[node.name]
    shape = (1, -1, *[1] * (len(builder.model.shapes[node.name]) - 1))
    steps = [
        (op, builder.constant(node, parameters[part][builder.level].reshape(shape)))
        for op, part in (("Mul", "scale"), ("Add", "bias"))
        if part in parameters
    ]
    value = node.inputs[0]
    for op, constant in steps[:-1]:
        value = builder.inner(op, node, "scaled", (value, constant))
    if steps:
        op, constant = steps[-1]
        builder.append(op, (value, constant), node.name, {})
    else:
        builder.append("Identity", (value,), node.name, {})


def _layer_norm(builder: _Builder, node: Node) -> None:
    attrs = node.attrs
    assert isinstance(attrs, LayerNormAttrs)
    shape = builder.model.shapes[node.name]
    normalised = shape if attrs.over == "sample" else shape[:1]
    parameters = builder.model.parameters[node.name]
    weight = builder.constant(node, parameters.get("weight", np.ones(normalised, np.float32)))
    bias = builder.constant(node, parameters.get("bias", np.zeros(normalised, np.float32)))
    if attrs.over == "sample":
        builder.emit("LayerNormalization", node, (weight, bias), {"axis": 1, "epsilon": attrs.eps})
        return
    last = builder.inner("Transpose", node, "last", node.inputs, {"perm": (0, 2, 3, 1)})
    made = builder.inner(
        "LayerNormalization", node, "norm", (last, weight, bias), {"axis": 3, "epsilon": attrs.eps}
    )
    builder.append("Transpose", (made,), node.name, {"perm": (0, 3, 1, 2)})


def _windows(size: int, parts: int) -> list[tuple[int, int]]:
    """Return begin and end of every window of adaptive pooling, which may overlap."""
    return [(i * size // parts, -(-(i + 1) * size // parts)) for i in range(parts)]


def _adaptive_avg_pool(builder: _Builder, node: Node) -> None:
    # ONNX has no such operator. A mean over a window is a mean over rows of one over columns.
    assert isinstance(node.attrs, AdaptivePoolAttrs)
    sizes = builder.model.shapes[node.inputs[0]][1:]
    means = []
    for size, parts in zip(sizes, node.attrs.output_size, strict=True):
        matrix = np.zeros((parts, size), np.float32)
        for row, (begin, end) in zip(matrix, _windows(size, parts), strict=True):
            row[begin:end] = 1 / (end - begin)
        means.append(matrix)
    rows = builder.constant(node, means[0])
    columns = builder.constant(node, means[1].T)
    value = builder.inner("MatMul", node, "rows", (rows, node.inputs[0]))
    builder.append("MatMul", (value, columns), node.name, {})


def _adaptive_max_pool(builder: _Builder, node: Node) -> None:
    assert isinstance(node.attrs, AdaptivePoolAttrs)
    value = node.inputs[0]
    sizes = builder.model.shapes[value][1:]
    for axis, (size, parts) in enumerate(zip(sizes, node.attrs.output_size, strict=True), start=2):
        maxima = []
        for i, (begin, end) in enumerate(_windows(size, parts)):
            limits = [builder.constant(node, np.array([n])) for n in (begin, end, axis)]
            part = builder.inner("Slice", node, f"part{axis}.{i}", (value, *limits))
            reduced = {"axes": (axis,), "keepdims": 1}
            maxima.append(builder.inner("ReduceMax", node, f"max{axis}.{i}", (part,), reduced))
        value = builder.inner("Concat", node, f"axis{axis}", maxima, {"axis": axis})
    builder.append("Identity", (value,), node.name, {})


def _upsample(builder: _Builder, node: Node) -> None:
    attrs = node.attrs
    assert isinstance(attrs, UpsampleAttrs)
    channels = builder.model.shapes[node.name][0]
    sizes = builder.constant(node, np.array([builder.batch, channels, *attrs.size]))
    if attrs.mode == "nearest":
        how = {
            "mode": "nearest",
            "coordinate_transformation_mode": "asymmetric",
            "nearest_mode": "floor",
        }
    else:
        corners = "align_corners" if attrs.align_corners else "half_pixel"
        how = {"mode": "linear", "coordinate_transformation_mode": corners}
    builder.emit("Resize", node, ("", "", sizes), how)


def _along_channels(op: str) -> Callable[[_Builder, Node], None]:
    return lambda builder, node: builder.emit(op, node, (), {"axis": 1})


def _plain(op: str) -> Callable[[_Builder, Node], None]:
    return lambda builder, node: builder.emit(op, node)


_EMIT: dict[str, Callable[[_Builder, Node], None]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "add": _plain("Add"),
    "mul": _plain("Mul"),
    "concat": _along_channels("Concat"),
    "affine": _affine,
    "relu": _plain("Relu"),
    "relu6": _relu6,
    "hardswish": _plain("HardSwish"),
    "hardsigmoid": _hardsigmoid,
    "silu": _silu,
    "sigmoid": _plain("Sigmoid"),
    "tanh": _plain("Tanh"),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
    "leaky_relu": _leaky_relu,
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "global_avg_pool2d": _plain("GlobalAveragePool"),
    "adaptive_avg_pool2d": _adaptive_avg_pool,
    "adaptive_max_pool2d": _adaptive_max_pool,
    "upsample": _upsample,
    "softmax": _along_channels("Softmax"),
    "layer_norm": _layer_norm,
    "flatten": _plain("Flatten"),
}
