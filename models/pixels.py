# SPDX-License-Identifier: Apache-2.0
"""Flat tensors between an image of one pixel and another: the gate of squeeze-and-excitation.

Networks often flatten the pooled image, run linear layers on it and shape it back to C x 1 x 1
(Hu et al. 2017, arXiv 1709.01507). The graph has no operator that shapes features back; on one
pixel a linear layer is a 1x1 convolution, so such tensors stay images.
"""

import operator
from typing import Any

import torch
from torch import fx, nn

from aio.models.conversion import tensor_shape
from aio.models.operators.registry import takes_any_layout
from aio.models.trace import module_of

RESHAPES: tuple[Any, ...] = (
    nn.Flatten,
    nn.Unflatten,
    torch.flatten,
    torch.reshape,
    torch.squeeze,
    torch.unsqueeze,
    "flatten",
    "reshape",
    "squeeze",
    "unflatten",
    "unsqueeze",
    "view",
)
_REDUCTIONS: tuple[Any, ...] = (torch.mean, torch.amax, "mean", "amax")


def find_pixels(traced: fx.GraphModule) -> set[fx.Node]:
    """Return the flat tensors that have to be images of one pixel; shapes have been noted."""
    found: set[fx.Node] = set()
    for node in traced.graph.nodes:
        if _shapes_back(traced, node) and _is_flat(node.all_input_nodes[0]):
            chain = _chain_before(traced, node)
            inside = chain | {node}
            users = {user for member in chain for user in member.users} - inside
            if all(_shapes_back(traced, user) or tensor_shape(user) is None for user in users):
                found |= chain
    return found


def is_reshape(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Tell whether a node changes nothing but the shape, and keeps the order of elements."""
    if node.op == "call_function" and node.target is operator.getitem:
        index = node.args[1] if isinstance(node.args[1], tuple) else (node.args[1],)
        return all(item in (None, Ellipsis) or item == slice(None) for item in index)
    module = module_of(traced, node)
    return (type(module) if module is not None else node.target) in RESHAPES


def _chain_before(traced: fx.GraphModule, end: fx.Node) -> set[fx.Node]:
    """Return the flat tensors that lead to a pixel from images, empty if one can't be an image."""
    chain: set[fx.Node] = set()
    left = [end.all_input_nodes[0]]
    while left:
        node = left.pop()
        if node in chain or _is_pixel(node):
            continue
        sources = [source for source in node.all_input_nodes if tensor_shape(source) is not None]
        reduces = node.target in _REDUCTIONS and len(tensor_shape(sources[0]) or ()) == 4
        if not _is_flat(node) or not sources or not takes_any_layout(traced, node):
            return set()
        chain.add(node)
        if not reduces:
            left += [source for source in sources if source.op != "get_attr"]
    return chain


def _shapes_back(traced: fx.GraphModule, node: fx.Node) -> bool:
    return is_reshape(traced, node) and _is_pixel(node)


def _is_flat(node: fx.Node) -> bool:
    shape = tensor_shape(node) or ()
    return len(shape) == 2 or (len(shape) == 3 and shape[2] == 1)


def _is_pixel(node: fx.Node) -> bool:
    shape = tensor_shape(node) or ()
    return len(shape) == 4 and shape[2:] == (1, 1)
