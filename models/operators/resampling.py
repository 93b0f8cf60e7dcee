# SPDX-License-Identifier: Apache-2.0
"""Operators that change the size of an image without a window: upsampling and padding."""

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import fx, nn

from aio.models.conversion import Conversion, described
from aio.models.manifest import Node
from aio.models.operators.registry import REQUIRED, Options, converts
from aio.models.trace import input_of


@converts(
    nn.Upsample,
    nn.UpsamplingNearest2d,
    nn.UpsamplingBilinear2d,
    F.interpolate,
    F.upsample,
    size=None,
    scale_factor=None,
    mode="nearest",
    align_corners=None,
    recompute_scale_factor=None,
    antialias=False,
)
def _upsample(conversion: Conversion, node: fx.Node, options: Options) -> None:
    source, mode = input_of(node), options["mode"]
    sizes = conversion.image_shape(source)[1:]
    outputs = conversion.image_shape(node)[1:]
    if options["antialias"]:
        conversion.fail(node, f"{described(conversion, node)} with antialias is not supported")
    if mode == "area":
        conversion.emit(node, "adaptive_avg_pool2d", {"output_size": list(outputs)})
        return
    if mode not in {"nearest", "bilinear"}:
        conversion.fail(node, f"{described(conversion, node)} with mode={mode!r} is not supported")
    aligned = mode == "bilinear" and bool(options["align_corners"])
    if not aligned:
        _check_scale(conversion, node, options, sizes, outputs)
    if outputs == sizes:
        conversion.alias(node, source)
        return
    attrs: dict[str, Any] = {"size": list(outputs), "mode": mode}
    if mode == "bilinear":
        attrs["align_corners"] = aligned
    conversion.emit(node, "upsample", attrs)


def _check_scale(
    conversion: Conversion,
    node: fx.Node,
    options: Options,
    sizes: tuple[int, ...],
    outputs: tuple[int, ...],
) -> None:
    """Refuse a scale that is not the quotient of the sizes: torch reads other pixels with it."""
    scale = conversion.concrete(options["scale_factor"])
    if scale is None or options["recompute_scale_factor"]:
        return
    scales = scale if isinstance(scale, list | tuple) else [scale] * 2
    for factor, size, output in zip(scales, sizes, outputs, strict=True):
        if abs(factor * size - output) > 1e-6 * output:
            conversion.fail(
                node,
                f"{described(conversion, node)} by {factor} from {size} to {output} pixels is not "
                "supported; give size= or recompute_scale_factor=True",
            )


@converts(nn.ZeroPad2d, nn.ConstantPad2d, padding=REQUIRED, value=0.0)
def _zero_pad(conversion: Conversion, node: fx.Node, options: Options) -> None:
    _pad(conversion, node, options["padding"], options["value"])


@converts(F.pad, pad=REQUIRED, mode="constant", value=None)
def _functional_pad(conversion: Conversion, node: fx.Node, options: Options) -> None:
    if options["mode"] != "constant":
        conversion.fail(node, f"padding with mode={options['mode']!r} is not supported")
    _pad(conversion, node, options["pad"], options["value"])


def _pad(conversion: Conversion, node: fx.Node, padding: Any, value: float | None) -> None:
    source = input_of(node)
    channels = conversion.image_shape(source)[0]
    if value not in {None, 0.0}:
        conversion.fail(node, f"padding with {value} is not supported, only with zeros")
    # Torch begins with the last axis: left, right, top, bottom; then channels, then samples.
    ends = [int(end) for end in conversion.concrete(padding)]
    if any(ends[4:]):
        conversion.fail(node, f"padding by {ends}, which pads channels, is not supported")
    left, right, top, bottom = [*ends[:4], 0, 0][:4]
    sides = [top, left, bottom, right]
    if min(sides) < 0:
        conversion.fail(node, f"padding by {ends}, which crops, is not supported")

    def emit() -> Node:
        # Where no window takes the padding over: a depthwise convolution that copies pixels.
        attrs = {"stride": [1, 1], "padding": sides, "dilation": [1, 1], "groups": channels}
        made = conversion.emit_inner(node, "conv2d", [conversion.value(source)], attrs)
        made.tensors["weight"] = np.ones((channels, 1, 1, 1))
        return made

    conversion.defer(node, source, emit, sides)
