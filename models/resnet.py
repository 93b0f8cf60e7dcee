# SPDX-License-Identifier: Apache-2.0
"""Residual networks (He et al. 2015) with torchvision's state-dict names.

A torchvision checkpoint of the same network loads with `load_state_dict(strict=True)`.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where shapes differ."""

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False),
                nn.BatchNorm2d(channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(convolutions(x) + shortcut(x))."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return cast("Tensor", self.relu(out))


class Bottleneck(nn.Module):
    """A 3x3 convolution between two 1x1 ones; the last makes four times as many channels.

    The 3x3 convolution has the stride, as torchvision's checkpoints need, and not the first 1x1
    as in the paper.
    """

    def __init__(self, channels_in: int, channels: int, stride: int = 1) -> None:
        super().__init__()
        channels_out = 4 * channels
        self.conv1 = nn.Conv2d(channels_in, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, channels_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels_out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if stride != 1 or channels_in != channels_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels_out, 1, stride, bias=False),
                nn.BatchNorm2d(channels_out),
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return relu(convolutions(x) + shortcut(x))."""
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += identity
        return cast("Tensor", self.relu(out))


class ResNet(nn.Module):
    """A residual network of four stages for images of 3 channels.

    Args:
        depths: blocks per stage.
        num_classes: outputs.
        bottleneck: build the stages of Bottleneck instead of BasicBlock.
    """

    def __init__(
        self, depths: Sequence[int], num_classes: int, *, bottleneck: bool = False
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        make, expansion = (bottleneck_stage, 4) if bottleneck else (stage, 1)
        self.layer1 = make(64, 64, depths[0], stride=1)
        self.layer2 = make(64 * expansion, 128, depths[1], stride=2)
        self.layer3 = make(128 * expansion, 256, depths[2], stride=2)
        self.layer4 = make(256 * expansion, 512, depths[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * expansion, num_classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for images (N, 3, H, W)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return cast("Tensor", self.fc(torch.flatten(self.avgpool(x), 1)))


def stage(channels_in: int, channels: int, depth: int, stride: int) -> nn.Sequential:
    """Return `depth` blocks, of which the first changes size and channels."""
    blocks = [BasicBlock(channels_in, channels, stride)]
    blocks += [BasicBlock(channels, channels) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


def bottleneck_stage(channels_in: int, channels: int, depth: int, stride: int) -> nn.Sequential:
    """Return `depth` bottlenecks of 4 * `channels` outputs; the first has the stride."""
    blocks = [Bottleneck(channels_in, channels, stride)]
    blocks += [Bottleneck(4 * channels, channels) for _ in range(depth - 1)]
    return nn.Sequential(*blocks)


def init_convolutions(net: nn.Module) -> None:
    """Initialise every convolution for a ReLU after it (He et al. 2015)."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
