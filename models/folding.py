# SPDX-License-Identifier: Apache-2.0
"""Tensors of convolution and linear layers, with batch normalisation folded in.

Inference computes scale * (W x) + bias with a scale and a bias per level and output channel.
All of it is computed in float64 and rounded once, when the file is written.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from aio.models.manifest import DEFAULT_BLOCK_HEIGHT, Node
from aio.models.masked import MaskedLayer
from aio.models.switchable import SwitchableBatchNorm


def add_layer_tensors(
    node: Node, weight: Tensor, bias: Tensor | None, masked: MaskedLayer | None, levels: int
) -> None:
    """Give a node its weight, its scores and thresholds if it has any, and its own bias."""
    node.tensors["weight"] = float64(weight)
    if masked is not None:
        node.tensors["score"] = float64(masked.score)
        node.tensors["threshold"] = float64(masked.threshold)
        if masked.block_height != DEFAULT_BLOCK_HEIGHT:
            node.attrs["block_height"] = masked.block_height
    if bias is not None:
        node.tensors["bias"] = np.tile(float64(bias), (levels, 1))


def batch_norm_affine(switchable: SwitchableBatchNorm) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return (x - mean) / sqrt(var + eps) * gamma + beta as scale and bias, (levels, C) each."""
    scales, biases = [], []
    for level in range(len(switchable.by_level)):
        bn = switchable.at(level)
        assert bn.running_mean is not None
        assert bn.running_var is not None
        scale = 1.0 / np.sqrt(float64(bn.running_var) + bn.eps)
        if bn.affine:
            scale = scale * float64(bn.weight)
        bias = -float64(bn.running_mean) * scale
        if bn.affine:
            bias = bias + float64(bn.bias)
        scales.append(scale)
        biases.append(bias)
    return np.stack(scales), np.stack(biases)


def fold_affine(node: Node, scale: NDArray[Any], bias: NDArray[Any]) -> None:
    """Let a node's value be scale * value + bias, each (levels, C).

    A scale of ones and a bias of zeros are left out.
    """
    parts = {
        "scale": node.tensors.pop("scale", 1.0) * scale,
        "bias": node.tensors.pop("bias", 0.0) * scale + bias,
    }
    for part, neutral in (("bias", 0.0), ("scale", 1.0)):
        if (parts[part] != neutral).any():
            node.tensors[part] = parts[part]


def float64(values: Tensor) -> NDArray[Any]:
    """Return a tensor's values as a float64 array."""
    array: NDArray[Any] = values.detach().cpu().double().contiguous().numpy()
    return array
