# SPDX-License-Identifier: Apache-2.0
"""Which layers are pruned, and which modules change level together.

Pruned is every Conv2d with zero padding and every Linear, except
* the first and the last layer in execution order: the first reads few channels and the last
  makes the answer, both are small and sensitive; but a last layer that is not small is pruned
  (1.28 of MobileNetV2's 3.5 million weights would else be what its sparse levels wait for);
* a depthwise convolution: it has few weights, and all that an output channel ever sees of its
  input are those of one channel;
* a convolution whose groups' output channels are not whole blocks: a block's score would stand
  for inputs of different groups;
* a layer with fewer weights than MIN_BLOCKS blocks hold, where one block is a jump in the ratio.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.lazy import LazyModuleMixin

from aio.models.errors import ModelError
from aio.models.trace import input_of, module_of

MIN_BLOCKS = 64
"""With fewer, rounding to whole blocks could leave the tolerance of the model file (0.01)."""


LARGE_WEIGHTS, LARGE_PART = 1 << 19, 0.2
"""A last layer of more weights, and of more than this part of all, is not small."""


@dataclass
class Layer:
    """A convolution or linear layer and what normalises its output.

    Attributes:
        name: dotted path of the layer; of the batch normalisation where that stands alone.
        batch_norms: dotted paths of the batch normalisations that change level with it.
        dense_reason: why the layer is not pruned, None for a pruned one.
    """

    name: str
    batch_norms: list[str] = field(default_factory=list)
    dense_reason: str | None = None


def find_layers(traced: fx.GraphModule, block_height: Callable[[str], int]) -> list[Layer]:
    """Return the layers of a network in execution order.

    Args:
        traced: the network.
        block_height: gives output channels of a block by the layer's name.

    Raises:
        ModelError: a layer is called twice, is lazy, or carries hooks.
    """
    by_node: dict[fx.Node, Layer] = {}
    weighted: list[tuple[Layer, nn.Module]] = []
    for node in traced.graph.nodes:
        module = module_of(traced, node)
        if isinstance(module, LazyModuleMixin):
            raise ModelError(f"{node.target} is lazy: run the network once before wrapping it")
        if type(module) in {nn.Conv2d, nn.Linear}:
            assert module is not None
            _check_plain(node, module)
            by_node[node] = Layer(str(node.target))
            weighted.append((by_node[node], module))
        elif isinstance(module, _BatchNorm):
            _check_plain(node, module)
            source = input_of(node)
            layer = by_node.get(source) or Layer(str(node.target), dense_reason="no weights")
            layer.batch_norms.append(str(node.target))
            by_node[node] = layer
    _check_called_once(traced)
    ends = _dense_ends([module for _, module in weighted])
    for index, (layer, module) in enumerate(weighted):
        layer.dense_reason = ends.get(index) or _why_dense(module, block_height(layer.name))
    return list({id(layer): layer for layer in by_node.values()}.values())


def _dense_ends(modules: list[nn.Module]) -> dict[int, str]:
    """Return which layers stay dense for their place, by index, and why."""
    ends = {0: "first layer"}
    weights = [
        module.weight.numel() for module in modules if isinstance(module.weight, nn.Parameter)
    ]
    if weights and not (weights[-1] > LARGE_WEIGHTS and weights[-1] > LARGE_PART * sum(weights)):
        ends[len(modules) - 1] = "last layer"
    return ends


def _why_dense(module: nn.Module, block_height: int) -> str | None:
    assert isinstance(module, nn.Conv2d | nn.Linear)
    if isinstance(module, nn.Conv2d):
        if module.groups == module.in_channels == module.out_channels > 1:
            return "depthwise"
        if module.groups != 1 and module.out_channels // module.groups % block_height != 0:
            size = module.out_channels // module.groups
            return f"groups of {size} output channels, not whole blocks of {block_height}"
        if module.padding_mode != "zeros":
            return f"padding mode {module.padding_mode}"
    least = MIN_BLOCKS * min(block_height, module.weight.shape[0])
    weights = module.weight.numel()
    return f"{weights} weights, fewer than {least}" if weights < least else None


def _check_plain(node: fx.Node, module: nn.Module) -> None:
    hooks = itertools.chain(module._forward_hooks, module._forward_pre_hooks)
    if any(True for _ in hooks):
        raise ModelError(
            f"{node.target} has forward hooks, which would be lost; remove them first "
            "(torch.nn.utils.remove_weight_norm and the like)"
        )


def _check_called_once(traced: fx.GraphModule) -> None:
    seen: set[nn.Module] = set()
    for node in traced.graph.nodes:
        module = module_of(traced, node)
        if type(module) not in {nn.Conv2d, nn.Linear} and not isinstance(module, _BatchNorm):
            continue
        assert module is not None
        if module in seen:
            raise ModelError(f"{node.target} is called twice; give each call a layer of its own")
        seen.add(module)
