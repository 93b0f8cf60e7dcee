# SPDX-License-Identifier: Apache-2.0
"""Slimmable networks (Yu et al. 2019, arXiv 1812.08928): levels are widths, the same in all layers.

A level uses the first channels of every layer, as many as give it the multiply-accumulates of an
All-in-One level. Batch normalisation has parameters per level. This is what block sparsity is
compared with: the same idea without a mask.
"""

import copy
import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aio.models.errors import ModelError
from aio.models.supernet import Supernet
from aio.models.switchable import SwitchableBatchNorm

WIDTH_STEPS = 64


class _Slim(nn.Module):
    """A layer that uses its first channels, as many as its input has and the width says."""

    def __init__(self, layer: nn.Module, channels: Sequence[int]) -> None:
        super().__init__()
        self.layer = layer
        self.channels = tuple(channels)
        self.level = 0


class _SlimConv(_Slim):
    layer: nn.Conv2d

    def forward(self, x: Tensor) -> Tensor:
        conv, out = self.layer, self.channels[self.level]
        bias = None if conv.bias is None else conv.bias[:out]
        # Not channels last: its gradients corrupt memory in torch 2.13 on a CPU for widths such as
        # 11 and 21 channels.
        x, weight = x.contiguous(), conv.weight[:out, : x.shape[1]].contiguous()
        return F.conv2d(x, weight, bias, conv.stride, conv.padding, conv.dilation)


class _SlimLinear(_Slim):
    layer: nn.Linear

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.layer.weight[:, : x.shape[1]], self.layer.bias)


class _SlimBatchNorm(SwitchableBatchNorm):
    """Batch normalisation of its own for every level, with its number of channels."""

    def __init__(self, bn: nn.BatchNorm2d, channels: Sequence[int]) -> None:
        super().__init__(bn, 0)
        self.by_level = nn.ModuleList(_first_channels(bn, count) for count in channels)


def _first_channels(bn: nn.BatchNorm2d, count: int) -> nn.BatchNorm2d:
    first = nn.BatchNorm2d(count, bn.eps, bn.momentum)
    state = bn.state_dict()
    first.load_state_dict({name: v[:count] if v.ndim else v for name, v in state.items()})
    return first


class Slimmable(Supernet):
    """A network that runs at several widths.

    Args:
        net: made of Conv2d, BatchNorm2d and a final Linear on pooled channels; it is copied.
        ratios: of the All-in-One levels whose multiply-accumulates are matched.
        widths: fraction of the channels at each level, 1 first.

    Raises:
        ModelError: the network has layers that this can't slim.
    """

    def __init__(self, net: nn.Module, ratios: Sequence[float], widths: Sequence[float]) -> None:
        super().__init__()
        self.ratios = tuple(ratios)
        self.widths = tuple(widths)
        self.net = copy.deepcopy(net)
        for name, module in list(self.net.named_modules()):
            new = self._slim(name, module)
            if new is not None:
                parent, _, attribute = name.rpartition(".")
                setattr(self.net.get_submodule(parent), attribute, new)

    def forward(self, x: Tensor) -> Tensor:
        """Run the network at the current level."""
        y: Tensor = self.net(x)
        return y

    def set_level(self, level: int) -> None:
        """Use one level for the whole network."""
        for module in self.net.modules():
            if isinstance(module, _Slim | _SlimBatchNorm):
                module.level = level

    def set_layer_levels(self, levels: Mapping[str, int] | Sequence[int]) -> None:
        """Refuse: layers of different widths do not fit each other."""
        raise ModelError(f"a slimmable network has one width for all layers, not {levels}")

    def update_thresholds(self, ratios: Sequence[float] | None = None) -> None:
        """Do nothing: widths are fixed."""

    def at(self, level: int) -> nn.Module:
        """Return an ordinary network of one level, with copies of its weights."""
        result = copy.deepcopy(self.net)
        for name, module in list(result.named_modules()):
            if isinstance(module, _SlimBatchNorm):
                new: nn.Module = module.by_level[level]
            elif isinstance(module, _Slim):
                new = _plain(module, level, self.widths[level])
            else:
                continue
            parent, _, attribute = name.rpartition(".")
            setattr(result.get_submodule(parent), attribute, new)
        return result

    def _slim(self, name: str, module: nn.Module) -> nn.Module | None:
        if isinstance(module, nn.Conv2d):
            if module.groups != 1:
                raise ModelError(f"{name}: a convolution of {module.groups} groups is not slimmed")
            return _SlimConv(module, [_channels(module.out_channels, w) for w in self.widths])
        if isinstance(module, nn.Linear):
            return _SlimLinear(module, [module.out_features] * len(self.widths))
        if isinstance(module, nn.BatchNorm2d):
            return _SlimBatchNorm(module, [_channels(module.num_features, w) for w in self.widths])
        return None


def widths_for(net: nn.Module, shape: Sequence[int], macs: Sequence[int]) -> list[float]:
    """Return the width of each level, the widest whose multiply-accumulates are not more."""
    known: dict[int, int] = {}

    def macs_at(step: int) -> int:
        if step not in known:
            narrow = Slimmable(net, (0.0,), (step / WIDTH_STEPS,)).at(0)
            known[step] = count_macs(narrow, shape)
        return known[step]

    widths = []
    for wanted in macs:
        low, high = 1, WIDTH_STEPS
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if macs_at(middle) <= wanted else (low, middle - 1)
        widths.append(low / WIDTH_STEPS)
    return widths


def count_macs(net: nn.Module, shape: Sequence[int]) -> int:
    """Return the multiply-accumulates of one image in a network's layers, zeros left out."""
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        del inputs
        nonlocal total
        masked = getattr(module, "masked_weight", None)
        weight = module.weight if masked is None else masked()
        assert isinstance(weight, Tensor)
        pixels = math.prod(output.shape[2:])
        total += (weight.numel() if masked is None else int((weight != 0).sum())) * pixels

    layers = [
        m for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear) or hasattr(m, "score")
    ]
    handles = [layer.register_forward_hook(count) for layer in layers]
    training = net.training
    try:
        with torch.no_grad():
            net.eval()(torch.zeros(1, *shape))
    finally:
        net.train(training)
        for handle in handles:
            handle.remove()
    return total


def _channels(count: int, width: float) -> int:
    return max(1, round(count * width))


def _plain(module: _Slim, level: int, width: float) -> nn.Module:
    layer = module.layer
    if isinstance(layer, nn.Linear):
        inputs = _channels(layer.in_features, width)
        plain: nn.Conv2d | nn.Linear = nn.Linear(inputs, layer.out_features, layer.bias is not None)
    else:
        assert isinstance(layer, nn.Conv2d)
        # Images keep all their channels: only layers before make fewer.
        inputs = _channels(layer.in_channels, width) if layer.in_channels > 4 else layer.in_channels
        plain = nn.Conv2d(
            inputs,
            module.channels[level],
            (layer.kernel_size[0], layer.kernel_size[1]),
            (layer.stride[0], layer.stride[1]),
            layer.padding,  # type: ignore[arg-type] # a tuple of torch's own
            (layer.dilation[0], layer.dilation[1]),
            bias=layer.bias is not None,
        )
    with torch.no_grad():
        plain.weight.copy_(layer.weight[: plain.weight.shape[0], :inputs])
        if layer.bias is not None and plain.bias is not None:
            plain.bias.copy_(layer.bias[: len(plain.bias)])
    return plain
