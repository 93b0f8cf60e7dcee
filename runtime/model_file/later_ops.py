# SPDX-License-Identifier: Apache-2.0
"""The operators that came with format version 2, and the list of all by version.

`OPS` is the only list of operators the reader has. A file of version 1 knows those of version 1
only, and its `add` takes equal shapes.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aio.runtime.model_file.defect import Defect, show
from aio.runtime.model_file.fields import Fields
from aio.runtime.model_file.ops import (
    VERSION_1,
    Attrs,
    Operator,
    Pair,
    Shape,
    checked_image,
    image_of,
    infer_same,
    no_attrs,
    pair_of,
)

MAX_CONCAT_INPUTS = 256
MAX_FEATURES = 1 << 24  # of a flat input or concatenation


@dataclass(frozen=True)
class AdaptivePoolAttrs(Attrs):
    """Attributes of the adaptive pools: the image they make."""

    output_size: Pair


@dataclass(frozen=True)
class UpsampleAttrs(Attrs):
    """Attributes of `upsample`; `align_corners` belongs to mode "bilinear"."""

    size: Pair
    mode: str
    align_corners: bool = False


@dataclass(frozen=True)
class LayerNormAttrs(Attrs):
    """Attributes of `layer_norm`; over "sample" or "channels" (of each pixel)."""

    eps: float
    over: str


def _adaptive_pool_attrs(fields: Fields) -> Attrs:
    return AdaptivePoolAttrs(pair_of(fields, "output_size"))


def _upsample_attrs(fields: Fields) -> Attrs:
    size, mode = pair_of(fields, "size"), _choice(fields, "mode", ("nearest", "bilinear"))
    if mode == "nearest":
        return UpsampleAttrs(size, mode)
    return UpsampleAttrs(size, mode, fields.boolean("align_corners"))


def _layer_norm_attrs(fields: Fields) -> Attrs:
    eps, over = fields.single("eps"), _choice(fields, "over", ("sample", "channels"))
    if eps < 0:
        raise Defect(f"{fields.where}.eps is {eps}, expected 0 or more")
    return LayerNormAttrs(eps, over)


def _choice(fields: Fields, key: str, choices: tuple[str, ...]) -> str:
    value = fields.text(key)
    if value not in choices:
        expected = " or ".join(show(choice) for choice in choices)
        raise Defect(f"{fields.where}.{key} is {show(value)}, expected {expected}")
    return value


def _infer_broadcast(attrs: Attrs, inputs: list[Shape], weight: Shape) -> Shape:
    a, b = inputs
    if a == b or b == (a[0], 1, 1):
        return a
    if a == (b[0], 1, 1):
        return b
    raise Defect(
        f"its inputs have the shapes {list(a)} and {list(b)}, expected equal ones or an image "
        "[C, H, W] and one of [C, 1, 1]"
    )


def _infer_concat(attrs: Attrs, inputs: list[Shape], weight: Shape) -> Shape:
    first = inputs[0]
    for shape in inputs:
        if shape[1:] != first[1:]:
            raise Defect(
                f"its inputs have the shapes {list(first)} and {list(shape)}, which differ in "
                "more than the channels"
            )
    channels = sum(shape[0] for shape in inputs)
    if len(first) == 3:
        return checked_image((channels, *first[1:]))
    if channels > MAX_FEATURES:
        raise Defect(f"makes {channels} features, the limit is {MAX_FEATURES}")
    return (channels,)


def _infer_adaptive_pool(attrs: Attrs, inputs: list[Shape], weight: Shape) -> Shape:
    assert isinstance(attrs, AdaptivePoolAttrs)
    return (image_of(inputs[0])[0], *attrs.output_size)


def _infer_upsample(attrs: Attrs, inputs: list[Shape], weight: Shape) -> Shape:
    assert isinstance(attrs, UpsampleAttrs)
    return (image_of(inputs[0])[0], *attrs.size)


def _infer_layer_norm(attrs: Attrs, inputs: list[Shape], weight: Shape) -> Shape:
    assert isinstance(attrs, LayerNormAttrs)
    if attrs.over == "channels":
        image_of(inputs[0])
    return inputs[0]


def _affine_parameters(attrs: Attrs, shape: Shape, levels: int) -> Mapping[str, Shape]:
    return {"scale": (levels, shape[0]), "bias": (levels, shape[0])}


def _layer_norm_parameters(attrs: Attrs, shape: Shape, levels: int) -> Mapping[str, Shape]:
    assert isinstance(attrs, LayerNormAttrs)
    normalised = shape if attrs.over == "sample" else shape[:1]
    return {"weight": normalised, "bias": normalised}


_VERSION_2 = {
    "add": Operator(2, no_attrs, _infer_broadcast),
    "mul": Operator(2, no_attrs, _infer_broadcast),
    "concat": Operator(2, no_attrs, _infer_concat, most_inputs=MAX_CONCAT_INPUTS),
    "affine": Operator(1, no_attrs, infer_same, parameters=_affine_parameters),
    "adaptive_avg_pool2d": Operator(1, _adaptive_pool_attrs, _infer_adaptive_pool),
    "adaptive_max_pool2d": Operator(1, _adaptive_pool_attrs, _infer_adaptive_pool),
    "upsample": Operator(1, _upsample_attrs, _infer_upsample),
    "softmax": Operator(1, no_attrs, infer_same),
    "layer_norm": Operator(
        1, _layer_norm_attrs, _infer_layer_norm, parameters=_layer_norm_parameters
    ),
}

OPS: Mapping[int, Mapping[str, Operator]] = {1: VERSION_1, 2: {**VERSION_1, **_VERSION_2}}
FORMAT_VERSION = max(OPS)
