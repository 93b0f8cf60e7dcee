# SPDX-License-Identifier: Apache-2.0
"""Changes of shape: flattening, channels-last views, expansion of pixels."""

import operator
from typing import Any

import torch
from torch import fx

from aio.models.conversion import Conversion, Layout, described
from aio.models.manifest import Node
from aio.models.operators.registry import Options, converts
from aio.models.pixels import RESHAPES, is_reshape
from aio.models.trace import input_of

_VIEWS: dict[tuple[Layout, tuple[int, ...]], Layout] = {
    (Layout.PLAIN, (0, 2, 3, 1)): Layout.CHANNELS_LAST,
    (Layout.CHANNELS_LAST, (0, 3, 1, 2)): Layout.PLAIN,
}


@converts(operator.getitem, any_arguments=True, any_layout=True)
def _getitem(conversion: Conversion, node: fx.Node, options: Options) -> None:
    if not is_reshape(conversion.traced, node):
        conversion.fail(node, "operator getitem is not supported but to add axes")
    _reshape(conversion, node, options)


@converts(*RESHAPES, any_arguments=True, any_layout=True)
def _reshape(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options  # what they ask for is in the shapes; the order of elements never changes
    source = input_of(node)
    before, after = conversion.shape(source), conversion.shape(node)
    layout = conversion.layout(source)
    if before == after:
        conversion.alias(node, source, layout)
    elif node in conversion.pixels:
        conversion.alias(node, source, Layout.PIXEL)
    elif layout is Layout.PIXEL and after == (before[0], 1, 1):
        conversion.alias(node, source)
    elif layout is Layout.PLAIN and len(after) == 1 and len(before) == 3:
        conversion.emit_from(node, "flatten", [conversion.value(source)])
    else:
        view = "" if layout is Layout.PLAIN else f" of {layout.value}"
        conversion.fail(node, f"a change of shape from {before} to {after}{view} is not supported")


@converts(torch.clone, "clone", "detach", any_arguments=True, any_layout=True)
def _clone(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    conversion.alias(node, input_of(node), conversion.layout(input_of(node)))


@converts(torch.permute, "permute", any_arguments=True, any_layout=True)
def _permute(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    source = input_of(node)
    order = _integers(node.args[1:] or (node.kwargs.get("dims"),))
    axes = 1 + len(conversion.shape(source))
    wanted = tuple(axis % axes for axis in order)
    if wanted == tuple(range(axes)):
        conversion.alias(node, source, conversion.layout(source))
        return
    view = _VIEWS.get((conversion.layout(source), wanted))
    if view is None:
        conversion.fail(
            node,
            f"{described(conversion, node)} by {order} is not supported, only N x C x H x W to "
            "N x H x W x C and back",
        )
    conversion.alias(node, source, view)


def _integers(arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """Return axes or sizes given one by one or as one sequence."""
    only = arguments[0] if len(arguments) == 1 else None
    return tuple(only) if isinstance(only, list | tuple) else arguments


@converts("expand", "expand_as", any_arguments=True)
def _expand(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options  # the shapes tell the same, with -1 resolved
    source = input_of(node)
    before, after = conversion.image_shape(source), conversion.image_shape(node)
    if before == after:
        conversion.alias(node, source)
        return
    if before != (after[0], 1, 1):
        conversion.fail(node, f"expansion from {before} to {after} is not supported")

    def emit() -> Node:
        attrs = {"size": list(after[1:]), "mode": "nearest"}
        return conversion.emit_inner(node, "upsample", [conversion.value(source)], attrs)

    conversion.defer(node, source, emit)
