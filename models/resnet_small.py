# SPDX-License-Identifier: Apache-2.0
"""Residual networks for images of 32x32 pixels (He et al. 2015, section 4.2).

A 3x3 stem and three stages of 16, 32 and 64 channels; 6n+2 layers for n blocks per stage. The
shortcut is a 1x1 convolution where shapes differ, so every network is made of the same parts.
"""

from typing import cast

import torch
from torch import Tensor, nn

from aio.models.resnet import init_convolutions, stage


class SmallResNet(nn.Module):
    """A residual network of three stages.

    Args:
        depth: blocks per stage, 3 for a ResNet-20.
        num_classes: outputs.
        channels_in: of the images.
        stem_stride: 2 halves the image at once, for a quarter of the time.
    """

    def __init__(
        self, depth: int, num_classes: int, channels_in: int = 3, stem_stride: int = 1
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, 16, 3, stem_stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = stage(16, 16, depth, stride=1)
        self.layer2 = stage(16, 32, depth, stride=2)
        self.layer3 = stage(32, 64, depth, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(64, num_classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for images (N, channels_in, H, W)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return cast("Tensor", self.fc(torch.flatten(self.avgpool(x), 1)))
