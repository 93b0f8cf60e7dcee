# SPDX-License-Identifier: Apache-2.0
"""What a model file means, in float64 NumPy, with a bound on what float32 may differ from it.

The bound is carried through the graph: a sum of n products made in any order with float32 differs
from the exact one by at most gamma(n) times the sum of the absolute products (Higham), and errors
of the inputs pass through the absolute weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from model_parts import BLOCK_HEIGHT, ModelParts
from numpy.typing import NDArray

Array = NDArray[np.float64]
UNIT = 2.0**-24


class Value(NamedTuple):
    """A value and how far a float32 computation may be away from it, element by element."""

    exact: Array
    error: Array


def gamma(terms: int) -> float:
    return terms * UNIT / (1 - terms * UNIT)


def evaluate(parts: ModelParts, x: NDArray[np.float32], level: int) -> dict[str, Value]:
    """Return the value of every output by name, for a batch x at a level."""
    exact = x.astype(np.float64)
    values = {parts.manifest["inputs"][0]["name"]: Value(exact, np.zeros_like(exact))}
    for node in parts.manifest["nodes"]:
        inputs = [values[name] for name in node["inputs"]]
        values[node["name"]] = _node(parts, node, inputs, level)
    return {output["name"]: values[output["node"]] for output in parts.manifest["outputs"]}


def _node(parts: ModelParts, node: dict[str, Any], inputs: list[Value], level: int) -> Value:
    op, attrs = node["op"], node["attrs"]
    if op == "conv2d":
        return _affine(parts, node["name"], inputs[0], level, attrs)
    if op == "linear":
        return _linear(parts, node["name"], inputs[0], level)
    if op == "add":
        return _rounded(inputs[0].exact + inputs[1].exact, inputs[0].error + inputs[1].error)
    if op == "flatten":
        return Value(*(part.reshape(len(part), -1) for part in inputs[0]))
    if op.endswith("pool2d"):
        return _pool(op, inputs[0], attrs)
    return _activation(op, inputs[0], attrs)


def _linear(parts: ModelParts, name: str, x: Value, level: int) -> Value:
    image = Value(*(part[:, :, None, None] for part in x))
    window = {"stride": [1, 1], "padding": [0, 0, 0, 0], "dilation": [1, 1]}
    return Value(*(part[:, :, 0, 0] for part in _affine(parts, name, image, level, window)))


def _pool(op: str, x: Value, attrs: dict[str, Any]) -> Value:
    if op == "max_pool2d":
        return _max_pool(x, attrs)
    if op == "avg_pool2d":
        return _average_pool(x, attrs)
    whole = {"kernel": x.exact.shape[2:], "stride": [1, 1], "padding": [0, 0, 0, 0]}
    return _average_pool(x, {**whole, "count_include_pad": True})


def masked_weight(parts: ModelParts, name: str, level: int) -> Array:
    """Return the layer's weight with the blocks that the level prunes set to zero."""
    weight = parts.tensors[f"{name}.weight"].astype(np.float64)
    score = parts.tensors.get(f"{name}.score")
    if score is None:
        return weight
    kept = score > parts.tensors[f"{name}.threshold"][level]
    height = parts.node(name)["attrs"].get("block_height", BLOCK_HEIGHT)
    rows = np.repeat(kept, height, axis=0)[: weight.shape[0]]
    return np.where(rows, weight, 0.0)


def _affine(parts: ModelParts, name: str, x: Value, level: int, attrs: dict[str, Any]) -> Value:
    weight = masked_weight(parts, name, level)
    weight = weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))
    channels = (1, len(weight), 1, 1)
    ones, zeros = np.ones(len(weight)), np.zeros(len(weight))
    scale = _row(parts, f"{name}.scale", level, ones).reshape(channels)
    bias = _row(parts, f"{name}.bias", level, zeros).reshape(channels)
    total = _correlate(x.exact, weight, attrs)
    reach = _correlate(np.abs(x.exact) + x.error, np.abs(weight), attrs)
    error = _correlate(x.error, np.abs(weight), attrs)
    terms = weight[0].size + 4
    error = np.abs(scale) * (error + gamma(terms) * reach) + gamma(terms) * np.abs(bias)
    return _rounded(scale * total + bias, error)


def _row(parts: ModelParts, name: str, level: int, default: Array) -> Array:
    tensor = parts.tensors.get(name)
    return default if tensor is None else tensor[level].astype(np.float64)


