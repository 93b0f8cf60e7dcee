# SPDX-License-Identifier: Apache-2.0
"""Torch: an ONNX file of ours as the same calls of torch's operators, eager, channels last.

Only what `onnx_model` writes is known; another operator is refused by name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def version() -> str:
    """Return the engine's version."""
    import torch  # noqa: PLC0415 - only comparisons need it

    return str(torch.__version__)


def load(model: str, threads: int, batch: int) -> Callable[[Array], Array]:
    """Return what answers."""
    import onnx  # noqa: PLC0415
    import torch  # noqa: PLC0415
    from onnx import numpy_helper  # noqa: PLC0415

    torch.set_num_threads(threads)
    graph = onnx.load(model).graph
    constants = {
        tensor.name: _laid_out(torch.from_numpy(np.array(numpy_helper.to_array(tensor))))
        for tensor in graph.initializer
    }
    operators = _operators()
    steps = []
    for node in graph.node:
        if node.op_type not in operators:
            raise NotImplementedError(f"the torch peer does not know ONNX's {node.op_type}")
        attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        steps.append((operators[node.op_type], list(node.input), node.output[0], attributes))
    source, output = graph.input[0].name, graph.output[0].name

    def infer(x: Array) -> Array:
        with torch.inference_mode():
            values = {**constants, source: _laid_out(torch.from_numpy(x))}
            for operator, inputs, name, attributes in steps:
                values[name] = operator([values.get(i) for i in inputs], attributes)
            answer: Array = values[output].contiguous().numpy()
            return answer

    return infer


def _laid_out(tensor: Any) -> Any:
    import torch  # noqa: PLC0415

    if tensor.ndim != 4:
        return tensor
    return tensor.contiguous(memory_format=torch.channels_last)


_Operator = Callable[[Sequence[Any], Mapping[str, Any]], Any]


def _operators() -> dict[str, _Operator]:
    import torch  # noqa: PLC0415
    import torch.nn.functional as f  # noqa: PLC0415

    return {
        "Conv": _conv,
        "Gemm": lambda x, a: f.linear(x[0], x[1] if a.get("transB") else x[1].T, x[2]),
        "MatMul": lambda x, a: torch.matmul(x[0], x[1]),
        "Add": lambda x, a: x[0] + x[1],
        "Mul": lambda x, a: x[0] * x[1],
        "Relu": lambda x, a: f.relu(x[0]),
        "Clip": lambda x, a: torch.clamp(x[0], x[1], x[2]),
        "LeakyRelu": lambda x, a: f.leaky_relu(x[0], a.get("alpha", 0.01)),
        "HardSwish": lambda x, a: f.hardswish(x[0]),
        "HardSigmoid": lambda x, a: f.hardsigmoid(x[0]),
        "Sigmoid": lambda x, a: torch.sigmoid(x[0]),
        "Tanh": lambda x, a: torch.tanh(x[0]),
        "Erf": lambda x, a: torch.erf(x[0]),
        "Softmax": lambda x, a: f.softmax(x[0], dim=a.get("axis", -1)),
        "Concat": lambda x, a: torch.cat(list(x), dim=a["axis"]),
        "Transpose": lambda x, a: x[0].permute(*a["perm"]),
        "Identity": lambda x, a: x[0],
        "MaxPool": _max_pool,
        "AveragePool": _average_pool,
        "GlobalAveragePool": lambda x, a: x[0].mean(dim=(2, 3), keepdim=True),
        "Flatten": lambda x, a: x[0].flatten(1),
        "LayerNormalization": lambda x, a: f.layer_norm(
            x[0], x[1].shape, x[1], x[2], a.get("epsilon", 1e-5)
        ),
        "Slice": _slice,
        "ReduceMax": lambda x, a: x[0].amax(dim=tuple(a["axes"]), keepdim=bool(a["keepdims"])),
        "Resize": _resize,
    }


def _padded(x: Any, pads: Sequence[int], value: float) -> tuple[Any, tuple[int, int]]:
    """Return the image and the padding that torch's operators can do: the same on both sides."""
    import torch.nn.functional as f  # noqa: PLC0415

    top, left, bottom, right = pads
    if (top, left) == (bottom, right):
        return x, (top, left)
    return f.pad(x, (left, right, top, bottom), value=value), (0, 0)


def _conv(x: Sequence[Any], a: Mapping[str, Any]) -> Any:
    import torch.nn.functional as f  # noqa: PLC0415

    image, padding = _padded(x[0], a["pads"], 0.0)
    return f.conv2d(image, x[1], x[2], a["strides"], padding, a["dilations"], a["group"])


def _max_pool(x: Sequence[Any], a: Mapping[str, Any]) -> Any:
    import torch.nn.functional as f  # noqa: PLC0415

    image, padding = _padded(x[0], a["pads"], float("-inf"))
    return f.max_pool2d(image, a["kernel_shape"], a["strides"], padding)


def _average_pool(x: Sequence[Any], a: Mapping[str, Any]) -> Any:
    import torch  # noqa: PLC0415
    import torch.nn.functional as f  # noqa: PLC0415

    image, padding = _padded(x[0], a["pads"], 0.0)
    if padding == (0, 0) and any(a["pads"]) and not a["count_include_pad"]:
        # The average over what is of the image: sums of both over the same windows.
        ones, _ = _padded(torch.ones_like(x[0][:1, :1]), a["pads"], 0.0)
        pool = a["kernel_shape"], a["strides"]
        return f.avg_pool2d(image, *pool) / f.avg_pool2d(ones, *pool)
    include = bool(a["count_include_pad"])
    return f.avg_pool2d(image, a["kernel_shape"], a["strides"], padding, count_include_pad=include)


def _slice(x: Sequence[Any], a: Mapping[str, Any]) -> Any:
    begin, end, axis = (int(value[0]) for value in x[1:4])
    return x[0].narrow(axis, begin, end - begin)


def _resize(x: Sequence[Any], a: Mapping[str, Any]) -> Any:
    import torch.nn.functional as f  # noqa: PLC0415

    size = [int(side) for side in x[3][2:]]
    if a["mode"] == b"nearest":
        return f.interpolate(x[0], size, mode="nearest")
    corners = a["coordinate_transformation_mode"] == b"align_corners"
    return f.interpolate(x[0], size, mode="bilinear", align_corners=corners)
