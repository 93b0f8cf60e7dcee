# SPDX-License-Identifier: Apache-2.0
"""Tensors of the operators that are no layers: scales, weights and biases of normalisations.

They are optional and dense; a layer's weights and scores are checked in `weights`.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from aio.runtime.model_file.defect import Defect, show
from aio.runtime.model_file.manifest import Manifest, Node
from aio.runtime.model_file.ops import Shape
from aio.runtime.model_file.weights import check_finite

Array = NDArray[np.float32]
Parameters = Mapping[str, Array]
"""The tensors of one node by the last part of their name; what the file lacks is not there."""


def collect_parameters(
    manifest: Manifest, tensors: Mapping[str, Array], shapes: Mapping[str, Shape]
) -> tuple[dict[str, Parameters], dict[str, Array]]:
    """Return the parameters by node name, all values checked, and the tensors that are left.

    Raises:
        Defect: a tensor has the wrong shape, or holds a number that is not finite.
    """
    left = dict(tensors)
    found: dict[str, Parameters] = {}
    for node in manifest.nodes:
        source = shapes[node.inputs[0]]
        expected = node.operator.parameters(node.attrs, source, len(manifest.levels))
        if expected:
            found[node.name] = _take(node, expected, left)
    return found, left


def _take(node: Node, expected: Mapping[str, Shape], left: dict[str, Array]) -> Parameters:
    parts = {}
    for part, shape in expected.items():
        tensor = left.pop(f"{node.name}.{part}", None)
        if tensor is None:
            continue
        if tensor.shape != shape:
            raise Defect(
                f"tensor {show(f'{node.name}.{part}')} has shape {list(tensor.shape)}, "
                f"expected {list(shape)}"
            )
        parts[part] = tensor
    check_finite(node.name, parts)
    return parts
