# SPDX-License-Identifier: Apache-2.0
"""A plain interpreter of the model file's graph, in torch: slow, short, and the referee.

It follows docs/model-format.md word by word and shares no code with the conversion.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

_Attrs = Mapping[str, Any]


def interpret(
    manifest: Mapping[str, Any], tensors: Mapping[str, Tensor], x: Tensor, level: int
) -> Tensor:
    """Return the first output for a batch of the one input with all layers at one level."""
    return next(iter(interpret_all(manifest, tensors, [x], level).values()))


def interpret_all(
    manifest: Mapping[str, Any], tensors: Mapping[str, Tensor], inputs: Sequence[Tensor], level: int
) -> dict[str, Tensor]:
    """Return every output by name for batches of the inputs, with all layers at one level.

    Images are (N, C, H, W), flat values (N, features).
    """
    values = {spec["name"]: x for spec, x in zip(manifest["inputs"], inputs, strict=True)}
    for node in manifest["nodes"]:
        sources = [values[name] for name in node["inputs"]]
        values[node["name"]] = interpret_node(node, tensors, sources, level)
    return {output["name"]: values[output["node"]] for output in manifest["outputs"]}


def interpret_node(
    node: Mapping[str, Any], tensors: Mapping[str, Tensor], sources: Sequence[Tensor], level: int
) -> Tensor:
    """Return the value of one node of the graph for batches of what it reads."""
    name, op, attrs = node["name"], node["op"], node["attrs"]
    if op in {"conv2d", "linear"}:
        return _layer(name, attrs, tensors, sources[0], level)
    if op == "affine":
        return _scaled(name, tensors, sources[0], level)
    if op == "layer_norm":
        return _layer_norm(name, attrs, tensors, sources[0])
    return _OPS[op](attrs, *sources)


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
    return _scaled(name, tensors, y, level)


def _scaled(name: str, tensors: Mapping[str, Tensor], x: Tensor, level: int) -> Tensor:
    per_channel = (-1, 1, 1) if x.ndim == 4 else (-1,)
    if f"{name}.scale" in tensors:
        x = x * tensors[f"{name}.scale"][level].reshape(per_channel)
    if f"{name}.bias" in tensors:
        x = x + tensors[f"{name}.bias"][level].reshape(per_channel)
    return x


def _layer_norm(name: str, attrs: _Attrs, tensors: Mapping[str, Tensor], x: Tensor) -> Tensor:
    axes = (1,) if attrs["over"] == "channels" else tuple(range(1, x.ndim))
    centred = x - x.mean(axes, keepdim=True)
    y: Tensor = centred / (centred.square().mean(axes, keepdim=True) + attrs["eps"]).sqrt()
    trailing = (1,) * (x.ndim - 1 - len(axes))
    for part, combine in (("weight", torch.mul), ("bias", torch.add)):
        tensor = tensors.get(f"{name}.{part}")
        if tensor is not None:
            y = combine(y, tensor.reshape(*tensor.shape, *trailing))
    return y


def _upsample(attrs: _Attrs, x: Tensor) -> Tensor:
    bilinear = attrs["mode"] == "bilinear"
    aligned = attrs["align_corners"] if bilinear else None
    size, mode = tuple(attrs["size"]), attrs["mode"]
    return F.interpolate(x, size, mode=mode, align_corners=aligned)


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
    "mul": lambda attrs, a, b: a * b,
    "concat": lambda attrs, *values: torch.cat(values, dim=1),
    "softmax": lambda attrs, x: x.softmax(dim=1),
    "upsample": _upsample,
    "adaptive_avg_pool2d": lambda attrs, x: F.adaptive_avg_pool2d(x, attrs["output_size"]),
    "adaptive_max_pool2d": lambda attrs, x: F.adaptive_max_pool2d(x, attrs["output_size"]),
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
