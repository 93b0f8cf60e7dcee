# SPDX-License-Identifier: Apache-2.0
"""What a model file means, in float64 NumPy, with a bound on what float32 may differ from it.

The bound is carried through the graph: a sum of n products made in any order with float32 differs
from the exact one by at most gamma(n) times the sum of the absolute products (Higham), and errors
of the inputs pass through the absolute weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
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


def evaluate(
    parts: ModelParts, inputs: Sequence[NDArray[np.float32]], level: int
) -> dict[str, Value]:
    """Return the value of every output by name, for a batch of every input at a level."""
    values = {}
    for spec, x in zip(parts.manifest["inputs"], inputs, strict=True):
        values[spec["name"]] = Value(x.astype(np.float64), np.zeros(x.shape))
    for node in parts.manifest["nodes"]:
        sources = [values[name] for name in node["inputs"]]
        values[node["name"]] = _node(parts, node, sources, level)
    return {output["name"]: values[output["node"]] for output in parts.manifest["outputs"]}


def _node(parts: ModelParts, node: dict[str, Any], inputs: list[Value], level: int) -> Value:
    op, attrs = node["op"], node["attrs"]
    if op in _JOINS:
        return _JOINS[op](inputs)
    if op in _BY_NAME:
        return _BY_NAME[op](parts, node, inputs[0], level)
    if op.endswith("pool2d"):
        return _pool(op, inputs[0], attrs)
    return _activation(op, inputs[0], attrs)


def _conv(parts: ModelParts, node: dict[str, Any], x: Value, level: int) -> Value:
    return _affine(parts, node["name"], x, level, node["attrs"])


def _flatten(parts: ModelParts, node: dict[str, Any], x: Value, level: int) -> Value:
    return Value(*(part.reshape(len(part), -1) for part in x))


def _sum(inputs: list[Value]) -> Value:
    a, b = inputs
    return _rounded(a.exact + b.exact, a.error + b.error)


def _concat(inputs: list[Value]) -> Value:
    return Value(*(np.concatenate(part, axis=1) for part in zip(*inputs, strict=True)))


def _product(inputs: list[Value]) -> Value:
    a, b = inputs
    error = np.abs(a.exact) * b.error + np.abs(b.exact) * a.error + a.error * b.error
    return _rounded(a.exact * b.exact, error)


def _scale(parts: ModelParts, node: dict[str, Any], x: Value, level: int) -> Value:
    channels = x.exact.shape[1]
    shape = (1, channels, *[1] * (x.exact.ndim - 2))
    scale = _row(parts, f"{node['name']}.scale", level, np.ones(channels)).reshape(shape)
    bias = _row(parts, f"{node['name']}.bias", level, np.zeros(channels)).reshape(shape)
    scaled = _rounded(x.exact * scale, x.error * np.abs(scale))
    return _rounded(scaled.exact + bias, scaled.error)


def _softmax(parts: ModelParts, node: dict[str, Any], x: Value, level: int) -> Value:
    powers = np.exp(x.exact - x.exact.max(axis=1, keepdims=True))
    exact = powers / powers.sum(axis=1, keepdims=True)
    # d softmax = p (dx - sum p dx); exp is within 1e-6 of its value, which csrc's tests hold it to.
    moved = x.error + (exact * x.error).sum(axis=1, keepdims=True)
    span = np.abs(x.exact).max(axis=1, keepdims=True)
    terms = gamma(x.exact.shape[1] + 4)
    return _rounded(exact, exact * np.expm1(2 * moved) + exact * (terms + 2e-6 + 4 * UNIT * span))


def _layer_norm(parts: ModelParts, node: dict[str, Any], x: Value, level: int) -> Value:
    name, attrs = node["name"], node["attrs"]
    axes = (1,) if attrs["over"] == "channels" else tuple(range(1, x.exact.ndim))
    count = math.prod(x.exact.shape[axis] for axis in axes)
    centred = x.exact - x.exact.mean(axes, keepdims=True)
    deviation = np.sqrt((centred**2).mean(axes, keepdims=True) + attrs["eps"])
    reach = np.abs(x.exact).max(axes, keepdims=True)
    # What an element and the mean are off, and what that does to the deviation.
    off = x.error.max(axes, keepdims=True) + gamma(count + 4) * reach
    exact = centred / deviation
    error = (2 * off / deviation) * (1 + np.abs(exact)) + gamma(count + 8) * np.abs(exact)
    shape = (1, -1, *x.exact.shape[2:]) if attrs["over"] == "sample" else (1, -1, 1, 1)
    weight = parts.tensors[f"{name}.weight"].astype(np.float64).reshape(shape)
    bias = parts.tensors[f"{name}.bias"].astype(np.float64).reshape(shape)
    scaled = _rounded(exact * weight, error * np.abs(weight))
    return _rounded(scaled.exact + bias, scaled.error)


def _adaptive(
    x: Value, size: Sequence[int], reduce: Callable[[Array], Array]
) -> tuple[Array, Array, Array]:
    """Reduce exact values, errors and magnitudes over torch's windows."""
    parts = (x.exact, x.error, np.abs(x.exact) + x.error)
    edges = [
        [(i * side // n, -(-(i + 1) * side // n)) for i in range(n)]
        for side, n in zip(x.exact.shape[2:], size, strict=True)
    ]
    made = []
    for part in parts:
        rows = [[reduce(part[:, :, a:b, c:d]) for c, d in edges[1]] for a, b in edges[0]]
        made.append(np.stack([np.stack(row, axis=-1) for row in rows], axis=-2))
    return made[0], made[1], made[2]


def _adaptive_max(parts: ModelParts, node: dict[str, Any], x: Value, level: int) -> Value:
    size = node["attrs"]["output_size"]
    exact, error, _ = _adaptive(x, size, lambda window: window.max(axis=(2, 3)))
    return Value(exact, error)


def _adaptive_average(parts: ModelParts, node: dict[str, Any], x: Value, level: int) -> Value:
    size = node["attrs"]["output_size"]
    exact, error, reach = _adaptive(x, size, lambda window: window.mean(axis=(2, 3)))
    return _rounded(exact, error + gamma(math.prod(x.exact.shape[2:]) + 3) * reach)


def _upsample(parts: ModelParts, node: dict[str, Any], x: Value, level: int) -> Value:
    attrs = node["attrs"]
    matrices = [
        _resampling(side, n, attrs)
        for side, n in zip(x.exact.shape[2:], attrs["size"], strict=True)
    ]
    exact, error, reach = (
        np.einsum("yh,nchw,xw->ncyx", matrices[0], part, matrices[1])
        for part in (x.exact, x.error, np.abs(x.exact) + x.error)
    )
    if attrs["mode"] == "nearest":
        return Value(exact, error)
    # Positions are computed in float32 too: an ulp of them moves a weight by that much.
    positions = UNIT * 8 * (1 + max(*x.exact.shape[2:], *attrs["size"]))
    spread = 2 * positions * np.abs(x.exact).max(axis=(2, 3), keepdims=True)
    return _rounded(exact, error + gamma(12) * reach + spread)


def _resampling(side: int, size: int, attrs: dict[str, Any]) -> Array:
    """Return the matrix (size, side) from the pixels of an axis to those it becomes."""
    matrix = np.zeros((size, side))
    for i in range(size):
        if attrs["mode"] == "nearest":
            matrix[i, min(side - 1, int(np.float32(i) * (np.float32(side) / np.float32(size))))] = 1
            continue
        if attrs["align_corners"]:
            position = i * (side - 1) / (size - 1) if size > 1 else 0.0
        else:
            position = max(0.0, (i + 0.5) * side / size - 0.5)
        low = min(int(position), side - 1)
        matrix[i, low] += 1 - (position - low)
        matrix[i, min(low + 1, side - 1)] += position - low
    return matrix


def _linear(parts: ModelParts, node: dict[str, Any], x: Value, level: int) -> Value:
    name = node["name"]
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


_JOINS: dict[str, Callable[[list[Value]], Value]] = {
    "add": _sum,
    "mul": _product,
    "concat": _concat,
}
_BY_NAME: dict[str, Callable[[ModelParts, dict[str, Any], Value, int], Value]] = {
    "conv2d": _conv,
    "linear": _linear,
    "flatten": _flatten,
    "affine": _scale,
    "softmax": _softmax,
    "layer_norm": _layer_norm,
    "adaptive_avg_pool2d": _adaptive_average,
    "adaptive_max_pool2d": _adaptive_max,
    "upsample": _upsample,
}


def _rounded(exact: Array, error: Array) -> Value:
    tiny = float(np.finfo(np.float32).tiny)  # below it float32 loses relative precision
    return Value(exact, error + UNIT * (np.abs(exact) + error) + tiny)
