# SPDX-License-Identifier: Apache-2.0
"""Densely connected networks (Huang et al. 2016) with torchvision's state-dict names.

A torchvision checkpoint of the same network loads with `load_state_dict(strict=True)`.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

_BOTTLENECK = 4  # channels between a layer's two convolutions, relative to those it adds


class DenseLayer(nn.Module):
    """Normalises what all layers before it made, and adds `growth` channels to it."""

    def __init__(self, channels_in: int, growth: int) -> None:
        super().__init__()
        hidden = _BOTTLENECK * growth
        self.norm1 = nn.BatchNorm2d(channels_in)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(channels_in, hidden, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(hidden, growth, 3, padding=1, bias=False)

    def forward(self, before: list[Tensor]) -> Tensor:
        """Return the new channels."""
        x = self.conv1(self.relu1(self.norm1(torch.cat(before, 1))))
        return cast("Tensor", self.conv2(self.relu2(self.norm2(x))))


class DenseBlock(nn.ModuleDict):
    """Layers that each read the block's input and all outputs before them."""

    def __init__(self, channels_in: int, growth: int, depth: int) -> None:
        super().__init__(
            {
                f"denselayer{i + 1}": DenseLayer(channels_in + i * growth, growth)
                for i in range(depth)
            }
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the input and what every layer made, one after the other."""
        made = [x]
        for layer in self.values():
            made.append(layer(made))
        return torch.cat(made, 1)


class DenseNet(nn.Module):
    """Dense blocks, between which channels and sides are halved, for images of 3 channels.

    Args:
        depths: layers per block.
        growth: channels that each layer adds.
        num_classes: outputs.
    """

    def __init__(self, depths: Sequence[int], growth: int, num_classes: int) -> None:
        super().__init__()
        channels = 2 * growth
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv0=nn.Conv2d(3, channels, 7, 2, 3, bias=False),
            norm0=nn.BatchNorm2d(channels),
            relu0=nn.ReLU(inplace=True),
            pool0=nn.MaxPool2d(3, 2, 1),
        )
        for number, depth in enumerate(depths, start=1):
            parts[f"denseblock{number}"] = DenseBlock(channels, growth, depth)
            channels += depth * growth
            if number < len(depths):
                parts[f"transition{number}"] = _transition(channels)
                channels //= 2
        parts[f"norm{len(depths) + 1}"] = nn.BatchNorm2d(channels)
        self.features = nn.Sequential(parts)
        self.classifier = nn.Linear(channels, num_classes)
        _init_weights(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for images (N, 3, H, W)."""
        x = torch.relu(self.features(x))
        x = nn.functional.adaptive_avg_pool2d(x, (1, 1))
        return cast("Tensor", self.classifier(torch.flatten(x, 1)))


def _transition(channels: int) -> nn.Sequential:
    """Return what halves channels and sides."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(channels),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(channels, channels // 2, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )


def _init_weights(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
