# SPDX-License-Identifier: Apache-2.0
"""Which operators keep the channels of an image apart: each output channel is of one input channel.

What is not listed is taken not to. Flattening an image mixes channels with pixels, unless a pooling
has left it a single pixel.
"""

import operator

import torch
import torch.nn.functional as F
from torch import fx, nn

from aio.models.trace import input_of, module_of

_MODULES = (
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.AvgPool2d,
    nn.GELU,
    nn.Hardsigmoid,
    nn.Hardswish,
    nn.LeakyReLU,
    nn.MaxPool2d,
    nn.ReLU,
    nn.ReLU6,
    nn.SiLU,
    nn.Sigmoid,
    nn.Tanh,
    nn.Upsample,
)
_TO_SIZE = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_FUNCTIONS = frozenset(
    {
        F.adaptive_avg_pool2d,
        F.avg_pool2d,
        F.gelu,
        F.hardsigmoid,
        F.hardswish,
        F.leaky_relu,
        F.max_pool2d,
        F.relu,
        F.relu6,
        F.silu,
        torch.relu,
        torch.sigmoid,
        torch.tanh,
    }
)
_METHODS = frozenset({"relu", "relu_", "sigmoid", "tanh"})
_JOINING = frozenset(
    {operator.add, operator.iadd, operator.mul, operator.imul, torch.add, torch.mul}
)


def is_channelwise(traced: fx.GraphModule, node: fx.Node) -> bool:
    """Tell whether a node with one input keeps its channels apart and in order."""
    module = module_of(traced, node)
    if _flattens(module, node):
        pool = module_of(traced, input_of(node))
        one = isinstance(pool, _TO_SIZE) and pool.output_size in (1, (1, 1), [1, 1])
        return one and (module is not None or node.args[1:] == (1,))
    if module is not None:
        return isinstance(module, _MODULES)
    if node.op == "call_function":
        return node.target in _FUNCTIONS
    return node.op == "call_method" and node.target in _METHODS


def _flattens(module: nn.Module | None, node: fx.Node) -> bool:
    if module is not None:
        return isinstance(module, nn.Flatten) and module.start_dim == 1
    return node.target in {torch.flatten, "flatten"}


def joins_channels(node: fx.Node) -> bool:
    """Tell whether a node adds or multiplies values channel by channel.

    Both have to be computed ones: a stored tensor has an order of its own.
    """
    values = [value for value in node.args if isinstance(value, fx.Node)]
    computed = len(values) == 2 and all(value.op != "get_attr" for value in values)
    return node.op == "call_function" and node.target in _JOINING and computed
