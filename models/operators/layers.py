# SPDX-License-Identifier: Apache-2.0
"""Layers with weights."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from aio.models.conversion import Conversion, Layout
from aio.models.folding import add_layer_tensors
from aio.models.manifest import Node
from aio.models.masked import MaskedConv2d, MaskedLayer, MaskedLinear
from aio.models.operators.registry import REQUIRED, Options, converts, pair, stored_tensor
from aio.models.trace import input_of, module_of


@converts(
    nn.Conv2d,
    MaskedConv2d,
    F.conv2d,
    torch.conv2d,
    weight=REQUIRED,
    bias=None,
    stride=1,
    padding=0,
    dilation=1,
    groups=1,
    padding_mode="zeros",
)
def _conv2d(conversion: Conversion, node: fx.Node, options: Options) -> None:
    if options["padding_mode"] != "zeros":
        conversion.fail(node, f"padding mode {options['padding_mode']!r} is not supported")
    source, outside = conversion.unpadded(input_of(node))
    conversion.image_shape(source)
    weight = stored_tensor(conversion, node, options, "weight")
    assert weight is not None
    dilation = pair(options["dilation"])
    inside = _conv_padding(options["padding"], list(weight.shape[2:]), dilation)
    attrs = {
        "stride": pair(options["stride"]),
        "padding": [a + b for a, b in zip(outside, inside, strict=True)],
        "dilation": dilation,
        "groups": int(options["groups"]),
    }
    _emit_layer(conversion, node, source, options, attrs)


@converts(nn.Linear, MaskedLinear, F.linear, any_layout=True, weight=REQUIRED, bias=None)
def _linear(conversion: Conversion, node: fx.Node, options: Options) -> None:
    source = input_of(node)
    layout = conversion.layout(source)
    axes = len(conversion.shape(source))
    if layout is Layout.PLAIN:
        if axes != 1:
            conversion.fail(node, f"a linear layer on {axes} axes is not supported; flatten first")
        _emit_layer(conversion, node, source, options, None)
        return
    # On the channels of every pixel it is a convolution of one pixel.
    attrs = {"stride": [1, 1], "padding": [0, 0, 0, 0], "dilation": [1, 1], "groups": 1}
    made = _emit_layer(conversion, node, source, options, attrs)
    for part in {"weight", "score"} & set(made.tensors):
        made.tensors[part] = made.tensors[part][:, :, None, None]
    conversion.set_layout(node, layout)


def _conv_padding(padding: Any, kernel: list[int], dilation: list[int]) -> list[int]:
    """Return [top, left, bottom, right]."""
    if padding == "valid":
        return [0, 0, 0, 0]
    if padding == "same":  # torch puts the odd pixel at the bottom and right
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        before = [t // 2 for t in total]
        return before + [t - b for t, b in zip(total, before, strict=True)]
    return pair(padding) * 2


def _emit_layer(
    conversion: Conversion,
    node: fx.Node,
    source: fx.Node,
    options: Options,
    attrs: dict[str, Any] | None,
) -> Node:
    """Emit a convolution with these attributes, or a linear layer when there are none."""
    weight = stored_tensor(conversion, node, options, "weight")
    assert weight is not None
    bias = stored_tensor(conversion, node, options, "bias")
    op = "linear" if attrs is None else "conv2d"
    made = conversion.emit_from(node, op, [conversion.value(source)], attrs)
    module = module_of(conversion.traced, node)
    masked = module if isinstance(module, MaskedLayer) else None
    add_layer_tensors(made, weight, bias, masked, conversion.levels)
    return made
