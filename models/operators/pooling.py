# SPDX-License-Identifier: Apache-2.0
"""Pooling, and means that are pooling in effect."""

import torch
import torch.nn.functional as F
from torch import fx, nn

from aio.models.conversion import Conversion, Layout, described
from aio.models.operators.registry import REQUIRED, Options, converts, pair
from aio.models.trace import input_of


def _window(conversion: Conversion, node: fx.Node, options: Options) -> dict[str, list[int]]:
    kernel = pair(conversion.concrete(options["kernel_size"]))
    stride = conversion.concrete(options["stride"])
    # A call without a stride, or with an empty one, steps by the whole window.
    stride = pair(stride) if stride not in (None, (), []) else kernel
    padding = pair(conversion.concrete(options["padding"])) * 2
    height, width = conversion.image_shape(input_of(node))[1:]
    outputs = conversion.image_shape(node)[1:]
    if options["ceil_mode"]:
        for axis, (size, output) in enumerate(zip((height, width), outputs, strict=True)):
            needed = (output - 1) * stride[axis] + kernel[axis] - size - padding[axis]
            padding[axis + 2] = max(padding[axis + 2], needed)
            if padding[axis + 2] > kernel[axis] // 2:
                conversion.fail(
                    node,
                    f"{described(conversion, node)} with ceil_mode from {height} x {width} pixels "
                    f"needs {padding[axis + 2]} pixels of padding, more than half its kernel: not "
                    "supported",
                )
    return {"kernel": kernel, "stride": stride, "padding": padding}


@converts(
    nn.MaxPool2d,
    F.max_pool2d,
    torch.max_pool2d,
    kernel_size=REQUIRED,
    stride=None,
    padding=0,
    dilation=1,
    ceil_mode=False,
    return_indices=False,
)
def _max_pool2d(conversion: Conversion, node: fx.Node, options: Options) -> None:
    if pair(options["dilation"]) != [1, 1]:
        conversion.fail(node, f"max pooling with dilation {options['dilation']} is not supported")
    if options["return_indices"]:
        conversion.fail(node, "max pooling that returns indices is not supported")
    conversion.emit(node, "max_pool2d", _window(conversion, node, options))


@converts(
    nn.AvgPool2d,
    F.avg_pool2d,
    kernel_size=REQUIRED,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
)
def _avg_pool2d(conversion: Conversion, node: fx.Node, options: Options) -> None:
    if options["divisor_override"] is not None:
        conversion.fail(node, "average pooling with divisor_override is not supported")
    window = _window(conversion, node, options)
    include = bool(options["count_include_pad"])
    if window["padding"][2:] != window["padding"][:2]:
        # Torch does not count the pixels that ceil_mode adds, whether or not it counts others.
        if include and any(window["padding"][:2]):
            conversion.fail(
                node, "average pooling with ceil_mode and counted padding is not supported"
            )
        include = False
    conversion.emit(node, "avg_pool2d", {**window, "count_include_pad": include})


@converts(nn.AdaptiveAvgPool2d, F.adaptive_avg_pool2d, output_size=REQUIRED)
def _adaptive_avg_pool2d(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options  # the shapes tell the same, with None resolved
    sizes = conversion.image_shape(input_of(node))[1:]
    outputs = conversion.image_shape(node)[1:]
    if outputs == (1, 1):
        conversion.emit(node, "global_avg_pool2d")
    elif outputs == sizes:
        conversion.alias(node, input_of(node))
    elif all(size % output == 0 for size, output in zip(sizes, outputs, strict=True)):
        kernel = [size // output for size, output in zip(sizes, outputs, strict=True)]
        attrs = {"kernel": kernel, "stride": kernel, "padding": [0, 0, 0, 0]}
        conversion.emit(node, "avg_pool2d", {**attrs, "count_include_pad": True})
    else:
        conversion.emit(node, "adaptive_avg_pool2d", {"output_size": list(outputs)})


@converts(nn.AdaptiveMaxPool2d, F.adaptive_max_pool2d, output_size=REQUIRED, return_indices=False)
def _adaptive_max_pool2d(conversion: Conversion, node: fx.Node, options: Options) -> None:
    if options["return_indices"]:
        conversion.fail(node, "max pooling that returns indices is not supported")
    source = input_of(node)
    outputs = conversion.image_shape(node)[1:]
    if outputs == conversion.image_shape(source)[1:]:
        conversion.alias(node, source)
    else:
        conversion.emit(node, "adaptive_max_pool2d", {"output_size": list(outputs)})


@converts(torch.mean, "mean", any_layout=True, dim=None, keepdim=False)
def _mean(conversion: Conversion, node: fx.Node, options: Options) -> None:
    _reduce(conversion, node, options, "global_avg_pool2d", {})


@converts(torch.amax, "amax", any_layout=True, dim=None, keepdim=False)
def _amax(conversion: Conversion, node: fx.Node, options: Options) -> None:
    _reduce(conversion, node, options, "adaptive_max_pool2d", {"output_size": [1, 1]})


def _reduce(
    conversion: Conversion, node: fx.Node, options: Options, op: str, attrs: dict[str, list[int]]
) -> None:
    """Emit a pool of the whole image for a mean or maximum over its two axes."""
    source = input_of(node)
    conversion.image_shape(source)
    axes = options["dim"] if isinstance(options["dim"], list | tuple) else [options["dim"]]
    wanted = {1, 2, 3} - {conversion.channel_axis(source)}
    if any(not isinstance(axis, int) for axis in axes) or {a % 4 for a in axes} != wanted:
        where = tuple(sorted(wanted))
        conversion.fail(
            node,
            f"{described(conversion, node)} over {options['dim']} is not supported, only over "
            f"{where}",
        )
    layout = conversion.layout(source)
    pooled = conversion.emit(node, op, attrs)
    if options["keepdim"]:
        conversion.set_layout(node, layout)
    elif node in conversion.pixels:
        conversion.set_layout(node, Layout.PIXEL)
    else:
        conversion.emit_from(node, "flatten", [pooled.name])
        conversion.set_layout(node, Layout.PLAIN)
