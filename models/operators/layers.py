# SPDX-License-Identifier: Apache-2.0
"""Layers with weights, and the batch normalisation that is folded into them."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, fx, nn

from aio.models.conversion import Conversion, target_name
from aio.models.folding import add_layer_tensors, fold_batch_norm
from aio.models.masked import MaskedConv2d, MaskedLayer, MaskedLinear
from aio.models.operators.registry import REQUIRED, Options, converts, pair
from aio.models.switchable import SwitchableBatchNorm
from aio.models.trace import input_of, module_of


@converts(
    nn.Conv2d,
    MaskedConv2d,
    F.conv2d,
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
    conversion.image_shape(input_of(node))
    weight = _tensor(conversion, node, options, "weight")
    assert weight is not None
    dilation = pair(options["dilation"])
    attrs = {
        "stride": pair(options["stride"]),
        "padding": _conv_padding(options["padding"], list(weight.shape[2:]), dilation),
        "dilation": dilation,
        "groups": int(options["groups"]),
    }
    _emit_layer(conversion, node, "conv2d", options, attrs)


@converts(nn.Linear, MaskedLinear, F.linear, weight=REQUIRED, bias=None)
def _linear(conversion: Conversion, node: fx.Node, options: Options) -> None:
    axes = len(conversion.shape(input_of(node)))
    if axes != 1:
        conversion.fail(node, f"a linear layer on {axes} axes is not supported; flatten first")
    _emit_layer(conversion, node, "linear", options, {})


def _conv_padding(padding: Any, kernel: list[int], dilation: list[int]) -> list[int]:
    """Return [top, left, bottom, right]."""
    if padding == "valid":
        return [0, 0, 0, 0]
    if padding == "same":  # torch puts the odd pixel at the bottom and right
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        before = [t // 2 for t in total]
        return before + [t - b for t, b in zip(total, before, strict=True)]
    return pair(padding) * 2


def _tensor(conversion: Conversion, node: fx.Node, options: Options, name: str) -> Tensor | None:
    value = options[name]
    if isinstance(value, fx.Node):
        stored = conversion.attribute(value)
        if stored is None:
            conversion.fail(node, f"{target_name(node)} with a computed {name} is not supported")
        return stored
    assert value is None or isinstance(value, Tensor)
    return value


def _emit_layer(
    conversion: Conversion, node: fx.Node, op: str, options: Options, attrs: dict[str, Any]
) -> None:
    weight = _tensor(conversion, node, options, "weight")
    assert weight is not None
    bias = _tensor(conversion, node, options, "bias")
    made = conversion.emit_from(node, op, [conversion.value(input_of(node))], attrs)
    module = module_of(conversion.traced, node)
    masked = module if isinstance(module, MaskedLayer) else None
    add_layer_tensors(made, weight, bias, masked, conversion.levels)


@converts(SwitchableBatchNorm)
def _batch_norm(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    source = input_of(node)
    layer = conversion.producer(source)
    if layer is None or layer.op not in {"conv2d", "linear"}:
        conversion.fail(
            node,
            "batch normalisation that does not follow a convolution or linear "
            "layer is not supported",
        )
    if len(source.users) != 1:
        conversion.fail(node, f"can't be folded into {layer.name}, whose result is used elsewhere")
    module = module_of(conversion.traced, node)
    assert isinstance(module, SwitchableBatchNorm)
    if module.at(0).running_mean is None:
        conversion.fail(node, "batch normalisation without running statistics is not supported")
    fold_batch_norm(layer, module)
    conversion.extend(node, layer)
