# SPDX-License-Identifier: Apache-2.0
"""A plain interpreter of the model file's graph, in torch: slow, short, and the referee.

It follows docs/model-format.md word by word and shares no code with the conversion.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_Attrs = Mapping[str, Any]


def interpret(
    manifest: Mapping[str, Any], tensors: Mapping[str, Tensor], x: Tensor, level: int
) -> Tensor:
    """Return the first output for a batch (N, C, H, W) with all layers at one level."""
    values = {manifest["inputs"][0]["name"]: x}
    for node in manifest["nodes"]:
        inputs = [values[name] for name in node["inputs"]]
        attrs = node["attrs"]
        if node["op"] in {"conv2d", "linear"}:
            result = _layer(node["name"], attrs, tensors, inputs[0], level)
        else:
            result = _OPS[node["op"]](attrs, *inputs)
        values[node["name"]] = result
    return values[manifest["outputs"][0]["node"]]


def _layer(
    name: str, attrs: _Attrs, tensors: Mapping[str, Tensor], x: Tensor, level: int
) -> Tensor:
    weight = tensors[f"{name}.weight"]
    if f"{name}.score" in tensors:
        keep = tensors[f"{name}.score"] > tensors[f"{name}.threshold"][level]
        rows = torch.arange(weight.shape[0]) // int(attrs.get("block_height", 16))
        weight = weight * keep[rows]
    if weight.ndim == 4:
        top, left, bottom, right = attrs["padding"]
        x = F.pad(x, (left, right, top, bottom))
        stride, dilation = tuple(attrs["stride"]), tuple(attrs["dilation"])
        y = F.conv2d(x, weight, None, stride, 0, dilation, attrs.get("groups", 1))
    else:
        y = F.linear(x, weight)
    per_channel = (-1, 1, 1) if weight.ndim == 4 else (-1,)
    if f"{name}.scale" in tensors:
        y = y * tensors[f"{name}.scale"][level].reshape(per_channel)
    if f"{name}.bias" in tensors:
        y = y + tensors[f"{name}.bias"][level].reshape(per_channel)
    return y


def _padded(attrs: _Attrs, x: Tensor, value: float) -> Tensor:
    top, left, bottom, right = attrs["padding"]
    return F.pad(x, (left, right, top, bottom), value=value)


def _max_pool2d(attrs: _Attrs, x: Tensor) -> Tensor:
    return F.max_pool2d(_padded(attrs, x, -torch.inf), attrs["kernel"], attrs["stride"])


def _avg_pool2d(attrs: _Attrs, x: Tensor) -> Tensor:
    mean = F.avg_pool2d(_padded(attrs, x, 0.0), attrs["kernel"], attrs["stride"])
    if attrs["count_include_pad"]:
        return mean
    inside = _padded(attrs, torch.ones_like(x), 0.0)
    return mean / F.avg_pool2d(inside, attrs["kernel"], attrs["stride"])


_OPS: dict[str, Callable[..., Tensor]] = {
    "add": lambda attrs, a, b: a + b,
    "relu": lambda attrs, x: F.relu(x),
    "relu6": lambda attrs, x: F.relu6(x),
    "hardswish": lambda attrs, x: F.hardswish(x),
    "hardsigmoid": lambda attrs, x: F.hardsigmoid(x),
    "silu": lambda attrs, x: F.silu(x),
    "sigmoid": lambda attrs, x: torch.sigmoid(x),
    "tanh": lambda attrs, x: torch.tanh(x),
    "gelu": lambda attrs, x: F.gelu(x),
    "gelu_tanh": lambda attrs, x: F.gelu(x, approximate="tanh"),
    "leaky_relu": lambda attrs, x: F.leaky_relu(x, attrs["negative_slope"]),
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "global_avg_pool2d": lambda attrs, x: x.mean(dim=(2, 3), keepdim=True),
    "flatten": lambda attrs, x: x.flatten(1),
}
