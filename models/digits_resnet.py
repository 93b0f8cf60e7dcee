# SPDX-License-Identifier: Apache-2.0
"""The small residual network of the model that ships in the package.

It reads 8x8 images with pixel values 0 to 16, as scikit-learn's digits have them. Nearly all of
its time is spent in prunable 3x3 convolutions, so that latency follows the ratio, and the file
it makes with a dozen levels stays below 1,000,000 bytes.
"""

from typing import cast

import torch
from torch import Tensor, nn

from aio.models.resnet import init_convolutions, stage


class DigitsResNet(nn.Module):
    """A stem, four blocks of 48 channels at 8x8, one at 4x4, a classifier.

    210,576 weights, of which 209,664 can be pruned; 11.3 million multiply-accumulates.
    """

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 48, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(48)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = stage(48, 48, depth=4, stride=1)
        self.layer2 = stage(48, 48, depth=1, stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(48, num_classes)
        init_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Return logits for images (N, 1, 8, 8)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.avgpool(self.layer2(self.layer1(x)))
        return cast("Tensor", self.fc(torch.flatten(x, 1)))
