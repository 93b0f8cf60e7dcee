# SPDX-License-Identifier: Apache-2.0
"""The operators of format version 1: their attributes, limits and the shapes they make.

`later_ops` has those that came after, and the list by version. Shapes have no batch axis:
(C, H, W) for images, (features,) for flat values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aio.runtime.model_file.defect import Defect, show
from aio.runtime.model_file.fields import Fields

Shape = tuple[int, ...]
Pair = tuple[int, int]
Sides = tuple[int, int, int, int]  # top, left, bottom, right

MAX_CHANNELS = 65_536
MAX_SIDE = 16_384
DEFAULT_BLOCK_HEIGHT = 16
BLOCK_HEIGHTS = (16, 8, 4)  # of the format; the native core has kernels for some of them
WEIGHT_TYPES = ("f32",)  # that the executor takes

# Activations without attributes, named as the native core names them.
PLAIN_ACTIVATIONS = (
    "relu",
    "relu6",
    "hardswish",
    "hardsigmoid",
    "silu",
    "sigmoid",
    "tanh",
    "gelu",
    "gelu_tanh",
)


@dataclass(frozen=True)
class Attrs:
    """What an operator without attributes has."""


@dataclass(frozen=True)
class LinearAttrs(Attrs):
    """Attributes of `linear`."""

    block_height: int


@dataclass(frozen=True)
class LeakyReluAttrs(Attrs):
    """Attributes of `leaky_relu`: what negative values are multiplied by."""

    negative_slope: float


@dataclass(frozen=True)
class WindowAttrs(Attrs):
    """How a window moves over an image; padding is (top, left, bottom, right)."""

    stride: Pair
    padding: Sides


@dataclass(frozen=True)
class ConvAttrs(WindowAttrs):
    """Attributes of `conv2d`; the kernel's size is the weight's."""

    dilation: Pair
    block_height: int
    groups: int


@dataclass(frozen=True)
class PoolAttrs(WindowAttrs):
    """Attributes of `max_pool2d` and `avg_pool2d`; the former has no `count_include_pad`."""

    kernel: Pair
    count_include_pad: bool | None = None


@dataclass(frozen=True)
class Operator:
    """What the reader knows of one operator.

    Attributes:
        arity: how many values it reads.
        parse: reads its attributes.
        infer: from attributes, the inputs' shapes and the weight's shape to the shape it makes.
        weight_rank: axes of a layer's weight, 0 for what is no layer.
        halo: the border it wants around its input.
        parameters: optional tensors of what is no layer, with their shapes, from attributes, the
            input's shape and the number of levels.
        most_inputs: how many values it may read, `arity` being the least; None: exactly `arity`.
    """

    arity: int
    parse: Callable[[Fields], Attrs]
    infer: Callable[[Attrs, list[Shape], Shape], Shape]
    weight_rank: int = 0
    halo: Callable[[Attrs], Sides] = lambda attrs: (0, 0, 0, 0)
    parameters: Callable[[Attrs, Shape, int], Mapping[str, Shape]] = lambda attrs, shape, levels: {}
    most_inputs: int | None = None


def no_attrs(fields: Fields) -> Attrs:
    """Return the attributes of an operator that has none."""
    return Attrs()


def _linear_attrs(fields: Fields) -> Attrs:
    _check_weight_type(fields)
    return LinearAttrs(_block_height(fields))


def _leaky_relu_attrs(fields: Fields) -> Attrs:
    return LeakyReluAttrs(fields.single("negative_slope"))


def _conv_attrs(fields: Fields) -> Attrs:
    groups = fields.integer("groups", 1, MAX_CHANNELS) if fields.has("groups") else 1
    dilation = pair_of(fields, "dilation") if fields.has("dilation") else (1, 1)
    stride, padding = pair_of(fields, "stride"), _sides(fields)
    _check_weight_type(fields)
    return ConvAttrs(stride, padding, dilation, _block_height(fields), groups)


def _max_pool_attrs(fields: Fields) -> Attrs:
    kernel, padding = pair_of(fields, "kernel"), _sides(fields)
    _check_pool_padding(fields.where, kernel, padding)
    return PoolAttrs(pair_of(fields, "stride"), padding, kernel)


def _avg_pool_attrs(fields: Fields) -> Attrs:
    kernel, padding = pair_of(fields, "kernel"), _sides(fields)
    _check_pool_padding(fields.where, kernel, padding)
    include_pad = fields.boolean("count_include_pad")
    return PoolAttrs(pair_of(fields, "stride"), padding, kernel, include_pad)


def pair_of(fields: Fields, key: str) -> Pair:
    """Return a required [vertical, horizontal] of numbers from 1 to the limit of a side."""
    height, width = fields.integers(key, 2, 1, MAX_SIDE)
    return height, width


def _sides(fields: Fields) -> Sides:
    top, left, bottom, right = fields.integers("padding", 4, 0, MAX_SIDE)
    return top, left, bottom, right


def _block_height(fields: Fields) -> int:
    if not fields.has("block_height"):
        return DEFAULT_BLOCK_HEIGHT
    height = fields.integer("block_height", 1, MAX_CHANNELS)
    if height not in BLOCK_HEIGHTS:
        valid = ", ".join(map(str, BLOCK_HEIGHTS))
        raise Defect(f"{fields.where}.block_height is {height}, expected one of {valid}")
    return height


def _check_weight_type(fields: Fields) -> None:
    if not fields.has("weight_type"):
        return
    name = fields.text("weight_type")
    if name not in WEIGHT_TYPES:
        valid = ", ".join(WEIGHT_TYPES)
        raise Defect(
            f"{fields.where}.weight_type is {show(name)}, this executor takes only {valid}: "
            "export the model with such weights"
        )


def _check_pool_padding(where: str, kernel: Pair, padding: Sides) -> None:
    # Torch's rule. A window that lies in the padding alone would have no maximum and no average.
    for axis in (0, 1):
        if max(padding[axis], padding[axis + 2]) > kernel[axis] // 2:
            raise Defect(
                f"{where}.padding is {list(padding)}, expected at most half the kernel "
                f"{list(kernel)}"
            )


def _infer_conv(attrs: Attrs, inputs: list[Shape], weight: Shape) -> Shape:
    assert isinstance(attrs, ConvAttrs)
    channels, height, width = image_of(inputs[0])
    _check_groups(attrs.groups, weight, channels)
    kernel = weight[2], weight[3]
    extent = tuple(d * (k - 1) + 1 for d, k in zip(attrs.dilation, kernel, strict=True))
    sides = _slide((height, width), extent, attrs)
    return checked_image((weight[0], *sides))


def _check_groups(groups: int, weight: Shape, channels: int) -> None:
    if channels % groups or weight[0] % groups:
        raise Defect(
            f"{groups} groups do not divide its {channels} input and {weight[0]} output channels"
        )
    if weight[1] * groups != channels:
        times = f" for each of {groups} groups" if groups > 1 else ""
        raise Defect(
            f"weight {list(weight)} has {weight[1]} input channels{times}, its input {channels}"
        )


def _infer_linear(attrs: Attrs, inputs: list[Shape], weight: Shape) -> Shape:
    if len(inputs[0]) != 1:
        raise Defect(f"its input has shape {list(inputs[0])}, expected a flat one (use flatten)")
    if weight[1] != inputs[0][0]:
        raise Defect(f"weight {list(weight)} takes {weight[1]} features, its input {inputs[0][0]}")
    if weight[0] > MAX_CHANNELS:
        raise Defect(f"makes {weight[0]} features, the limit is {MAX_CHANNELS}")
    return (weight[0],)


def _infer_add(attrs: Attrs, inputs: list[Shape], weight: Shape) -> Shape:
    if inputs[0] != inputs[1]:
        raise Defect(f"its inputs differ in shape: {list(inputs[0])} and {list(inputs[1])}")
    return inputs[0]


def infer_same(attrs: Attrs, inputs: list[Shape], weight: Shape) -> Shape:
    """Return the shape of the input, which the operator keeps."""
    return inputs[0]


def _infer_pool(attrs: Attrs, inputs: list[Shape], weight: Shape) -> Shape:
    assert isinstance(attrs, PoolAttrs)
    channels, height, width = image_of(inputs[0])
    return checked_image((channels, *_slide((height, width), attrs.kernel, attrs)))


def _infer_global_pool(attrs: Attrs, inputs: list[Shape], weight: Shape) -> Shape:
    return (image_of(inputs[0])[0], 1, 1)


def _infer_flatten(attrs: Attrs, inputs: list[Shape], weight: Shape) -> Shape:
    channels, height, width = image_of(inputs[0])
    return (channels * height * width,)


def image_of(shape: Shape) -> tuple[int, int, int]:
    """Return channels, height and width of an input that must be an image."""
    if len(shape) != 3:
        raise Defect(f"its input has shape {list(shape)}, expected an image [C, H, W]")
    return shape[0], shape[1], shape[2]


def _slide(size: Pair, extent: tuple[int, ...], attrs: WindowAttrs) -> Pair:
    rows, columns = (
        (size[axis] + attrs.padding[axis] + attrs.padding[axis + 2] - extent[axis])
        // attrs.stride[axis]
        + 1
        for axis in (0, 1)
    )
    if rows < 1 or columns < 1:
        raise Defect(
            f"a window of {list(extent)} does not fit in the input {list(size)} "
            f"with padding {list(attrs.padding)}"
        )
    return rows, columns


def checked_image(shape: Shape) -> Shape:
    """Return the shape an operator makes, if it is within the limits."""
    check_image_shape(shape, "makes")
    return shape


def check_image_shape(shape: Shape, verb: str) -> None:
    """Refuse an image beyond the format's limits on channels and sides."""
    if shape[0] > MAX_CHANNELS:
        raise Defect(f"{verb} {shape[0]} channels, the limit is {MAX_CHANNELS}")
    if max(shape[1:]) > MAX_SIDE:
        raise Defect(f"{verb} an image of {list(shape[1:])}, the limit of a side is {MAX_SIDE}")


def _window_halo(attrs: Attrs) -> Sides:
    assert isinstance(attrs, WindowAttrs)
    return attrs.padding


VERSION_1 = {
    "conv2d": Operator(1, _conv_attrs, _infer_conv, weight_rank=4, halo=_window_halo),
    "linear": Operator(1, _linear_attrs, _infer_linear, weight_rank=2),
    "add": Operator(2, no_attrs, _infer_add),
    **{name: Operator(1, no_attrs, infer_same) for name in PLAIN_ACTIVATIONS},
    "leaky_relu": Operator(1, _leaky_relu_attrs, infer_same),
    "max_pool2d": Operator(1, _max_pool_attrs, _infer_pool, halo=_window_halo),
    "avg_pool2d": Operator(1, _avg_pool_attrs, _infer_pool, halo=_window_halo),
    "global_avg_pool2d": Operator(1, no_attrs, _infer_global_pool),
    "flatten": Operator(1, no_attrs, _infer_flatten),
}
