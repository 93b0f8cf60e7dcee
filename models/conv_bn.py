# SPDX-License-Identifier: Apache-2.0
"""Parts that the mobile networks share, with torchvision's names inside."""

from collections.abc import Callable
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn

Activation = Callable[[], nn.Module]

relu = partial(nn.ReLU, inplace=True)
relu6 = partial(nn.ReLU6, inplace=True)
silu = partial(nn.SiLU, inplace=True)
hardswish = partial(nn.Hardswish, inplace=True)


def conv_bn(
    channels_in: int,
    channels: int,
    activation: Activation | None,
    *,
    kernel: int = 1,
    stride: int = 1,
    groups: int = 1,
    norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
) -> nn.Sequential:
    """Return a convolution that keeps the size at stride 1, its norm and an activation."""
    layers = [
        nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, groups=groups, bias=False),
        norm(channels),
    ]
    return nn.Sequential(*layers, *([] if activation is None else [activation()]))


class SqueezeExcitation(nn.Module):
    """Scales every channel by a gate that sees the means of all (Hu et al. 2017).

    Args:
        channels: of the image.
        squeezed: of the hidden layer.
        activation: of the hidden layer.
        gate: from the second layer to the factors.
    """

    def __init__(
        self, channels: int, squeezed: int, activation: Activation, gate: Activation
    ) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)
        self.activation = activation()
        self.scale_activation = gate()

    def forward(self, x: Tensor) -> Tensor:
        """Return x times its gate."""
        gate = self.fc2(self.activation(self.fc1(self.avgpool(x))))
        return cast("Tensor", self.scale_activation(gate) * x)


class StochasticDepth(nn.Module):
    """Drops the branch of a residual block for random samples of a batch (Huang et al. 2016).

    Args:
        probability: of dropping a sample in training; inference keeps all.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: Tensor) -> Tensor:
        """Return x, in training zeros for some samples and the others scaled up."""
        if not self.training or self.probability == 0.0:
            return x
        kept = 1.0 - self.probability
        sides = (x.shape[0], *[1] * (x.ndim - 1))
        return x * torch.empty(sides, dtype=x.dtype, device=x.device).bernoulli_(kept) / kept


def make_divisible(channels: float, divisor: int = 8) -> int:
    """Round to a multiple of `divisor`, at least one of it, but never by more than 10 % down."""
    rounded = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * channels else rounded


def init_layers(net: nn.Module, init_linear: Callable[[nn.Linear], object]) -> None:
    """Initialise convolutions for a ReLU after them, and linear layers as the network's paper."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            init_linear(module)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
