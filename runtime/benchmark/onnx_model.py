# SPDX-License-Identifier: Apache-2.0
"""A model file as an ONNX model at one of its levels, so that other engines can run the same.

Pruned weights are zeros there: ONNX has no masks. Needs the package `onnx`; weights and the scale
of the level's batch normalisation are folded, as the executor does.
"""

from collections.abc import Callable, Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from aio.runtime.model_file import ModelFile, Node, Weights
from aio.runtime.model_file.ops import BLOCK_HEIGHT, ConvAttrs, PoolAttrs, WindowAttrs

OPSET = 17
IR_VERSION = 8

Array = NDArray[np.float32]


def to_onnx(model: ModelFile, level: int, batch: int = 1) -> bytes:
    """Return the serialized ONNX model of a level, with a fixed batch.

    Raises:
        ValueError: an operator has no counterpart here; the message names it.
    """
    manifest = model.manifest
    builder = _Builder(model, level)
    for node in manifest.nodes:
        if node.op not in _EMIT:
            raise ValueError(f"node {node.name!r}: {node.op} can't be written as ONNX")
        _EMIT[node.op](builder, node)
    names = [manifest.input.name, *[output.node for output in manifest.outputs]]
    values = {
        name: helper.make_tensor_value_info(name, TensorProto.FLOAT, (batch, *model.shapes[name]))
        for name in names
    }
    graph = helper.make_graph(
        builder.nodes,
        manifest.name,
        [values[manifest.input.name]],
        [values[output.node] for output in manifest.outputs],
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
        weight = weight * np.repeat(kept, BLOCK_HEIGHT, axis=0)[: len(weight)]
    if weights.scale is not None:
        weight = weight * weights.scale[level].reshape(-1, *[1] * (weight.ndim - 1))
    bias = np.zeros(len(weight), np.float32) if weights.bias is None else weights.bias[level]
    return weight.astype(np.float32), bias.astype(np.float32)


class _Builder:
    """The nodes and tensors so far."""

    def __init__(self, model: ModelFile, level: int) -> None:
        self.model = model
        self.level = level
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: list[onnx.TensorProto] = []

    def emit(
        self,
        op: str,
        node: Node,
        extra: tuple[str, ...] = (),
        attributes: Mapping[str, object] | None = None,
    ) -> None:
        made = helper.make_node(op, [*node.inputs, *extra], [node.name], node.name)
        for name, value in (attributes or {}).items():
            made.attribute.append(helper.make_attribute(name, value))
        self.nodes.append(made)

    def tensor(self, name: str, value: Array) -> str:
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


def _plain(op: str) -> Callable[[_Builder, Node], None]:
    return lambda builder, node: builder.emit(op, node)


_EMIT: dict[str, Callable[[_Builder, Node], None]] = {
    "conv2d": _conv2d,
    "linear": _linear,
    "add": _plain("Add"),
    "relu": _plain("Relu"),
    "relu6": _relu6,
    "hardswish": _plain("HardSwish"),
    "max_pool2d": _max_pool,
    "avg_pool2d": _avg_pool,
    "global_avg_pool2d": _plain("GlobalAveragePool"),
    "flatten": _plain("Flatten"),
}
