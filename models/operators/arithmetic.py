# SPDX-License-Identifier: Apache-2.0
"""Sums, products and concatenation of values; scales and shifts by constants.

A constant is a number or a tensor of the network with one number per channel; it becomes an
`affine` operator, or part of the layer before.
"""

import operator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from aio.models.conversion import Conversion, described
from aio.models.folding import float64
from aio.models.operators.registry import Options, converts

_MOST_CONCATENATED = 256  # of the model file


@converts(
    operator.add, operator.iadd, torch.add, "add", "add_", any_layout=True, any_arguments=True
)
def _add(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    first, second, alpha = _terms(conversion, node)
    _sum(conversion, node, (first, 1.0), (second, alpha))


@converts(
    operator.sub, operator.isub, torch.sub, "sub", "sub_", any_layout=True, any_arguments=True
)
def _sub(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    first, second, alpha = _terms(conversion, node)
    _sum(conversion, node, (first, 1.0), (second, -alpha))


@converts(torch.rsub, any_layout=True, any_arguments=True)
def _rsub(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    first, second, alpha = _terms(conversion, node)
    _sum(conversion, node, (first, -alpha), (second, 1.0))


@converts(operator.neg, torch.neg, "neg", any_layout=True)
def _neg(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    (source,) = conversion.sources(node)
    minus = _per_channel(conversion, node, source, -1.0)
    conversion.affine(node, source, minus, np.zeros_like(minus))


@converts(
    operator.mul,
    operator.imul,
    torch.mul,
    torch.multiply,
    "mul",
    "mul_",
    "multiply",
    any_layout=True,
    any_arguments=True,
)
def _mul(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    first, second, _ = _terms(conversion, node)
    if conversion.is_value(first) and conversion.is_value(second):
        _join(conversion, node, "mul", (first, 1.0), (second, 1.0))
        return
    source, factor = (first, second) if conversion.is_value(first) else (second, first)
    scale = _per_channel(conversion, node, source, factor)
    conversion.affine(node, source, scale, np.zeros_like(scale))


@converts(
    operator.truediv,
    operator.itruediv,
    torch.div,
    torch.true_divide,
    "div",
    "div_",
    any_layout=True,
    any_arguments=True,
)
def _div(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    first, second, _ = _terms(conversion, node)
    if conversion.is_value(second):
        conversion.fail(node, "division by a computed value is not supported")
    divisor = _per_channel(conversion, node, first, second)
    if not divisor.all():
        conversion.fail(node, "division by zero is not supported")
    conversion.affine(node, first, 1.0 / divisor, np.zeros_like(divisor))


@converts(torch.cat, torch.concat, torch.concatenate, first="tensors", dim=0, axis=None)
def _concat(conversion: Conversion, node: fx.Node, options: Options) -> None:
    terms = node.args[0] if node.args else node.kwargs.get("tensors")
    if not isinstance(terms, list | tuple) or not all(map(conversion.is_value, terms)):
        conversion.fail(node, "concatenation of something else than values is not supported")
    values = [term for term in terms if isinstance(term, fx.Node)]
    axes = 1 + len(conversion.shape(node))
    dim = options["dim"] if options["axis"] is None else options["axis"]
    if axes not in {2, 4} or not isinstance(dim, int) or dim % axes != 1:
        conversion.fail(
            node, f"concatenation along {dim} of {axes} axes is not supported, only of channels"
        )
    if len(values) > _MOST_CONCATENATED:
        conversion.fail(
            node, f"concatenation of {len(values)} values, the limit is {_MOST_CONCATENATED}"
        )
    if len(values) == 1:
        conversion.alias(node, values[0])
    else:
        conversion.emit_from(node, "concat", [conversion.value(value) for value in values])


def _terms(conversion: Conversion, node: fx.Node) -> tuple[Any, Any, float]:
    """Return both operands of a call, and the factor of the second where there is one."""
    names = ("input", "other")
    operands = [*node.args, *(node.kwargs[name] for name in names if name in node.kwargs)]
    alpha = node.kwargs.get("alpha", 1.0)
    unknown = set(node.kwargs) - {*names, "alpha"}
    if len(operands) != 2 or unknown or not isinstance(alpha, int | float):
        conversion.fail(node, f"{described(conversion, node)} has arguments that are not supported")
    return operands[0], operands[1], float(alpha)


def _sum(
    conversion: Conversion, node: fx.Node, first: tuple[Any, float], second: tuple[Any, float]
) -> None:
    """Add two operands, each multiplied by a number."""
    values = [term for term in (first, second) if conversion.is_value(term[0])]
    if len(values) == 1:
        ((source, factor),) = values
        constant, times = second if conversion.is_value(first[0]) else first
        shift = times * _per_channel(conversion, node, source, constant)
        conversion.affine(node, source, np.full_like(shift, factor), shift)
        return
    _join(conversion, node, "add", first, second)


def _join(
    conversion: Conversion,
    node: fx.Node,
    op: str,
    first: tuple[fx.Node, float],
    second: tuple[fx.Node, float],
) -> None:
    """Emit an operator of two values, each multiplied by a number.

    Their shapes are equal, or one is C x 1 x 1.
    """
    terms = [conversion.unexpanded(term) for term, _ in (first, second)]
    layouts = {conversion.layout(term) for term in terms}
    shapes = [conversion.value_shape(term) for term in terms]
    if len(layouts) != 1 or not _broadcasts(*shapes):
        shown = " and ".join(str(conversion.shape(term)) for term, _ in (first, second))
        conversion.fail(node, f"{op} of shapes {shown} is not supported")
    values = [conversion.value(term) for term in terms]
    for i, (_, factor) in enumerate((first, second)):
        if factor != 1.0:
            values[i] = conversion.affine_inner(node, values[i], factor, shapes[i][0])
    conversion.emit_from(node, op, values)
    conversion.set_layout(node, layouts.pop())


def _broadcasts(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a == b or b == (a[0], 1, 1) or a == (b[0], 1, 1)


def _per_channel(conversion: Conversion, node: fx.Node, source: Any, constant: Any) -> NDArray[Any]:
    """Return a number, or a stored tensor of one per channel, for every level and channel."""
    if isinstance(constant, fx.Node):
        stored = conversion.constant(constant)
        constant = conversion.concrete(constant) if stored is None else stored
    shape = conversion.value_shape(source)
    if isinstance(constant, int | float):
        row = np.full(shape[0], float(constant))
    elif isinstance(constant, Tensor) and _counts_channels(conversion, source, constant):
        row = np.broadcast_to(float64(constant).reshape(-1), (shape[0],))
    else:
        found = tuple(constant.shape) if isinstance(constant, Tensor) else repr(constant)
        conversion.fail(
            node,
            f"{described(conversion, node)} with a constant of {found} is not supported, only with "
            f"a number or {shape[0]} numbers, one per channel",
        )
    return np.tile(row, (conversion.levels, 1))


def _counts_channels(conversion: Conversion, source: fx.Node, constant: Tensor) -> bool:
    """Tell whether a constant has one number, or as many as channels along their axis."""
    axes = 1 + len(conversion.shape(source))
    if constant.ndim > axes:
        return False
    sides = (1,) * (axes - constant.ndim) + tuple(constant.shape)
    channels = conversion.value_shape(source)[0]
    return all(
        side == 1 or (axis == conversion.channel_axis(source) and side == channels)
        for axis, side in enumerate(sides)
    )
