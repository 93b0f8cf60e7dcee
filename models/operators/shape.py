# SPDX-License-Identifier: Apache-2.0
"""Changes of shape that keep the order of elements."""

import torch
from torch import fx, nn

from aio.models.conversion import Conversion
from aio.models.operators.registry import Options, converts
from aio.models.trace import input_of


@converts(
    nn.Flatten,
    torch.flatten,
    torch.reshape,
    torch.squeeze,
    "flatten",
    "reshape",
    "squeeze",
    "view",
    any_arguments=True,
)
def _flatten(conversion: Conversion, node: fx.Node, options: Options) -> None:
    del options  # what they ask for is in the shapes; the order of elements never changes
    source = input_of(node)
    before, after = conversion.shape(source), conversion.shape(node)
    if before == after:
        conversion.alias(node, source)
    elif len(after) == 1 and len(before) == 3:
        conversion.emit_from(node, "flatten", [conversion.value(source)])
    else:
        conversion.fail(node, f"a change of shape from {before} to {after} is not supported")
