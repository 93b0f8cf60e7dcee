# SPDX-License-Identifier: Apache-2.0
"""Normalisations, and softmax."""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import fx, nn

from aio.models.conversion import Conversion, Layout
from aio.models.folding import batch_norm_affine, float64
from aio.models.operators.registry import REQUIRED, Options, converts, stored_tensor
from aio.models.switchable import SwitchableBatchNorm
from aio.models.trace import input_of, module_of


@converts(SwitchableBatchNorm, any_layout=True)
def _switchable_batch_norm(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    module = module_of(conversion.traced, node)
    assert isinstance(module, SwitchableBatchNorm)
    if module.at(0).running_mean is None:
        conversion.fail(node, "batch normalisation without running statistics is not supported")
    _check_channels(conversion, node)
    conversion.affine(node, input_of(node), *batch_norm_affine(module))


@converts(
    F.batch_norm,
    torch.batch_norm,
    running_mean=None,
    running_var=None,
    weight=None,
    bias=None,
    training=False,
    momentum=0.1,
    eps=1e-5,
)
def _batch_norm(conversion: Conversion, node: fx.Node, options: Options) -> None:
    names = ("running_mean", "running_var", "weight", "bias")
    mean, var, weight, bias = (_numbers(conversion, node, options, name) for name in names)
    if mean is None or var is None or options["training"] is not False:
        conversion.fail(node, "batch normalisation without running statistics is not supported")
    _check_channels(conversion, node)
    scale = 1.0 / np.sqrt(var + options["eps"])
    scale = scale if weight is None else scale * weight
    shift = -mean * scale if bias is None else bias - mean * scale
    rows = (conversion.levels, 1)
    conversion.affine(node, input_of(node), np.tile(scale, rows), np.tile(shift, rows))


def _check_channels(conversion: Conversion, node: fx.Node) -> None:
    source = input_of(node)
    axes = len(conversion.shape(source))
    if axes not in {1, 3} or conversion.layout(source) is Layout.CHANNELS_LAST:
        what = conversion.layout(source).value if axes == 3 else f"{axes} axes"
        conversion.fail(node, f"batch normalisation of {what} is not supported")


def _numbers(
    conversion: Conversion, node: fx.Node, options: Options, name: str
) -> NDArray[Any] | None:
    tensor = stored_tensor(conversion, node, options, name)
    return None if tensor is None else float64(tensor)


@converts(
    nn.LayerNorm,
    F.layer_norm,
    torch.layer_norm,
    any_layout=True,
    normalized_shape=REQUIRED,
    weight=None,
    bias=None,
    eps=1e-5,
    cudnn_enable=True,
)
def _layer_norm(conversion: Conversion, node: fx.Node, options: Options) -> None:
    source = input_of(node)
    wanted = conversion.concrete(options["normalized_shape"])
    normalised = tuple(wanted) if isinstance(wanted, list | tuple) else (wanted,)
    last_axis = len(normalised) == 1 and conversion.layout(source) is not Layout.PLAIN
    if last_axis:
        over = "channels"
    elif normalised == conversion.shape(source) and conversion.layout(source) is Layout.PLAIN:
        over = "sample"
    else:
        conversion.fail(
            node,
            f"layer normalisation of {normalised} in {conversion.shape(source)} is not supported, "
            "only of a whole sample, or of the channels of each pixel as N x H x W x C",
        )
    eps = float(options["eps"])
    if not math.isfinite(eps) or eps < 0:
        conversion.fail(node, f"layer normalisation with eps={eps} is not supported")
    attrs = {"eps": eps, "over": over}
    made = conversion.emit_from(node, "layer_norm", [conversion.value(source)], attrs)
    conversion.set_layout(node, conversion.layout(source))
    for name in ("weight", "bias"):
        tensor = stored_tensor(conversion, node, options, name)
        if tensor is not None:
            made.tensors[name] = float64(tensor)


@converts(
    nn.Softmax,
    F.softmax,
    torch.softmax,
    "softmax",
    any_layout=True,
    dim=None,
    _stacklevel=3,
    dtype=None,
)
def _softmax(conversion: Conversion, node: fx.Node, options: Options) -> None:
    if options["dtype"] not in (None, torch.float32):
        conversion.fail(node, f"softmax with dtype={options['dtype']} is not supported")
    _emit_softmax(conversion, node, options["dim"])


@converts(nn.Softmax2d)
def _softmax2d(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options
    _emit_softmax(conversion, node, -3)


def _emit_softmax(conversion: Conversion, node: fx.Node, dim: Any) -> None:
    source = input_of(node)
    axes = 1 + len(conversion.shape(source))
    if axes not in {2, 4} or (dim is not None and dim % axes != conversion.channel_axis(source)):
        conversion.fail(
            node, f"softmax over axis {dim} of {axes} is not supported, only over the channels"
        )
    conversion.emit(node, "softmax")