def _windows(x: Array, attrs: dict[str, Any], extent: tuple[int, int], fill: float) -> Array:
    """Return every window: (N, C, rows, columns, extent height, extent width)."""
    top, left, bottom, right = attrs["padding"]
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    windows = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(2, 3))
    return windows[:, :, :: attrs["stride"][0], :: attrs["stride"][1]]


def _correlate(x: Array, weight: Array, attrs: dict[str, Any]) -> Array:
    rows, columns = attrs["dilation"]
    extent = rows * (weight.shape[2] - 1) + 1, columns * (weight.shape[3] - 1) + 1
    windows = _windows(x, attrs, extent, 0.0)[..., ::rows, ::columns]
    groups = attrs.get("groups", 1)
    pairs = zip(np.split(windows, groups, axis=1), np.split(weight, groups), strict=True)
    parts = [np.einsum("ncyxij,ocij->noyx", x, w, optimize=True) for x, w in pairs]
    return np.concatenate(parts, axis=1)


def _max_pool(x: Value, attrs: dict[str, Any]) -> Value:
    kernel = attrs["kernel"][0], attrs["kernel"][1]
    exact = _windows(x.exact, attrs, kernel, -np.inf).max(axis=(4, 5))
    return Value(exact, _windows(x.error, attrs, kernel, 0.0).max(axis=(4, 5)))


def _average_pool(x: Value, attrs: dict[str, Any]) -> Value:
    kernel = attrs["kernel"][0], attrs["kernel"][1]
    outside = 1.0 if attrs["count_include_pad"] else 0.0
    count = _windows(np.ones_like(x.exact), attrs, kernel, outside).sum(axis=(4, 5))
    exact, error, reach = (
        _windows(part, attrs, kernel, 0.0).sum(axis=(4, 5)) / count
        for part in (x.exact, x.error, np.abs(x.exact) + x.error)
    )
    return _rounded(exact, error + gamma(kernel[0] * kernel[1] + 3) * reach)


def _activation(op: str, x: Value, attrs: dict[str, Any]) -> Value:
    if op == "leaky_relu":
        slope = float(np.float32(attrs["negative_slope"]))
        exact = np.where(x.exact < 0, slope * x.exact, x.exact)
        return _rounded(exact, max(1.0, abs(slope)) * x.error)
    if op == "relu":
        return Value(np.maximum(x.exact, 0.0), x.error)
    if op == "relu6":
        return Value(np.clip(x.exact, 0.0, 6.0), x.error)
    if op in _SMOOTH:
        return _smooth(op, x)
    assert op == "hardswish"
    exact = x.exact * np.clip(x.exact + 3.0, 0.0, 6.0) / 6.0
    reach = np.abs(x.exact) + x.error
    # Its slope is at most 1.5; four roundings of intermediates of up to |x| (|x| + 6) / 6.
    return _rounded(exact, 1.5 * x.error + gamma(4) * reach * (reach + 6.0) / 6.0)


def _sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0.0, -x))


def _gelu(x: Array) -> Array:
    result: Array = x * 0.5 * np.vectorize(math.erfc)(-x * 0.5**0.5)
    return result


# With the steepest slope of each.
_SMOOTH: dict[str, tuple[Callable[[Array], Array], float]] = {
    "hardsigmoid": (lambda x: np.clip(x + 3.0, 0.0, 6.0) / 6.0, 0.17),
    "silu": (lambda x: x * _sigmoid(x), 1.1),
    "sigmoid": (_sigmoid, 0.25),
    "tanh": (np.tanh, 1.0),
    "gelu": (_gelu, 1.13),
    "gelu_tanh": (
        lambda x: x * 0.5 * (1.0 + np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))),
        1.13,
    ),
}


def _smooth(op: str, x: Value) -> Value:
    function, slope = _SMOOTH[op]
    exact = function(x.exact)
    # The functions themselves are within 1e-6 of values of the order of their inputs, which
    # csrc/kernels/elementwise/test.cc holds them to more closely.
    return _rounded(exact, slope * x.error + 1e-6 * (1.0 + np.abs(x.exact)))


def _rounded(exact: Array, error: Array) -> Value:
    tiny = float(np.finfo(np.float32).tiny)  # below it float32 loses relative precision
    return Value(exact, error + UNIT * (np.abs(exact) + error) + tiny)
