# SPDX-License-Identifier: Apache-2.0
"""Batch normalisation with parameters and statistics of its own for every level.

The statistics of a layer's output differ between ratios, so one set of them would fit none
(slimmable networks, arXiv 1812.08928). At inference each set is folded into a scale and a bias.
"""

import copy
from typing import cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class SwitchableBatchNorm(nn.Module):
    """One batch normalisation per level, all starting as copies of the given one."""

    def __init__(self, bn: _BatchNorm, levels: int) -> None:
        super().__init__()
        self.by_level = nn.ModuleList(copy.deepcopy(bn) for _ in range(levels))
        self.level = 0

    def at(self, level: int) -> _BatchNorm:
        """Return the batch normalisation of a level."""
        return cast("_BatchNorm", self.by_level[level])

    def restart_levels(self) -> None:
        """Let every level have the parameters and statistics of level 0."""
        first = self.at(0).state_dict()
        for bn in self.by_level[1:]:
            bn.load_state_dict(first)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise with the parameters of the current level."""
        return cast("Tensor", self.by_level[self.level](x))
