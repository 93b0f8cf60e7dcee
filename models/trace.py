# SPDX-License-Identifier: Apache-2.0
"""The graph of a network as inference runs it, by symbolic tracing (torch.fx).

Masked layers and switchable batch normalisation stay whole. What does nothing at inference
(dropout, identity) is removed, and in-place operators are turned into ordinary ones, so each
node of the result is a value that never changes.
"""

import contextlib
import inspect
import operator
from collections.abc import Iterator
from typing import Any

import torch.nn.functional as F
from torch import fx, nn

from aio.models.errors import ModelError
from aio.models.masked import MaskedLayer
from aio.models.switchable import SwitchableBatchNorm

_NO_OP_MODULES = (
    nn.Identity,
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
)
_NO_OP_FUNCTIONS = frozenset(
    {F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout}
)
# Anything can go wrong in code that was not written for tracing; these are what Proxy objects raise
# there, or assertions on them.
_UNTRACEABLE = (fx.proxy.TraceError, AssertionError, AttributeError, RuntimeError, TypeError)
_NO_OP_METHODS = frozenset({"contiguous"})
_IN_PLACE_OPERATORS = frozenset({operator.iadd, operator.isub, operator.imul, operator.itruediv})


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, MaskedLayer | SwitchableBatchNorm):
            return True
        return super().is_leaf_module(m, module_qualified_name)


@contextlib.contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Put a network into inference mode, and every module back to its own mode at the end."""
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def trace(net: nn.Module, inputs: int | None = None) -> fx.GraphModule:
    """Return the inference graph of a network; it shares the network's modules.

    Args:
        net: the network.
        inputs: how many of its first parameters get tensors, the others having defaults that
            stay; None for all.

    Raises:
        ModelError: the network's control flow depends on its data, so it has no one graph.
    """
    with evaluating(net):
        try:
            graph = _Tracer().trace(net, None if inputs is None else _defaults(net, inputs))
        except _UNTRACEABLE as error:
            raise ModelError(
                f"{type(net).__name__} can't be traced by torch.fx, its forward must not "
                f"depend on the values in x: {str(error).splitlines()[0]}"
            ) from error
    if inputs is not None:
        _remove_placeholders(graph, inputs)
    traced = fx.GraphModule(net, graph)
    _remove_no_ops(traced)
    _detach_in_place(traced)
    graph.eliminate_dead_code()
    graph.lint()
    return traced


def _defaults(net: nn.Module, inputs: int) -> dict[str, Any]:
    """Return the defaults of the parameters of forward behind the first ones."""
    parameters = list(inspect.signature(net.forward).parameters.values())[inputs:]
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def _remove_placeholders(graph: fx.Graph, inputs: int) -> None:
    """Remove the parameters that keep their defaults, which fx leaves with an assertion each."""
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    for placeholder in placeholders[inputs:]:
        stale = [placeholder]
        for node in stale:
            stale += node.users
        for node in reversed(stale):
            graph.erase_node(node)


def module_of(traced: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the module a node calls, None for functions and methods."""
    if node.op != "call_module":
        return None
    return traced.get_submodule(str(node.target))


def place_of(node: fx.Node) -> str:
    """Return where in the network a node is: the dotted path of its module, "" at the top."""
    if node.op in {"call_module", "get_attr"}:
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    return str(list(stack)[-1]) if stack else ""


def _is_no_op(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(module_of(traced, node), _NO_OP_MODULES)
    if node.op == "call_function" and node.target in _NO_OP_FUNCTIONS:
        training = node.kwargs.get("training", node.args[2] if len(node.args) > 2 else None)
        return training is False
    if node.op == "call_function" and getattr(node.target, "__name__", "") == "stochastic_depth":
        # torchvision's, which is not at hand here; it declares itself a leaf to torch.fx.
        return node.kwargs.get("training", node.args[-1]) is False
    return node.op == "call_method" and node.target in _NO_OP_METHODS


def _remove_no_ops(traced: fx.GraphModule) -> None:
    for node in list(traced.graph.nodes):
        if _is_no_op(traced, node):
            node.replace_all_uses_with(input_of(node))
            traced.graph.erase_node(node)


def input_of(node: fx.Node) -> fx.Node:
    """Return the first input of a node, given by position or as `input=`."""
    value: Any = node.args[0] if node.args else node.kwargs.get("input")
    if not isinstance(value, fx.Node):
        raise ModelError(f"{place_of(node) or node.name}: {node.target} has no tensor input")
    return value


def _is_in_place(traced: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return bool(getattr(module_of(traced, node), "inplace", False))
    if node.op == "call_function":
        return node.target in _IN_PLACE_OPERATORS or node.kwargs.get("inplace") is True
    name = str(node.target)
    return node.op == "call_method" and name.endswith("_") and not name.endswith("__")


def _detach_in_place(traced: fx.GraphModule) -> None:
    """Let everything after an in-place operator read its result instead of the overwritten input.

    With relu(inplace=True), a residual connection taken before it sees the rectified values.
    """
    order = {node: index for index, node in enumerate(traced.graph.nodes)}

    for node in list(traced.graph.nodes):
        if not _is_in_place(traced, node):
            continue
        source = input_of(node)
        for user in [user for user in source.users if order[user] > order[node]]:
            user.replace_input_with(source, node)
