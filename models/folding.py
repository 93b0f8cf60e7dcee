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
    node.tensors["weight"] = _float64(weight)
    if masked is not None:
        node.tensors["score"] = _float64(masked.score)
        node.tensors["threshold"] = _float64(masked.threshold)
        if masked.block_height != DEFAULT_BLOCK_HEIGHT:
            node.attrs["block_height"] = masked.block_height
    if bias is not None:
        node.tensors["bias"] = np.tile(_float64(bias), (levels, 1))


def fold_batch_norm(node: Node, switchable: SwitchableBatchNorm) -> None:
    """Fold y = (x - mean) / sqrt(var + eps) * gamma + beta into a node's scale and bias."""
    scales, shifts = [], []
    for level in range(len(switchable.by_level)):
        bn = switchable.at(level)
        assert bn.running_mean is not None
        assert bn.running_var is not None
        scale = 1.0 / np.sqrt(_float64(bn.running_var) + bn.eps)
        if bn.affine:
            scale = scale * _float64(bn.weight)
        shift = -_float64(bn.running_mean) * scale
        if bn.affine:
            shift = shift + _float64(bn.bias)
        scales.append(scale)
        shifts.append(shift)
    factor = np.stack(scales)
    node.tensors["bias"] = node.tensors.get("bias", 0.0) * factor + np.stack(shifts)
    node.tensors["scale"] = node.tensors.get("scale", 1.0) * factor


def _float64(values: Tensor) -> NDArray[Any]:
    array: NDArray[Any] = values.detach().cpu().double().contiguous().numpy()
    return array
